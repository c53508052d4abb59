"""Imports point down the layers, and no modules form a circle. Read from the sources: a module's
layer is its folder's, so that a new module needs no line here."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[1] / "fastebm"

# Folders, and files of the package's own folder, from the bottom up; those of a line know nothing
# of each other.
LAYERS = """
errors _version _core
_runtime core
linalg patterns rlvr io
counts plot
chains
equilibrium datasets
spectral simulation
hitting mixing coarse_graining inference
policy networks kinetics continuous_time
llm distributed
report
__init__
cli
__main__
"""
LAYER = {name: i for i, line in enumerate(LAYERS.split("\n")) for name in line.split()}


def modules():
    """{dotted name below fastebm: path} of every module; that of a folder is its __init__."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts)] = path
    return found


MODULES = modules()


def place(module):
    """The folder, or the file of the package's own folder, that a module stands in."""
    return module.split(".")[0]


def imported(module):
    """The modules of the package that a module imports, anywhere in it: inside of functions and for
    type checking, too."""
    package = module.split(".")[:-1]
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            for alias in node.names:
                parts = alias.name.split(".")
                if parts[0] == "fastebm":
                    yield resolve(parts[1:])
        elif isinstance(node, ast.ImportFrom):
            source = (node.module or "").split(".") if node.module else []
            if node.level:
                source = package[: len(package) - node.level + 1] + source
            elif source[:1] == ["fastebm"]:
                source = source[1:]
            else:
                continue
            for alias in node.names:
                yield resolve([*source, alias.name])


def resolve(parts):
    """The module that `from parts[:-1] import parts[-1]` takes its name from."""
    for length in range(len(parts), -1, -1):
        for name in (".".join(parts[:length]), ".".join([*parts[:length], "__init__"])):
            if name in MODULES:
                return name
    raise AssertionError(f"no module {'.'.join(parts)}")


IMPORTS = {module: sorted(set(imported(module)) - {module}) for module in MODULES}


@pytest.mark.parametrize("module", MODULES)
def test_every_module_has_a_layer(module):
    assert place(module) in LAYER, f"put {place(module)} into one of the layers of this file"


@pytest.mark.parametrize("module", MODULES)
def test_imports_point_down(module):
    own = place(module)
    for source in IMPORTS[module]:
        other = place(source)
        assert other == own or LAYER[other] < LAYER[own], f"{module} imports {source}"


def test_no_modules_form_a_circle():
    try:
        TopologicalSorter(IMPORTS).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def names_from(module):
    """(module, name) of every `from module import name`."""
    package = module.split(".")[:-1]
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            source = package[: len(package) - node.level + 1]
            source += node.module.split(".") if node.module else []
            for alias in node.names:
                yield ".".join(source), alias.name


@pytest.mark.parametrize("module", MODULES)
def test_other_folders_private_names_stay_private(module):
    for source, name in names_from(module):
        if source and place(source) != place(module) and not source.startswith("_core"):
            assert name == "__version__" or not name.startswith("_"), (
                f"{module} imports {name} of {source}"
            )
