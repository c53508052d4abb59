"""Labels and rewards of states as PRISM and Storm export them: .lab and .srew."""

import os
import re
from collections.abc import Iterator

import numpy as np

from .._runtime.types import BoolArray, FloatArray, Path
from .opening import file_too_large, malformed, opened_text, shown
from .transitions import real, whole

#: A label of PRISM's first line: 0="init".
DECLARED = re.compile(r'(\d+)="([^"]*)"')
_FORMAT = "export it again, or write lines 'state: label label'"


def read_state_labels(path: Path, n_states: int) -> dict[str, BoolArray]:
    """Read the labels of the states of a model, .lab of PRISM or Storm.

    Parameters
    ----------
    path : str or os.PathLike
        PRISM's form begins ``0="init" 1="deadlock" 2="done"`` and goes on with lines ``7: 2``;
        Storm's begins with ``#DECLARATION``, the labels and ``#END``, then ``7 done``.
    n_states : int

    Returns
    -------
    dict of str to bool mask (n_states,)
        The states of every declared label, in the order of the declaration.

    Raises
    ------
    InvalidChainError
        The file is malformed or names a state that there is not; the text names the line.

    Examples
    --------
    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "die.lab")
    >>> with open(path, "w") as file:
    ...     _ = file.write('0="init" 1="done"\\n0: 0\\n2: 1\\n')
    >>> read_state_labels(path, 3)["done"].tolist()
    [False, False, True]
    """
    name = os.fsdecode(path)
    with file_too_large(), opened_text(name) as file:
        lines = _lines(file)
        names = _declared(name, lines)
        masks = {label: np.zeros(n_states, bool) for label in names.values()}
        for line, text in lines:
            state, *given = text.split()
            if ":" in state:  # of PRISM; labels of Storm may have one, too
                state, _, label = state.partition(":")
                given = [label, *given] if label else given
            at = _state(name, line, state, n_states)
            for label in given:
                if label not in names:
                    raise malformed(
                        name, f"line {line}: {shown(label)} is not declared above", _FORMAT
                    )
                masks[names[label]][at] = True
    return masks


def _declared(path: str, lines: Iterator[tuple[int, str]]) -> dict[str, str]:
    """{what the lines call a label: the label}."""
    number, head = next(lines, (1, ""))
    found: dict[str, str] = {}
    if head == "#DECLARATION":
        for _, text in lines:
            if text == "#END":
                return found
            found |= {label: label for label in text.split()}
    else:
        pairs = DECLARED.findall(head)
        found = dict(pairs)
        if found and not DECLARED.sub("", head).strip():
            if len(found) == len(pairs) == len(set(found.values())):
                return found
            raise malformed(path, f"line {number}: a label is declared twice", _FORMAT)
    raise malformed(
        path,
        f"line {number}: no declaration of labels",
        'begin with 0="init" 1="done" ... as PRISM, or with #DECLARATION as Storm',
    )


def read_state_rewards(path: Path, n_states: int) -> FloatArray:
    """Read the rewards of the states of a model, .srew of PRISM or Storm.

    Parameters
    ----------
    path : str or os.PathLike
        Lines ``state reward``; states that are not listed have the reward 0. PRISM's first line has
        the number of states and of lines, Storm has none. Comments begin with ``#``.
    n_states : int

    Returns
    -------
    ndarray (n_states,)

    Raises
    ------
    InvalidChainError
        The file is malformed, or names a state that there is not or that has a reward already; the
        text names the line.

    Examples
    --------
    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "die.srew")
    >>> with open(path, "w") as file:
    ...     _ = file.write("3 2\\n0 1\\n1 0.5\\n")
    >>> read_state_rewards(path, 3).tolist()
    [1.0, 0.5, 0.0]
    """
    name = os.fsdecode(path)
    reward, seen = np.zeros(n_states), np.zeros(n_states, bool)
    with file_too_large(), opened_text(name) as file:
        announced, listed = None, 0
        for line, text in _lines(file):
            fields = text.split("#")[0].split()
            if not fields:
                continue
            if len(fields) != 2:
                raise malformed(name, f"line {line}: {len(fields)} fields", "write 'state reward'")
            if listed == 0 and announced is None and fields[0] == str(n_states):
                announced = line, _whole(name, line, fields[1])  # no state has this number
                continue
            at = _state(name, line, fields[0], n_states)
            if seen[at]:
                raise malformed(name, f"line {line}: state {at} has a reward already", "drop one")
            seen[at], listed = True, listed + 1
            try:
                reward[at] = real(fields[1])
            except ValueError as error:
                raise malformed(name, f"line {line}: {error}", "correct it") from None
            if not np.isfinite(reward[at]):
                raise malformed(name, f"line {line}: reward {fields[1]}", "rewards are finite")
    if announced is not None and announced[1] != listed:
        raise malformed(
            name,
            f"line {announced[0]} announces {announced[1]} rewards and {listed} follow",
            "correct one of them",
        )
    return reward


def _lines(file: Iterator[str]) -> Iterator[tuple[int, str]]:
    return ((number, text) for number, line in enumerate(file, 1) if (text := line.strip()))


def _whole(path: str, line: int, text: str) -> int:
    try:
        return whole(text)
    except ValueError as error:
        raise malformed(path, f"line {line}: {error}", "correct it") from None


def _state(path: str, line: int, text: str, n_states: int) -> int:
    state = _whole(path, line, text)
    if not 0 <= state < n_states:
        raise malformed(path, f"line {line}: state {state} is not in [0, {n_states})", "correct it")
    return state
