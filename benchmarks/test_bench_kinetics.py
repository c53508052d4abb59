FAMILY = "kinetics"


def test_bench(contend, case, contender):
    contend(case, contender)
