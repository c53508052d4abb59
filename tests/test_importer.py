"""Another package compiles against the installed one: the functions of fastebm/core.pxd and the
headers of get_include()."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import fastebm as fe

EXAMPLE = Path(__file__).resolve().parents[1] / "docs" / "importer"  # what the documentation shows

USE = """
import sys
import numpy as np
import fastebm as fe
import importer

chain = fe.load("chain")
x = np.arange(2.0 * chain.n_states).reshape(-1, 2)
for left, expected in ((False, chain @ x), (True, (x.T @ chain).T)):
    y = np.empty_like(x)
    assert importer.product(chain, x, y, left) == (0, "success")
    assert np.array_equal(y, expected)
key, counter = np.array([7, 8], np.uint64), np.array([4, 3, 2, 1], np.uint64)
ours, inlined = importer.random_words(key, counter)
counter[0] -= 1  # NumPy counts before it draws
assert ours == inlined == np.random.Philox(key=key, counter=counter).random_raw(4).tolist()
try:
    importer.product("no chain", x, x, False)
except TypeError as error:
    assert "must be a MarkovChain" in str(error)
else:
    raise AssertionError
print(fe.__file__)
"""


def run(folder, *arguments):
    done = subprocess.run(
        [sys.executable, "-P", *arguments], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


def test_a_package_compiles_against_the_installed_one(tmp_path):
    pytest.importorskip("Cython")
    shutil.copy(EXAMPLE / "importer.pyx", tmp_path)
    # In a development tree get_include() is csrc/ with every header; an installed package has the
    # public ones only.
    copy_public_headers(Path(fe.get_include()), tmp_path / "include")
    setup = (EXAMPLE / "setup.py").read_text()
    (tmp_path / "setup.py").write_text(setup.replace("fastebm.get_include()", '"include"'))
    chain = fe.MarkovChain(np.array([[0.5, 0.25, 0.25], [0.2, 0.0, 0.8], [1.0, 0.0, 0.0]]))
    chain.lazy(0.25).save(tmp_path / "chain")
    run(tmp_path, "setup.py", "--quiet", "build_ext", "--inplace")
    where = run(tmp_path, "-c", "import sys; sys.path.insert(0, '.')\n" + USE)
    assert Path(where.strip()) == Path(fe.__file__)


def test_the_include_folder_adds_one_name_to_the_path():
    folder = Path(fe.get_include())
    assert [path.name for path in folder.glob("*.h")] == ["fastebm.h"]
    assert (Path(fe.__file__).parent / "core.pxd").exists()


def test_an_installed_package_has_the_public_headers_only(tmp_path):
    folder = Path(fe.get_include())
    if folder != Path(fe.__file__).parent / "include":
        pytest.skip("not installed, but built in place")
    copy_public_headers(folder, tmp_path)
    assert {p.relative_to(folder) for p in folder.rglob("*.h")} == {
        p.relative_to(tmp_path) for p in tmp_path.rglob("*.h")
    }


def test_the_public_headers_compile_alone(tmp_path):
    """As C, with warnings, and nothing but the public headers on the include path."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("no C compiler")
    copy_public_headers(Path(fe.get_include()), tmp_path / "include")
    (tmp_path / "user.c").write_text(
        "#include <fastebm.h>\n"
        "double first(const ebm_csr_t *A) { return ebm_csr_value(A, 0); }\n"
        "int64_t size(const ebm_scaled_t *P) { return P->kernel->n_states; }\n"
        "void words(const uint64_t *key, const uint64_t *counter, uint64_t *out) {\n"
        "    ebm_philox_block(key, counter, out); }\n"
    )
    command = [compiler, "-std=c11", "-Wall", "-Wextra", "-Werror", "-I", "include", "-c", "user.c"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def copy_public_headers(source, target, name="fastebm.h"):
    """What BuildPy installs: fastebm.h and the headers it includes. Fails if one is missing."""
    if not (target / name).exists():
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / name, target / name)
        for included in re.findall(
            r'^#include "([^"]+)"', (source / name).read_text(), re.MULTILINE
        ):
            copy_public_headers(source, target, included)
