"""Another package compiles against the installed one: the functions of fastebm/core.pxd and the headers of get_include()."""

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
    for name in ("setup.py", "importer.pyx"):
        shutil.copy(EXAMPLE / name, tmp_path)
    chain = fe.MarkovChain(np.array([[0.5, 0.25, 0.25], [0.2, 0.0, 0.8], [1.0, 0.0, 0.0]]))
    chain.lazy(0.25).save(tmp_path / "chain")
    run(tmp_path, "setup.py", "--quiet", "build_ext", "--inplace")
    where = run(tmp_path, "-c", "import sys; sys.path.insert(0, '.')\n" + USE)
    assert Path(where.strip()) == Path(fe.__file__)


def test_the_headers_are_where_get_include_says():
    folder = Path(fe.get_include())
    assert {"fastebm.h", "kernel.h", "random.h", "csr.h"} <= {
        path.name for path in folder.glob("*.h")
    }
    assert (Path(fe.__file__).parent / "core.pxd").exists()
