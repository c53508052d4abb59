from pathlib import Path

from Cython.Build import cythonize
from setuptools import Extension, setup

import fastebm

setup(
    name="importer",
    ext_modules=cythonize(
        Extension(
            "importer",
            ["importer.pyx"],
            include_dirs=[fastebm.get_include()],
            extra_compile_args=["-O0"],
        ),
        language_level=3,
        # Only an editable install of fastebm needs this.
        include_path=[str(Path(fastebm.__file__).parents[1])],
    ),
)
