"""From counts: reversible estimation, tests of detailed balance and of the Markov property, potentials."""

from .balance_test import BalanceTest, balance_test
from .bootstrap import BootstrapResult, bootstrap
from .markov_test import MarkovTest, markov_test
from .potential import PotentialFit, RewardFit, fit_potential, fit_reward
from .reversible_fit import ReversibleFit, reversible_fit

__all__ = [
    "BalanceTest",
    "BootstrapResult",
    "MarkovTest",
    "PotentialFit",
    "ReversibleFit",
    "RewardFit",
    "balance_test",
    "bootstrap",
    "fit_potential",
    "fit_reward",
    "markov_test",
    "reversible_fit",
]
