"""Chains whose answers are known exactly, and random ones of which a part is known. test_gallery.py
checks all of it.

LP is Levin & Peres, Markov Chains and Mixing Times, 2nd edition; AF is Aldous & Fill, Reversible
Markov Chains and Random Walks on Graphs; Diaconis is Group Representations in Probability and
Statistics (1988).
"""

from functools import lru_cache

import numpy as np
from gallery_birth_death import bernoulli_laplace as bernoulli_laplace
from gallery_birth_death import birth_death as birth_death
from gallery_birth_death import double_well as double_well
from gallery_birth_death import ehrenfest as ehrenfest
from gallery_case import Case as Case
from gallery_random import VARIED as VARIED
from gallery_random import energy_tilt as energy_tilt
from gallery_random import product_heat_bath as product_heat_bath
from gallery_random import random_chain as random_chain
from gallery_random import random_reversible as random_reversible
from gallery_random import varied_reversible as varied_reversible
from gallery_walks import biased_cycle as biased_cycle
from gallery_walks import binary_tree as binary_tree
from gallery_walks import complete as complete
from gallery_walks import cycle as cycle
from gallery_walks import dumbbell as dumbbell
from gallery_walks import hypercube as hypercube
from gallery_walks import path as path
from gallery_walks import random_transpositions as random_transpositions
from gallery_walks import star as star
from gallery_walks import torus as torus
from gallery_walks import two_state as two_state


@lru_cache
def cases():
    """Chains of 2 to 1024 states for parametrised tests, the smaller of a family first."""
    rng = np.random.default_rng(20240229)
    tilted = random_reversible(60, 0.1, rng)
    tilts = [energy_tilt(tilted.P, tilted.pi, rng.normal(size=60), beta) for beta in (0.5, 0.05)]
    return (
        two_state(0.3, 0.1),
        two_state(1e-9, 1e-7),
        two_state(1.0, 1.0),
        cycle(7),
        cycle(8),
        cycle(50, 0.5),
        cycle(1000, 0.1),
        biased_cycle(9, 0.7, 0.3),
        biased_cycle(8, 0.7, 0.3),
        biased_cycle(10, 0.5, 0.2),
        biased_cycle(6, 1.0),
        biased_cycle(40, 0.25),
        torus((4, 6)),
        torus((5, 3, 2), 0.25),
        torus((24, 30), 0.5),
        hypercube(3, 0.0),
        hypercube(6, 0.1),
        hypercube(10),
        complete(3),
        complete(50),
        star(20),
        path(2),
        path(300),
        binary_tree(3),
        binary_tree(9),
        dumbbell(3),
        dumbbell(40),
        random_transpositions(4),
        random_transpositions(5),
        ehrenfest(30),
        bernoulli_laplace(20, 10),
        bernoulli_laplace(50, 8),
        birth_death([0.9, 0.5, 0.45, 0.9, 0], [0, 0.5, 0.5, 0.1, 0.95]),
        double_well(60, 8),
        double_well(100, 24),
        double_well(120, 35),
        product_heat_bath(4, [0, 1, -3, 8]),
        product_heat_bath(9, rng.normal(scale=6, size=9)),
        *tilts,
        random_reversible(30, 0.1, rng),
        random_reversible(700, 0.01, rng),
        random_chain(30, 0.1, rng),
        random_chain(500, 0.01, rng),
    )


def reversible_cases():
    return tuple(case for case in cases() if case.reversible)
