cdef class Lanczos:
    """The state of a three-term recurrence on S, with `deflate` (a unit eigenvector) kept out; v is taken over."""

    cdef ebm_lanczos_t c
    cdef readonly Scaled S
    cdef int num_threads
    cdef double[::1] v, v_prev, scaled_v
    cdef const double[::1] deflate

    def __cinit__(self, Scaled S not None, const double[::1] deflate not None, double[::1] v not None, int num_threads):
        cdef int64_t n = S.c.kernel.n_states
        cdef int status
        need(deflate.shape[0] == n and v.shape[0] == n, "lengths of deflate and v")
        self.S, self.deflate, self.v, self.num_threads = S, deflate, v, num_threads
        self.v_prev = np.empty(n)
        self.c.S = &S.c
        self.c.deflate = &self.deflate[0]
        self.c.v = &self.v[0]
        self.c.v_prev = &self.v_prev[0]
        self.c.scaled_v = NULL
        if S.c.col != NULL:
            self.scaled_v = np.empty(n)
            self.c.scaled_v = &self.scaled_v[0]
        with nogil:
            status = ebm_lanczos_start(&self.c, num_threads)
        check(status)

    @property
    def norm(self):
        return self.c.norm

    def expand(self, int64_t n_steps, const double[::1] combine=None, double[::1] ritz=None):
        """-> (alpha, beta) of the steps done, fewer than n_steps where the subspace is invariant."""
        cdef double[::1] alpha = np.empty(n_steps), beta = np.empty(n_steps)
        cdef int64_t n_done
        cdef int status
        need(n_steps >= 1, "n_steps")
        need(combine is None or (combine.shape[0] >= n_steps and ritz is not None
                                 and ritz.shape[0] == self.v.shape[0]), "combine and ritz")
        cdef const double *weights = pointer(combine)
        cdef double *out = &ritz[0] if ritz is not None else NULL
        with nogil:
            status = ebm_lanczos_expand(&self.c, n_steps, weights, self.num_threads, out, &alpha[0], &beta[0], &n_done)
        check(status)
        return np.asarray(alpha)[:n_done], np.asarray(beta)[:n_done]
