"""The interleaved runner: fresh processes, verified answers, a reason where there is none."""

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
    text = table.row(SMALL, ours, ours)
    assert "NOT ACCEPTED" not in text and " n)" in text


def test_a_missing_input_and_a_slow_or_unsuited_contender_leave_their_reason():
    def absent():
        raise FileNotFoundError("not here")

    case = cases.hitting("nowhere", absent, "SciPy spsolve")
    assert [o.failure for o in runner.compete(case)] == ["no input: not here"] * 2
    late = outcomes(SMALL, limit_s=0.01)
    assert all(outcome.failure == "stopped after 0 s" for outcome in late.values())
    assert "stopped" in table.row(SMALL, late["SLEPc"], late["fastebm"])
    unsuited = cases.walk(
        "torus 16 x 16", lambda: torus(16), "hits", n_walkers=100, max_steps=10_000
    )
    unsuited = type(unsuited)(
        unsuited.family, unsuited.name, unsuited.chain, ("QuantEcon",), unsuited.options
    )
    assert outcomes(unsuited)["QuantEcon"].failure.startswith("absent: ")


def written(folder, case):
    """(family module, problem) of a case, in this process."""
    chain, family = case.chain(), runner.family_module(case.family)
    return family, runner.Problem.write(
        folder, chain, case.options, family.inputs(chain, case.options)
    )


def test_a_wrong_gap_is_not_accepted(tmp_path):
    family, problem = written(tmp_path, SMALL)
    right = family.eigsh(problem)()
    verdicts = family.judge(problem, {"right": right, "wrong": Answer(right.value * (1.0 + 1e-6))})
    assert verdicts["right"].ok and not verdicts["wrong"].ok
    # a reference that is too large gives way to the Dirichlet form of a vector
    problem.options["reference"] = right.value * 1.001
    assert family.judge(problem, {"right": right})["right"].ok


def test_wrong_hitting_times_are_not_accepted(tmp_path):
    family, problem = written(tmp_path, cases.hitting("torus 16 x 16", lambda: torus(16)))
    right = family.spsolve(problem)().value
    wrong = right.copy()
    wrong[100] *= 1.0 + 1e-6
    assert family.judge(problem, {"fastebm": Answer(right)})["fastebm"].ok
    assert not family.judge(problem, {"fastebm": Answer(wrong)})["fastebm"].ok
    verdicts = family.judge(problem, {"fastebm": Answer(wrong), "SciPy spsolve": Answer(right)})
    assert not verdicts["fastebm"].ok and verdicts["SciPy spsolve"].ok


def test_wrong_walkers_are_not_accepted(tmp_path):
    family, problem = written(
        tmp_path, cases.walk("torus 16 x 16", lambda: torus(16), "paths", n_walkers=500, n_steps=50)
    )
    paths = []
    for problem.options["seed"] in (1, 2):
        paths.append(family.numba_loop(problem)().value)
    verdicts = family.judge(problem, {"one": Answer(paths[0]), "two": Answer(paths[1])})
    assert all(verdict.ok for verdict in verdicts.values())
    jump = paths[0].copy()
    jump[3, 7] = (jump[3, 6] + 100) % 256  # no neighbour of where it was
    verdicts = family.judge(problem, {"one": Answer(jump), "two": Answer(paths[1])})
    assert not verdicts["one"].ok and verdicts["two"].ok
    problem.options["question"] = "hits"
    means = {
        "one": Answer((100.0, 20.0)),
        "two": Answer((104.0, 20.0)),
        "three": Answer((110.0, 20.0)),
    }
    verdicts = family.judge(problem, means)  # a mean is known to 0.9
    assert verdicts["two"].ok and not verdicts["three"].ok


def test_peak_memory_sees_an_allocation():
    for _ in range(4):
        np.ones(1_000_000)  # freed, and perhaps kept by the allocator, which must not matter
    with runner.PeakMemory() as peak:
        kept = [np.ones(1_000_000) for _ in range(4)]
        del kept
    # the kernel's counters lag by up to 64 pages a thread
    assert peak.bytes is None or 31_000_000 <= peak.bytes < 40_000_000
