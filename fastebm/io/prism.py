"""Transitions of Markov chains as the model checkers PRISM and Storm export them, .tra."""

import math
from collections.abc import Iterator
from typing import Any

from .opening import malformed, opened_text, shown
from .transitions import Record, collect, transition_matrix, whole


def read_tra(path: str) -> tuple[Any, None]:
    with opened_text(path) as file:
        lines = (
            (number, fields)
            for number, line in enumerate(file, 1)
            if (fields := line.split("#")[0].split())
        )
        first, head = next(lines, (1, []))
        n_states, n_transitions = _announced(path, first, head)

        def number(text: str) -> int:
            state = whole(text)
            if not 0 <= state < n_states:
                raise ValueError(f"state {state} is not in [0, {n_states})")
            return state

        source, target, weight = collect(path, "line", _records(path, lines), number)
    if n_transitions is None:
        n_states = int(max(source.max(), target.max())) + 1
    elif n_transitions != len(weight):
        raise malformed(
            path,
            f"line {first} announces {n_transitions} transitions and {len(weight)} follow",
            "correct one of them",
        )
    return transition_matrix(path, source, target, weight, int(n_states)), None


def has_rates(path: str) -> bool:
    """Whether the first line of a .tra says that its numbers are rates: Storm's does, PRISM's says
    nothing."""
    with opened_text(path) as file:
        heads = (words for line in file if (words := line.split("#")[0].split()))
        return [word.lower() for word in next(heads, [])] == ["ctmc"]


def _announced(path: str, line: int, head: list[str]) -> tuple[float, int | None]:
    """(n_states, n_transitions) of the first line: PRISM names both, Storm neither."""
    if [word.lower() for word in head] in (["dtmc"], ["ctmc"]):
        return math.inf, None
    if len(head) == 2 and all(word.isascii() and word.isdecimal() for word in head):
        try:
            return whole(head[0]), whole(head[1])
        except ValueError as error:
            raise malformed(path, f"line {line}: {error}", "correct it") from None
    raise malformed(
        path,
        f"line {line}: {shown(' '.join(head))} is neither 'n_states n_transitions' nor 'dtmc' "
        "nor 'ctmc'",
        "export a Markov chain (decision processes are not read)",
    )


def _records(path: str, lines: Iterator[tuple[int, list[str]]]) -> Iterator[Record]:
    for number, fields in lines:
        if len(fields) not in (3, 4):
            raise malformed(
                path, f"line {number}: {len(fields)} fields", "write 'from to probability [action]'"
            )
        yield number, *fields[:3]  # type: ignore[misc]  # three fields, checked above
