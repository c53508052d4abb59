"""Progress on a terminal, in a log, and where stderr accepts no text."""

import io
import os
import sys

import pytest

from fastebm._runtime import progress
from fastebm._runtime.progress import Monitor


class Terminal(io.StringIO):
    def isatty(self):
        return True


class Full(io.StringIO):
    """A stderr that accepts no text."""

    def write(self, text):
        raise OSError(28, "No space left on device")


class FullTerminal(Full):
    """A terminal that has gone away."""

    def isatty(self):
        return True


def reported(monkeypatch, stream, every=0.0, n=3, **options):
    """What `stream` gets of n calls, and what a callback gets."""
    monkeypatch.setattr(progress, "LINE_EVERY_S", every)
    monkeypatch.setattr(sys, "stderr", stream)
    infos = []
    monitor = Monitor("spectral_gap", progress=True, callback=infos.append, **options)
    for done in range(1, n + 1):
        monitor(1200 * done, gap=0.5**done)
    monitor.close()
    return stream.getvalue(), [info["done"] for info in infos]


def test_a_log_gets_plain_lines(monkeypatch):
    text, done = reported(monkeypatch, io.StringIO(), total=3600)
    assert text.splitlines() == [
        "fastebm: spectral_gap: 1,200 of 3,600, gap 0.5, 0 s",
        "fastebm: spectral_gap: 2,400 of 3,600, gap 0.25, 0 s",
        "fastebm: spectral_gap: 3,600 of 3,600, gap 0.125, 0 s",
    ]
    assert "\r" not in text and done == [1200, 2400, 3600]


def test_a_log_gets_one_line_in_an_interval(monkeypatch):
    times = iter([0.0, 10.0, 10.0, 35.0, 35.0, 50.0, 50.0, 70.0, 70.0])
    monkeypatch.setattr(progress.time, "perf_counter", lambda: next(times))
    text, _ = reported(monkeypatch, io.StringIO(), every=30.0, n=4)
    assert text.splitlines() == [
        "fastebm: spectral_gap: 2,400, gap 0.25, 35 s",
        "fastebm: spectral_gap: 4,800, gap 0.0625, 70 s",
    ]


def test_a_terminal_gets_a_bar(monkeypatch):
    text, _ = reported(monkeypatch, Terminal())
    assert "\r" in text and "spectral_gap" in text and "\n" not in text.strip("\n")


@pytest.mark.parametrize("stream", [Full(), FullTerminal()], ids=["log", "terminal"])
def test_a_full_stderr_does_not_stop_the_work(stream, monkeypatch):
    _, done = reported(monkeypatch, stream)
    assert done == [1200, 2400, 3600]


def test_a_closed_stderr_does_not_stop_the_work(monkeypatch):
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)
    for stream in (None, open(os.devnull, "w")):
        monkeypatch.setattr(sys, "stderr", stream)
        if stream is not None:
            stream.close()
        monitor = Monitor("spectral_gap", progress=True)
        monitor(1)
        monitor.close()
