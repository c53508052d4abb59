"""A flag never gets lost: what was computed from a law or a gap that did not converge says so,
warns at the caller's line and claims no bound.

The law is made to fail: the search for it ends unconverged with the uniform distribution. So the
chains are small, and what does not depend on the law is compared with NumPy.
"""

import dataclasses
import inspect
import math
import warnings

import numpy as np
import pytest
import reference
import scipy.sparse as sp
from strict_json import strict_json

import fastebm as fe
from fastebm.chains import law as law_module
from fastebm.cli import main
from fastebm.spectral import gap as gap_module

N = 12
RNG = np.random.default_rng(3)
P = RNG.random((N, N)) ** 4 * (RNG.random((N, N)) < 0.6) + 0.1 * np.eye(N)
P += np.roll(np.eye(N), 1, axis=1) * 0.3
P /= P.sum(axis=1, keepdims=True)
F = RNG.random(N)
SETS = np.arange(N) % 3
# Reversible, hence with a law in closed form, which never fails.
S = fe.MarkovChain(P + P.T, normalize=True)
LARGE = fe.Torus((40, 40)).lazy(0.5)


class FailedSearch:
    """A search that ends with the uniform distribution, unconverged."""

    method, n_iter, max_iter, change, converged = "power", 3, 3, 0.1, False
    accuracy, error, criterion = math.inf, math.inf, "residual"
    shortfall = "a change of 0.1 a step bounds nothing; raise tol, or max_iter"

    def __init__(self, scaled, left, **options):
        self.log_pi = np.full(scaled.n_states, -math.log(scaled.n_states))

    def run(self, monitor):
        monitor(self.n_iter, change=self.change)

    def state(self):
        return None

    def restore(self, state):
        raise AssertionError("nothing was saved")


@pytest.fixture
def failing(monkeypatch):
    monkeypatch.setattr(law_module, "StationarySearch", FailedSearch)


def irreducible():
    return fe.MarkovChain(P)


def timed(chain):
    """The continuous-time chain with these probabilities as rates."""
    return fe.MarkovChain.from_rates(chain.to_scipy())


def with_transient_state():
    """State N leads into the other states and is never entered."""
    return fe.MarkovChain(np.block([[P, np.zeros((N, 1))], [np.full((1, N + 1), 1 / (N + 1))]]))


def gap(kind, end="rigorous", converged=True):
    """A gap with ends 0.01 and 0.5 of this kind."""
    found = fe.spectral_gap(S, rng=0)
    ends = {"gap_lower": 0.01, "gap_upper": 0.5, "lower_kind": end, "upper_kind": end}
    return dataclasses.replace(found, kind=kind, converged=converged, **ends)


def inside(chain, value):
    """A vector on the states of the class as one on all states."""
    return np.r_[value, np.zeros(chain.n_states - N, value.dtype)]


# Every public analysis whose result rests on the law: {name: (call, fields without a bound)}.
FROM_LAW = {
    "stationary": (lambda c: fe.stationary(c), {}),
    "detailed_balance": (lambda c: fe.detailed_balance(c, hodge=True), {"is_reversible": False}),
    "hitting_times": (lambda c: fe.hitting_times(c, [0], gap=0.1), {"bound_from_gap": math.inf}),
    "hitting_bounds": (lambda c: fe.hitting_bounds(c, [0], gap=0.1), {"bound_from_gap": math.inf}),
    "hitting_distribution": (lambda c: fe.hitting_distribution(c, [0], 3), {}),
    "return_times": (lambda c: fe.return_times(c, [0]), {}),
    **{
        f"spectral_gap, {kind}": (
            lambda c, kind=kind: fe.spectral_gap(c, kind=kind, certify=True, rng=0),
            {"gap_lower": 0.0, "gap_upper": 2.0, "probabilistic_lower": None},
        )
        for kind in ("spectral", "absolute", "additive", "multiplicative")
    },
    "mixing_curve": (
        lambda c: fe.mixing_curve(c, 0, 4, gap=gap("multiplicative")),
        {"bounds": {}, "bounds_kind": "none"},
    ),
    "information_curve": (
        lambda c: fe.information_curve(c, [2]),
        {"lower": 0.0, "upper": math.inf},
    ),
    "mixing_time": (
        lambda c: fe.mixing_time(c),
        {"lower": 0, "upper": math.inf, "steps": math.inf, "is_exact": False},
    ),
    "mixing_time, gap": (
        lambda c: fe.mixing_time(c, gap=gap("multiplicative"), start=[1]),
        {"lower": 0, "upper": math.inf, "bounds": {"lower": {}, "upper": {}}},
    ),
    "autocorrelation": (lambda c: fe.autocorrelation(c, inside(c, F)), {}),
    "lumpability": (lambda c: fe.lumpability(c, inside(c, SETS)), {"chain": None}),
    "simulate_hitting_times": (
        lambda c: fe.simulate_hitting_times(c, [0], n_walkers=50, rng=0),
        {"ci": (0.0, math.inf)},
    ),
    "splitting_probability": (
        lambda c: fe.splitting_probability(
            c, None, [0], [1], score=inside(c, F), n_particles=50, rng=0
        ),
        {"ci": (0.0, 1.0)},
    ),
    "importance_hitting": (
        lambda c: fe.importance_hitting(
            fe.tilt(c, 0.1 * inside(c, F), 1.0), None, [0], beta=2.0, n_walkers=500, rng=0
        ),
        {"ci": (0.0, 1.0), "mean_steps_ci": (0.0, math.inf)},
    ),
    "bootstrap": (
        lambda c: fe.bootstrap(
            (100 * P).round(), lambda chain: fe.return_times(chain).mean[0], n=3, rng=0
        ),
        {},
    ),
    "analyze": (
        lambda c: fe.analyze(c, score=inside(c, F), level=0.8, betas=[1.0], n_walkers=50, rng=0),
        {},
    ),
}
# An eigenpair needs an irreducible chain; simulated paths are an array, which has no flag.
IRREDUCIBLE = {
    "eigenpairs": lambda c: fe.eigenpairs(c, 4, rng=0),
    "metastable_sets": lambda c: fe.metastable_sets(c, 4, rng=0),
}
# Results that cannot say that they have not converged are refused.
REFUSED = {
    "reversibilize": fe.reversibilize,
    "reverse": lambda c: c.reverse(),
    "reactive_flux": lambda c: fe.reactive_flux(c, [0], [1]),
}
# Analyses that do not rest on the law, and give the same as without the failure.
WITHOUT_LAW = {
    "structure": fe.structure,
    "dobrushin": fe.dobrushin,
    "hitting_moments": lambda c: fe.hitting_moments(c, [0]),
    "hitting_probabilities": lambda c: fe.hitting_probabilities(c, [0], avoid=[1]),
    "absorption_probabilities": lambda c: fe.absorption_probabilities(c, [[0], [1]]),
    "expected_reward": lambda c: fe.expected_reward(c, F, [0]),
    "expected_visits": lambda c: fe.expected_visits(c, [1], target=[0]),
    "long_run_average": lambda c: fe.long_run_average(c, F),
    "cyclic_classes": lambda c: fe.cyclic_classes(c),
    "pagerank": lambda c: fe.pagerank(c),
    "law_at": lambda c: fe.law_at(timed(c), 2.0, 0),
    "reached_by": lambda c: fe.reached_by(timed(c), [0], 2.0),
    "holding_times": lambda c: fe.holding_times(timed(c)),
    "committor": lambda c: fe.committor(c, [0], [1]),
    "commute_times": lambda c: fe.commute_times(c, [0, 2], [1, 3]),
    "tilt": lambda c: fe.tilt(c, F, 1.0),
    "policy.average": lambda c: fe.policy.average(c, F, 1.0),
    "policy.discounted": lambda c: fe.policy.discounted(c, F, 1.0, discount=0.9),
    "policy.finite_horizon": lambda c: fe.policy.finite_horizon(c, F, 1.0, horizon=2),
    "policy.first_exit": lambda c: fe.policy.first_exit(c, -F, 1.0, exit=[0]),
    "policy.rate_function": lambda c: fe.policy.rate_function(c, F, [0.4]),
    "policy.verifiable": lambda c: fe.policy.verifiable(c, [0], 1.0, wrong=[1]),
    "simulate": lambda c: fe.simulate(c, 5, start=[0], rng=0),
    "splitting_hitting_time": lambda c: fe.splitting_hitting_time(
        c, 0, [5], score=F, n_particles=200, n_replicas=8, rng=0
    ),
}
# These need a reversible chain, whose law is in closed form.
REVERSIBLE = {"conductance", "modified_log_sobolev"}
# What takes a gap, on a reversible chain: {name: (call, bounds with a proven end, bounds without)}.
FROM_GAP = {
    "hitting_times": (
        lambda gap: fe.hitting_times(S, [0], gap=gap("additive")),
        lambda found: found.bound_from_gap < math.inf,
    ),
    "hitting_bounds": (
        lambda gap: fe.hitting_bounds(S, [0], gap=gap("additive")),
        lambda found: found.bound_from_gap < math.inf or found.gap > 0.0,
    ),
    "mixing_curve": (
        lambda gap: fe.mixing_curve(S, 0, 400, gap=gap("multiplicative")),
        lambda found: found.bounds["tv"][0, -1] < 0.9 * found.bounds["tv"][0, 0],
    ),
    "mixing_time": (
        lambda gap: fe.mixing_time(LARGE, start=[0], max_steps=1, gap=gap("absolute")),
        lambda found: "spectral" in (found.lower_method, found.upper_method),
    ),
    "conductance": (
        lambda gap: fe.conductance(S, gap=gap("spectral"), rng=0),
        lambda found: found.lower > 0.0 or found.gap_lower > 0.0,
    ),
}


def caught(call):
    """(the result, the ConvergenceWarnings)."""
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        found = call()
    return found, [w for w in seen if issubclass(w.category, fe.ConvergenceWarning)]


def check_flag(found, seen):
    """Assert that a result says that the law did not converge, and claims no bound."""
    assert not np.any(found.converged)
    own = [w for w in seen if "a change of 0.1 a step bounds nothing" in str(w.message)]
    assert {w.filename for w in own} == {__file__}
    kinds = {
        f.name: getattr(found, f.name)
        for f in dataclasses.fields(found)
        if f.name.endswith("_kind") and f.name != "partial_kind"
    }
    assert set(kinds.values()) <= {"none"}, kinds


@pytest.mark.parametrize("make", [irreducible, with_transient_state])
@pytest.mark.parametrize("name", FROM_LAW)
def test_what_rests_on_an_unconverged_law_says_so(name, make, failing):
    call, fields = FROM_LAW[name]
    found, seen = caught(lambda: call(make()))
    check_flag(found, seen)
    assert {field: getattr(found, field) for field in fields} == fields


@pytest.mark.parametrize("name", IRREDUCIBLE)
def test_what_needs_an_irreducible_chain_says_so(name, failing):
    found, seen = caught(lambda: IRREDUCIBLE[name](irreducible()))
    check_flag(found, seen)
    if name == "eigenpairs":
        assert not found.verified and not found.converged_each.any()


@pytest.mark.parametrize("make", [irreducible, with_transient_state])
def test_every_part_of_a_report_says_so(make, failing):
    report, _ = caught(lambda: FROM_LAW["analyze"][0](make()))
    parts = [report.stationary, report.balance, report.mixing, report.solve, report.bounds]
    parts += [report.sample, report.spectrum, *report.gaps.values(), *report.sweep.values()]
    assert [type(part).__name__ for part in parts if np.any(part.converged)] == []


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_say_so_is_refused(name, failing):
    with pytest.raises(fe.ConvergenceError, match=r"0\.1 a step bounds nothing; call"):
        REFUSED[name](irreducible())


@pytest.mark.parametrize("make", [irreducible, with_transient_state])
def test_kemenys_constant_does_not_rest_on_the_law(make, failing):
    """The law only chooses a state; any other gives the same constant."""
    found, seen = caught(lambda: fe.kemeny_constant(make()))
    assert seen == [] and found.converged
    exact = reference.kemeny(P)
    assert found.lower <= exact * (1 + 1e-13) and exact * (1 - 1e-13) <= found.upper


def test_paths_from_an_unconverged_law_warn(failing):
    _, seen = caught(lambda: fe.simulate(irreducible(), 3, rng=0))
    assert len(seen) == 1 and seen[0].filename == __file__


def without_speed(found):
    """A dictionary of results without what depends on the clock."""
    return {
        key: without_speed(value) if isinstance(value, dict) else value
        for key, value in found.items()
        if key != "steps_per_second"
    }


@pytest.mark.parametrize("name", WITHOUT_LAW)
def test_what_does_not_rest_on_the_law_is_unchanged(name, monkeypatch):
    expected = WITHOUT_LAW[name](irreducible())
    monkeypatch.setattr(law_module, "StationarySearch", FailedSearch)
    found, seen = caught(lambda: WITHOUT_LAW[name](irreducible()))
    assert seen == [] and np.all(getattr(found, "converged", True))
    if isinstance(found, fe.MarkovChain):
        found, expected = found.to_scipy().toarray(), expected.to_scipy().toarray()
    elif not isinstance(found, np.ndarray):
        found, expected = (without_speed(result.to_dict()) for result in (found, expected))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("off", [1e-9, 1e-6, 1e-3])
def test_bounds_that_include_the_error_of_the_law_hold(off, monkeypatch):
    """Those of an autocorrelation follow from pi P - pi, whatever pi is."""

    class NearSearch(FailedSearch):
        def __init__(self, scaled, left, **options):
            law = reference.gth(P) * (1.0 + off * np.cos(np.arange(N)))
            self.log_pi = np.log(law / law.sum())

    exact = reference.asymptotic_variance(P, F)
    monkeypatch.setattr(law_module, "StationarySearch", NearSearch)
    found, seen = caught(lambda: fe.autocorrelation(irreducible(), F))
    assert not found.converged and len(seen) == 1
    assert found.lower <= exact <= found.upper
    # the law alone is uncertain, and shows
    assert found.asymptotic_variance != pytest.approx(exact, rel=1e-3 * off)
    assert found.upper < exact * (1.0 + 1e4 * off)


@pytest.mark.parametrize("end", ["rigorous", "probabilistic", "estimate", "none"])
@pytest.mark.parametrize("name", FROM_GAP)
def test_an_unconverged_gap_gives_its_proven_ends_alone(name, end):
    call, is_bounded = FROM_GAP[name]
    found, seen = caught(lambda: call(lambda kind: gap(kind, end, converged=False)))
    assert not found.converged and {w.filename for w in seen} == {__file__}
    assert [str(w.message).partition(":")[0] for w in seen] == [name]
    assert is_bounded(found) == (end in ("rigorous", "probabilistic"))
    kinds = {getattr(found, f.name) for f in dataclasses.fields(found) if "kind" in f.name}
    assert kinds <= {"rigorous", end, "none"} - {"estimate"}


@pytest.mark.parametrize("name", FROM_GAP)
def test_a_converged_gap_is_no_reason_to_warn(name):
    found, seen = caught(lambda: FROM_GAP[name][0](gap))
    assert found.converged and seen == []


def test_gaps_found_within_lose_no_flag(monkeypatch):
    """One that a chain takes itself, made to stop after some products."""
    monkeypatch.setattr(gap_module, "MAX_MATVECS", 12)
    for call in (
        lambda: fe.hitting_bounds(LARGE, [0]),
        lambda: fe.mixing_time(LARGE, max_steps=1),
        lambda: fe.conductance(LARGE, rng=0),
        lambda: fe.modified_log_sobolev(LARGE, rng=0),
    ):
        found, seen = caught(call)
        assert not found.converged and seen


def test_an_unconverged_law_is_searched_for_once(monkeypatch):
    """Later analyses take what was found, and a law that is found better later replaces it."""
    searches = []

    class Counted(FailedSearch):
        def run(self, monitor):
            searches.append(self)

    chain = irreducible()
    with monkeypatch.context() as context:
        context.setattr(law_module, "StationarySearch", Counted)
        for _ in range(3):
            found, seen = caught(lambda: fe.return_times(chain))
            assert not found.converged and len(seen) == 1
        assert len(searches) == 1 and chain.pi is None
    assert fe.stationary(chain).converged
    found, seen = caught(lambda: fe.return_times(chain))
    assert found.converged and seen == []
    np.testing.assert_allclose(1.0 / found.mean @ P, 1.0 / found.mean, rtol=1e-12)


@pytest.mark.parametrize(
    "command",
    [
        ["analyze", "--walkers", 50],
        ["gap", "--kind", "spectral"],
        ["gap", "--kind", "absolute"],
        ["gap", "--kind", "additive"],
        ["gap", "--kind", "multiplicative"],
        ["hit", "--target", 0],
        ["hit", "--target", 0, "--start", 1, "--bound"],
        ["hit", "--target", 0, "--method", "simulate", "--walkers", 50],
        ["mix", "--steps", 3],
        ["mix", "--start", 1, "--steps", 3, "--bound"],
        ["balance"],
    ],
    ids=lambda command: " ".join(map(str, command)),
)
def test_every_command_exits_with_1_and_gives_the_reason(command, failing, tmp_path, capsys):
    path = tmp_path / "chain.npz"
    sp.save_npz(path, sp.csr_array(P))
    name, *options = map(str, command)
    assert main([name, str(path), *options]) == 1
    out, err = capsys.readouterr()
    assert strict_json(out)["converged"] is False
    lines = err.splitlines()
    reason = f"fastebm {name}: not converged: the stationary distribution did not converge: "
    assert sum(line.startswith(reason) for line in lines) == 1
    assert all(line.startswith(f"fastebm {name}: not converged: ") for line in lines)
    assert "(chain" not in err and "max_iter=" not in err  # no advice in Python


def test_the_demo_loses_no_flag(monkeypatch, capsys):
    monkeypatch.setattr("fastebm.report.demo.run", lambda **_: {"converged": False, "n_states": 1})
    assert main(["demo"]) == 1
    assert capsys.readouterr().err == "fastebm demo: not converged: report\n"


def test_every_public_analysis_of_a_chain_is_listed_here():
    listed = {name.partition(",")[0] for name in {**FROM_LAW, **IRREDUCIBLE, **REFUSED}}
    listed |= set(WITHOUT_LAW) | REVERSIBLE | {"kemeny_constant"}  # it has a test of its own
    public = {name: getattr(fe, name) for name in fe.__all__}
    public |= {f"policy.{name}": getattr(fe.policy, name) for name in fe.policy.__all__}
    for name, value in public.items():
        if inspect.isfunction(value):
            first = next(iter(inspect.signature(value).parameters), None)
            assert first not in ("chain", "reference") or name in listed, name
