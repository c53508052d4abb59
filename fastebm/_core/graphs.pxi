def graph_components(Csr A not None):
    """-> (labels int32, n_classes), classes in reverse topological order."""
    cdef int64_t n = A.c.n_states, n_classes
    cdef int32_t[::1] work32 = np.empty(3 * n, np.int32), labels = np.empty(n, np.int32)
    cdef int64_t[::1] work64 = np.empty(n, np.int64)
    cdef int status
    with nogil:
        status = ebm_graph_components(&A.c, &work32[0], &work64[0], &labels[0], &n_classes)
    check(status)
    return np.asarray(labels), n_classes


def graph_classes(Csr A not None, const int32_t[::1] labels not None, int64_t n_classes):
    """-> (closed bool, period int64, size int64), one entry a class."""
    cdef int32_t[::1] work = np.empty(2 * A.c.n_states, np.int32)
    cdef uint8_t[::1] closed = np.empty(n_classes, np.uint8)
    cdef int64_t[::1] period = np.empty(n_classes, np.int64), size = np.empty(n_classes, np.int64)
    cdef int status
    need(labels.shape[0] == A.c.n_states, "length of labels")
    with nogil:
        status = ebm_graph_classes(&A.c, &labels[0], n_classes, &work[0], &closed[0], &period[0], &size[0])
    check(status)
    return np.asarray(closed).view(bool), np.asarray(period), np.asarray(size)


def graph_reach(Csr A not None, uint8_t[::1] reached not None, const uint8_t[::1] avoid):
    """Extends `reached` in place to all that is reachable from it along the rows of A without entering `avoid`."""
    cdef int32_t[::1] work = np.empty(A.c.n_states, np.int32)
    cdef int status
    need(reached.shape[0] == A.c.n_states, "length of reached")
    need(avoid is None or avoid.shape[0] == A.c.n_states, "length of avoid")
    cdef const uint8_t *blocked = &avoid[0] if avoid is not None else NULL
    with nogil:
        status = ebm_graph_reach(&A.c, blocked, &work[0], &reached[0])
    check(status)


def graph_potential(Csr A not None, Csr T not None):
    """-> (w, mismatch): A[x, y] exp(w[x]) = A[y, x] exp(w[y]) up to a factor exp(mismatch)."""
    cdef int32_t[::1] work = np.empty(A.c.n_states, np.int32)
    cdef double[::1] w = np.empty(A.c.n_states)
    cdef double mismatch
    cdef int status
    need(T.c.n_states == A.c.n_states, "sizes of A and its transpose")
    with nogil:
        status = ebm_graph_potential(&A.c, &T.c, &work[0], &w[0], &mismatch)
    check(status)
    return np.asarray(w), mismatch


def tilt_values(Csr A not None, const double[::1] log_row, const double[::1] log_col, const double[::1] reward,
                bint normalize, int num_threads):
    """-> (values, log_norm or None, row): row is the first row whose every entry is forbidden, or -1."""
    cdef int64_t n = A.c.n_states, row
    cdef double[::1] values = np.empty(A.nnz), log_norm = np.empty(n if normalize else 1)
    cdef int status
    need(log_row is None or log_row.shape[0] == n, "length of log_row")
    need(log_col is None or log_col.shape[0] == n, "length of log_col")
    need(reward is None or reward.shape[0] == A.nnz, "length of reward")
    cdef const double *row_p = pointer(log_row)
    cdef const double *col_p = pointer(log_col)
    cdef const double *reward_p = pointer(reward)
    with nogil:
        status = ebm_tilt_values(&A.c, row_p, col_p, reward_p, normalize, num_threads, &values[0], &log_norm[0], &row)
    return np.asarray(values), np.asarray(log_norm) if normalize else None, row if status != EBM_OK else -1


def flux_balance(Csr A not None, Csr T not None, const double[::1] log_row, const double[::1] log_col,
                 const double[::1] log_pi not None, int num_threads):
    """-> dict of the fields of ebm_flux_balance_t, worst as a list of (source, target, forward, backward)."""
    cdef int64_t n = A.c.n_states, i
    cdef ebm_flux_balance_t total
    cdef uint8_t[::1] partial = np.empty(ebm_n_blocks(n) * sizeof(ebm_flux_balance_t), np.uint8)
    cdef int status
    need(T.c.n_states == n and log_pi.shape[0] == n, "lengths")
    need(log_row is None or log_row.shape[0] == n, "length of log_row")
    need(log_col is None or log_col.shape[0] == n, "length of log_col")
    cdef const double *row_p = pointer(log_row)
    cdef const double *col_p = pointer(log_col)
    with nogil:
        status = ebm_flux_balance(&A.c, &T.c, row_p, col_p, &log_pi[0], num_threads,
                                  <ebm_flux_balance_t *>&partial[0], &total)
    check(status)
    worst = [(total.worst[i].source, total.worst[i].target, total.worst[i].forward, total.worst[i].backward)
             for i in range(total.n_worst)]
    return {"max_violation": total.max_violation, "violation": total.violation, "one_way": total.one_way,
            "entropy_production": total.entropy_production, "n_one_way": total.n_one_way, "worst": worst}


def flux_additive(Csr A not None, Csr T not None, const double[::1] log_row, const double[::1] log_col,
                  const double[::1] log_pi not None, int num_threads):
    """-> Csr of the symmetric matrix of the additive reversibilisation."""
    cdef int64_t n = A.c.n_states
    cdef int64_t[::1] indptr = np.empty(n + 1, np.int64)
    cdef int status
    need(T.c.n_states == n and log_pi.shape[0] == n, "lengths")
    need(log_row is None or log_row.shape[0] == n, "length of log_row")
    need(log_col is None or log_col.shape[0] == n, "length of log_col")
    with nogil:
        status = ebm_flux_additive_count(&A.c, &T.c, &indptr[0])
    check(status)
    cdef int32_t[::1] indices = np.empty(indptr[n], np.int32)
    cdef double[::1] values = np.empty(indptr[n])
    cdef const double *row_p = pointer(log_row)
    cdef const double *col_p = pointer(log_col)
    with nogil:
        status = ebm_flux_additive_fill(&A.c, &T.c, row_p, col_p, &log_pi[0], num_threads, &indptr[0], &indices[0],
                                        &values[0])
    check(status)
    return Csr(np.asarray(indptr), np.asarray(indices), np.asarray(values))
