"""pytest-benchmark over the cases of one family, every contender that can be measured inside this process."""

from functools import lru_cache

import pytest

from .cases import family_cases
from .chains import SMOKE
from .contenders import family_module
from .problem import Problem, Unavailable

# Measured in its own processes, by the runner only.
OUTSIDE = {"SLEPc"}


@pytest.fixture(scope="session")
def arena(tmp_path_factory):
    """(problem, answer): functions of a case and of a case and a contender, each computed once."""

    @lru_cache(maxsize=None)
    def problem(case):
        try:
            chain = case.chain()
        except (ImportError, FileNotFoundError) as error:
            pytest.skip(f"no input: {error}")
        inputs = family_module(case.family).inputs(chain, case.options)
        return Problem.write(tmp_path_factory.mktemp("problem"), chain, case.options, inputs)

    @lru_cache(maxsize=None)
    def answer(case, contender):
        return family_module(case.family).CONTENDERS[contender](problem(case))()

    return problem, answer


@pytest.fixture
def contend(benchmark, arena):
    """Measure one contender on one case and have its answer judged beside those of fastebm and of the first peer."""
    problem, answer = arena

    def run(case, contender):
        family = family_module(case.family)
        try:
            solve = family.CONTENDERS[contender](problem(case))
        except (ImportError, Unavailable) as error:
            pytest.skip(str(error))
        benchmark.group = case.name
        found = benchmark.pedantic(solve, rounds=3 if contender == "fastebm" and not SMOKE else 1)
        answers = {name: answer(case, name) for name in {"fastebm", case.peers[0]} - OUTSIDE - {contender}} | {contender: found}
        verdicts = family.judge(problem(case), answers)
        assert verdicts[contender].ok, verdicts

    return run


def pytest_generate_tests(metafunc):
    """A test with arguments (case, contender) runs over those of its module's FAMILY."""
    if {"case", "contender"} <= set(metafunc.fixturenames):
        metafunc.parametrize("case, contender", [
            pytest.param(case, contender, id=f"{case.name}-{contender}") for case in family_cases(metafunc.module.FAMILY)
            for contender in case.contenders if contender not in OUTSIDE])
