"""Cases, contenders, and the runner that measures them against each other.

The installed fastebm is measured: the sources next to this folder are put last on the path, where
Python would have the folder it is started in come first.
"""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != ROOT] + [str(ROOT)]
