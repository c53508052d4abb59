from pathlib import Path

import fastebm
from Cython.Build import cythonize
from setuptools import Extension, setup

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
        include_path=[str(Path(fastebm.__file__).parents[1])],
    ),
)  # only an editable install needs to say this
