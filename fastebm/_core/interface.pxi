# The functions that other packages call through fastebm/core.pxd, whose declarations must agree.

cdef api const ebm_scaled_t *chain_operator(object chain, bint left, bint *transposed) except NULL:
    from fastebm.chains.chain import require_chain

    scaled = require_chain(chain)._scaled
    operator, flipped = scaled.left if left else (scaled.operator, False)
    cdef Scaled P = operator
    transposed[0] = flipped
    return &P.c


cdef api int operator_apply(const ebm_scaled_t *P, bint transposed, int num_threads, int64_t width,
                            const double *x, double *scratch, double *y) noexcept nogil:
    return ebm_scaled_apply(P, transposed, num_threads, width, x, scratch, y)


cdef api void philox(const uint64_t *key, const uint64_t *counter, uint64_t *out) noexcept nogil:
    ebm_philox_block(key, counter, out)


cdef api const char *status_text(int status) noexcept nogil:
    return ebm_status_text(status)
