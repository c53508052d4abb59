# Divergences of Bernoulli distributions: arguments of n numbers, or of one for all.


cdef ebm_numbers_t numbers(const double[::1] x, int64_t n) except *:
    """One number, or n of them; None for NULL."""
    cdef ebm_numbers_t view
    view.x = NULL
    view.step = 0
    if x is not None:
        need(x.shape[0] == n or x.shape[0] == 1, "an argument of one number or n")
        view.x = &x[0]
        view.step = x.shape[0] != 1
    return view


def bernoulli_divergence(const double[::1] p not None, const double[::1] p0 not None,
                         const double[::1] beta, bint logit, int num_threads,
                         double[::1] out not None):
    """out = beta KL(p || p*), logit p* = logit p0 + 1 / beta; beta None: KL(p || p0)."""
    cdef int64_t n = out.shape[0]
    cdef int status
    need(n >= 1, "an empty piece")
    cdef ebm_numbers_t a = numbers(p, n), b = numbers(p0, n), c = numbers(beta, n)
    with nogil:
        status = ebm_bernoulli_divergence(n, logit, num_threads, a, b, c, &out[0])
    check(status)


def bernoulli_reach(const double[::1] x0 not None, const double[::1] kl not None, int num_threads,
                    double[::1] out not None):
    """out = the s >= 0 with KL(x0 + s || x0) = kl, in logits."""
    cdef int64_t n = out.shape[0]
    cdef int status
    need(n >= 1, "an empty piece")
    cdef ebm_numbers_t a = numbers(x0, n), b = numbers(kl, n)
    with nogil:
        status = ebm_bernoulli_reach(n, num_threads, a, b, &out[0])
    check(status)
