"""Eigenpairs: interrupts, checkpoints, threads, limits and arguments."""

import importlib

import gallery
import numpy as np
import pytest
from interruptions import StopAfter
from numpy.testing import assert_allclose, assert_array_equal
from spectral_checks import pairs_of

import fastebm as fe
from fastebm import _core
from fastebm.linalg import eigensearch, orthonormal_basis

eigenpairs = importlib.import_module("fastebm.spectral.eigenpairs")


SLOW = gallery.path(400)


@pytest.mark.parametrize("calls", [1, 7])
@pytest.mark.parametrize("reversible", [True, False])
def test_interrupt_and_resume_give_the_same_bits(calls, reversible, tmp_path):
    case = SLOW if reversible else gallery.random_chain(150, 4 / 150, 3)
    chain, path = fe.MarkovChain(case.P), tmp_path / "state.npz"
    full = pairs_of(chain, 4, rng=3)
    with pytest.raises(fe.Interrupted) as caught:
        pairs_of(chain, 4, rng=3, callback=StopAfter(calls), checkpoint=path)
    partial = caught.value.partial
    assert len(partial.eigenvalues) >= 1 and not partial.verified
    assert_allclose(partial.eigenvalues, full.eigenvalues[: len(partial.eigenvalues)], atol=1e-8)
    assert path.exists()
    again = pairs_of(chain, 4, rng=3, checkpoint=path)
    assert not path.exists()
    assert again.n_matvecs == full.n_matvecs
    for field in ("eigenvalues", "right", "left", "residuals", "left_residuals"):
        assert_array_equal(getattr(again, field), getattr(full, field))


@pytest.mark.parametrize("calls", [1, 2, 7, 12])
def test_a_preconditioned_search_resumes_with_the_same_bits(calls, tmp_path, preconditioned):
    test_interrupt_and_resume_give_the_same_bits(calls, True, tmp_path)


def core_calls_of(call, monkeypatch, stop=None):
    """The names of the calls into the core that `call` makes. Ctrl-C arrives during call `stop`,
    and is raised when it returns."""
    seen = []

    def wrapped(name, function):
        def counted(*arguments):
            out = function(*arguments)
            seen.append(name)
            if len(seen) - 1 == stop:
                raise KeyboardInterrupt
            return out

        return counted

    with monkeypatch.context() as patch:
        for name in ("basis_rotate", "basis_project", "basis_remove", "composed_apply"):
            patch.setattr(_core, name, wrapped(name, getattr(_core, name)))
        if stop is None:
            call()
        else:
            with pytest.raises(fe.Interrupted):
                call()
    return seen


@pytest.mark.parametrize("kind", ["lanczos", "davidson", "general"])
def test_ctrl_c_within_the_core_keeps_the_bits(kind, tmp_path, monkeypatch):
    """At restarts and locks, which rotate the basis in place, where a preconditioned search takes
    over, and while the result is put together."""
    case = gallery.random_chain(30, 0.2, 3) if kind == "general" else gallery.path(60)
    chain, path = fe.MarkovChain(case.P), tmp_path / "state.npz"
    monkeypatch.setattr(orthonormal_basis, "MIN_EXTRA", 20)
    monkeypatch.setattr(orthonormal_basis, "MAX_EXTRA", 20)
    if kind == "davidson":
        monkeypatch.setattr(eigensearch, "PRECONDITION_AFTER", 0)
        monkeypatch.setattr(eigensearch, "PRECONDITIONED_COST", 0)

    def pairs():
        return pairs_of(chain, 4, rng=3, tol=1e-6, checkpoint=path)

    full, calls = pairs(), core_calls_of(pairs, monkeypatch)
    stops = [i for i, name in enumerate(calls) if name == "basis_rotate"]
    stops = {*stops[:3], *stops[-4:], *np.random.default_rng(0).integers(len(calls), size=3)}
    for stop in stops:
        core_calls_of(pairs, monkeypatch, stop)
        again = pairs()
        assert again.n_matvecs == full.n_matvecs and again.verified == full.verified
        for field in ("eigenvalues", "right", "left", "residuals", "left_residuals"):
            assert_array_equal(getattr(again, field), getattr(full, field))


def test_ctrl_c_before_a_restart_has_a_partial_result(monkeypatch):
    """V is full then, and leaves no rows for the residuals of its Ritz vectors."""
    calls, qr = [], np.linalg.qr

    def stop(matrix):
        calls.append(matrix)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return qr(matrix)

    monkeypatch.setattr(orthonormal_basis, "MIN_EXTRA", 20)
    monkeypatch.setattr(orthonormal_basis, "MAX_EXTRA", 20)
    monkeypatch.setattr(eigensearch, "PRECONDITION_AFTER", 40)
    monkeypatch.setattr(eigensearch, "PRECONDITIONED_COST", 20)
    monkeypatch.setattr(np.linalg, "qr", stop)
    with pytest.raises(fe.Interrupted) as caught:
        pairs_of(gallery.path(60).P, 4, rng=3)
    assert len(calls) > 1 and not caught.value.partial.converged


def test_an_interrupt_while_a_checkpoint_is_loaded_keeps_it(tmp_path, preconditioned, monkeypatch):
    """A preconditioned search builds its multigrid hierarchy again before it goes on."""
    path = tmp_path / "state.npz"
    with pytest.raises(fe.Interrupted):
        pairs_of(SLOW.P, 4, rng=3, callback=StopAfter(7), checkpoint=path)
    before = path.read_bytes()

    def stop(*arguments):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(eigenpairs, "preconditioner", stop)
        with pytest.raises(fe.Interrupted) as caught:
            pairs_of(SLOW.P, 4, rng=3, checkpoint=path)
    assert caught.value.partial is None and path.read_bytes() == before
    assert_array_equal(
        pairs_of(SLOW.P, 4, rng=3, checkpoint=path).right, pairs_of(SLOW.P, 4, rng=3).right
    )


def test_a_checkpoint_of_other_arguments_is_refused(tmp_path):
    path = tmp_path / "state.npz"
    with pytest.raises(fe.Interrupted):
        pairs_of(SLOW.P, 4, callback=StopAfter(2), checkpoint=path)
    with pytest.raises(fe.InvalidChainError, match="another call"):
        pairs_of(SLOW.P, 5, checkpoint=path)


def test_same_bits_for_any_number_of_threads():
    case = gallery.random_chain(9001, 4 / 9001, 1)  # two blocks of states
    check_threads(fe.MarkovChain(case.P))


def check_threads(chain):
    one, three = (pairs_of(chain, 2, tol=1e-2, num_threads=t) for t in (1, 3))
    assert_array_equal(one.right, three.right)
    assert_array_equal(one.left, three.left)
    return one


def test_a_preconditioned_search_has_the_same_bits_for_any_number_of_threads(preconditioned):
    assert (
        check_threads(fe.MarkovChain(gallery.torus((100, 100), 0.0).P)).method == "block davidson"
    )


@pytest.mark.parametrize("max_matvecs", [1, 30, 200])
def test_running_out_of_products_warns(max_matvecs):
    with pytest.warns(fe.ConvergenceWarning, match="raise max_matvecs"):
        found = pairs_of(SLOW.P, 4, max_matvecs=max_matvecs)
    assert not found.verified and len(found.eigenvalues) <= 4
    assert found.converged_each[0] and not found.converged
    weighted = np.sqrt(
        np.exp(fe.MarkovChain(SLOW.P).log_pi)
        @ np.abs(SLOW.P @ found.right - found.right * found.eigenvalues) ** 2
    )
    assert_allclose(found.residuals, weighted, atol=1e-13)


def test_one_state_and_the_trivial_pair():
    found = pairs_of(np.ones((1, 1)), 1)
    assert (
        found.eigenvalues.tolist(),
        found.right.tolist(),
        found.left.tolist(),
        found.method,
    ) == ([1], [[1]], [[1]], "closed form")
    assert pairs_of(SLOW.P, 1).n_matvecs == 0


@pytest.mark.parametrize(
    "k, options, error",
    [
        (0, {}, fe.InvalidChainError),
        (5, {}, fe.InvalidChainError),
        (2.0, {}, TypeError),
        (True, {}, TypeError),
        (2, {"which": "LM"}, fe.InvalidChainError),
        (2, {"tol": 0.0}, fe.InvalidChainError),
        (2, {"tol": np.nan}, fe.InvalidChainError),
        (2, {"max_matvecs": 0}, fe.InvalidChainError),
        (2, {"num_threads": 0}, ValueError),
        (2, {"rng": -1}, ValueError),
    ],
    ids=str,
)
def test_bad_arguments(k, options, error):
    with pytest.raises(error):
        pairs_of(np.full((4, 4), 0.25), k, **options)


@pytest.mark.parametrize(
    "P", [np.eye(3), np.array([[0.5, 0.5], [0.0, 1.0]])], ids=["two classes", "a transient state"]
)
def test_reducible_chains_are_refused(P):
    with pytest.raises(fe.ReducibleChainError, match="largest_class"):
        pairs_of(P, 2)


def test_memory_is_forecast(monkeypatch):
    from fastebm._runtime import memory

    monkeypatch.setattr(memory, "free_memory", lambda: 100_000)
    with pytest.raises(fe.MemoryForecastError, match="basis of eigenpairs"):
        pairs_of(SLOW.P, 4)
