"""Rules of csrc/ and its bindings, read from the folders and the sources: a file's layer is its
folder's."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CORE, BINDINGS, TESTS = ROOT / "csrc", ROOT / "fastebm" / "_core", ROOT / "tests" / "c"

# Each layer may include those before it; folders of one layer do not include each other.
LAYERS = [{"base"}, {"patterns", "rlvr"}, {"linalg", "chains", "counts", "simulation"}]
STORED = "fastebm/patterns/csr.h"
# In the header of whatever reads the entries of a matrix, followed by the reason.
MARKER = "Stored matrices only:"

FILES = sorted(CORE.glob("fastebm/*/*.[ch]"))
FOLDERS = {path.parent.name for path in FILES}


def name(path):
    return str(path.relative_to(CORE))


def own_includes(path):
    return re.findall(r'^\s*#\s*include\s*"([^"]+)"', path.read_text(), re.MULTILINE)


def all_includes(path):
    """The headers of csrc/ that a file reaches, through others too."""
    seen, waiting = set(), own_includes(path)
    while waiting:
        header = waiting.pop()
        if header not in seen:
            seen.add(header)
            waiting += own_includes(CORE / header)
    return seen


def layer(folder):
    return next(level for level, folders in enumerate(LAYERS) if folder in folders)


def each_file(files=FILES):
    return pytest.mark.parametrize("path", files, ids=name)


def test_every_folder_has_a_layer_and_tests():
    assert set().union(*LAYERS) == FOLDERS and sum(map(len, LAYERS)) == len(FOLDERS)
    tested = {re.match(r"test_([a-z]+)", path.name).group(1) for path in TESTS.glob("test_*.c")}
    assert tested == FOLDERS


@each_file()
def test_includes_name_the_folder_and_point_down(path):
    for header in own_includes(path):
        assert (CORE / header).is_file() and header.startswith("fastebm/")
        source = header.split("/")[1]
        assert source == path.parent.name or layer(source) < layer(path.parent.name), (
            f"{name(path)} includes {header}"
        )


@each_file([path for path in FILES if path.suffix == ".h"])
def test_no_header_includes_itself(path):
    assert name(path) not in all_includes(path)


@each_file()
def test_sources_use_no_python_allocate_nothing_and_print_nothing(path):
    text = path.read_text()
    assert not re.search(r"#\s*include\s*<(Python\.h|numpy/.*)>", text)
    assert not re.search(
        r"\b(Py[A-Z_]\w*|\w*printf|malloc|calloc|realloc|free|fopen|exit|abort)\s*\(", text
    )


@each_file([path for path in FILES if path.suffix == ".c"])
def test_a_source_includes_its_own_header_first(path):
    assert own_includes(path)[0] == name(path.with_suffix(".h"))


@each_file([path for path in FILES if path.suffix == ".h"])
def test_the_guard_is_named_after_the_path(path):
    guard = re.sub(r"\W", "_", name(path)).upper()
    assert path.read_text().count(f"#ifndef {guard}\n#define {guard}\n") == 1


@each_file()
def test_algorithms_see_a_kernel_unless_their_header_says_why_not(path):
    """Only headers that give a reason in their comment include csr.h."""
    if name(path.with_suffix(".h")) == STORED:
        return
    assert (STORED in own_includes(path)) == (MARKER in path.read_text())
    assert path.suffix == ".h" or STORED not in own_includes(path)


def test_the_public_header_is_small_and_namespaced():
    assert [path.name for path in CORE.glob("*.*")] == ["fastebm.h"]
    public = all_includes(CORE / "fastebm.h")
    assert {header.split("/")[1] for header in public} <= {"base", "patterns"} and len(public) < 10
    text = "".join((CORE / header).read_text() for header in public)
    names = re.findall(
        r"^#define (\w+)|^(?:EBM_INLINE|static inline|int|void|const char) [^;{]*?\*?(\w+)\("
        r"|^\} (\w+);",
        text,
        re.MULTILINE,
    )
    assert all(re.match(r"(ebm|EBM|FASTEBM)_", n) for found in names for n in found if n)


def test_what_extern_blocks_declare_is_in_pxd_files():
    assert not [path.name for path in BINDINGS.glob("*.py[x]") if "cdef extern" in path.read_text()]
    assert not [path.name for path in BINDINGS.glob("*.pxi") if "cdef extern" in path.read_text()]
    declared = [
        header
        for path in BINDINGS.glob("*.pxd")
        for header in re.findall(r'cdef extern from "([^"]+)"', path.read_text())
    ]
    assert len(declared) == len(set(declared)) and all(
        (CORE / header).is_file() for header in declared
    )
    families = {path.stem.split("_")[0] for path in BINDINGS.glob("*.pxi")} - {"interface"}
    assert families == FOLDERS


@pytest.mark.parametrize("pattern", ["csrc/**/*.[ch]", "tests/c/*.[ch]", "fastebm/_core/*.p*"])
def test_no_file_is_long_and_no_line_is_wide(pattern):
    for path in ROOT.glob(pattern):
        lines = path.read_text().splitlines() if path.is_file() else []
        assert len(lines) <= 400 and max(map(len, lines), default=0) <= 100, path.name
