EVOLVE_WIDTH = EBM_EVOLVE_WIDTH


cdef class ConjugateGradients:
    """The state of conjugate gradients for (I - S) x = b, from x = 0; b is taken over as the residual."""

    cdef ebm_cg_t c
    cdef readonly Scaled S
    cdef int num_threads
    cdef double[::1] _x, r, p, q, scaled_p

    def __cinit__(self, Scaled S not None, double[::1] b not None, int num_threads):
        cdef int64_t n = S.c.kernel.n_states
        cdef int status
        need(b.shape[0] == n, "length of b")
        self.S, self.r, self.num_threads = S, b, num_threads
        self._x, self.p, self.q = np.empty(n), np.empty(n), np.empty(n)
        self.c.S = &S.c
        self.c.x, self.c.r, self.c.p, self.c.q = &self._x[0], &self.r[0], &self.p[0], &self.q[0]
        self.c.scaled_p = NULL
        if S.c.col != NULL:
            self.scaled_p = np.empty(n)
            self.c.scaled_p = &self.scaled_p[0]
        with nogil:
            status = ebm_cg_start(&self.c, num_threads)
        check(status)

    @property
    def x(self):
        return np.asarray(self._x)

    @property
    def square(self):
        """The squared norm of the residual, as the recurrence has it."""
        return self.c.square

    def expand(self, int64_t n_steps, double target):
        """At most n_steps steps, until square <= target; -> steps done."""
        cdef int64_t n_done
        cdef int status
        with nogil:
            status = ebm_cg_expand(&self.c, n_steps, target, self.num_threads, &n_done)
        check(status)
        return n_done


def evolve_distances(const double[::1] pi not None, const double[:, ::1] g not None, int num_threads):
    """-> array (3, width): total variation, Kullback-Leibler divergence, chi-square of each column of g."""
    cdef int64_t width = g.shape[1]
    cdef double[:, ::1] out = np.empty((3, width))
    cdef int status
    need(g.shape[0] == pi.shape[0] and 1 <= width <= EBM_EVOLVE_WIDTH, "shape of g")
    with nogil:
        status = ebm_evolve_distances(pi.shape[0], width, num_threads, &pi[0], &g[0, 0], &out[0, 0], &out[1, 0], &out[2, 0])
    check(status)
    return np.asarray(out)
