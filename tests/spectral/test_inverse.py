"""The inverse of I - S and the ends of the gap that it gives, in multiprecision."""

import math
from types import SimpleNamespace

import mpmath as mp
import numpy as np
import pytest

import fastebm as fe
from fastebm.linalg.elimination import FLOPS_PER_ENTRY
from fastebm.linalg.proven_top import LENGTH, start_component
from fastebm.linalg.rounding import EPS, UNIT
from fastebm.spectral.inverse import (
    FARTHEST,
    MIN_LOG_PI,
    SMALLEST,
    SOLVE_TOL,
    STEP_ROUNDING,
    USUAL_SOLVES,
    WIELANDT_SOLVES,
    GroundedInverse,
    InverseLanczos,
    interlacing_lower,
)


def silent(*args, **info):
    """No progress."""


def path(weights):
    n = len(weights) + 1
    return [(i, i + 1, w) for i, w in zip(range(n - 1), weights, strict=True)]


def random_graph(seed, n, spread):
    rng = np.random.default_rng(seed)
    edges = path(np.exp(-spread * rng.uniform(size=n - 1)))
    extra = [(i, j) for i in range(n) for j in range(i, n) if j != i + 1 and rng.uniform() < 0.4]
    return edges + [(i, j, float(np.exp(-spread * rng.uniform()))) for i, j in extra]


#: Edges (i, j, weight) of reversible chains.
GRAPHS = {
    "three states": path([1.0, 2.0]),
    "three states, rare": path([1.0, 1e-30]),
    "triangle": [*path([1.0, 3.0]), (0, 2, 0.5), (1, 1, 2.0)],
    "path": path(np.ones(9)),
    "pi down to exp(-600)": path(np.exp(-np.linspace(0.0, 600.0, 9))),
    "two wells": path([1.0, 0.5, 2.0, 1e-60, 1.0, 3.0, 0.7]),
    "three wells": path([1.0, 2.0, 1e-9, 1.0, 3.0, 1.0000001e-9, 1.0, 2.0]),
    "complete": [(i, j, 1.0) for i in range(7) for j in range(i)],
    "random": random_graph(3, 10, 2.0),
    "random, wide": random_graph(4, 10, 40.0),
}


class Exact:
    """The chain of a graph, M = I - P_BB without the heaviest state and the inverse of I - S, with
    500 digits."""

    def __init__(self, edges):
        self.n = n = 1 + max(max(i, j) for i, j, _ in edges)
        i, j, w = (list(column) for column in zip(*edges, strict=True))
        self.chain = fe.MarkovChain.from_edges(i, j, w, symmetric=True)
        with mp.workdps(500):
            W = mp.matrix(n, n)
            for a, b, weight in edges:
                W[a, b] = W[b, a] = mp.mpf(float(weight))
            strength = [mp.fsum(W[a, :]) for a in range(n)]
            total = mp.fsum(strength)
            self.root = mp.matrix([mp.sqrt(s / total) for s in strength])
            self.log_pi = np.array([float(2 * mp.log(r)) for r in self.root])
            self.g = int(np.argmax(self.log_pi))
            self.inside = [a for a in range(n) if a != self.g]
            M = mp.matrix(n - 1, n - 1)
            for k, a in enumerate(self.inside):
                for m, b in enumerate(self.inside):
                    M[k, m] = (1 if a == b else 0) - W[a, b] / strength[a]
            self.M_inverse = M**-1
            self.inverse = mp.matrix(n, n)
            for column in range(n):
                unit = mp.matrix(n, 1)
                unit[column] = 1
                u = self.apply(unit)
                for row in range(n):
                    self.inverse[row, column] = u[row]
            with mp.workdps(60):
                self.values = sorted(mp.eigsy(self.inverse, eigvals_only=True))
        self.gap = 1 / self.values[-1]

    def apply(self, v):
        v = mp.matrix(v)
        v -= self.root * mp.fdot(self.root, v)
        solved = self.M_inverse * mp.matrix([v[a] / self.root[a] for a in self.inside])
        u = mp.matrix(self.n, 1)
        for k, a in enumerate(self.inside):
            u[a] = solved[k] * self.root[a]
        return u - self.root * mp.fdot(self.root, u)

    def exit_rates(self, n_solves):
        """(max over x of min x / (M^-1 x) in the iteration from 1, 1 - lambda_B)"""
        with mp.workdps(60):
            x, best = mp.ones(self.n - 1, 1), mp.mpf(0)
            for step in range(200):
                y = self.M_inverse * x
                found = min(a / b for a, b in zip(x, y, strict=True))
                if step < n_solves:
                    best = max(best, found)
                x = y / max(y)
            return best, found

    def grounded(self):
        inverse = GroundedInverse(self.chain, self.log_pi, 1)
        assert math.isfinite(inverse.cost(silent))
        assert inverse.factorise(silent)
        return inverse


@pytest.fixture(scope="module", params=GRAPHS)
def exact(request):
    return Exact(GRAPHS[request.param])


def test_apply_solves(exact):
    inverse = exact.grounded()
    rng, norm = np.random.default_rng(0), float(exact.values[-1])
    allowed = inverse.rigorous_error(norm) + 16.0 * EPS
    assert allowed < 1e-10
    with mp.workdps(500):
        for _ in range(5):
            v = rng.standard_normal(exact.n)
            v -= (inverse.root @ v) * inverse.root
            v -= (inverse.root @ v) * inverse.root
            v /= np.linalg.norm(v)
            before = v.copy()
            u = inverse.apply(v)
            error = mp.norm(mp.matrix(u) - exact.apply(v))
            assert error <= allowed * norm
            assert np.array_equal(v, before)
            assert abs(inverse.root @ u) <= 1e-15 * np.linalg.norm(u)


def test_root_is_that_of_pi(exact):
    inverse = exact.grounded()
    assert np.flatnonzero(~inverse.inside).tolist() == [exact.g]
    for found, root in zip(inverse.root, exact.root, strict=True):
        assert abs(found / root - 1) <= 1e-15 * max(1.0, -exact.log_pi.min())


def test_solves_take_blocks_and_are_counted(exact):
    inverse = exact.grounded()
    before = inverse.n_solves
    assert 1 <= before <= WIELANDT_SOLVES
    b = np.random.default_rng(1).uniform(size=(exact.n - 1, 3))
    x = inverse.solve_inside(b)
    assert inverse.n_solves == before + 3
    assert np.array_equal(x[:, 1], inverse.solve_inside(b[:, 1]))
    assert inverse.n_solves == before + 4
    with mp.workdps(60):
        solved = exact.M_inverse * mp.matrix(b[:, 0].tolist())
    assert all(abs(found / true - 1) < 1e-13 for found, true in zip(x[:, 0], solved, strict=True))


def test_exit_rate_is_a_lower_end_and_that_of_collatz(exact):
    """It is the largest of min x / (M^-1 x) over the solves, less the bound of the elimination."""
    inverse = exact.grounded()
    found, rate = exact.exit_rates(WIELANDT_SOLVES)
    assert mp.mpf(inverse.exit_rate) <= found * (1 + mp.mpf("1e-15"))
    assert mp.mpf(inverse.exit_rate) <= rate and rate <= exact.gap * (1 + mp.mpf("1e-30"))
    part = inverse._elimination.bound(1.0 / inverse.exit_rate)
    assert abs(inverse.exit_rate / (found * (1 - mp.mpf(part))) - 1) <= 0.1 * part + 4.0 * EPS


def test_exit_rate_is_tight_where_one_state_is_hard_to_leave():
    exact = Exact(GRAPHS["two wells"])
    _, rate = exact.exit_rates(WIELANDT_SOLVES)
    assert float(exact.grounded().exit_rate / rate) == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_ends_hold_and_become_tight(exact, seed):
    inverse = exact.grounded()
    lanczos = InverseLanczos(inverse, seed, 1e-6)
    assert math.isnan(lanczos.ends.value) and lanczos.ends.lower_kind == "none"
    assert not lanczos.has_converged(0.5)
    while lanczos.n_steps == 0 or not lanczos.has_converged(1e-9):
        lanczos.step()
        ends = lanczos.ends
        assert mp.mpf(ends.lower) <= exact.gap <= mp.mpf(ends.upper)
        assert ends.lower >= inverse.exit_rate > 0.0 and ends.upper_kind == "rigorous"
        is_rigorous = ends.lower == inverse.exit_rate
        assert ends.lower_kind == ("rigorous" if is_rigorous else "probabilistic")
        assert (
            ends.upper <= (1.0 + 3.1 * inverse.rigorous_error(lanczos.theta) + 1e-13) * ends.value
        )
    assert lanczos.n_steps <= exact.n - 1
    lanczos.vector()
    ends = lanczos.ends
    assert mp.mpf(ends.lower) <= exact.gap <= mp.mpf(ends.upper)
    assert abs(ends.value / exact.gap - 1) < 1e-9
    assert ends.error <= 1.1e-9 * ends.value


def test_vector_is_the_slowest_mode(exact):
    lanczos = InverseLanczos(exact.grounded(), 7, 1e-6)
    for _ in range(min(3, exact.n - 1)):
        lanczos.step()
    before = lanczos.ends.value
    f, ends = lanczos.vector(), lanczos.ends
    root = lanczos.inverse.root
    assert np.linalg.norm(root * f) == pytest.approx(1.0, rel=1e-13, abs=0.0)
    assert abs(root @ (root * f)) < 1e-14
    # u = A z for the Ritz vector z: <z, u> / <u, u> with no more than the quotient of z
    assert ends.value <= before * (1.0 + 1e-14)
    z = sum(w * v for w, v in zip(lanczos._ritz, lanczos._vectors, strict=False))
    with mp.workdps(500):
        u = exact.apply(z)
        quotient = mp.fdot(mp.matrix(z), u) / mp.fdot(u, u)
        assert before == pytest.approx(float(mp.fdot(z, z) / mp.fdot(z, u)), rel=1e-13, abs=0.0)
        assert ends.value == pytest.approx(float(quotient), rel=1e-12, abs=0.0)
        assert mp.norm(mp.matrix(root * f) - u / mp.norm(u)) < 1e-12


def test_ritz_value_and_residual(exact):
    """theta is the largest eigenvalue of the compression to the Krylov space, the residual that of
    its vector."""
    lanczos = InverseLanczos(exact.grounded(), 11, 1e-6)
    for k in range(1, min(5, exact.n - 1) + 1):
        lanczos.step()
        basis = np.array(lanczos._vectors[:k])
        with mp.workdps(300):
            images = [exact.apply(v) for v in basis]
            T = mp.matrix(k, k)
            for a in range(k):
                for b in range(k):
                    T[a, b] = mp.fdot(basis[a], images[b])
            theta = float(max(mp.eigsy((T + T.T) / 2, eigvals_only=True)))
            assert lanczos.theta == pytest.approx(theta, rel=1e-13, abs=0.0)
            z = lanczos._ritz @ basis
            residual = mp.norm(exact.apply(z) - theta * mp.matrix(z)) / theta
        assert lanczos.residual == pytest.approx(float(residual), rel=1e-6, abs=1e-13)
        if lanczos._steps[-1][2] < 1e-10 * theta:
            break  # the space is invariant: what comes next is rounding


def test_lower_end_is_where_the_polynomial_reaches_the_start():
    """The end of 1 - lambda_2 is one over the mu with c p_k(mu) = 1, less rounding."""
    exact = Exact(GRAPHS["random"])
    failure = 1e-6
    lanczos = InverseLanczos(exact.grounded(), 5, failure)
    c, best = start_component(exact.n - 1, failure), 0.0
    assert c == pytest.approx(failure / math.sqrt(2 * 9 / math.pi), rel=1e-15, abs=0.0)
    for _ in range(5):
        lanczos.step()
        steps = [(a, b) for _, a, b in lanczos._steps]

        def grows(mu, steps=steps):
            p, before, coupling = 1.0, 0.0, 0.0
            for a, b in steps:
                p, before = ((mu - a) * p - coupling * before) / b, p
                coupling = b
            return c * p / LENGTH > 1.0

        theta = lanczos.theta
        low, high = 0.0, FARTHEST * theta
        for _ in range(200):
            middle = 0.5 * (low + high)
            low, high = (low, middle) if grows(theta + middle) else (middle, high)
        end = theta + high
        assert lanczos._excess >= (high / theta) * (1.0 - 1e-6)
        assert lanczos._excess <= (high / theta) * 1.005 + 2.0 * EPS
        best = max(best, 1.0 / end)
        assert best * (1.0 - 0.005 * high / end - 1e-13) <= lanczos._lower < best
        rounding = lanczos.inverse.probable_error(theta, failure) + (8 + lanczos.n_steps) * EPS
        lost = 1.0 - lanczos._lower * theta * (1.0 + lanczos._excess)
        assert lost == pytest.approx(rounding, rel=0.0, abs=4 * EPS) and rounding > 20 * EPS


def test_failure_probability_moves_the_lower_end():
    """The component falls with the failure probability, and with it the end."""
    exact = Exact(GRAPHS["path"])
    ends = []
    for failure in (1e-2, 1e-6, 1e-12):
        lanczos = InverseLanczos(exact.grounded(), 5, failure)
        for _ in range(6):
            lanczos.step()
        ends.append(lanczos._lower)
    assert ends[0] > ends[1] > ends[2] > 0.0


def test_errors_of_apply():
    """The bound of the elimination counts m half-ulps of M^-1 |b|, |M^-1| = 1 / exit_rate. What
    underflows is magnified by 1 / sqrt(pi), whose own rounding adds to both errors."""
    inverse = Exact(GRAPHS["path"]).grounded()
    inverse.exit_rate = 0.25
    inverse._elimination = elimination = SimpleNamespace(rounding=1e6 * UNIT, underflow=0.0)
    root = (8.0 + math.log(18.0)) * EPS  # the least pi is 1/18
    assert inverse.rigorous_error(8.0) == pytest.approx(
        (1e6 * UNIT + root) / 2.0, rel=1e-14, abs=0.0
    )
    # sqrt(2 log(2 m / failure)) sqrt(m) of them add up: 7.52650 * 1e3
    assert inverse.probable_error(8.0, 1e-6) == pytest.approx(
        (7526.50 * UNIT + root) / 2.0, rel=1e-5, abs=0.0
    )
    elimination.rounding = 20.0 * UNIT  # few half-ulps may all add up
    assert inverse.probable_error(8.0, 1e-6) == pytest.approx(
        10.0 * UNIT + 0.5 * root, rel=1e-14, abs=0.0
    )
    elimination.rounding, elimination.underflow = 0.0, 1e-9
    lost = 1e-9 * math.sqrt(18.0) / 0.25
    for error in (inverse.rigorous_error(8.0), inverse.probable_error(8.0, 1e-6)):
        assert error == pytest.approx(0.5 * lost, rel=1e-5, abs=0.0)


def test_convergence_is_of_the_end_or_of_its_rounding():
    exact = Exact(GRAPHS["path"])
    lanczos = InverseLanczos(exact.grounded(), 0, 1e-6)
    lanczos.step()
    lanczos.theta, lanczos._lower, lanczos._excess = 2.0, 0.375, 1.0
    assert lanczos.has_converged(0.25) and not lanczos.has_converged(0.2499)
    # the end is left where it is by rounding alone
    lanczos._excess = 0.0078125
    assert lanczos.has_converged(0.078126) and not lanczos.has_converged(0.078)


def test_ends_name_the_better_lower_end():
    lanczos = InverseLanczos(Exact(GRAPHS["path"]).grounded(), 0, 1e-6)
    lanczos.step()
    lanczos.inverse.exit_rate, lanczos._lower = 0.01, 0.01
    assert (lanczos.ends.lower, lanczos.ends.lower_kind) == (0.01, "rigorous")
    lanczos._lower = 0.0100001
    assert (lanczos.ends.lower, lanczos.ends.lower_kind) == (0.0100001, "probabilistic")
    rigorous = 3.0 * lanczos.inverse.rigorous_error(lanczos.theta) + 9.0 * EPS
    value = 1.0 / lanczos.theta
    assert lanczos.ends.upper / value - 1.0 == pytest.approx(rigorous, rel=1e-3, abs=0.0)


def test_copies_of_the_gap_are_one_ritz_value():
    """On the complete graph all distances are n / (n - 1): one step finds them, and a coupling that
    is all rounding proves them to STEP_ROUNDING / c."""
    exact = Exact(GRAPHS["complete"])
    lanczos = InverseLanczos(exact.grounded(), 0, 1e-6)
    lanczos.step()
    assert lanczos.theta == pytest.approx(6.0 / 7.0, rel=1e-14, abs=0.0)
    assert lanczos.residual < 1e-14
    excess = STEP_ROUNDING * LENGTH / start_component(6, 1e-6)
    assert excess * (1.0 - 1e-9) <= lanczos._excess <= 1.003 * excess
    assert lanczos.ends.lower == pytest.approx(7.0 / 6.0, rel=1.1 * excess, abs=0.0)


def test_restored_run_goes_on_with_the_same_bits(exact):
    one = InverseLanczos(exact.grounded(), 3, 1e-6)
    one.step()
    state = one.state()
    assert state["inverse_vectors"].shape == (1, exact.n)
    other = InverseLanczos(exact.grounded(), 3, 1e-6)
    assert other.state()["inverse_vectors"].shape == (0, exact.n)
    other.restore(state)
    for _ in range(min(3, exact.n - 2)):
        assert one.ends == other.ends and one.residual == other.residual
        one.step()
        other.step()
    assert np.array_equal(one.vector(), other.vector()) and one.ends == other.ends
    for name, array in one.state().items():
        assert np.array_equal(array, other.state()[name])


def test_start_is_normal_without_its_part_along_the_root():
    inverse = Exact(GRAPHS["random"]).grounded()
    first = InverseLanczos(inverse, 9, 1e-6)._first
    start = np.random.default_rng(9).standard_normal(10)
    start -= (inverse.root @ start) * inverse.root
    assert first == pytest.approx(start / np.linalg.norm(start), rel=1e-13, abs=0.0)


def test_cost_counts_the_elimination_and_usual_solves():
    inverse = GroundedInverse(Exact(GRAPHS["random"]).chain, np.zeros(10), 1)
    cost = inverse.cost(silent)
    elimination = inverse._elimination
    flops = elimination.n_flops + 4 * elimination.n_entries * USUAL_SOLVES
    products = flops / (FLOPS_PER_ENTRY * inverse._restriction.entries_per_product)
    assert cost == pytest.approx(products, rel=1e-15, abs=0.0)


def test_range_of_doubles_is_kept():
    """sqrt(pi) is divided by: pi below exp(-700) is refused before any work, a product of sqrt(pi)
    and the gap below 1e-280 after it."""
    chain = Exact(GRAPHS["path"]).chain
    log_pi = np.linspace(0.0, MIN_LOG_PI, 10)
    assert math.isfinite(GroundedInverse(chain, log_pi, 1).cost(silent))
    assert GroundedInverse(chain, log_pi * (1.0 + 1e-12), 1).cost(silent) == math.inf
    for last, is_possible in ((1e-300, False), (1e-270, True)):
        exact = Exact(path([1.0, 1e-150, 1e-290, 1e-150, last]))
        inverse = GroundedInverse(exact.chain, exact.log_pi, 1)
        assert math.isfinite(inverse.cost(silent))
        assert inverse.factorise(silent) == is_possible
        assert (inverse.exit_rate * inverse.root.min() > SMALLEST) == is_possible
        assert 0.0 < inverse.exit_rate <= exact.gap
    assert STEP_ROUNDING == 8 * EPS


def test_interlacing_lower_keeps_the_best_solve(monkeypatch):
    """A last solve that is less accurate than the one before takes nothing back."""
    errors = iter([0.5, 0.01, 0.9])

    class Solves:
        n_iter = 7

        def __init__(self, scaled, inside, limit, threads):
            self.inside = inside

        def solve(self, x, tol, report, **_):
            return SimpleNamespace(hi=np.where(self.inside, 4.0, 0.0))

        def error(self, found):
            return next(errors)

    monkeypatch.setattr("fastebm.spectral.inverse.MMatrixSystem", Solves)
    chain = fe.MarkovChain.from_edges([0, 1], [1, 2], symmetric=True)
    found = interlacing_lower(chain, chain.log_pi, 10, 1, silent)
    assert found == (0.25 * (1.0 - 0.01), 7)


def test_interlacing_lower_holds_and_is_tight(exact):
    """Solves to SOLVE_TOL lose about that much of each quotient."""
    found, n_products = interlacing_lower(exact.chain, exact.log_pi, 10_000, 1, silent)
    best, rate = exact.exit_rates(WIELANDT_SOLVES)
    assert mp.mpf(found) <= rate <= exact.gap * (1 + mp.mpf("1e-30"))
    assert found >= best * (1 - 4 * SOLVE_TOL)
    assert n_products > 0
