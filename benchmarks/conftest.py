"""pytest-benchmark over the cases of one family, for contenders that run inside this process."""

from collections import defaultdict
from functools import cache

import pytest

from .cases import family_cases
from .chains import SMOKE
from .contenders import family_module
from .problem import Problem, Unavailable

# These start processes of their own and are measured by the runner only.
OUTSIDE = {"SLEPc"}


@pytest.fixture(scope="session")
def problem(tmp_path_factory):
    """The Problem of a case, built once."""

    @cache
    def build(case):
        try:
            chain = case.chain()
        except (ImportError, FileNotFoundError) as error:
            pytest.skip(f"no input: {error}")
        inputs = family_module(case.family).inputs(chain, case.options)
        return Problem.write(tmp_path_factory.mktemp("problem"), chain, case.options, inputs)

    return build


@pytest.fixture(scope="session")
def answers():
    """case -> contender -> Answer, for those measured so far."""
    return defaultdict(dict)


@pytest.fixture
def contend(benchmark, problem, answers):
    """Measure one contender on one case and judge all answers so far, including fastebm's."""

    def run(case, contender):
        family = family_module(case.family)
        try:
            solve = family.CONTENDERS[contender](problem(case))
        except (ImportError, Unavailable) as error:
            pytest.skip(str(error))
        benchmark.group = case.name
        answers[case][contender] = benchmark.pedantic(
            solve, rounds=3 if contender == "fastebm" and not SMOKE else 1
        )
        if "fastebm" not in answers[case]:  # this test was selected alone
            answers[case]["fastebm"] = family.CONTENDERS["fastebm"](problem(case))()
        if len(answers[case]) > 1:  # fastebm comes first, and some judges compare
            verdicts = family.judge(problem(case), answers[case])
            assert all(verdict.ok for verdict in verdicts.values()), verdicts

    return run


def pytest_generate_tests(metafunc):
    """A test with arguments (case, contender) runs for those of its module's FAMILY."""
    if {"case", "contender"} <= set(metafunc.fixturenames):
        metafunc.parametrize(
            "case, contender",
            [
                pytest.param(case, contender, id=f"{case.name}-{contender}")
                for case in family_cases(metafunc.module.FAMILY)
                for contender in case.contenders
                if contender not in OUTSIDE
            ],
        )
