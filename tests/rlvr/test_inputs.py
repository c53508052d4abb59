"""Arguments of the closed forms: dtypes, layouts, threads, Ctrl-C, and input without
an answer."""

import inspect
import warnings

import mpmath as mp
import numpy as np
import pytest
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

from fastebm import ConvergenceWarning, InvalidChainError, rlvr

N = 9001  # more than two blocks of the core
LAWS = {
    "flow": (0.2, 0.5, 1.0), "target_accuracy": (0.2, 0.5), "suboptimality": (0.3, 0.2, 0.5),
    "objective": (0.3, 0.2, 0.5),
    "log_partition": (0.2, 0.5), "kl_spent": (0.3, 0.2), "entropy": (0.3, 0.2, 1.0, 2.0),
    "peak_entropy_accuracy": (0.25, 0.75),
    "beta_for_accuracy": (0.2, 0.5), "time_to_accuracy": (0.2, 0.5, 0.5), "accuracy_for_kl": (0.2,
    0.1), "beta_for_kl": (0.2, 0.1),
    "pass_at_k": (0.2, 3.0), "alpha_target_accuracy": (0.2, 0.5, 0.25),
}  # fmt: skip
every_law = pytest.mark.parametrize("name", LAWS)


def call(name, first, **options):
    return getattr(rlvr, name)(first, *LAWS[name][1:], **options)


@settings(max_examples=150)
@given(
    st.floats(-745, 745),
    st.one_of(st.floats(-745, 745), st.floats(-1e-6, 1e-6)),
    st.floats(1e-3, 1e3),
)
def test_divergences_agree_with_multiprecision(x, step, beta):
    """`suboptimality` takes y = logit p0 and computes beta KL(x || y + 1 / beta) from the rounded
    logit y + 1 / beta and the rounded difference d = y + 1 / beta - x. Both are off by at most

        delta = 4 u (|x| + |y| + 1 / beta),    u = 2^-53.

    The result is as sensitive to d as |d log KL / dd| <= 1 + 2 / |d|: with A'' = sigmoid' (which
    changes by at most a factor e^s over a distance s), KL is the integral of (d - s) A''(x + s) ds
    and its derivative that of A''(x + s) ds; their ratio is largest for A'' = e^s, where it is
    (e^d - 1) / (e^d - 1 - d) <= 1 + 2 / d. Unlike the term 2 delta / |d|, the term delta does not
    vanish for distant logits: an ulp of y = -257 changes KL, about e^y, by 3e-14."""
    y = x + step
    with mp.workdps(400):
        spent = reference.bernoulli_kl(x, y)
        missing = beta * reference.bernoulli_kl(x, mp.mpf(y) + 1 / mp.mpf(beta))
        far = float(abs(mp.mpf(x) - mp.mpf(y) - 1 / mp.mpf(beta)))
        assert abs(rlvr.kl_spent(x, y, logit=True) - spent) <= 4e-15 * spent + mp.mpf(1e-305)
        delta = 4 * 2.0**-53 * (abs(x) + abs(y) + 1 / beta)
        tolerance = 1e-14 + delta * (1 + 2 / max(far, 1e-300))
        found = rlvr.suboptimality(x, y, beta, logit=True)
        assert abs(found - missing) <= tolerance * missing + mp.mpf(1e-300)


@settings(max_examples=150)
@given(st.floats(1e-12, 1 - 1e-12), st.floats(1e-12, 1 - 1e-12), st.booleans())
def test_divergences_of_accuracies_agree_with_multiprecision(p, p0, near):
    if near:
        p0 = min(max(p * (1 + 1e-7 * (p0 - 0.5)), 1e-12), 1 - 1e-12)
    with mp.workdps(120):
        logits = [mp.log(mp.mpf(a)) - mp.log(1 - mp.mpf(a)) for a in (p, p0)]
        exact = reference.bernoulli_kl(*logits)
        assert abs(rlvr.kl_spent(p, p0) - exact) <= 4e-15 * exact + mp.mpf(1e-305)


@every_law
def test_layouts_and_dtypes_give_the_same_numbers(name, tmp_path):
    rng = np.random.default_rng(0)
    first = rng.uniform(0.21, 0.49, N)
    wanted = call(name, first)
    frozen = first.copy()
    frozen.flags.writeable = False
    np.save(tmp_path / "x.npy", first)
    views = (
        frozen,
        np.load(tmp_path / "x.npy", mmap_mode="r"),
        np.repeat(first, 2)[::2],
        first.astype(">f8"),
        first.tolist(),
        np.asfortranarray(np.broadcast_to(first, (2, N)))[1],
        first.astype(np.longdouble),
    )
    for view in views:
        found = call(name, view)
        assert np.array_equal(found, wanted) and found.dtype == float and type(found) is np.ndarray
    single = call(name, first.astype(np.float32))
    assert np.array_equal(single, call(name, first.astype(np.float32).astype(float)))
    assert call(name, np.empty((0, 3))).shape == (0, 3)
    assert np.array_equal(call(name, np.array([0, 1])), call(name, np.array([0.0, 1.0])))


@every_law
def test_values_that_are_not_numbers_are_refused(name):
    for wrong in ("x", ["0.5"], None, [None, 0.5], 1 + 1j, np.array([0.5], dtype=object)):
        with pytest.raises(TypeError, match="must hold real numbers"):
            call(name, wrong)
    with pytest.raises(ValueError, match=r"array|broadcast|shape"):
        call(name, [[0.1], [0.1, 0.2]])
    with pytest.raises(ValueError, match="masked"):
        call(name, np.ma.array([0.25, 0.3], mask=[False, True]))
    if name not in ("alpha_target_accuracy",):
        with pytest.raises(ValueError, match=r"broadcast|shape"):
            getattr(rlvr, name)(
                np.full(3, LAWS[name][0]), np.full(2, LAWS[name][1]), *LAWS[name][2:]
            )
    with pytest.raises(ValueError, match="nan"):
        call(name, np.array([0.3, np.nan]))


@every_law
def test_the_number_of_threads_changes_no_bit(name):
    if "num_threads" not in inspect.signature(getattr(rlvr, name)).parameters:
        pytest.skip("runs in NumPy")
    rng = np.random.default_rng(1)
    first = rng.uniform(0.01, 0.99, (3, N))
    for logit in (False, True):
        one = call(name, first, logit=logit, num_threads=1)
        for num_threads in (2, 5):
            assert np.array_equal(call(name, first, logit=logit, num_threads=num_threads), one)
        assert np.array_equal(
            call(name, first[1, :7], logit=logit), one[1, :7]
        )  # nor does the position of a prompt
    with pytest.raises(InvalidChainError, match="num_threads"):
        call(name, first, num_threads=0)


def test_pieces_are_cut_by_the_clock_and_ctrl_c_stops_between_them(monkeypatch):
    from fastebm._runtime.pacing import Pacer, paced_ranges
    from fastebm.rlvr import elementwise, kl

    p, p0 = np.random.default_rng(2).uniform(size=(2, N))
    wanted, core, calls = rlvr.kl_spent(p, p0), kl._core.bernoulli_divergence, []

    class Short(Pacer):
        def __init__(self):
            super().__init__(1000)

        def __exit__(self, *_):
            self.size = 777

    def counted(*arguments):
        calls.append(arguments[-1].size)
        if stop and len(calls) == 3:
            raise KeyboardInterrupt
        core(*arguments)

    monkeypatch.setattr(elementwise, "paced_ranges", lambda n: paced_ranges(n, Short()))
    monkeypatch.setattr(kl._core, "bernoulli_divergence", counted)
    stop = False
    assert np.array_equal(rlvr.kl_spent(p, p0), wanted)
    assert calls[:3] == [1000, 777, 777] and sum(calls) == N
    stop, calls = True, []
    with pytest.raises(KeyboardInterrupt):
        rlvr.kl_spent(p, p0)
    assert len(calls) == 3


# ---- many prompts


def test_budgets_far_below_an_ulp_and_logits_far_below_every_double():
    beta = rlvr.beta_for_mean([0.1, 0.2], kl=1e-60)  # kl -> p0 (1 - p0) / (2 beta^2)
    assert beta == pytest.approx(np.sqrt((0.09 + 0.16) / 4 / 1e-60), rel=1e-9, abs=0.0)
    assert rlvr.beta_for_mean([-1e6], accuracy=0.5, logit=True) == pytest.approx(
        1e-6, rel=1e-9, abs=0.0
    )
    assert rlvr.beta_for_mean([0.0, 0.0], accuracy=0.5) == 0


def test_expectations_agree_with_a_sum_over_a_million_prompts():
    """Brute force: prompts drawn from a Beta law, against the quadrature of the law itself; errors
    of the mean are below 1e-3."""
    rng = np.random.default_rng(6)
    p0 = rng.beta(0.5, 1.5, size=1_000_000)
    nodes, weights = np.polynomial.legendre.leggauss(400)
    angle = np.pi / 4 * (nodes + 1)  # x = sin^2: the density's singular end becomes smooth
    x = np.sin(angle) ** 2
    density = (
        weights * np.sin(angle) ** 0 * np.cos(angle) ** 2 * 2
    )  # x^(-1/2) (1 - x)^(1/2) dx = 2 cos^2 d angle
    for values in (
        lambda q: rlvr.target_accuracy(q, 0.4),
        lambda q: rlvr.pass_at_k(rlvr.flow(q, 0.4, 1.0), 8),
        lambda q: rlvr.kl_spent(rlvr.flow(q, 0.4, 3.0), q),
    ):
        sample = values(p0)
        error = np.std(sample) / 1000
        assert rlvr.expectation(sample) == pytest.approx(
            rlvr.expectation(values(x), density), abs=4.5 * error
        )  # false alarm 7e-6
        assert rlvr.expectation(sample) == pytest.approx(
            float(np.sum(sample.astype(np.longdouble)) / len(sample)), rel=1e-12, abs=0.0
        )


@pytest.mark.parametrize("make, message", [
    (lambda: rlvr.expectation([np.nan, 1]), r"values\[0\] is NaN"),
    (lambda: rlvr.expectation(["a"]), "real numbers"),
    (lambda: rlvr.beta_for_mean([[0.1, 0.2]], accuracy=0.5), "one-dimensional"),
    (lambda: rlvr.beta_for_mean([0.1], accuracy=[0.5, 0.6]), "one number"),
    (lambda: rlvr.flow_curve([[0.1]], 0.5, [1.0]), "one-dimensional"),
    (lambda: rlvr.flow_curve([0.1], 0.5, [[1.0]]), "one-dimensional"),
    (lambda: rlvr.optimal_policy([0.5, 0.5], [1e308, -1e308], 1.0), "spread of the rewards"),
    (lambda: rlvr.optimal_policy([0.5, 0.5], [1, 0], 1.0, divergence=1e300), "divergence"),
    (lambda: rlvr.alpha_target_accuracy(0.3, 0.5, [0, 1]), "one number"),
    (lambda: rlvr.alpha_target_accuracy(0.3, 0.5, 1e300), "alpha"),
    (lambda: rlvr.policy_flow([0.5, 0.5], [0], 1, [1], rtol=1e-15), "rtol"),
])  # fmt: skip
def test_errors(make, message):
    with pytest.raises((ValueError, TypeError), match=message):
        make()


def test_weights_of_any_size():
    assert (
        rlvr.expectation([1, 2], [1e308, 1e308])
        == rlvr.expectation([1, 2], [5e-324, 5e-324])
        == 1.5
    )
    assert rlvr.expectation([np.nan, 2], [0, 1]) == 2
    assert rlvr.flow_curve([0.1], 0.5, [1.0, 2.0], k=()).pass_at_k.shape == (0, 2)


# ---- training logs


def test_logs_with_holes_of_every_kind():
    steps = np.arange(1, 61.0)
    p = rlvr.flow(0.3, 0.5, 0.05 * steps) + 0.01 * np.random.default_rng(0).normal(size=60)
    holes = steps % 7 == 0
    wanted = rlvr.fit_curve(steps, np.where(holes, np.nan, p))
    for missing in (
        np.ma.array(p, mask=holes),
        [None if hole else value for hole, value in zip(holes, p, strict=True)],
    ):
        found = rlvr.fit_curve(steps, missing)
        assert (found.beta, found.beta_se, found.n_dropped) == (wanted.beta, wanted.beta_se, 8)
    with pytest.raises(TypeError, match="accuracy"):
        rlvr.fit_curve(steps, None)
    with pytest.raises(InvalidChainError, match="2 complete steps"):
        rlvr.fit_curve([1, 2], [0.1, 0.2])


@pytest.mark.parametrize(
    "steps, accuracy",
    [
        (np.arange(100.0), 0.5 + 1e-12 * np.arange(100)),  # as good as constant
        (
            np.arange(100.0) + 1e6,
            rlvr.flow(0.3, 0.5, 0.02 * np.arange(100)),
        ),  # nothing of the beginning
    ],
    ids=["constant", "late"],
)
def test_a_log_that_determines_nothing_warns(steps, accuracy):
    with pytest.warns(ConvergenceWarning, match="p0, speed and beta"):
        found = rlvr.fit_curve(steps, accuracy)
    assert not found.converged and found.beta_se == np.inf


def test_degenerate_logs_give_numbers_and_no_warnings_of_numpy():
    steps, rng = np.arange(1, 41.0), np.random.default_rng(1)
    logs = [np.eye(40)[20], (steps > 20).astype(float), np.where(steps > 1, 0.9,
    0.1) + 1e-3 * rng.normal(size=40),
            np.where(steps > 39, 0.9, 0.1), rlvr.flow(0.3, 0.5, 0.1 * steps),
            rng.uniform(size=40)]  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", ConvergenceWarning)
        for accuracy in logs:
            found = rlvr.fit_curve(steps, accuracy, kl=np.zeros(40), entropy=np.ones(40))
            assert not np.isnan(
                [
                    found.beta,
                    found.beta_se,
                    found.kl_scale_se,
                    found.h_difference_se,
                    found.accuracy_law.p_value,
                ]
            ).any()


# --- numbers that missed their range by rounding --------------------------------------------------


@pytest.mark.parametrize("off", [1, 9, 63])
def test_rounding_past_an_end_is_clipped(off):
    u = off * 2.0**-52
    assert rlvr.target_accuracy(1.0 + u, 0.1) == rlvr.target_accuracy(1.0, 0.1) == 1.0
    assert rlvr.target_accuracy(-u, 0.1) == 0.0
    assert rlvr.entropy(0.5, 0.5, 0.0, -u) == rlvr.entropy(0.5, 0.5, 0.0, 0.0)
    assert rlvr.flow(0.3, 0.5, -u) == 0.3
    assert rlvr.beta_for_kl(0.3, -u) == np.inf


@pytest.mark.parametrize("value", [1.0 + 2e-14, -2e-14, np.nan])
def test_more_than_rounding_is_refused(value):
    with pytest.raises(ValueError, match="an accuracy lies in"):
        rlvr.target_accuracy(value, 0.1)
    with pytest.raises(ValueError, match="an entropy is finite"):
        rlvr.entropy(0.5, 0.5, 0.0, -abs(value))


def test_an_answer_without_probability_keeps_none():
    reward = [1.0, 0.0, 5.0]
    for name in ("kl", "forward_kl", "chi2"):
        for tiny in (0.0, -1e-17):
            found = rlvr.optimal_policy([0.25, 0.75, tiny], reward, 0.5, divergence=name)
            alone = rlvr.optimal_policy([0.25, 0.75], reward[:2], 0.5, divergence=name)
            np.testing.assert_array_equal(found.policy, [*alone.policy, 0.0])
            assert found.log_policy[2] == -np.inf and found.value == alone.value
            assert found.n_support == 2 and found.kkt_residual < 1e-12
    assert rlvr.divergence([1.0 + 1e-16, -1e-17], [0.5, 0.5]) == np.log(2.0)
    with pytest.raises(InvalidChainError, match=r"policy\[1\] is -1e-13"):
        rlvr.divergence([1.0, -1e-13], [0.5, 0.5])
