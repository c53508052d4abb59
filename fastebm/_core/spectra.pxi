cdef class Lanczos:
    """The state of a three-term recurrence on the symmetrisation of P, a Scaled with the given `ratio` (None: a constant) and
    `top_scale`; w, the start in the coordinates of csrc/lanczos.h, is taken over."""

    cdef ebm_lanczos_t c
    cdef readonly Scaled P
    cdef int num_threads
    cdef double[::1] one, other
    cdef const double[::1] square, ratio

    def __cinit__(self, Scaled P not None, const double[::1] ratio, double top_scale, double[::1] w not None, int num_threads):
        cdef int64_t n = P.c.kernel.n_states
        cdef int status
        need(w.shape[0] == n and (ratio is None or ratio.shape[0] == n), "lengths of w and ratio")
        self.P, self.ratio, self.num_threads = P, ratio, num_threads
        self.one, self.other = w, np.empty(n)
        self.square = P.row if P.col is None else P.col if P.row is None else P.row * P.col
        self.c.kernel = P.c.kernel
        self.c.square = pointer(self.square)
        self.c.ratio = pointer(self.ratio)
        self.c.shift = P.c.shift
        self.c.top = P.c.col
        self.c.top_scale = top_scale
        self.c.w, self.c.w_prev = &self.one[0], &self.other[0]
        with nogil:
            status = ebm_lanczos_start(&self.c, num_threads)
        check(status)

    def expand(self, int64_t n_steps, const double[::1] combine=None, double[::1] ritz=None):
        """-> (alpha, beta) of the steps done, fewer than n_steps where the subspace is invariant."""
        cdef double[::1] alpha = np.empty(n_steps), beta = np.empty(n_steps)
        cdef int64_t n_done
        cdef int status
        need(n_steps >= 1, "n_steps")
        need(combine is None or (combine.shape[0] >= n_steps and ritz is not None
                                 and ritz.shape[0] == self.one.shape[0]), "combine and ritz")
        cdef const double *weights = pointer(combine)
        cdef double *out = &ritz[0] if ritz is not None else NULL
        with nogil:
            status = ebm_lanczos_expand(&self.c, n_steps, weights, self.num_threads, out, &alpha[0], &beta[0], &n_done)
        check(status)
        return np.asarray(alpha)[:n_done], np.asarray(beta)[:n_done]

    def state(self):
        """All that the next step depends on, for a checkpoint: arrays by name."""
        current = self.c.w == &self.one[0]
        scalars = np.array([self.c.norm, self.c.norm_prev, self.c.mean, self.c.mean_prev])
        return {"w": np.asarray(self.one if current else self.other), "w_prev": np.asarray(self.other if current else self.one),
                "scalars": scalars}

    def restore(self, state):
        """Continue from `state()`."""
        need(state["w"].shape == state["w_prev"].shape == (self.one.shape[0],) and state["scalars"].shape == (4,), "state")
        np.asarray(self.one)[:], np.asarray(self.other)[:] = state["w"], state["w_prev"]
        self.c.w, self.c.w_prev = &self.one[0], &self.other[0]
        self.c.norm, self.c.norm_prev, self.c.mean, self.c.mean_prev = state["scalars"]
