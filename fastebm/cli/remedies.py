"""Rewrites the remedies in the library's errors as options of the command.

The errors give advice in Python ("pass normalize=True", "use chain.lazy(0.5)"), because most
callers are Python programs. A user of the command line cannot change such a call. So every error
text is rewritten here before it is shown. By convention an error reads "problem; remedy", and
keyword arguments are rewritten after the first semicolon only: a file may be called
``beta=0.5.npz``."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from .._runtime.results import Result

# Calls that an option or another command replaces.
CALLS = (
    (r", or cyclic_classes\(chain\)\.power\(0\), P\^\d+ on a cyclic class", ""),
    (r"chain\.lazy\(([0-9.]+)\)", r"--lazy \1"),
    (
        r"chain\.restrict\([^()]*\)(,? (with )?\w+ from structure\(chain\))?",
        "'fastebm convert CHAIN OUTPUT --class STATE'",
    ),
    (r"chain\.largest_class\(\)", "'fastebm convert CHAIN OUTPUT --class STATE'"),
    (r"; call stationary\(chain, max_iter=\.\.\.\) with more products first", ""),
    (r"(?<!\w)stationary\(chain\)", "'fastebm stationary CHAIN'"),
    (r"\bstructure\(chain\)", "'fastebm info CHAIN'"),
    (r"\bdetailed_balance\(chain\)", "'fastebm balance CHAIN'"),
    (r"columns=\{'(\w+)': NAME\}", r"--column \1=NAME"),
    (r"units=\{'(\w+)': '([^']*)'\}", r"--unit \1='\2'"),
    (r", or pass normalize=False", ""),
    (r"reward_range=\(LOW, HIGH\)", "--reward-range LOW HIGH"),
)
KEYWORD = re.compile(r"\b(?P<name>[a-z]\w*)=(?P<value>\"[^\"]*\"|'[^']*'|[\w.+-]*\w)?")
# A parameter without "=", as in "lower n_steps"; a word without "_" may be plain English.
PARAMETER = re.compile(r"(?<![\w.-])[a-z]+(_[a-z]+)+(?![\w(])")
QUOTES = "\"'"
ARGUMENT = re.compile(r"^\w+(?= must )")
RAISED = re.compile(r"(?<=\braise )\w+")


def in_options(text: str, spellings: Mapping[str, str], *, names_files: bool = True) -> str:
    """The text of an error with options of the command in place of Python.

    Parameters
    ----------
    text : str
    spellings : mapping of str to str
        Parameter of the library's functions -> option of the command, as `parser` declares them.
    names_files : bool
        Whether the problem, before the first semicolon, may name a file: it is then kept.

    Returns
    -------
    str

    Examples
    --------
    >>> in_options("row 0 sums to 4, not 1; pass normalize=True", {"normalize": "--normalize"})
    'row 0 sums to 4, not 1; pass --normalize'
    """

    def option(match: re.Match[str]) -> str:
        spelling, value = spellings.get(match["name"]), match["value"]
        if spelling is None:
            return match[0]
        if value in (None, "True"):
            return spelling
        return f"{spelling} {value.strip(QUOTES)}"

    for call, replacement in CALLS:
        text = re.sub(call, replacement, text)
    problem, semicolon, remedy = text.partition(";")
    remedy = KEYWORD.sub(option, remedy)
    remedy = PARAMETER.sub(lambda match: spellings.get(match[0], match[0]), remedy)
    remedy = RAISED.sub(lambda match: spellings.get(match[0], match[0]), remedy)
    if not names_files:
        problem = KEYWORD.sub(option, problem)
    problem = ARGUMENT.sub(lambda match: spellings.get(match[0], match[0]), problem)
    return problem + semicolon + remedy


def with_options(found: Any, spellings: Mapping[str, str]) -> Any:
    """`found`; if it is a result with `errors`, their texts name options."""
    if not isinstance(found, Result) or not getattr(found, "errors", ()):
        return found
    errors = [
        error | {"text": in_options(error["text"], spellings)}
        for error in getattr(found, "errors", ())
    ]
    result: Any = found  # a dataclass, as every result, with the field errors
    return dataclasses.replace(result, errors=errors)
