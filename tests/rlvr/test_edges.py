"""Closed forms of RLVR at the ends of their domains, their errors, and real training curves."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest

from fastebm import rlvr

INF, NAN = float("inf"), float("nan")
ULP_BELOW_1 = 1 - 2**-53
ACCURACIES = [5e-324, 3e-320, 1e-300, 1e-30, 1e-9, 0.013, 0.3, 0.5, 0.77, 1 - 1e-9, ULP_BELOW_1]
BETAS = [1e-300, 1e-4, 1.4e-3, 0.02, 0.3, 1.0, 7.0, 1e5, 1e12]


@pytest.mark.parametrize("beta", [0.0, 1e-320, 1e-3, 1.0, 1e300, INF])
@pytest.mark.parametrize("p0", [0.0, 1.0])
def test_certain_prompts_do_not_move(p0, beta):
    assert rlvr.target_accuracy(p0, beta) == p0
    assert rlvr.flow(p0, beta, [0.0, 1.0, INF]).tolist() == [p0] * 3
    assert rlvr.suboptimality(p0, p0, beta) == rlvr.kl_spent(p0, p0) == 0
    assert rlvr.objective(p0, p0, beta) == p0
    assert rlvr.beta_for_accuracy(p0, [0.0, 0.5, 1.0]).tolist() == [INF] * 3
    assert rlvr.log_partition(p0, beta) == pytest.approx(
        p0 / beta if beta > 1e-300 else (INF if p0 else 0.0)
    )
    for p in (0.5, 1 - p0):  # not absolutely continuous
        assert rlvr.suboptimality(p, p0, beta) == rlvr.kl_spent(p, p0) == INF
        assert rlvr.objective(p, p0, beta) == -INF
        assert rlvr.entropy(p, p0, NAN, NAN) == INF


def test_no_regularisation():
    p0 = np.array([5e-324, 1e-30, 0.4, ULP_BELOW_1])
    assert np.all(rlvr.target_accuracy(p0, 0) == 1)
    assert np.all(rlvr.log_partition(p0, 0) == INF)
    gain = np.exp(2.0)
    np.testing.assert_allclose(rlvr.flow(p0, 0, 2.0), p0 * gain / (1 - p0 + p0 * gain), rtol=1e-14)
    for p in (0.0, 0.25, 1.0):
        np.testing.assert_allclose(rlvr.suboptimality(p, p0, 0), 1 - p, rtol=1e-15)
        np.testing.assert_allclose(rlvr.objective(p, p0, 0), p, rtol=1e-15, atol=1e-90)


def test_infinite_regularisation():
    p0 = np.array([0.0, 5e-324, 0.4, 1.0])
    assert np.array_equal(rlvr.target_accuracy(p0, INF), p0)
    assert np.array_equal(rlvr.flow(p0, INF, 3.0), p0)
    assert np.array_equal(rlvr.objective(p0, p0, INF), p0)
    assert np.all(rlvr.suboptimality(p0, p0, INF) == 0)
    assert rlvr.suboptimality(0.3, 0.4, INF) == INF
    assert rlvr.log_partition(0.4, INF) == 0


def test_strong_regularisation_keeps_its_precision():
    # J(p*) - J(p0) = p0 (1 - p0) s / 2 + O(s^2), s = 1 / beta: the difference of rounded accuracies
    # would lose it.
    for beta in (1e8, 1e16, 1e40):
        assert rlvr.suboptimality(0.3, 0.3, beta) == pytest.approx(
            0.3 * 0.7 / 2 / beta, rel=1e-7, abs=0.0
        )


def test_beta_for_accuracy_where_no_coefficient_reaches_it():
    assert rlvr.beta_for_accuracy(0.5, [0.2, 0.5, 1.0]).tolist() == [INF, INF, 0.0]
    assert rlvr.beta_for_accuracy(5e-324, 1.0) == 0


def test_entropy_ignores_what_has_no_weight():
    assert rlvr.entropy(0.0, 0.0, NAN, 2.0) == 2
    assert rlvr.entropy(1.0, 1.0, 3.0, INF) == 3
    assert rlvr.entropy([0.0, 1.0], 0.5, [NAN, 1.0], [2.0, NAN]).tolist() == [2, 1]


def test_pass_at_k_at_the_ends():
    assert rlvr.pass_at_k([0.0, 1.0, 0.5], [[1], [7], [INF]]).tolist() == [
        [0, 1, 0.5],
        [0, 1, 1 - 2**-7],
        [0, 1, 1],
    ]
    assert not np.signbit(rlvr.pass_at_k(0.0, 3))


@pytest.mark.filterwarnings("error")
def test_extremes_are_never_nan_and_never_warn():
    accuracy = np.array([0.0, *ACCURACIES, 1.0])
    p, p0 = accuracy[:, None, None], accuracy[:, None]
    beta = np.array([0.0, 1e-320, *BETAS, 1e300, INF])
    answers = [
        rlvr.target_accuracy(p0, beta), rlvr.flow(p0, beta, p * 1e300), rlvr.flow(p0, beta, INF),
        rlvr.suboptimality(p, p0, beta), rlvr.objective(p, p0, beta), rlvr.log_partition(p0, beta),
        rlvr.kl_spent(p, p0), rlvr.entropy(p, p0, 1, 0), rlvr.beta_for_accuracy(p0, p),
        rlvr.pass_at_k(p, [1, INF]),
    ]  # fmt: skip
    assert not any(np.isnan(answer).any() for answer in answers)


CALLS = [
    (rlvr.target_accuracy, (0.2, 0.5)),
    (rlvr.flow, (0.2, 0.5, 1.0)),
    (rlvr.suboptimality, (0.3, 0.2, 0.5)),
    (rlvr.objective, (0.3, 0.2, 0.5)),
    (rlvr.log_partition, (0.2, 0.5)),
    (rlvr.kl_spent, (0.3, 0.2)),
    (rlvr.entropy, (0.3, 0.2, 1.0, 2.0)),
    (rlvr.peak_entropy_accuracy, (1.0, 2.0)),
    (rlvr.beta_for_accuracy, (0.2, 0.5)),
    (rlvr.pass_at_k, (0.2, 3)),
]


@pytest.mark.parametrize(("function", "arguments"), CALLS, ids=lambda x: getattr(x, "__name__", ""))
def test_broadcasting_and_scalars(function, arguments):
    scalar = function(*arguments)
    assert type(scalar) is float
    assert type(function(*map(np.float32, arguments))) is float
    for axis in range(len(arguments)):
        varied = [
            np.full((3, 1), a) if i == axis else np.full(2, a) for i, a in enumerate(arguments)
        ]
        assert np.array_equal(function(*varied), np.full((3, 2), scalar))
    assert function(*(np.empty(0) for _ in arguments)).shape == (0,)
    assert function(*([a] for a in arguments)).tolist() == [scalar]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rlvr.target_accuracy(1.5, 1), r"^p0 = 1\.5: .*\[0, 1\]"),
        (lambda: rlvr.target_accuracy([0.5, NAN], 1), r"^p0\[1\] = nan: "),
        (lambda: rlvr.target_accuracy(0.5, [[1, 2], [3, -1]]), r"^beta\[1, 1\] = -1\.0: .*>= 0"),
        (lambda: rlvr.target_accuracy(0.5, NAN), r"^beta = nan: "),
        (lambda: rlvr.flow(0.5, 1, [0, -2]), r"^t\[1\] = -2\.0: .*>= 0"),
        (lambda: rlvr.flow(0.5, -1, 0), r"^beta = -1\.0: "),
        (lambda: rlvr.suboptimality(-0.1, 0.5, 1), r"^p = -0\.1: "),
        (lambda: rlvr.suboptimality(0.1, 0.5, -1), r"^beta = -1\.0: "),
        (lambda: rlvr.objective(0.1, 2, 1), r"^p0 = 2\.0: "),
        (lambda: rlvr.objective(0.1, 0.2, -INF), r"^beta = -inf: "),
        (lambda: rlvr.log_partition(0.2, -3), r"^beta = -3\.0: "),
        (lambda: rlvr.kl_spent([0.1, 50], 0.5), r"^p\[1\] = 50\.0: .*divide percentages by 100"),
        (lambda: rlvr.entropy(0.5, 0.5, [1, -1], 0), r"^h_correct\[1\] = -1\.0: .*finite and >= 0"),
        (lambda: rlvr.entropy(0.5, 0.5, 1, NAN), r"^h_wrong = nan: "),
        (lambda: rlvr.entropy(NAN, 0.5, 1, 1), r"^p = nan: "),
        (lambda: rlvr.peak_entropy_accuracy(INF, INF), r"^h_correct = inf: "),
        (lambda: rlvr.beta_for_accuracy(0.5, 1.01), r"^p = 1\.01: "),
        (lambda: rlvr.pass_at_k(0.5, [4, 0]), r"^k\[1\] = 0\.0: .*k = 1"),
        (lambda: rlvr.pass_at_k(0.5, NAN), r"^k = nan: "),
    ],
)
def test_errors_name_the_entry_its_value_and_the_remedy(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def training_curves():
    root = (
        os.environ.get("FASTEBM_SHARED_DATA")
        or Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
    )
    path = Path(root) / "rlvr_gsm8k_training_curves.csv"
    if not path.exists():
        pytest.skip(f"{path.name} not found; set FASTEBM_SHARED_DATA to its folder")
    runs = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            if row["reward"]:  # a step may be logged without one
                runs.setdefault(row["run"], []).append(float(row["reward"]))
    return runs


def test_real_training_rewards_give_finite_budgets_and_coefficients():
    runs = training_curves()
    assert len(runs) > 10
    for rewards in runs.values():
        # The mean reward over prompts, read as one prompt: only ranges can be asserted of it.
        p0, p = rewards[0], np.array(rewards)
        assert np.all((0 < p) & (p < 1))
        spent, beta = rlvr.kl_spent(p, p0), rlvr.beta_for_accuracy(p0, p)
        assert np.all(np.isfinite(spent))
        assert spent[0] == 0 < spent[1:].max()
        improved = p > p0
        assert np.array_equal(np.isfinite(beta), improved)
        np.testing.assert_allclose(
            rlvr.target_accuracy(p0, beta[improved]), p[improved], rtol=1e-13
        )
