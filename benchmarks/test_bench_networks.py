FAMILY = "networks"


def test_bench(contend, case, contender):
    contend(case, contender)
