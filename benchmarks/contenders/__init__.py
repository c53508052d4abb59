"""Who answers: fastebm and what a user would pick instead, each written as its documentation suggests.

One file a family. `inputs(chain, options)` gives what all contenders of a case are handed, `CONTENDERS` names the contenders,
fastebm first, and `judge(problem, answers)` verifies every answer in the same way. A contender is a function of a `Problem`
that prepares (not on the clock) and returns the call to be measured, which returns an `Answer`.
"""

from importlib import import_module

FAMILIES = ("operators", "spectral", "sets", "hitting", "walk")


def family_module(name):
    """The module of a family; each imports only what its contender needs when it is called."""
    return import_module(f"{__name__}.{name}")
