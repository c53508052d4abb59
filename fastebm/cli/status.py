"""Whether an answer is complete: the exit status, `status` and the complaints on stderr."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from .._runtime.results import Result
from .remedies import in_options

# Of the help.
STATUSES = """\
Exit status, and "status" in the JSON: 0 "done"; 1 "failed" (a part has no answer) or "unconverged";
2 bad usage or input; 128 + n "interrupted" by signal n (130 Ctrl-C, 143 SIGTERM, 138 SIGUSR1)."""


def status_of(answer: Mapping[str, Any], reasons: Sequence[str] = ()) -> str:
    """ "done"; "failed" if there are errors; "unconverged" if a result, or a warning that it did
    not converge, says so."""
    if any(_errors(answer)):
        return "failed"
    return "unconverged" if reasons or any(_unconverged(answer)) else "done"


def complaints(
    answer: Mapping[str, Any], reasons: Sequence[str], spellings: Mapping[str, str]
) -> list[str]:
    """Why the exit status is not 0, in lines for stderr."""
    if answer["status"] == "interrupted":
        kept = answer["checkpoint"]
        goes_on = f"; the same command goes on from {kept}" if kept else ""
        return [f"stopped by {answer['signal']}: {answer['interrupted']}{goes_on}"]
    lines = [  # their texts name options already
        f"no answer: {error['part']}: {error['text']}"
        if error["part"]
        else f"error: {error['text']}"
        for error in _errors(answer)
    ]
    for reason in reasons:
        lines.append(f"not converged: {in_options(reason, spellings, names_files=False)}")
    names = dict.fromkeys(_unconverged(answer))
    if names and not lines:
        lines.append(f"not converged: {', '.join(names)}")
    return lines


def _errors(answer: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    """The errors of a command and of the parts of its results."""
    if "error" in answer:
        yield {"part": "", **answer["error"]}
    for part in answer.values():
        for result in part if isinstance(part, list) else [part]:
            yield from getattr(result, "errors", ())


def _unconverged(found: Any, name: str = "") -> Iterator[str]:
    """The names of the results in an answer whose `converged` is False."""
    if isinstance(found, Result):
        if not np.all(getattr(found, "converged", True)):
            yield name
    elif isinstance(found, dict):
        for key, value in found.items():
            if key == "converged" and name and not value:
                yield name
            yield from _unconverged(value, str(key))
    elif isinstance(found, (list, tuple)):
        for item in found:
            yield from _unconverged(item, name)
