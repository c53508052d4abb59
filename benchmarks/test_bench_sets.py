FAMILY = "sets"


def test_bench(contend, case, contender):
    contend(case, contender)
