"""Everything public is annotated, and type checkers see it.

Nothing is listed here: the names come from `fastebm.__all__`, from its public modules and from the
subclasses of `Result`.
"""

import dataclasses
import functools
import importlib
import importlib.metadata
import inspect
import pkgutil
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import fastebm
from fastebm._runtime.results import Result

SCRIPT = Path(__file__).with_name("user_script.py")
ROOT = Path(__file__).resolve().parents[2]


def public_objects() -> dict[str, object]:
    """{dotted name: public function or class}, those of public modules included."""
    found: dict[str, object] = {}
    for name in fastebm.__all__:
        thing = getattr(fastebm, name)
        if not inspect.ismodule(thing):
            found[name] = thing
            continue
        for member, value in vars(thing).items():
            home = getattr(value, "__module__", None) or ""
            if home.startswith(thing.__name__) and not member.startswith("_"):
                found[f"{name}.{member}"] = value
    return found


def full_name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__name__}".removeprefix("fastebm.")


def results() -> dict[str, type]:
    """{dotted name: class} of every result of the package, also those that others contain."""
    for module in pkgutil.walk_packages(fastebm.__path__, "fastebm."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    found: dict[str, type] = {}
    waiting = [Result]
    while waiting:
        for kind in waiting.pop().__subclasses__():
            if kind.__module__.startswith("fastebm."):
                found[full_name(kind)] = kind
            waiting.append(kind)
    return found


OBJECTS = public_objects()
RESULTS = results()
CLASSES = {full_name(kind): kind for kind in OBJECTS.values() if inspect.isclass(kind)} | RESULTS


def unwrapped(attribute: object) -> Callable[..., object] | None:
    """The function behind a method, property or cached property."""
    if isinstance(attribute, property):
        return attribute.fget
    if isinstance(attribute, functools.cached_property):
        return attribute.func
    if isinstance(attribute, (classmethod, staticmethod)):
        return attribute.__func__
    return attribute if inspect.isfunction(attribute) else None


def methods(kind: type) -> Iterator[tuple[str, Callable[..., object]]]:
    """Public methods, properties and operators that a class or its bases in the package define."""
    for base in kind.__mro__:
        if not base.__module__.startswith("fastebm"):
            continue
        # Methods that dataclass() generates have no source file of ours.
        frozen = {"__init__", "__replace__", "__setattr__", "__delattr__"}
        generated = frozen if dataclasses.is_dataclass(base) else set()
        if getattr(base, "_is_protocol", False):  # typing makes them
            generated = {"__init__", "__subclasshook__"}
        for name, attribute in vars(base).items():
            special = name.startswith("__") and name.endswith("__") and name not in generated
            function = unwrapped(attribute)
            if function is not None and (special or not name.startswith("_")):
                yield f"{base.__name__}.{name}", function


def missing(function: Callable[..., object]) -> list[str]:
    """The parameters without annotation, and "return"."""
    signature = inspect.signature(function)
    bare = [
        name
        for name, parameter in signature.parameters.items()
        if parameter.annotation is parameter.empty and name not in ("self", "cls")
    ]
    if signature.return_annotation is signature.empty:
        bare.append("return")
    return bare


@pytest.mark.parametrize("name", [n for n, f in OBJECTS.items() if inspect.isfunction(f)])
def test_functions_are_annotated(name):
    assert not missing(OBJECTS[name])


@pytest.mark.parametrize("name", CLASSES)
def test_methods_and_properties_are_annotated(name):
    bare = {method: missing(function) for method, function in methods(CLASSES[name])}
    assert not {method: names for method, names in bare.items() if names}


@pytest.mark.parametrize("name", RESULTS)
def test_fields_say_what_is_in_their_arrays(name):
    """`NDArray[np.float64]` rather than `np.ndarray`, which a strict checker refuses."""
    vague = ("ndarray", "list", "dict", "tuple", "object", "Any")
    fields = {field.name: field.type for field in dataclasses.fields(RESULTS[name])}
    assert not {
        field: kind
        for field, kind in fields.items()
        if (kind if isinstance(kind, str) else getattr(kind, "__qualname__", "")).split(".")[-1]
        in vague
        and not getattr(kind, "__args__", None)
    }


@pytest.mark.parametrize("name", CLASSES)
def test_converged_is_one_bool(name):
    kind = CLASSES[name]
    declared = [
        vars(base).get("__annotations__", {}).get("converged")
        for base in kind.__mro__
        if "converged" in vars(base).get("__annotations__", {})
    ]
    declared += [
        inspect.signature(function).return_annotation
        for method, function in methods(kind)
        if method.endswith(".converged")
    ]
    assert all(annotation in (bool, "bool") for annotation in declared)


def test_the_script_of_a_user_runs():
    runpy.run_path(str(SCRIPT))


def test_the_script_of_a_user_passes_strict_type_checks():
    for package in ("mypy", "scipy-stubs"):
        try:
            importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            pytest.skip(f'{package} is not installed: pip install ".[lint]"')
    command = [
        *(sys.executable, "-m", "mypy", "--strict", "--config-file="),  # not ours, a user's
        *("--follow-imports=silent", "--cache-dir", str(ROOT / ".mypy_cache" / "user_script")),
        str(SCRIPT),
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
