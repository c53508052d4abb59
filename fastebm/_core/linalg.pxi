# Bases of vectors, composed operators and the Lanczos recurrence.

COMPOSE = {"right": EBM_COMPOSED_RIGHT, "left": EBM_COMPOSED_LEFT,
           "multiplicative": EBM_COMPOSED_MULTIPLICATIVE, "additive": EBM_COMPOSED_ADDITIVE}


def composed_apply(Scaled S not None, str kind not None, const double[:, ::1] x not None,
                  double[::1] scratch not None, double[:, ::1] y not None, int num_threads):
    """y = S x, S^T x, S S^T x or (S + S^T) x / 2; x and y (width, n_states)."""
    cdef int64_t n = S.c.kernel.n_states, width = x.shape[0]
    cdef ebm_composed_kind_t which = COMPOSE[kind]
    cdef int status
    need(x.shape[1] == n and y.shape[1] == n and y.shape[0] == width and width >= 1,
         "shapes of x and y")
    need(scratch.shape[0] >= n * width * (2 if which == EBM_COMPOSED_MULTIPLICATIVE else 1),
         "length of scratch")
    with nogil:
        status = ebm_composed_apply(&S.c, which, num_threads, width, &x[0, 0], &scratch[0],
                                    &y[0, 0])
    check(status)


def basis_project(const double[:, ::1] V not None, const double[:, ::1] W not None,
                  int num_threads):
    """-> V W^T, (m, w)."""
    cdef int64_t n = V.shape[1], m = V.shape[0], w = W.shape[0]
    cdef double[:, ::1] H = np.zeros((m, w))
    cdef int status
    need(W.shape[1] == n, "lengths of the vectors of V and W")
    if m * w * n == 0:
        return np.asarray(H)
    cdef double[::1] partial = doubles(ebm_n_blocks(n) * m * w)
    with nogil:
        status = ebm_basis_project(n, m, w, &V[0, 0], &W[0, 0], num_threads, &partial[0], &H[0, 0])
    check(status)
    return np.asarray(H)


def basis_remove(const double[:, ::1] V not None, const double[:, ::1] C not None,
                 double[:, ::1] W not None, int num_threads):
    """W -= C^T V; -> V W^T of the new W."""
    cdef int64_t n = V.shape[1], m = V.shape[0], w = W.shape[0]
    cdef double[:, ::1] H = np.zeros((m, w))
    cdef int status
    need(W.shape[1] == n and C.shape[0] == m and C.shape[1] == w, "shapes of V, C and W")
    if m * w * n == 0:
        return np.asarray(H)
    cdef double[::1] partial = doubles(ebm_n_blocks(n) * m * w)
    with nogil:
        status = ebm_basis_remove(n, m, w, &V[0, 0], &C[0, 0], num_threads, &W[0, 0], &partial[0],
                                  &H[0, 0])
    check(status)
    return np.asarray(H)


def basis_rotate(double[:, ::1] V not None, const double[:, ::1] Q not None,
                 int64_t[::1] done not None, int64_t n_more, int num_threads):
    """The first Q.shape[1] vectors of V become Q^T V on n_more more states; done[0], the states
    done so far, is advanced with them, so that a rotation which Ctrl-C stops between two calls can
    be finished."""
    cdef int64_t n = V.shape[1], m = V.shape[0], k = Q.shape[1], end = min(done[0] + n_more,
                                                                           V.shape[1])
    cdef int status
    need(Q.shape[0] == m and m >= 1 and n >= 1 and k >= 1 and done.shape[0] == 1,
         "shapes of V, Q and done")
    with nogil:
        status = ebm_basis_rotate(n, done[0], end, m, k, &Q[0, 0], num_threads, &V[0, 0])
    check(status)
    done[0] = end


cdef class Lanczos:
    """The state of a three-term recurrence on the symmetrisation of P, a Scaled with the given
    `ratio` (None: a constant) and `top_scale`; w, the start in the coordinates of lanczos.h,
    is overwritten and kept."""

    cdef ebm_lanczos_t c
    cdef readonly Scaled P
    cdef int num_threads
    cdef double[::1] one, other
    cdef const double[::1] square, ratio

    def __cinit__(self, Scaled P not None, const double[::1] ratio, double top_scale,
                  double[::1] w not None, int num_threads):
        cdef int64_t n = P.c.kernel.n_states
        cdef int status
        need(w.shape[0] == n and (ratio is None or ratio.shape[0] == n), "lengths of w and ratio")
        self.P, self.ratio, self.num_threads = P, ratio, num_threads
        self.one, self.other = w, doubles(n)
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
        """-> (alpha, beta) of the steps done, fewer than n_steps where the subspace is invariant.
        """
        cdef double[::1] alpha = doubles(n_steps), beta = doubles(n_steps)
        cdef int64_t n_done
        cdef int status
        need(n_steps >= 1, "n_steps")
        need(combine is None or (combine.shape[0] >= n_steps and ritz is not None
                                 and ritz.shape[0] == self.one.shape[0]), "combine and ritz")
        cdef const double *weights = pointer(combine)
        cdef double *out = &ritz[0] if ritz is not None else NULL
        with nogil:
            status = ebm_lanczos_expand(&self.c, n_steps, weights, self.num_threads, out, &alpha[0],
                                        &beta[0], &n_done)
        check(status)
        return as_array(alpha)[:n_done], as_array(beta)[:n_done]

    def state(self):
        """All that the next step depends on, for a checkpoint: arrays by name."""
        current = self.c.w == &self.one[0]
        scalars = np.array([self.c.norm, self.c.norm_prev, self.c.mean, self.c.mean_prev])
        return {"w": np.asarray(self.one if current else self.other),
                "w_prev": np.asarray(self.other if current else self.one), "scalars": scalars}

    def restore(self, state):
        """Continue from `state()`."""
        need(state["w"].shape == state["w_prev"].shape == (self.one.shape[0],)
             and state["scalars"].shape == (4,), "state")
        as_array(self.one)[:], as_array(self.other)[:] = state["w"], state["w_prev"]
        self.c.w, self.c.w_prev = &self.one[0], &self.other[0]
        self.c.norm, self.c.norm_prev, self.c.mean, self.c.mean_prev = state["scalars"]
