"""Calls of the command line, in this process or in one of its own. Every call checks that no error
recommends Python calls."""

import re
import signal
import subprocess
import sys

import numpy as np
import pytest
import scipy.sparse as sp
from strict_json import strict_json

from fastebm.cli import main

# With both directions: a triangle with weights 1, 1, 2 and a loop.
WALK = "a,b,1\nb,c,1\nc,a,2\nc,c,1\n"
PYTHON = re.compile(r"=True|\b(chain|fe|np)\.\w+\(|\b\w+\(chain|\b[a-z]\w*=(?! )")


def no_python(text):
    """Assert that a message names options, not calls or keyword arguments of Python."""
    assert not PYTHON.search(text), text


def check_errors(found):
    """Check the texts of all errors in a JSON document."""
    if isinstance(found, dict):
        if set(found) >= {"error", "text"}:
            no_python(found["text"])
        for value in found.values():
            check_errors(value)
    elif isinstance(found, list):
        for value in found:
            check_errors(value)


@pytest.fixture
def start():
    """start(*args) -> a process that runs the command, or another Python program. What still runs
    when the test ends is killed."""
    started = []

    def start(*args, program=("-m", "fastebm"), **options):
        process = subprocess.Popen(
            [sys.executable, "-P", *program, *map(str, args)],
            preexec_fn=answer_signals,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            **options,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()


def answer_signals():
    """Undo what nohup and shells leave ignored in the processes that they start."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)


@pytest.fixture
def run(start):
    """run(*args) -> (exit status, stdout, stderr) of a process of its own."""

    def run(*args):
        process = start(*args)
        out, err = process.communicate(timeout=60)
        no_python(err)
        return process.returncode, out, err

    return run


@pytest.fixture
def call(capsys):
    """call(*args) -> (exit status, the JSON document or None, stderr), in this process."""

    def call(*args):
        code = main([str(arg) for arg in args])
        out, err = capsys.readouterr()
        document = strict_json(out) if out else None
        no_python(err)
        check_errors(document)
        return code, document, err

    return call


@pytest.fixture
def walk(tmp_path):
    """An edge list file."""
    path = tmp_path / "walk.csv"
    path.write_text(WALK)
    return path


@pytest.fixture
def dense_walk():
    """(P, pi) of the chain of that file."""
    A = np.array([[0.0, 1, 2], [1, 0, 1], [2, 1, 1]])
    degree = A.sum(axis=1)
    return A / degree[:, None], degree / degree.sum()


@pytest.fixture
def npz():
    """npz(folder, P, name) -> the path of a matrix file."""

    def npz(folder, P, name="chain.npz"):
        sp.save_npz(folder / name, sp.csr_array(P))
        return folder / name

    return npz
