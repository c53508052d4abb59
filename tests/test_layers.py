"""Dependencies point down: results and errors < core < chains < analyses < report, command line and package. Read from the
sources, not from what happens to be loaded."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "fastebm"

BASE = {"_core", "errors", "results", "_runtime", "checkpoint", "_validate", "core", "krylov", "davidson", "leading"}
CHAINS = {
    "pattern", "_build", "chain", "tilt", "symmetric", "store", "lattice", "rules", "passes", "computed", "counts",
    "tables", "reversible",
}
ANALYSES = {
    "structure", "stationary", "balance", "spectral", "gap", "gap_reversible", "gap_general", "dirichlet", "lanczos",
    "multigrid", "rayleigh", "hitting", "walk", "mixing", "mixing_time", "rlvr", "rlvr_elementwise", "rlvr_laws", "rlvr_inverse",
    "rlvr_prompts", "rlvr_policies", "rlvr_divergences", "rlvr_residuals", "rlvr_curves", "eigen", "walkers", "tally", "splitting",
    "importance", "solver", "absorption", "moments", "bounds", "recurrence", "reversibility", "markov", "potential",
    "bootstrap", "contraction", "dobrushin", "autocorrelation", "metastable", "extension", "lumping",
}
INPUT = {"io", "datasets"}
TOP = {
    "__init__", "__main__", "cli", "report", "report_facts", "report_words", "report_files", "report_html", "report_tables", "report_figures",
    "plot", "plot_axes", "plot_spectrum", "plot_states", "plot_times", "plot_tilt", "demo", "demo_html", "study",
}
LAYERS = [BASE, CHAINS, ANALYSES, INPUT, TOP]

MODULES = sorted(path.stem for path in PACKAGE.glob("*.py"))


def imports(module):
    """(module, name, is inside a function) of every import of one of the package's own modules; name None for a whole one."""
    tree = ast.parse((PACKAGE / f"{module}.py").read_text())
    inner = {id(node) for f in ast.walk(tree) if isinstance(f, (ast.FunctionDef, ast.AsyncFunctionDef)) for node in ast.walk(f)}
    for node in ast.walk(tree):
        late = id(node) in inner
        if isinstance(node, ast.ImportFrom) and (node.level == 1 or (node.module or "").split(".")[0] == "fastebm"):
            source = node.module if node.level == 1 else node.module.removeprefix("fastebm").lstrip(".")
            for alias in node.names:
                yield (source.split(".")[0], alias.name, late) if source else (alias.name, None, late)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.name.startswith("fastebm."):
                    yield alias.name.split(".")[1], None, late


def layer(module):
    return next(i for i, names in enumerate(LAYERS) if module in names)


@pytest.mark.parametrize("module", MODULES)
def test_every_module_has_a_layer(module):
    assert sum(module in names for names in LAYERS) == 1, f"put {module} into one of the layers of this file"


@pytest.mark.parametrize("module", sorted(set(MODULES) - TOP))
def test_imports_point_down(module):
    """A chain asks one question of an analysis, its stationary law, when reverse() is called: an import inside a function."""
    for source, name, late in imports(module):
        if source not in MODULES and source != "_core":
            continue  # a public name of the package itself
        exception = (module, source, name) == ("chain", "stationary", "stationary") and late
        assert exception or layer(source) <= layer(module), f"{module} imports {name or source} of {source}"


@pytest.mark.parametrize("module", sorted(set(MODULES) - TOP))
def test_nothing_but_the_top_imports_the_package(module):
    assert not [source for source, _, _ in imports(module) if source not in MODULES and source != "_core"]


@pytest.mark.parametrize("module", sorted(set(MODULES) & ANALYSES))
def test_analyses_use_each_others_public_names_only(module):
    private = [(source, name) for source, name, _ in imports(module) if source in ANALYSES and (name or "").startswith("_")]
    assert not private
    tree = ast.parse((PACKAGE / f"{module}.py").read_text())
    whole = {source for source, name, _ in imports(module) if name is None and source in ANALYSES}
    assert not [node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute) and node.attr.startswith("_")
                and isinstance(node.value, ast.Name) and node.value.id in whole]


@pytest.mark.parametrize("module", sorted((BASE - {"_core"}) & set(MODULES)))
def test_the_base_knows_no_chain(module):
    assert {source for source, _, _ in imports(module)} <= BASE
