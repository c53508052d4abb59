"""The claim "peak memory of the gap beyond the chain: 6 n-vectors", measured as in the table."""

import pytest

from . import cases, chains, runner
from .problem import Problem

# Imports, the tridiagonal problem and the threads' stacks: 1.1 MB at any n.
FIXED_BYTES = 1_500_000


def test_the_gap_needs_six_vectors_beyond_the_chain(tmp_path, monkeypatch):
    # glibc gives every vector back when it is freed; by default it keeps one now and then
    monkeypatch.setenv("MALLOC_MMAP_THRESHOLD_", "131072")
    n = 200_000
    case = cases.gap("random regular", lambda: chains.random_regular(n), 0.01)
    Problem.write(tmp_path, case.chain(), case.options, {})
    answer = runner.run(case, "fastebm", tmp_path, 600.0)
    if answer.peak_bytes is None:
        pytest.skip("this system does not report the peak memory of a process")
    assert answer.peak_bytes <= 6 * 8 * n + FIXED_BYTES, (
        f"{answer.peak_bytes / (8 * n):.2f} n-vectors"
    )
