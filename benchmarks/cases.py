"""The cases: a chain, a question, the contenders and the accuracy required of all of them."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

from . import chains
from .chains import SMOKE


@dataclass(frozen=True, eq=False)
class Case:
    """One group of rows of the table.

    `family` names the module of the contenders; `options` is passed to each of them.
    """

    family: str
    name: str
    chain: Callable
    peers: tuple
    options: dict = field(default_factory=dict)

    @property
    def contenders(self):
        return ("fastebm", *self.peers)


def size(full, smoke):
    return smoke if SMOKE else full


def product(name, chain):
    return Case(
        "operators",
        f"product P x, {name}",
        chain,
        ("SciPy csr @ x",),
        {"question": "product", "accuracy": 1e-12},
    )


def gap(name, chain, gap, *peers, **options):
    """A gap; the argument `gap` is its rough value, for the residual tolerances of the peers.

    `reference`: see reference.py.
    """
    return Case(
        "spectral",
        f"gap, {name}",
        chain,
        ("SciPy eigsh", "SLEPc", *peers),
        {"kind": "spectral", "gap": gap, "accuracy": 1e-8, **options},
    )


def pairs(name, chain, gap, n_pairs, *peers, **options):
    """The sum of 1 - lambda of n_pairs eigenpairs without the stationary one.

    ARPACK is no peer: at this tolerance it finds one of two copies.
    """
    return Case(
        "spectral",
        f"{n_pairs} eigenpairs, {name}",
        chain,
        peers,
        {"kind": "spectral", "gap": gap, "n_pairs": n_pairs, "accuracy": 1e-8, **options},
    )


def computed_gap(side, **options):
    """The same question for the torus that is not stored; the stored one has the peers' rows."""
    return Case(
        "spectral",
        f"gap, torus {side} x {side}, computed",
        lambda: chains.torus(side, stored=False),
        (),
        {"kind": "spectral", "gap": 0.0, "accuracy": 1e-8, **options},
    )


def walk(name, chain, question, **options):
    peers = ("QuantEcon", "Numba loop") if question == "paths" else ("Numba loop",)
    return Case("walk", f"{question}, {name}", chain, peers, {"question": question, **options})


def hitting(name, chain, *peers, **options):
    return Case(
        "hitting", f"mean hitting times, {name}", chain, peers, {"accuracy": 1e-8, **options}
    )


def sets(question, name, chain, peer, **options):
    return Case("sets", f"{question}, {name}", chain, (peer,), {"question": question, **options})


def policy(question, beta):
    return Case(
        "policy",
        f"policy.{question}, {WORDS}, beta = {beta}",
        chains.trigram,
        ("one gap",),
        {"question": question, "beta": beta, "accuracy": 1e-8},
    )


def flux(name, chain, *peers):
    """A reactive flux; the ends of its total are proven to 1e-6."""
    return Case(
        "kinetics", f"reactive flux, {name}", chain, ("two committors", *peers), {"accuracy": 1e-6}
    )


def pagerank(n, *peers):
    return Case(
        "networks",
        f"PageRank, {16 * n:,} links of {n:,} pages",
        lambda: chains.torus(math.isqrt(n)),
        ("SciPy power iteration", *peers),
        {"links": 16, "accuracy": 1e-9},
    )


def planted(n):
    return f"4 planted sets, n = {n}", lambda: chains.planted(n)


def associations(beta, *peers):
    return hitting(
        f"LLM associations, beta = {beta}, valence >= 2.5",
        lambda: chains.associations(beta),
        *peers,
        level=2.5,
    )


def regular(n):
    return f"random regular EBM, n = {n}", lambda: chains.random_regular(n)


def torus(side):
    return f"torus {side} x {side}", lambda: chains.torus(side)


N, SMALL_N = size(1_000_000, 4000), size(10_000, 500)
M = size(20, 8)
SIDE, LARGE_SIDE = size(512, 24), size(1024, 32)
WALKERS, STEPS = size(10_000, 200), size(1000, 20)
TORUS_GAP = size(1.0770627276621508e-05, None)
WORDS = size("english trigram", "english phones")

CASES = (
    product(*regular(N)),
    product(f"hypercube m = {M}", lambda: chains.hypercube(M)),
    product(*torus(SIDE)),
    product(f"torus {SIDE} x {SIDE}, computed", lambda: chains.torus(SIDE, stored=False)),
    product(f"reversible {WORDS}", chains.reversible_trigram),
    Case(
        "operators",
        f"one beta of a sweep, {regular(N)[0]}",
        regular(N)[1],
        ("NumPy on the entries",),
        {"question": "tilt", "accuracy": 1e-12},
    ),
    Case(
        "operators",
        f"TV and KL of 16 starts, reversible {WORDS}",
        chains.reversible_trigram,
        ("SciPy P.T @ mu",),
        {"question": "mixing", "n_steps": size(100, 2), "accuracy": 1e-9},
    ),
    gap(*regular(N), size(0.00997, 0.09), "deeptime", reference=size(0.009966379021654195, None)),
    gap(
        f"hypercube m = {M}",
        lambda: chains.hypercube(M),
        size(0.117, 0.25),
        "deeptime",
        reference=size(0.11741322019989234, None),
    ),
    gap(*torus(SIDE), size(1.077e-5, 4.9e-3), "PyAMG + LOBPCG", reference=TORUS_GAP),
    computed_gap(SIDE, reference=TORUS_GAP),
    gap(
        *torus(LARGE_SIDE),
        size(2.69e-6, 2.7e-3),
        "PyAMG + LOBPCG",
        reference=size(2.6925270484176393e-06, None),
    ),
    pairs(
        *torus(SIDE),
        size(1.077e-5, 4.9e-3),
        4,
        "PyAMG + LOBPCG",
        reference=size(7.985702917237826e-05, None),
    ),
    gap(
        f"reversible {WORDS}",
        chains.reversible_trigram,
        size(0.097, 0.29),
        "deeptime",
        reference=size(0.09703578725818993, None),
    ),
    Case(
        "spectral",
        f"1 - SLEM, {WORDS}",
        chains.trigram,
        ("SciPy eigs",),
        {"kind": "absolute", "accuracy": 1e-6},
    ),
    hitting(*torus(LARGE_SIDE), "SciPy spsolve", "deeptime mfpt"),
    associations(size(0.2, 1.0), "SciPy spsolve"),
    associations(size(0.1, 0.8)),
    sets("best sweep cut", *torus(LARGE_SIDE), "NumPy on the entries"),
    sets("lumpability", *regular(N), "SciPy P @ indicators", n_sets=8),
    sets("metastable sets", *planted(N), "SciPy eigsh", n_sets=4),
    sets("metastable sets", *planted(size(2000, 200)), "deeptime pcca", n_sets=4),
    walk(*regular(N), "paths", n_walkers=WALKERS, n_steps=STEPS),
    walk(*regular(N), "hits", n_walkers=5 * WALKERS, max_steps=10**6),
    walk(*regular(SMALL_N), "paths", n_walkers=WALKERS, n_steps=STEPS),
    walk(*regular(SMALL_N), "hits", n_walkers=20 * WALKERS, max_steps=10**6),
    walk(WORDS, chains.trigram, "paths", n_walkers=WALKERS, n_steps=STEPS),
    walk(WORDS, chains.trigram, "hits", n_walkers=20 * WALKERS, max_steps=10**6),
    pagerank(size(10**6, 400)),
    pagerank(size(10**5, 100), "networkx"),
    policy("average", 1.0),
    policy("average", 0.5),
    policy("verifiable", 0.5),
    policy("sweep", 0.5),
    flux(*regular(N)),
    flux(*torus(size(128, 16)), "deeptime"),
)


def family_cases(family):
    return [case for case in CASES if case.family == family]
