"""Mean hitting times against closed forms, exact fractions and subtraction-free elimination; by elimination and by
iteration alike. What is not reached must be enclosed, and said."""

import contextlib
import csv
import gzip
import os
import time
import warnings
from fractions import Fraction
from pathlib import Path

import gallery
import numpy as np
import pytest
import reference
import scipy.sparse.linalg
import strategies
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import fastebm as fe
from fastebm.linalg import cg, elimination, restriction

# Rounding of a double that states an exact number, and of the reference's own few hundred operations.
ULP, REFERENCE = 4e-16, 1e-13


def only_iterate(monkeypatch):
    monkeypatch.setattr(restriction, "MAX_SMALL", 0)
    monkeypatch.setattr(elimination, "MAX_FLOPS", -1.0)


@pytest.fixture(params=["elimination", "iteration"])
def method(request, monkeypatch):
    if request.param == "iteration":
        only_iterate(monkeypatch)
    return request.param


@pytest.fixture
def iteration(monkeypatch):
    only_iterate(monkeypatch)


def chain_of(P):
    return P if isinstance(P, fe.MarkovChain) else fe.MarkovChain(P)


def quietly(P, target, **options):
    """The result whether it converged or not."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", fe.ConvergenceWarning)
        return fe.hitting_times(chain_of(P), target, **options)


def assert_encloses(found, truth, slack=REFERENCE):
    assert_array_equal(np.isinf(found.mean), np.isinf(truth))
    finite = np.isfinite(truth)
    assert (found.lower[finite] <= truth[finite] * (1 + slack)).all()
    assert (truth[finite] * (1 - slack) <= found.upper[finite]).all()
    assert np.isinf(found.lower[~finite]).all()


def truth_of(case):
    return case.hitting if case.hitting else ([0], reference.hitting_times(case.P, [0]))


# ------------------------------------------------------------------------------------------------ closed forms


@pytest.mark.parametrize("case", gallery.cases(), ids=str)
def test_means_of_the_gallery(case, method):
    target, truth = truth_of(case)
    found = quietly(case.P, target)
    assert_encloses(found, truth)
    assert found.mean[target] == 0 and found.n_infinite == 0 and found.unreachable_example is None
    # the residual of means beyond this is all rounding, which iteration cannot see below: it has to say so instead
    if method == "elimination" or truth.max() < 1e6:
        assert found.converged
    if found.converged:
        assert_allclose(found.mean, truth, rtol=1e-8)
    pi = reference.gth(case.P) if case.pi is None else case.pi
    assert_allclose(found.target_mass, pi[target].sum(), rtol=1e-9)
    assert_allclose(found.mean_from_pi, pi @ found.mean, rtol=1e-9)


@pytest.mark.parametrize(
    "build",
    [
        lambda: (gallery.hypercube(15, 0.0), [0]),
        lambda: (gallery.torus((30, 32, 36), 0.2), None),
        lambda: None,
    ],
    ids=["hypercube", "torus", "cycle"],
)
def test_tens_of_thousands_of_states(build):
    if (known := build()) is None:  # a target on every hundredth state of a cycle: d (100 - d)
        n, d = 100_000, np.arange(100_000) % 100
        chain = fe.MarkovChain.from_edges(np.arange(n), (np.arange(n) + 1) % n, symmetric=True)
        target, truth = d == 0, d * (100.0 - d)
    else:
        case, _ = known
        chain, (target, truth) = fe.MarkovChain(case.P), case.hitting
    found = fe.hitting_times(chain, target, tol=1e-6)
    assert_allclose(found.mean, truth, rtol=1e-6)
    assert_encloses(found, truth, slack=1e-10)  # the torus is known through a Fourier sum


def exact_means(P, target):
    """Gaussian elimination in fractions on the off-diagonal entries of P."""
    rest = [x for x in range(len(P)) if x not in target]
    rows = []
    for x in rest:
        out = [Fraction(float(p)) if y != x else Fraction(0) for y, p in enumerate(P[x])]
        rows.append([sum(out) if y == x else -out[y] for y in rest] + [Fraction(1)])
    for k in range(len(rows)):
        rows[k] = [a / rows[k][k] for a in rows[k]]
        for i in range(len(rows)):
            if i != k:
                rows[i] = [a - rows[i][k] * b for a, b in zip(rows[i], rows[k])]
    mean = [Fraction(0)] * len(P)
    for x, row in zip(rest, rows):
        mean[x] = row[-1]
    return mean


@given(strategies.irreducible_chains(max_states=8, decades=24), st.data())
def test_bounds_hold_in_exact_arithmetic(P, data):
    chain = fe.MarkovChain(P)
    target = data.draw(st.sets(st.integers(0, P.shape[0] - 1), min_size=1))
    exact = exact_means(chain.to_scipy().toarray(), target)
    for iterate in (False, True):
        with pytest.MonkeyPatch.context() as patch:
            if iterate:
                only_iterate(patch)
            found = quietly(chain, sorted(target), max_iter=500)
        for x, h in enumerate(exact):
            assert found.lower[x] * (1 - ULP) <= h and (
                np.isinf(found.upper[x]) or h <= found.upper[x] * (1 + ULP)
            )


# ------------------------------------------------------------------------------------------- who never arrives


def random_digraph(n, seed):
    """About 1.3 edges a state: transient states, traps and unreachable targets of every sort."""
    rng = np.random.default_rng(seed)
    P = np.zeros((n, n))
    for x in range(n):
        P[x, rng.integers(n, size=rng.integers(1, 3))] = rng.random() + 0.1
    return P / P.sum(axis=1)[:, None]


@pytest.mark.parametrize("seed", range(40))
def test_infinite_exactly_where_the_target_can_be_missed(seed, method):
    P = random_digraph(14, seed)
    truth = reference.hitting_times(P, [seed % 14])
    found = quietly(P, [seed % 14])
    assert_encloses(found, truth)
    assert_allclose(found.mean, truth, rtol=1e-8)
    assert found.n_infinite == np.isinf(truth).sum()
    if found.n_infinite:
        assert np.isinf(truth[found.unreachable_example])
    assert np.isnan(found.mean_from_pi) == (reference.scc(P)[1].sum() > 1)


def test_a_trap_within_reach_is_infinite_and_the_rest_is_not(method):
    """0 <- 1 <-> 2 -> 3 (absorbing), 4 -> 0, 5 apart."""
    P = np.zeros((6, 6))
    P[[0, 3, 4, 5], [4, 3, 0, 5]] = 1
    P[1, [0, 2]], P[2, [1, 3]] = 0.5, (1 - 1e-12, 1e-12)
    found = fe.hitting_times(fe.MarkovChain(P), [0])
    assert_array_equal(found.mean, [0, np.inf, np.inf, np.inf, 1, np.inf])
    assert found.n_infinite == 4 and np.isnan(found.mean_from_pi)


def test_a_trap_behind_the_target_does_not_count(method):
    P = np.array([[0.5, 0.5, 0], [0, 0, 1.0], [0, 0, 1]])
    found = fe.hitting_times(fe.MarkovChain(P), [1])
    assert_allclose(found.mean, [2, 0, np.inf])
    assert found.target_mass == 0 and found.mean_from_pi == np.inf


def test_disconnected_components(method):
    block = gallery.cycle(7).P
    found = fe.hitting_times(fe.MarkovChain(scipy.sparse.block_diag([block, block]).tocsr()), [0])
    d = np.arange(7)
    assert_allclose(found.mean, [*d * (7 - d), *[np.inf] * 7])


def test_everything_is_the_target(method):
    found = fe.hitting_times(fe.MarkovChain(gallery.cycle(7).P), np.ones(7, bool), gap=0.3)
    assert_array_equal(found.mean, 0)
    assert (found.mean_from_pi, found.converged) == (0, True)
    assert 0 <= found.bound_from_gap < 1e-12  # 1 - pi(A), where pi(A) must not exceed 1


def test_masks_and_numbers_mean_the_same(method):
    case = gallery.random_chain(30, 0.1, 3)
    mask = np.isin(np.arange(30), [4, 9])
    means = [
        quietly(case.P, target).mean
        for target in (mask, [4, 9], np.array([9, 4, 9], dtype=np.uint8))
    ]
    assert_array_equal(means[0], means[1])
    assert_array_equal(means[0], means[2])
    assert_allclose(means[0], reference.hitting_times(case.P, mask), rtol=1e-8)


# --------------------------------------------------------------------------------------------------- cold chains


@pytest.mark.parametrize("beta", [0.3, 0.1, 0.05, 0.02])
@pytest.mark.parametrize("seed", range(3))
def test_cold_tilts_are_never_silently_wrong(seed, beta, method):
    base = gallery.random_reversible(60, 0.1, seed)
    chain = fe.tilt(fe.MarkovChain(base.P), np.random.default_rng(seed).normal(size=60), beta)
    if beta == 0.02:
        assert chain.pi.min() < 1e-40
    for target in ([int(chain.log_pi.argmax())], [int(chain.log_pi.argmin())]):
        truth = reference.hitting_times(chain.to_scipy(), target)
        found = quietly(chain, target, max_iter=20_000)
        assert_encloses(found, truth)
        assert found.mean[np.isfinite(found.mean)].min() >= 0
        if found.converged:
            assert_allclose(found.mean, truth, rtol=1e-8)
        if method == "elimination":
            assert found.converged


def test_elimination_carries_means_near_the_largest_double():
    case = gallery.double_well(100, 600)
    found = fe.hitting_times(fe.MarkovChain(case.P), case.hitting[0])
    assert 1e250 < case.hitting[1].max() < np.inf
    assert_allclose(found.mean, case.hitting[1], rtol=1e-12)


# ----------------------------------------------------------------------------------------------------- identities


@pytest.mark.parametrize("seed", range(30))
def test_the_gap_bounds_the_mean_from_equilibrium(seed):
    rng = np.random.default_rng(seed)
    for case in (gallery.random_reversible(40, 0.1, rng), gallery.random_chain(40, 0.1, rng)):
        chain, target = fe.MarkovChain(case.P), rng.choice(40, size=3, replace=False)
        gap = fe.spectral_gap(chain, kind="additive")
        for given_gap in (gap, gap.gap_lower):
            found = fe.hitting_times(chain, target, gap=given_gap)
            assert found.bound_from_gap >= found.mean_from_pi


def test_the_gap_bound_is_attained_by_the_complete_graph():
    """Two symmetric halves: E_pi tau_A = (1 - pi(A)) / (gap pi(A)) with equality (Aldous & Fill, ch. 3)."""
    case = gallery.complete(50)
    found = fe.hitting_times(
        fe.MarkovChain(case.P), [0], gap=fe.spectral_gap(fe.MarkovChain(case.P))
    )
    assert_allclose(found.bound_from_gap, found.mean_from_pi, rtol=1e-12)
    assert found.bound_from_gap >= found.mean_from_pi * (1 - ULP)


@pytest.mark.parametrize(
    "case, kind, allowed",
    [
        (gallery.cycle(7), "spectral", True),
        (gallery.cycle(7), "absolute", True),
        (gallery.cycle(7), "multiplicative", False),
        (gallery.biased_cycle(9, 0.7, 0.3), "spectral", False),
        (gallery.biased_cycle(9, 0.7, 0.3), "absolute", False),
        (gallery.biased_cycle(9, 0.7, 0.3), "additive", True),
    ],
    ids=str,
)
def test_gaps_of_a_kind_that_bounds_nothing_are_refused(case, kind, allowed):
    chain = fe.MarkovChain(case.P)
    gap = fe.spectral_gap(chain, kind=kind)
    if allowed:
        found = fe.hitting_times(chain, [0], gap=gap)
        assert found.bound_from_gap >= found.mean_from_pi
    else:
        with pytest.raises(fe.InvalidChainError, match=kind):
            fe.hitting_times(chain, [0], gap=gap)


def test_transient_states_do_not_refuse_the_gap_of_a_reversible_class():
    P = np.zeros((8, 8))
    P[:7, :7], P[7, [7, 0]] = gallery.cycle(7).P.toarray(), 0.5
    chain = fe.MarkovChain(P)
    found = fe.hitting_times(chain, [0], gap=fe.spectral_gap(chain))
    assert found.bound_from_gap >= found.mean_from_pi


@pytest.mark.parametrize("seed", range(5))
def test_kac(seed, method):
    """From pi restricted to A the mean return time is 1 / pi(A)."""
    case = gallery.random_chain(60, 0.05, seed)
    pi, target = reference.gth(case.P), [3, 11, 40]
    h = quietly(case.P, target, tol=1e-10).mean
    inside = pi[target] / pi[target].sum()
    assert_allclose(1 + inside @ (case.P @ h)[target], 1 / pi[target].sum(), rtol=1e-9)


def test_random_target_lemma(method):
    """sum_y pi(y) E_x tau_y is the same for every x."""
    case = gallery.random_chain(20, 0.2, 1)
    pi = reference.gth(case.P)
    H = np.column_stack([quietly(case.P, [y]).mean for y in range(20)])
    assert_allclose(H @ pi, reference.kemeny(case.P), rtol=1e-8)


def test_holding_stretches_time(method):
    case = gallery.random_reversible(50, 0.1, 8)
    plain, lazy = (
        fe.hitting_times(chain, [7]).mean
        for chain in (fe.MarkovChain(case.P), fe.MarkovChain(case.P).lazy(0.75))
    )
    assert_allclose(lazy, 4 * plain, rtol=1e-8)


def dag(n, seed):
    """A random walk down a shuffled order, that stays at times: nothing leads back."""
    rng = np.random.default_rng(seed)
    P = np.tril(rng.random((n, n)) * (rng.random((n, n)) < 0.1), -1) + np.diag(rng.random(n) + 0.1)
    P[1:, 0] += 0.01
    shuffled = rng.permutation(n)
    return (P / P.sum(axis=1, keepdims=True))[np.ix_(shuffled, shuffled)], int(
        np.flatnonzero(shuffled == 0)[0]
    )


@pytest.mark.parametrize("seed", range(4))
def test_what_leads_nowhere_back_takes_one_sweep(seed, iteration):
    P, target = dag(200, seed)
    found = fe.hitting_times(fe.MarkovChain(P), [target])
    assert_allclose(found.mean, reference.hitting_times(P, [target]), rtol=1e-9)
    assert found.converged and found.n_iter < 20


def test_the_order_of_a_sweep_holds_every_transition_between_classes(iteration):
    """Classes one after another, shuffled: one sweep must carry what the last of them knows to the first."""
    rng = np.random.default_rng(5)
    n, blocks = 20, 60
    N = n * blocks
    P = (
        scipy.sparse.block_diag(
            [gallery.random_chain(n, 0.3, rng).P for _ in range(blocks)], format="lil"
        )
        * 0.9
    )
    for block in range(1, blocks):
        P[block * n + rng.integers(n), (block - 1) * n + rng.integers(n)] = 0.1
    P[0, 0] += 0.1
    P = scipy.sparse.csr_array(P)
    P = scipy.sparse.csr_array(P / P.sum(axis=1)[:, None])
    shuffled = rng.permutation(N)
    P = P[shuffled][:, shuffled].tocsr()
    target = [int(np.flatnonzero(shuffled == 0)[0])]
    found = fe.hitting_times(fe.MarkovChain(P), target)
    h = scipy.sparse.linalg.spsolve(
        scipy.sparse.csc_array(scipy.sparse.eye_array(N) - P)[np.arange(N) != target[0]][
            :, np.arange(N) != target[0]
        ],
        np.ones(N - 1),
    )
    assert found.converged and found.method == "bicgstab"
    assert_allclose(np.delete(found.mean, target), h, rtol=1e-7)


# ------------------------------------------------------------------------------------------------ arguments and limits


@pytest.mark.parametrize(
    "case",
    [
        gallery.random_reversible(700, 0.01, 1),
        gallery.random_chain(500, 0.01, 1),
        gallery.cycle(1500, 0.1),
    ],
    ids=str,
)
@pytest.mark.parametrize("max_iter", [1, 5, 30])
def test_stops_at_max_iter_with_bounds_that_hold(case, max_iter, iteration):
    truth = case.hitting[1] if case.hitting else reference.hitting_times(case.P, [0])
    with pytest.warns(fe.ConvergenceWarning, match="still enclose"):
        found = fe.hitting_times(fe.MarkovChain(case.P), [0], max_iter=max_iter)
    assert not found.converged and found.n_iter <= max_iter + 3
    assert_encloses(found, truth)


@pytest.mark.parametrize(
    "target, error",
    [
        ([], fe.InvalidChainError),
        (np.zeros(7, bool), fe.InvalidChainError),
        (np.ones(6, bool), fe.InvalidChainError),
        ([7], fe.InvalidChainError),
        ([-1], fe.InvalidChainError),
        ([[0]], fe.InvalidChainError),
        ([0.0], TypeError),
        (["0"], TypeError),
        (None, TypeError),
    ],
    ids=str,
)
def test_bad_targets(target, error):
    with pytest.raises(error):
        fe.hitting_times(fe.MarkovChain(gallery.cycle(7).P), target)


@pytest.mark.parametrize(
    "options, error",
    [
        ({"tol": 0}, fe.InvalidChainError),
        ({"tol": np.nan}, fe.InvalidChainError),
        ({"tol": None}, TypeError),
        ({"max_iter": 0}, fe.InvalidChainError),
        ({"max_iter": 2.0}, TypeError),
        ({"num_threads": -1}, ValueError),
    ],
    ids=str,
)
def test_bad_arguments(options, error):
    with pytest.raises(error):
        fe.hitting_times(fe.MarkovChain(gallery.cycle(7).P), [0], **options)


@pytest.mark.parametrize(
    "case", [gallery.cycle(1500, 0.1), gallery.random_chain(500, 0.01, 1)], ids=str
)
@pytest.mark.parametrize("calls", [1, 3])
def test_interrupt_carries_bounds_that_hold(case, calls):
    left = [calls]

    def callback(info):
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt

    truth = case.hitting[1] if case.hitting else reference.hitting_times(case.P, [0])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cg, "ENTRIES_PER_CALL", 1)
        patch.setattr(elimination, "ENTRIES_PER_CALL", 1)
        with pytest.raises(fe.Interrupted) as caught:
            fe.hitting_times(fe.MarkovChain(case.P), [0], callback=callback)
    assert_encloses(caught.value.partial, truth)
    assert not caught.value.partial.converged


def test_many_small_calls_give_the_same_bits(monkeypatch):
    case = gallery.random_reversible(700, 0.01, 2)
    once = fe.hitting_times(fe.MarkovChain(case.P), [0])
    monkeypatch.setattr(cg, "ENTRIES_PER_CALL", 1)
    monkeypatch.setattr(elimination, "ENTRIES_PER_CALL", 1)
    assert_array_equal(fe.hitting_times(fe.MarkovChain(case.P), [0]).mean, once.mean)


def test_a_chain_that_cannot_be_solved_ends(iteration):
    """A barrier of 700 nats is beyond any residual; the iteration must not take all of the 100,000 products."""
    case = gallery.double_well(120, 600)
    begin = time.perf_counter()
    with pytest.warns(fe.ConvergenceWarning):
        found = fe.hitting_times(fe.MarkovChain(case.P), case.hitting[0])
    assert_encloses(found, case.hitting[1])
    assert found.n_iter < 50_000 and time.perf_counter() - begin < 10


@pytest.mark.parametrize(
    "case, calls",
    [
        (gallery.random_reversible(700, 0.01, 2), 1),
        (gallery.random_reversible(700, 0.01, 2), 9),
        (gallery.cycle(1500, 0.1), 30),
        (gallery.cycle(1500, 0.1), 75),
        (gallery.double_well(400, 12), 40),
        (gallery.random_chain(500, 0.01, 1), 30),
    ],
    ids=str,
)
@pytest.mark.parametrize("eliminate", [False, True])
def test_goes_on_where_it_was_interrupted(case, calls, eliminate, monkeypatch, tmp_path):
    """The same bits as without an interruption, after two of them; also where elimination takes over in the end."""
    monkeypatch.setattr(cg, "ENTRIES_PER_CALL", 1)
    monkeypatch.setattr(elimination, "ENTRIES_PER_CALL", 1)
    monkeypatch.setattr(restriction, "MAX_SMALL", 0)
    monkeypatch.setattr(elimination, "MAX_FLOPS", 1e12 if eliminate else -1.0)
    chain, path = fe.MarkovChain(case.P), tmp_path / "means"
    whole = fe.hitting_times(chain, [0], tol=1e-9)

    def run():
        left = [calls]

        def callback(info):
            left[0] -= 1
            if left[0] == 0:
                raise KeyboardInterrupt

        return fe.hitting_times(chain, [0], tol=1e-9, callback=callback, checkpoint=path)

    for _ in range(2):
        with contextlib.suppress(fe.Interrupted):
            again = run()
    again = fe.hitting_times(chain, [0], tol=1e-9, checkpoint=path)
    assert not path.exists() and again.method == whole.method
    if calls == 75:  # the interruption was met after the change-over, 60 products from the start
        assert whole.method == "conjugate gradients with multigrid"
    assert_array_equal(again.mean, whole.mean)
    assert (again.n_iter, again.residual) == (whole.n_iter, whole.residual)
    if calls > 1 and case.reversible:  # something had been kept
        with pytest.raises(fe.Interrupted):
            run()
        assert path.exists()
        with pytest.raises(fe.InvalidChainError, match="another call"):
            fe.hitting_times(chain, [1], tol=1e-9, checkpoint=path)


# --------------------------------------------------------------------------------------------------------- real data


@pytest.fixture(scope="module")
def associations():
    """(chain, valence): the word association network of an LLM as conductances, and the VADER valence of its words."""
    folder = os.environ.get("FASTEBM_SHARED_DATA")
    path = Path(folder or "", "llm_word_association_mistral.csv.gz")
    if folder is None or not path.exists():
        pytest.skip("FASTEBM_SHARED_DATA does not name the folder of real inputs")
    sentiment = pytest.importorskip("vaderSentiment.vaderSentiment")
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    words = sorted({row[end] for row in rows for end in ("src", "tgt")})
    number = {word: i for i, word in enumerate(words)}
    source, target = ([number[row[end]] for row in rows] for end in ("src", "tgt"))
    lexicon = sentiment.SentimentIntensityAnalyzer().lexicon
    return (
        fe.MarkovChain.from_edges(
            source, target, [float(row["wt"]) for row in rows], symmetric=True
        ),
        np.array([lexicon.get(word, 0.0) for word in words]),
    )


@pytest.mark.parametrize("beta, slowest", [(0.2, 1.3080237805907e3), (0.1, 6.79424697642e7)])
def test_a_real_network_is_certified_however_cold(associations, beta, slowest):
    """The slowest means are those of the elimination, a different algorithm (it takes a minute and is not repeated here);
    the certificate is checked in long double: there the rounding of the means themselves is all that shows."""
    chain, valence = associations
    chain = fe.tilt(chain, valence, beta)
    target = valence >= 2.5
    found = fe.hitting_times(chain, target)
    assert found.converged and found.residual <= 1e-8
    assert_allclose(found.mean.max(), slowest, rtol=1e-8)
    P, h = chain.to_scipy(), found.mean.astype(np.longdouble)
    x = np.repeat(np.arange(chain.n_states), np.diff(P.indptr))
    change = np.zeros(chain.n_states, np.longdouble)
    np.add.at(change, x, P.data.astype(np.longdouble) * (h[x] - h[P.indices]))
    assert np.abs(1 - change[~target]).max() < 1e-8 + 4 * 2.0**-53 * slowest
