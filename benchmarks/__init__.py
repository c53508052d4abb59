"""Cases, contenders and the runner that lets them compete. What is measured is the fastebm that is installed: the sources
beside this folder come last on the path, though Python puts the folder it is started in first."""

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != ROOT] + [str(ROOT)]
