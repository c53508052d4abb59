"""A small part of the fuzzer with every run of the suite; `python -m tests.fuzz_files` is the
whole."""

import multiprocessing
import os

import pytest

from . import runner, strict
from .judges import DEATH, TIMEOUT, Verdict
from .runner import NAMES, Tally, sweep

pytest.importorskip("pyarrow")
pytestmark = pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="processes are forked"
)
SEED = 15
MUTATIONS = int(os.environ.get("FASTEBM_FUZZ_MUTATIONS", "380"))


def clean(tally, total):
    assert sum(tally.counts.values()) == total
    assert not tally.bad, "\n".join(tally.lines(SEED))


def test_every_format_is_read_as_it_was_written():
    total = 4 * len(NAMES)
    tally = sweep(total, SEED, 1, mutate=False)
    clean(tally, total)
    refused = {name for name, outcome in tally.counts if outcome == "refused"}
    assert refused <= {"arguments"}


def test_mutations():
    clean(sweep(MUTATIONS, SEED, 1), MUTATIONS)


def test_a_death_and_an_endless_loop_are_verdicts(monkeypatch):
    """Case 1 kills its process, case 3 does not end; the others are run all the same."""

    class Cases:
        def run(self, name, number, mutate):
            if number == 1:
                os.abort()
            while number == 3:
                pass
            return Verdict("right")

    monkeypatch.setattr(runner, "SECONDS", 2)
    monkeypatch.setattr(runner, "started", lambda place: Cases())
    monkeypatch.setattr(runner, "drawn", lambda seed, index, only: ("", index))
    tally = sweep(6, SEED, 2)
    assert tally.counts[NAMES[1], DEATH] == 1 and tally.counts[NAMES[3], TIMEOUT] == 1
    assert sum(tally.counts.values()) == 6 and tally.bad == 2


def test_a_misread_entry_is_found(tmp_path):
    """The strict reading of a file differs from that of the file with one digit changed."""
    path = tmp_path / "a.tra"
    path.write_text("dtmc\n0 1 0.5\n0 0 0.5\n1 0 1\n")
    right = strict.tra(path)
    path.write_text("dtmc\n0 1 0.5\n0 0 0.4\n1 0 1\n")
    assert strict.tra(path) != right
    for text in ("dtmc\n0 1 0x1\n", "dtmc\n0 1 1_0\n", "dtmc\n0 1 nan\n", "1 2\n0 0 1\n"):
        path.write_text(text)
        with pytest.raises(strict.Unreadable):
            strict.tra(path)
    assert Tally().bad == 0
