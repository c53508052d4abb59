# The functions that other packages may call, without the GIL where it says so; compile with
# fastebm.get_include(). fastebm.h explains the structures and which functions are inline in the
# headers, those need no declaration here.
from libc.stdint cimport int64_t, uint64_t

cdef extern from "fastebm.h" nogil:
    ctypedef struct ebm_kernel_t:
        int64_t n_states
    ctypedef struct ebm_scaled_t:
        const ebm_kernel_t *kernel
        const double *row
        const double *col
        const double *shift

# The operator of a MarkovChain's products P x (left: x P, which may build the transpose), valid as
# long as the chain lives, and whether operator_apply has to transpose it. Raises TypeError for an
# object that is not a chain.
cdef const ebm_scaled_t *chain_operator(object chain, bint left, bint *transposed) except NULL

# y = P x, or P^T x, for x, y, scratch (n_states, width), row-major; scratch may be NULL where there
# is no scaling on the input's side. Returns 0 or the number of an error, for status_text.
cdef int operator_apply(const ebm_scaled_t *P, bint transposed, int num_threads, int64_t width,
                        const double *x, double *scratch, double *y) noexcept nogil

# The block of Philox4x64-10: key has two words, counter and out four.
cdef void philox(const uint64_t *key, const uint64_t *counter, uint64_t *out) noexcept nogil

cdef const char *status_text(int status) noexcept nogil
