"""pytest-benchmark over all cases, fastebm and its peer side by side: `pytest benchmarks`."""

import pytest

from .cases import cases

PLAIN = [(family, i) for family, count in (("product", 2), ("tilt", 1), ("spectral", 3), ("hitting", 1), ("mixing", 1), ("walk", 2))
         for i in range(count)]


@pytest.mark.parametrize("who", ["ours", "peer"])
@pytest.mark.parametrize("family, number", PLAIN, ids=[f"{family}-{i}" for family, i in PLAIN])
def test_bench(benchmark, family, number, who):
    case = cases()[family][number]
    benchmark.group = case.name
    case.check(case.ours(), case.peer())
    benchmark.pedantic(getattr(case, who), rounds=1 if case.work else 3, iterations=1)
