from libc.stdint cimport int64_t, uint64_t
from libc.stdlib cimport free, malloc

from fastebm cimport core

cdef extern from "fastebm.h" nogil:  # the inline part of the headers works without any function of the package
    void ebm_philox_block(const uint64_t *key, const uint64_t *counter, uint64_t *out)


def product(chain, const double[:, ::1] x not None, double[:, ::1] y not None, bint left):
    cdef bint transposed
    cdef const core.ebm_scaled_t *P = core.chain_operator(chain, left, &transposed)
    cdef int64_t width = x.shape[1]
    cdef double *scratch = <double *>malloc(P.kernel.n_states * width * sizeof(double))
    cdef int status
    with nogil:
        status = core.operator_apply(P, transposed, 2, width, &x[0, 0], scratch, &y[0, 0])
    free(scratch)
    return status, core.status_text(status).decode()


def random_words(const uint64_t[::1] key not None, const uint64_t[::1] counter not None):
    cdef uint64_t ours[4], inlined[4]
    with nogil:
        core.philox(&key[0], &counter[0], ours)
        ebm_philox_block(&key[0], &counter[0], inlined)
    return list(ours), list(inlined)
