"""The interleaved runner: fresh processes, verified answers, and a reason in the row of whoever has none."""

import numpy as np

from . import cases, runner, table
from .chains import torus
from .problem import Answer

SMALL = cases.gap("torus 16 x 16", lambda: torus(16), 1.1e-2)


def outcomes(case, **options):
    return {outcome.contender: outcome for outcome in runner.compete(case, rounds=1, **options)}


def test_all_contenders_give_the_same_gap():
    found = outcomes(SMALL)
    assert found["fastebm"].verdict.ok and found["SciPy eigsh"].verdict.ok
    assert found["SciPy eigsh"].answer.products > found["fastebm"].answer.products > 0
    slepc = found["SLEPc"]
    assert slepc.verdict.ok if slepc.answer is not None else slepc.failure.startswith("absent: ")
    ours = found["fastebm"]
    assert "NOT ACCEPTED" not in table.row(SMALL, ours, ours) and " n)" in table.row(SMALL, ours, ours)


def test_a_missing_input_and_a_slow_or_unsuited_contender_leave_their_reason():
    def absent():
        raise FileNotFoundError("not here")

    case = cases.hitting("nowhere", absent, "SciPy spsolve")
    assert [o.failure for o in runner.compete(case)] == ["no input: not here"] * 2
    late = outcomes(SMALL, limit_s=0.01)
    assert all(outcome.failure == "stopped after 0 s" for outcome in late.values())
    assert "stopped" in table.row(SMALL, late["SLEPc"], late["fastebm"])
    unsuited = cases.walk("torus 16 x 16", lambda: torus(16), "hits", n_walkers=100, max_steps=10_000)
    unsuited = type(unsuited)(unsuited.family, unsuited.name, unsuited.chain, ("QuantEcon",), unsuited.options)
    assert outcomes(unsuited)["QuantEcon"].failure.startswith("absent: ")


def test_a_wrong_answer_is_not_accepted(tmp_path):
    family = runner.family_module("spectral")
    chain = torus(16)
    problem = runner.Problem.write(tmp_path, chain, SMALL.options, family.inputs(chain, SMALL.options))
    right = family.eigsh(problem)()
    wrong = Answer(right.value * (1.0 + 1e-6))
    verdicts = family.judge(problem, {"right": right, "wrong": wrong})
    assert verdicts["right"].ok and not verdicts["wrong"].ok


def test_peak_memory_sees_an_allocation():
    for _ in range(4):
        np.ones(1_000_000)  # freed, and perhaps kept by the allocator: no excuse for what follows
    with runner.PeakMemory() as peak:
        kept = [np.ones(1_000_000) for _ in range(4)]
        del kept
    # the kernel's counters lag by up to 64 pages a thread
    assert peak.bytes is None or 31_000_000 <= peak.bytes < 40_000_000
