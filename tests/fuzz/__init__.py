"""A differential fuzzer: random chains of every kind through every analysis, against oracles.

    python -m tests.fuzz --chains 1000 --seed 1 --hard 20

One thread a process; the oracles of `tests/oracles` are imported by their own names.
"""

import os
import sys
from pathlib import Path

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(_name, "1")  # read when the libraries are loaded

_oracles = str(Path(__file__).resolve().parent.parent / "oracles")
if _oracles not in sys.path:
    sys.path.append(_oracles)
