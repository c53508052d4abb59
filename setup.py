"""Build of the one extension module; everything that can be declared is in pyproject.toml.

FASTEBM_OPENMP=0 builds without threads; otherwise OpenMP is used where the compiler has it.
FASTEBM_BUILD_JOBS is the number of units compiled at a time, all available cores by default.
"""

import logging
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup
from setuptools.command.build_ext import build_ext
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
CORE = ROOT / "csrc"
KERNELS = sorted(str(path.relative_to(ROOT)) for path in CORE.glob("fastebm/*/*.c"))
HEADERS = sorted(str(path.relative_to(ROOT)) for path in CORE.glob("**/*.h"))
BINDINGS = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob("fastebm/_core/*.px[id]"))

# -ffp-contract=off: results have the same bits on x86-64 CPUs with and without fused multiply-add.
KERNEL_FLAGS = ["-O3", "-std=c11", "-ffp-contract=off", "-fno-math-errno", "-g0"]
# The generated bindings have no loops and no floating-point arithmetic: -O3 takes five times as
# long to compile them and saves 0.2 microseconds a call.
BINDING_FLAGS = ["-Og", "-std=c11", "-g0"]


def has_openmp(compiler):
    """Whether the compiler builds and links a program with -fopenmp."""
    if os.environ.get("FASTEBM_OPENMP", "1") == "0":
        return False
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder, "probe.c")
        source.write_text(
            "#include <omp.h>\nint main(void) { return omp_get_max_threads() < 1; }\n"
        )
        command = [*compiler, "-fopenmp", str(source), "-o", str(source.with_suffix(""))]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


def available_cpus():
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def public_headers(name="fastebm.h", seen=None):
    """fastebm.h and the headers that it includes, relative to csrc/."""
    seen = set() if seen is None else seen
    if name not in seen:
        seen.add(name)
        for included in re.findall(r'^#include "([^"]+)"', (CORE / name).read_text(), re.MULTILINE):
            public_headers(included, seen)
    return sorted(seen)


class BuildExt(build_ext):
    """Compiles the units that changed in parallel, with the flags of their kind; names each."""

    def build_extensions(self):
        openmp = ["-fopenmp"] if has_openmp(self.compiler.compiler) else []
        if not openmp:
            message = "fastebm: built without OpenMP, every analysis runs on one thread"
            print(message, file=sys.stderr)
        self.unit_flags = openmp or ["-Wno-unknown-pragmas"]
        for extension in self.extensions:
            extension.extra_link_args = openmp
        self.compiler.compile = self.compile_units
        stamp = Path(self.build_temp, "flags")
        flags = " ".join(KERNEL_FLAGS + BINDING_FLAGS + self.unit_flags)
        if not stamp.exists() or stamp.read_text() != flags:
            self.force = True  # units of an earlier build have other flags
        super().build_extensions()
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.write_text(flags)

    def compile_units(
        self,
        sources,
        output_dir=None,
        macros=None,
        include_dirs=None,
        debug=0,
        extra_preargs=None,
        extra_postargs=None,
        depends=None,
    ):
        compiler = self.compiler
        macros, objects, postargs, options, build = compiler._setup_compile(
            output_dir, macros, include_dirs, sources, depends, extra_postargs
        )
        arguments = compiler._get_cc_args(options, debug, extra_preargs)
        changed = max(os.path.getmtime(header) for header in HEADERS)
        stale = [
            unit
            for unit in objects
            if unit in build and (self.force or not is_newer(unit, build[unit][0], changed))
        ]
        jobs = int(os.environ.get("FASTEBM_BUILD_JOBS") or available_cpus())
        print(f"fastebm: {len(stale)} of {len(objects)} units to compile, {jobs} at a time")
        print(f"fastebm: kernels with {' '.join(KERNEL_FLAGS + self.unit_flags)}")
        print(f"fastebm: bindings with {' '.join(BINDING_FLAGS + self.unit_flags)}", flush=True)

        def compile_unit(unit):
            source, suffix = build[unit]
            flags = KERNEL_FLAGS if source in KERNELS else BINDING_FLAGS
            began = time.perf_counter()
            compiler._compile(
                unit, source, suffix, arguments, postargs + flags + self.unit_flags, options
            )
            print(f"fastebm: compiled {source} in {time.perf_counter() - began:.1f} s", flush=True)

        stale.sort(key=lambda unit: build[unit][0] in KERNELS)  # the bindings take longest: first
        logging.disable(logging.INFO)  # else every command line is printed, too
        try:
            with ThreadPoolExecutor(jobs) as pool:
                list(pool.map(compile_unit, stale))
        finally:
            logging.disable(logging.NOTSET)
        return objects


def is_newer(unit, source, changed):
    return os.path.exists(unit) and os.path.getmtime(unit) > max(os.path.getmtime(source), changed)


class BuildPy(build_py):
    """Puts the public C headers beside the package, where fastebm.get_include() finds them."""

    def run(self):
        super().run()
        if not self.editable_mode:
            for header in public_headers():
                target = Path(self.build_lib, "fastebm", "include", header)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(CORE / header, target)


setup(
    ext_modules=cythonize(
        Extension(
            "fastebm._core.core",
            ["fastebm/_core/core.pyx", *KERNELS],
            include_dirs=["csrc"],
            depends=[*HEADERS, *BINDINGS],
        ),
        language_level=3,
        compiler_directives={
            "boundscheck": False,
            "wraparound": False,
            "initializedcheck": False,
            "binding": False,  # plain built-in functions: less code, and their signatures as text
            "embedsignature": True,
            "embedsignature.format": "clinic",
        },
    ),
    cmdclass={"build_ext": BuildExt, "build_py": BuildPy},
)
