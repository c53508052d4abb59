"""A fuzzer of files and arguments: mutated files of every format that fastebm reads, and mutated
command lines, in processes that may die.

    python -m tests.fuzz_files --mutations 20000 --seed 1 --jobs 2

Every reader refuses a file in one line, or reads what an independent strict reading says.
"""

import os
import sys
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # read when the libraries are loaded

_oracles = str(Path(__file__).resolve().parent.parent / "oracles")
if _oracles not in sys.path:
    sys.path.append(_oracles)
