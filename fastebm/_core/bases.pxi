COMPOSE = {"right": EBM_COMPOSED_RIGHT, "left": EBM_COMPOSED_LEFT, "fold": EBM_COMPOSED_MULTIPLICATIVE, "mean": EBM_COMPOSED_ADDITIVE}


def compose_apply(Scaled S not None, str kind not None, const double[:, ::1] x not None, double[::1] scratch not None,
                  double[:, ::1] y not None, int num_threads):
    """y = S x, S^T x, S S^T x or (S + S^T) x / 2; x and y (width, n_states)."""
    cdef int64_t n = S.c.kernel.n_states, width = x.shape[0]
    cdef ebm_composed_kind_t which = COMPOSE[kind]
    cdef int status
    need(x.shape[1] == n and y.shape[1] == n and y.shape[0] == width and width >= 1, "shapes of x and y")
    need(scratch.shape[0] >= n * width * (2 if which == EBM_COMPOSED_MULTIPLICATIVE else 1), "length of scratch")
    with nogil:
        status = ebm_composed_apply(&S.c, which, num_threads, width, &x[0, 0], &scratch[0], &y[0, 0])
    check(status)


def basis_project(const double[:, ::1] V not None, const double[:, ::1] W not None, int num_threads):
    """-> V W^T, (m, w)."""
    cdef int64_t n = V.shape[1], m = V.shape[0], w = W.shape[0]
    cdef double[:, ::1] H = np.zeros((m, w))
    cdef int status
    need(W.shape[1] == n, "lengths of the vectors of V and W")
    if m * w * n == 0:
        return np.asarray(H)
    cdef double[::1] partial = np.empty(ebm_n_blocks(n) * m * w)
    with nogil:
        status = ebm_basis_project(n, m, w, &V[0, 0], &W[0, 0], num_threads, &partial[0], &H[0, 0])
    check(status)
    return np.asarray(H)


def basis_remove(const double[:, ::1] V not None, const double[:, ::1] C not None, double[:, ::1] W not None, int num_threads):
    """W -= C^T V; -> V W^T of the new W."""
    cdef int64_t n = V.shape[1], m = V.shape[0], w = W.shape[0]
    cdef double[:, ::1] H = np.zeros((m, w))
    cdef int status
    need(W.shape[1] == n and C.shape[0] == m and C.shape[1] == w, "shapes of V, C and W")
    if m * w * n == 0:
        return np.asarray(H)
    cdef double[::1] partial = np.empty(ebm_n_blocks(n) * m * w)
    with nogil:
        status = ebm_basis_remove(n, m, w, &V[0, 0], &C[0, 0], num_threads, &W[0, 0], &partial[0], &H[0, 0])
    check(status)
    return np.asarray(H)


def basis_rotate(double[:, ::1] V not None, const double[:, ::1] Q not None, int64_t[::1] done not None, int64_t n_more,
                 int num_threads):
    """The first Q.shape[1] vectors of V become Q^T V on n_more more states; done[0], the states done so far, is advanced with
    them, so that a rotation which Ctrl-C stops between two calls can be finished."""
    cdef int64_t n = V.shape[1], m = V.shape[0], k = Q.shape[1], end = min(done[0] + n_more, V.shape[1])
    cdef int status
    need(Q.shape[0] == m and m >= 1 and n >= 1 and k >= 1 and done.shape[0] == 1, "shapes of V, Q and done")
    with nogil:
        status = ebm_basis_rotate(n, done[0], end, m, k, &Q[0, 0], num_threads, &V[0, 0])
    check(status)
    done[0] = end
