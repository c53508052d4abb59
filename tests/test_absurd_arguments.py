"""Every public argument that sets a size, with sizes that no machine holds: an error that names the
argument, or an answer where the size costs nothing; never a plain MemoryError, an overflow, a
killed process or a wait."""

import inspect
import json
import re
import subprocess
import sys
from pathlib import Path

import absurd_calls
import pytest

import fastebm as fe
from fastebm import rlvr

# Arguments that every function shares have tests of their own.
SHARED = {"num_threads", "rng"}
# Tokens of a language model, and functions of them, are no sizes.
TOKENS = {"prompt", "prompts", "tokens", "contexts", "prefix", "answer", "encode", "decode"}
TOKENS |= {"next_log_probs", "value"}


@pytest.fixture(scope="module")
def outcomes():
    program = Path(absurd_calls.__file__)
    with subprocess.Popen(
        [sys.executable, str(program)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        out, errors = process.communicate(timeout=500)
    lines = [json.loads(line) for line in out.splitlines()]
    assert process.returncode == 0, (process.returncode, lines[-1:], errors[-2000:])
    return lines


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="RLIMIT_AS is needed")
@pytest.mark.parametrize("name", [*absurd_calls.CALLS, *absurd_calls.GRIDS])
def test_absurd_sizes_are_refused_by_name(name, outcomes):
    found = [line for line in outcomes if line["name"] == name]
    assert len(found) == (len(absurd_calls.SIZES) if name in absurd_calls.CALLS else 1)
    argument = name.split(" ")[0].split(".")[-1]
    for line in found:
        is_named = argument in line["text"]
        if line["error"] == "ValueError":
            assert is_named, line  # and not one of NumPy about a shape
        else:
            assert line["expected"], line
        if line["error"] == "MemoryForecastError":
            assert is_named and "bytes are needed" in line["text"], line
        if name in absurd_calls.GRIDS:
            assert line["error"] == "MemoryForecastError", line


def integer_arguments():
    """Names "function.argument" of all public arguments that are integers."""
    for module in (fe, rlvr, fe.policy, fe.llm):
        for name in module.__all__:
            found = getattr(module, name)
            if inspect.isfunction(found):
                yield from named(name, found)
            elif inspect.isclass(found) and found not in (fe.TiltedChain, fe.llm.WordChain):
                methods = inspect.getmembers(
                    found, lambda x: inspect.isfunction(x) or inspect.ismethod(x)
                )
                for method, function in methods:
                    if not method.startswith("_"):
                        yield from named(f"{name}.{method}", function)


def named(name, function):
    for argument, parameter in inspect.signature(function).parameters.items():
        kind = str(parameter.annotation).replace("<class 'int'>", "int")
        is_integer = re.match(r"int\b", kind) or "Sequence[int]" in kind.split("| numpy")[0]
        if is_integer and "random" not in kind and argument not in SHARED | TOKENS:
            yield f"{name}.{argument}"


def test_no_argument_is_left_out():
    asked = {name.split(" ")[0] for name in absurd_calls.CALLS}
    found = set(integer_arguments())
    assert len(found) > 45
    assert found - asked == set()
