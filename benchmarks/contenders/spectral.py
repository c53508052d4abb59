"""Spectral gaps of reversible chains, and the second-largest eigenvalue modulus of the others.

On reversible chains, peers are given the symmetrised matrix S and sqrt(pi), which are not timed.
Their residual tolerance is 1e-4 times the gap of the case, which they know in advance. The error of
an eigenvalue is residual^2 / separation, so this is about the largest tolerance that gives the gap
to 1e-8. Several pairs are judged by the sum of 1 - lambda: no orthonormal functions have a smaller
sum of Dirichlet forms than the eigenfunctions (Ky Fan).
"""

import json
import os
import shutil
import subprocess
import warnings
from pathlib import Path

import numpy as np
import scipy.sparse as sp

import fastebm as fe
from fastebm._runtime.threads import available_cpus

from ..problem import Answer, Unavailable, Verdict

# The judge sums in blocks of at most about this many entries.
BLOCK = 4_000_000


def inputs(chain, options):
    P = chain.to_scipy()
    if options["kind"] != "spectral":
        return {"P": P}
    log_pi = chain.log_pi
    S = P.copy()
    S.data *= np.exp(0.5 * (np.repeat(log_pi, np.diff(P.indptr)) - log_pi[P.indices]))
    return {"P": P, "S": S, "root": np.exp(0.5 * log_pi)}


def _start(n):
    return np.random.default_rng(1).standard_normal(n)


class _Counted(sp.linalg.LinearOperator):
    """A matrix that counts its products with vectors."""

    def __init__(self, matrix):
        super().__init__(matrix.dtype, matrix.shape)
        self.matrix, self.products = matrix, 0

    def _matvec(self, x):
        self.products += 1
        return self.matrix @ x

    def _matmat(self, X):
        self.products += X.shape[1]
        return self.matrix @ X


def fastebm(problem):
    chain, kind, n_pairs = problem.chain, problem.options["kind"], problem.options.get("n_pairs", 1)

    def solve_pairs():
        found = fe.eigenpairs(chain, n_pairs + 1, tol=1e-4, rng=0)  # the residual of the peers
        root = np.exp(0.5 * chain.log_pi)[:, None]
        return Answer(
            found.rates.sum(), root * found.right[:, 1:], found.n_matvecs, note=found.method
        )

    def solve():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", fe.errors.ConvergenceWarning)  # the row says so
            found = fe.spectral_gap(chain, kind=kind, rng=0)
        return Answer(
            found.gap,
            products=found.n_matvecs,
            note=found.method if found.converged else "not converged",
        )

    return solve if n_pairs == 1 else solve_pairs


def eigsh(problem):
    S, tol, n_pairs = (
        _Counted(problem.matrix("S")),
        1e-4 * problem.options["gap"],
        problem.options.get("n_pairs", 1),
    )

    def solve():
        values, vectors = sp.linalg.eigsh(
            S, k=n_pairs + 1, which="LA", tol=tol, v0=_start(S.shape[0]), maxiter=10**6
        )
        return Answer((1.0 - values[:-1]).sum(), vectors[:, :-1], S.products)

    return solve


def deeptime(problem):
    """deeptime calls eigsh to machine precision, for the largest moduli, without eigenvectors.

    Six values, so that lambda_2 is among them even if negative ones are larger in modulus.
    """
    from deeptime.markov.tools.analysis import eigenvalues

    P, pi = sp.csr_matrix(problem.matrix("P")), problem.array("root") ** 2

    def solve():
        return Answer(1.0 - np.sort(eigenvalues(P, k=6, reversible=True, mu=pi))[-2])

    return solve


def amg_lobpcg(problem):
    """LOBPCG, preconditioned by smoothed aggregation of I - S with near-null space sqrt(pi)."""
    import pyamg

    S, root, tol = (
        problem.matrix("S"),
        problem.array("root")[:, None],
        1e-4 * problem.options["gap"],
    )
    n_pairs = problem.options.get("n_pairs", 1)
    A = (sp.eye_array(S.shape[0], format="csr") - S).tocsr()

    def solve():
        counted = _Counted(A)
        hierarchy = pyamg.smoothed_aggregation_solver(A, B=root, max_coarse=500)
        X = np.random.default_rng(1).standard_normal((A.shape[0], n_pairs + 2))
        values, vectors = sp.linalg.lobpcg(
            counted, X, M=hierarchy.aspreconditioner(), Y=root, tol=tol, maxiter=500, largest=False
        )
        return Answer(
            values[:n_pairs].sum(),
            vectors[:, :n_pairs],
            counted.products,
            note="hierarchy included",
        )

    return solve


def _slepc_interpreter():
    """(python, environment) of an interpreter with slepc4py.

    It is named by FASTEBM_BENCH_SLEPC_PYTHON; the default is Debian's, which keeps these packages
    in folders of their own.
    """
    environment = {
        key: value for key, value in os.environ.items() if not key.startswith("PYTHON")
    } | {"OMP_NUM_THREADS": "1"}
    python = os.environ.get("FASTEBM_BENCH_SLEPC_PYTHON")
    if python is None:
        python = "/usr/bin/python3"
        folders = [
            str(path)
            for library in ("petsc", "slepc")
            for path in sorted(
                Path("/usr/lib", f"{library}dir").glob("*/*-real/lib/python3/dist-packages")
            )
        ]
        environment["PYTHONPATH"] = os.pathsep.join(folders)
    if shutil.which("mpirun") is None:
        raise Unavailable("mpirun is not installed")
    if shutil.which(python) is None:
        raise Unavailable(f"{python} is not installed")
    if subprocess.run(
        [python, "-c", "from slepc4py import SLEPc"], env=environment, capture_output=True
    ).returncode:
        raise Unavailable(f"{python} has no slepc4py")
    return python, environment


def slepc(problem):
    """Krylov-Schur on as many MPI ranks as fastebm has threads; it measures its own time."""
    python, environment = _slepc_interpreter()
    ranks = available_cpus()
    command = [
        "mpirun",
        *(["--allow-run-as-root"] if os.geteuid() == 0 else []),
        "-n",
        str(ranks),
        python,
        str(Path(__file__).with_name("slepc_gap.py")),
        str(problem.folder),
        str(1e-4 * problem.options["gap"]),
    ]

    def solve():
        done = subprocess.run(command, env=environment, capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"mpirun failed: {done.stderr.strip()[-400:]}")
        found = json.loads(done.stdout.splitlines()[-1])
        return Answer(
            found["gap"],
            problem.array("slepc_vector"),
            found["products"],
            seconds=found["seconds"],
            peak_bytes=found["peak_bytes"],
            note=f"{ranks} ranks",
        )

    return solve


def eigs(problem):
    """Four values: with two, ARPACK converges to another one of nearly the same modulus."""
    P = _Counted(problem.matrix("P"))

    def solve():
        values, vectors = sp.linalg.eigs(
            P, k=4, which="LM", tol=1e-8, v0=_start(P.shape[0]), maxiter=10**6
        )
        order = np.argsort(-np.abs(values))
        return Answer(1.0 - abs(values[order[1]]), vectors[:, order[1]], P.products)

    return solve


CONTENDERS = {
    "fastebm": fastebm,
    "SciPy eigsh": eigsh,
    "SLEPc": slepc,
    "deeptime": deeptime,
    "PyAMG + LOBPCG": amg_lobpcg,
    "SciPy eigs": eigs,
}


def dirichlet_quotient(P, pi, f):
    """E(f, f) / Var_pi(f), at least the gap for any f; no cancellation. In NumPy, from P."""
    f = f - pi @ f
    energy = 0.0
    step = max(1, BLOCK * P.shape[0] // P.nnz)
    for begin in range(0, P.shape[0], step):
        end = min(begin + step, P.shape[0])
        entries = slice(P.indptr[begin], P.indptr[end])
        degree = np.diff(P.indptr[begin : end + 1])
        change = np.repeat(f[begin:end], degree) - f[P.indices[entries]]
        energy += 0.5 * float(
            (np.repeat(pi[begin:end], degree) * P.data[entries] * change) @ change
        )
    return energy / float((pi * f) @ f - (pi @ f) ** 2)


def dirichlet_sum(P, root, vectors):
    """The sum of Dirichlet quotients of one or more columns in the coordinates sqrt(pi) f."""
    return sum(
        dirichlet_quotient(P, root * root, v / root) for v in vectors.reshape(len(root), -1).T
    )


def _exact(problem):
    """The reference of a small case: ARPACK to machine precision."""
    S, k = problem.matrix("S"), problem.options.get("n_pairs", 1) + 1
    return (
        1.0
        - sp.linalg.eigsh(
            S, k=k, which="LA", tol=0, v0=_start(S.shape[0]), return_eigenvectors=False
        )[:-1]
    ).sum()


def judge(problem, answers):
    """Gaps are compared with the reference of the case, moduli with the best eigenpair.

    The Dirichlet form of an eigenvector, which is at least the gap, replaces a larger reference.
    The best eigenpair is that of the smallest residual.
    """
    P, options = problem.matrix("P"), problem.options
    quality = {}
    for name, answer in answers.items():
        if answer.vector is None:
            continue
        v = answer.vector
        if options["kind"] == "spectral":
            root = problem.array("root")
            quality[name] = dirichlet_sum(P, root, v)
        else:
            Pv = P @ v
            theta = np.vdot(v, Pv) / np.vdot(v, v)
            quality[name] = float(np.linalg.norm(Pv - theta * v) / np.linalg.norm(v))
    if options["kind"] == "spectral":
        reference = min([options.get("reference") or _exact(problem), *quality.values()])
        words = {
            name: f", Dirichlet form of the vector {value / reference - 1.0:.1g}"
            for name, value in quality.items()
        }
    else:
        if not quality:
            return {
                name: Verdict(False, f"{answer.value:.12g}, nothing to check it by")
                for name, answer in answers.items()
            }
        reference = answers[min(quality, key=quality.get)].value
        words = {name: f", residual {value:.1g}" for name, value in quality.items()}
    verdicts = {}
    for name, answer in answers.items():
        error = abs(answer.value - reference) / reference
        text = f"{answer.value:.12g}, error {error:.1g}{words.get(name, '')}"
        verdicts[name] = Verdict(bool(error <= options["accuracy"]), text)
    return verdicts
