"""What an import loads, what is public, and that the examples in docstrings run."""

import ast
import doctest
import importlib
import inspect
import pkgutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastebm
from fastebm import _core

MODULES = sorted(
    ["fastebm", *(m.name for m in pkgutil.walk_packages(fastebm.__path__, "fastebm."))]
)


def loaded_by(code):
    """The modules of a fresh interpreter after `code`."""
    command = [sys.executable, "-P", "-c", f"import sys\n{code}\nprint(*sys.modules)"]
    return set(subprocess.run(command, capture_output=True, text=True, check=True).stdout.split())


def test_import_brings_nothing_heavy():
    loaded = loaded_by("import fastebm; fastebm.spectral_gap, fastebm.mixing_time")
    assert "fastebm.spectral.gap" in loaded
    heavy = {
        "numba",
        "matplotlib",
        "pandas",
        "tqdm",
        "pyarrow",
        "vaderSentiment",
        "pocketsphinx",
        "scipy.sparse.linalg",
        "scipy.optimize",
        "scipy.stats",
    }
    already = loaded_by("import scipy.sparse, scipy.linalg")
    assert not (loaded & heavy) - already


def test_the_command_line_handles_signals_before_it_imports_numpy():
    assert "numpy" not in loaded_by("import fastebm, fastebm.cli.signals")


def test_public_names_are_those_that_type_checkers_see():
    tree = ast.parse(Path(fastebm.__file__).read_text())
    (block,) = [node for node in tree.body if isinstance(node, ast.If)]
    for node in block.body:
        for alias in node.names:
            home = importlib.import_module(f"fastebm.{node.module}") if node.module else fastebm
            assert getattr(fastebm, alias.name) is getattr(home, alias.name), alias.name


def test_subpackages_are_attributes():
    assert fastebm.spectral.spectral_gap is fastebm.spectral_gap


def test_every_public_name_exists():
    assert len(set(fastebm.__all__)) == len(fastebm.__all__)
    for name in fastebm.__all__:
        assert getattr(fastebm, name) is not None
    assert set(fastebm.__all__) <= set(dir(fastebm))
    assert callable(fastebm.analyze) and fastebm.rlvr.target_accuracy(0.5, np.inf) == 0.5


def test_unknown_names_are_refused():
    with pytest.raises(AttributeError, match="no_such_thing"):
        _ = fastebm.no_such_thing
    assert not hasattr(fastebm, "no.such") and not hasattr(fastebm, "errors.FastebmError")


class Examples(doctest.DocTestRunner):
    """Skips the test at an example that needs a package that is not installed."""

    def report_unexpected_exception(self, out, test, example, exc_info):
        skip_if_a_package_is_missing(exc_info[1])
        super().report_unexpected_exception(out, test, example, exc_info)


def skip_if_a_package_is_missing(error):
    """Errors of optional packages are raised from the failed import, which names the package."""
    while error is not None:
        package = (getattr(error, "name", None) or "").split(".")[0]
        if isinstance(error, ModuleNotFoundError) and package != "fastebm":
            pytest.skip(f"{package} is not installed")
        error = error.__cause__


def run_examples(name):
    """The number of examples in the docstrings of a module, which must all hold."""
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        skip_if_a_package_is_missing(error)
        raise
    runner = Examples()
    for test in doctest.DocTestFinder().find(module):
        runner.run(test)
    assert runner.failures == 0
    return runner.tries


@pytest.mark.parametrize("name", [m for m in MODULES if not m.endswith("__main__")])
def test_doctests(name):
    attempted = run_examples(name)
    own = [
        obj
        for obj in vars(sys.modules[name]).values()
        if callable(obj) and getattr(obj, "__module__", None) == name
    ]
    assert attempted or not any(">>>" in (obj.__doc__ or "") for obj in own)


def test_examples_skip_where_an_optional_package_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(pytest.skip.Exception, match="matplotlib is not installed"):
        run_examples("fastebm.plot._spectrum")


def test_the_public_functions_have_examples():
    functions = [
        getattr(fastebm, name)
        for name in fastebm.__all__
        if name[0].islower() and callable(getattr(fastebm, name))
    ]
    assert not [
        f.__name__
        for f in functions
        if f.__name__ not in ("get_include", "load") and ">>>" not in (f.__doc__ or "")
    ]


def test_the_stub_declares_what_the_compiled_module_has():
    """Names, parameters of functions and methods, and attributes of classes."""
    stub = ast.parse((Path(fastebm.__file__).parent / "_core" / "core.pyi").read_text())
    functions = {node.name: node for node in stub.body if isinstance(node, ast.FunctionDef)}
    classes = {node.name: node for node in stub.body if isinstance(node, ast.ClassDef)}
    constants = {node.target.id for node in stub.body if isinstance(node, ast.AnnAssign)}
    assert sorted([*functions, *classes, *constants]) == sorted(_core.__all__)
    for name, node in functions.items():
        assert parameters(node) == list(inspect.signature(getattr(_core, name)).parameters), name
    for name, node in classes.items():
        kind = getattr(_core, name)
        declared = {item.target.id for item in node.body if isinstance(item, ast.AnnAssign)}
        methods = {
            item.name: item
            for item in node.body
            if isinstance(item, ast.FunctionDef) and item.name != "__init__"
        }
        inherited = set(dir(getattr(_core, node.bases[0].id))) if node.bases else set(dir(object))
        assert {key for key in dir(kind) if key[0] != "_"} - inherited == (
            declared | set(methods)
        ) - inherited, name
        for method, item in methods.items():
            found = list(inspect.signature(getattr(kind, method)).parameters)
            if not item.decorator_list:  # the signature of a class method has no cls
                found = found[1:]
            assert parameters(item)[1:] == found, (name, method)


def parameters(function):
    return [argument.arg for argument in function.args.args]
