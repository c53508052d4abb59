"""Build of the one extension module; everything that can be declared is in pyproject.toml.

FASTEBM_OPENMP=0 builds without threads; otherwise OpenMP is used where the compiler has it.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
SOURCES = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("csrc/fastebm/*/*.c"))


def has_openmp(compiler):
    """Whether the compiler builds and links a program with -fopenmp."""
    if os.environ.get("FASTEBM_OPENMP", "1") == "0":
        return False
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "probe.c")
        source.write_text("#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }\n")
        command = [*compiler, "-fopenmp", str(source), "-o", str(source.with_suffix(""))]
        return subprocess.run(command, capture_output=True).returncode == 0


class BuildExt(build_ext):
    """-ffp-contract=off: results keep their bits across x86-64 CPUs with and without fused multiply-add."""

    def build_extensions(self):
        flags = ["-O3", "-std=c11", "-ffp-contract=off", "-fno-math-errno"]
        openmp = ["-fopenmp"] if has_openmp(self.compiler.compiler) else []
        if not openmp:
            print("fastebm: built without OpenMP, every analysis runs on one thread", file=sys.stderr)
            flags.append("-Wno-unknown-pragmas")
        for extension in self.extensions:
            extension.extra_compile_args = flags + openmp
            extension.extra_link_args = openmp
        super().build_extensions()


class BuildPy(build_py):
    """Puts the C headers beside the package, where fastebm.get_include() finds them."""

    def run(self):
        super().run()
        if not self.editable_mode:
            target = Path(self.build_lib, "fastebm", "include")
            target.mkdir(parents=True, exist_ok=True)
            for header in sorted(ROOT.glob("csrc/*.h")):
                shutil.copy(header, target)


setup(
    ext_modules=cythonize(
        Extension(
            "fastebm._core.core",
            ["fastebm/_core/core.pyx", *SOURCES],
            include_dirs=["csrc"],
            depends=[str(p.relative_to(ROOT)) for pattern in ("csrc/**/*.h", "fastebm/_core/*.px?") for p in ROOT.glob(pattern)],
        ),
        language_level=3,
        compiler_directives={"boundscheck": False, "wraparound": False, "embedsignature": True},
    ),
    cmdclass={"build_ext": BuildExt, "build_py": BuildPy},
)
