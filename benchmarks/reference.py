"""The reference gaps of the full-size cases in cases.py: `python -m benchmarks.reference [TEXT]`.

A reference is the Dirichlet form of an eigenvector that a peer computed (PyAMG + LOBPCG where it is
a contender, else SciPy eigsh), with a residual a thousand times below that of the table: a rigorous
upper bound with error residual^2 / separation.
"""

import sys
import tempfile

from .cases import family_cases
from .contenders import spectral
from .problem import Problem


def reference(case):
    """(gap, who computed the vector)."""
    peer = "PyAMG + LOBPCG" if "PyAMG + LOBPCG" in case.peers else "SciPy eigsh"
    options = {**case.options, "gap": 1e-3 * case.options["gap"]}
    with tempfile.TemporaryDirectory() as folder:
        chain = case.chain()
        problem = Problem.write(folder, chain, options, spectral.inputs(chain, options))
        vectors = spectral.CONTENDERS[peer](problem)().vector
        return spectral.dirichlet_sum(problem.matrix("P"), problem.array("root"), vectors), peer


if __name__ == "__main__":
    text = sys.argv[1] if len(sys.argv) > 1 else ""
    for case in family_cases("spectral"):
        if case.options["kind"] == "spectral" and text in case.name:
            print(case.name, *reference(case), flush=True)
