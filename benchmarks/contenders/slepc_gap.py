"""The gap by SLEPc, run by mpirun in an interpreter that has slepc4py: slepc_gap.py FOLDER TOL.

Each rank reads its rows of S from the folder. sqrt(pi) is deflated (EPSSetDeflationSpace), so only
one pair is computed. Rank 0 prints one line of JSON and writes the eigenvector to
FOLDER/slepc_vector.npy.
"""

import ctypes
import gc
import json
import sys
import time

import numpy as np
from petsc4py import PETSc

FOLDER, TOL = sys.argv[1], float(sys.argv[2])


def load(name, begin=None, end=None):
    return np.array(np.load(f"{FOLDER}/{name}.npy", mmap_mode="r")[begin:end])


def memory(field):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(field + ":"))


def main():
    from slepc4py import SLEPc

    comm = PETSc.COMM_WORLD
    n = np.load(f"{FOLDER}/S_indptr.npy", mmap_mode="r").size - 1
    begin, end = (n * rank // comm.size for rank in (comm.rank, comm.rank + 1))
    indptr = load("S_indptr", begin, end + 1)
    entries = slice(int(indptr[0]), int(indptr[-1]))
    S = PETSc.Mat().createAIJ(
        ((end - begin, n), (end - begin, n)),
        comm=comm,
        csr=(
            (indptr - indptr[0]).astype(PETSc.IntType),
            load("S_indices", entries.start, entries.stop).astype(PETSc.IntType),
            load("S_data", entries.start, entries.stop),
        ),
    )
    S.assemble()
    S.setOption(PETSc.Mat.Option.SYMMETRIC, True)
    root, v = S.createVecs()
    root.setArray(load("root", begin, end))
    start = S.createVecRight()
    start.setArray(np.random.default_rng((1, comm.rank)).standard_normal(end - begin))

    eps = SLEPc.EPS().create(comm)
    eps.setOperators(S)
    eps.setProblemType(SLEPc.EPS.ProblemType.HEP)
    eps.setType(SLEPc.EPS.Type.KRYLOVSCHUR)
    eps.setWhichEigenpairs(SLEPc.EPS.Which.LARGEST_REAL)
    eps.setDeflationSpace([root])
    eps.setInitialSpace([start])
    eps.setDimensions(1)
    eps.setTolerances(TOL, 10**7)
    eps.setFromOptions()
    PETSc.Log.begin()
    product = PETSc.Log.Event("MatMult")

    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # as in runner.py
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # from here on VmHWM is the peak of the solve
    before, counted = memory("VmRSS"), product.getPerfInfo()["count"]
    comm.barrier()
    clock = time.perf_counter()
    eps.solve()
    comm.barrier()
    seconds = time.perf_counter() - clock
    peak = memory("VmHWM") - before
    products = int(product.getPerfInfo()["count"] - counted)

    if eps.getConverged() < 1:
        raise RuntimeError("no pair converged")
    theta = eps.getEigenpair(0, v).real
    scatter, whole = PETSc.Scatter.toZero(v)
    scatter.scatter(v, whole)
    total = PETSc.Vec().createMPI((1, comm.size), comm=comm)
    total.setArray([float(peak)])
    peak_bytes = int(total.sum())
    if comm.rank == 0:
        np.save(f"{FOLDER}/slepc_vector.npy", whole.getArray())
        print(
            json.dumps(
                {
                    "gap": 1.0 - theta,
                    "products": products,
                    "seconds": seconds,
                    "peak_bytes": peak_bytes,
                }
            )
        )


main()
