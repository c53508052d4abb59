"""Imports point down the layers and no modules form a circle; what a source may look like.

Everything is read from the sources. The layer of a module is that of its folder, so that a new
module needs no line here.
"""

import ast
import re
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "fastebm"

# Folders, and files of the package's own folder, from the bottom up. Those on one line do not
# import each other.
LAYERS = """
errors _version _core
_runtime core
linalg patterns io
rlvr
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
    """{dotted name without "fastebm.": path} of every module; a folder's is its __init__."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        found[".".join(parts)] = path
    return found


MODULES = modules()


def place(module):
    """The folder of a module, or its name if it is in the package's own folder."""
    return module.split(".")[0]


def imported(module):
    """The modules of the package that a module imports anywhere: also inside functions and under
    TYPE_CHECKING."""
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


@pytest.mark.parametrize("module", [m for m in MODULES if m != "__init__"])
def test_imports_of_the_package_are_statements(module):
    """An import by a call would escape the tests of this file. A user's module, whose name is in a
    variable, is imported by one."""
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Call):
            called = getattr(node.func, "attr", getattr(node.func, "id", ""))
            assert called != "__import__"
            assert called != "import_module" or isinstance(node.args[0], ast.Name)


def test_no_modules_form_a_circle():
    try:
        TopologicalSorter(IMPORTS).prepare()
    except CycleError as error:
        pytest.fail(" <- ".join(error.args[1]))


def names_from(module):
    """(module, name) of every relative `from module import name`."""
    package = module.split(".")[:-1]
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.ImportFrom) and node.level:
            source = package[: len(package) - node.level + 1]
            source += node.module.split(".") if node.module else []
            for alias in node.names:
                yield ".".join(source), alias.name


@pytest.mark.parametrize("module", MODULES)
def test_private_names_stay_in_their_folder(module):
    for source, name in names_from(module):
        if not source or place(source) in (place(module), "_core", "_version"):
            continue
        private = [part for part in [*source.split(".")[1:], name] if part.startswith("_")]
        assert not private, f"{module} imports {name} from {source}"


@pytest.mark.parametrize("module", MODULES)
def test_imports_name_the_defining_module(module):
    """Not the __init__ of another folder, which is there for users: it loads more than is needed.

    A module whose public functions are meant as a whole is imported as one: `from .. import plot`.
    """
    if module.endswith("__init__") or place(module) in ("__main__", "core"):
        return
    for source, name in names_from(module):
        if source and f"{source}.__init__" in MODULES and place(source) != "_core":
            assert f"{source}.{name}" in MODULES, f"{module} imports {name} from {source}"


# ------------------------------------------------------------------------------------- files


def test_modules_are_in_folders():
    """The package's own folder has what belongs to no topic, and what users import by its path."""
    files = {path.name.split(".")[0] for path in PACKAGE.iterdir() if path.is_file()}
    allowed = {"__init__", "__main__", "_version", "errors", "core", "datasets", "py"}
    assert files <= allowed, "put a new module into the folder of its topic"


def sources():
    """The sources that people edit, each with the most lines it may have.

    Code longer than 400 lines usually has a second idea, which gets a file of its own. Tests may
    have 600, because cases are long without being difficult. A stub has no limit: it declares one
    compiled module, and type checkers read one file for it.
    """
    for path in sorted(PACKAGE.rglob("*")):
        if path.suffix in (".py", ".pyx", ".pxi", ".pxd"):
            yield path, 400
    for path in sorted((ROOT / "csrc").rglob("*.[ch]")):
        yield path, 400
    for path in sorted((ROOT / "benchmarks").rglob("*.py")):
        yield path, 400
    for path in sorted((ROOT / "tests").rglob("*")):
        if path.suffix in (".py", ".c", ".h"):
            yield path, 600


def test_no_source_is_long():
    long = []
    for path, limit in sources():
        lines = len(path.read_text().splitlines())
        if lines > limit:
            long.append(f"{path.relative_to(ROOT)} has {lines} lines, more than {limit}")
    assert not long, "\n".join(long)


def test_no_two_classes_have_one_name():
    owners = {}
    for module, path in MODULES.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                owners.setdefault(node.name, []).append(module)
    assert not {name: found for name, found in owners.items() if len(found) > 1}


def test_contributing_names_files_that_exist():
    """CONTRIBUTING.md has no list of modules; the few paths it shows are checked here."""
    shown = re.findall(r"`([\w./-]*/[\w./-]*)`", (ROOT / "CONTRIBUTING.md").read_text())
    assert shown
    assert not [path for path in shown if not (ROOT / path).exists()]
