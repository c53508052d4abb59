"""Transition matrices from files in formats that other programs define.

`fastebm.load` reads saved chains, whose folders follow the internals of the chain classes. To add a
format, write a module with a reader ``(path) -> (matrix, labels)`` and add its suffix to `READERS`
in read.py.
"""

from .prism_states import read_state_labels, read_state_rewards
from .read import read

__all__ = ["read", "read_state_labels", "read_state_rewards"]
