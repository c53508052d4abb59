"""fastebm and what a user would choose instead, each used as its documentation suggests.

There is one file per family. `inputs(chain, options)` returns what all contenders of a case are
given, `CONTENDERS` names the contenders, fastebm first, and `judge(problem, answers)` verifies
every answer in the same way. A contender is a function of a `Problem` that prepares (not timed) and
returns the call to be measured, which returns an `Answer`.
"""

from importlib import import_module

FAMILIES = (
    *("operators", "spectral", "sets", "hitting", "walk", "policy", "kinetics", "networks"),
)


def family_module(name):
    """The module of a family. Contenders import their packages when they are called."""
    return import_module(f"{__name__}.{name}")
