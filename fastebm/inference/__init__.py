"""From counts: reversible chains, tests of detailed balance and the Markov property, potentials."""

from .balance_test import BalanceTest, balance_test
from .bootstrap import BootstrapResult, bootstrap
from .markov_test import MarkovTest, markov_test
from .potential import PotentialFit, fit_potential
from .reversible_fit import ReversibleFit, reversible_fit
from .reward import RewardFit, fit_reward

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
