# Tilted values, fluxes, cuts, lumpability and the evolution of distributions.

EVOLVE_WIDTH, EVOLVE_KINDS = EBM_EVOLUTION_WIDTH, EBM_EVOLUTION_KINDS


def cut_steps(Csr A not None, const double[::1] col, const int32_t[::1] rank not None,
              int64_t begin, int64_t end, int num_threads, double[::1] step not None):
    """Fills step[begin:end]: the flow of A diag(col) to the states of higher rank less that to the
    states of lower rank."""
    cdef int status
    need(rank.shape[0] == A.c.n_states and step.shape[0] == A.c.n_states,
         "lengths of rank and step")
    need(col is None or col.shape[0] == A.c.n_states, "length of col")
    need_rows(A, begin, end)
    cdef const double *col_p = pointer(col)
    with nogil:
        status = ebm_cut_steps(&A.c, col_p, &rank[0], begin, end, num_threads, &step[0])
    check(status)


def lump_order(const int32_t[::1] labels not None, int64_t begin, int64_t end,
               int64_t[::1] place not None, int32_t[::1] order not None):
    """Fills order with the states by set; place[set], the number of states in lower sets at first,
    moves along."""
    cdef int status
    need(0 <= begin <= end <= labels.shape[0] and order.shape[0] == labels.shape[0],
         "a range of states")
    with nogil:
        status = ebm_lump_order(&labels[0], begin, end, &place[0], &order[0])
    check(status)


cdef class Lump:
    """The largest defect of strong lumpability of the sets `labels`, and the flow between them of
    states of `weight`; `expand` until it returns True, calling `take` after each call. `defect` is
    that of the states seen so far."""

    cdef ebm_lump_t c
    cdef readonly Csr matrix
    cdef readonly object degree
    cdef const double[::1] row, col, shift, weight
    cdef const int32_t[::1] labels, order
    cdef double[:, ::1] numbers
    cdef int32_t[:, ::1] places
    cdef int64_t[::1] degrees
    cdef int32_t[::1] out_into
    cdef double[::1] out_flow

    def __cinit__(self, Csr A not None, const double[::1] row, const double[::1] col,
                  const double[::1] shift, const int32_t[::1] labels not None,
                  const int32_t[::1] order not None, int64_t n_sets, const double[::1] weight):
        cdef int64_t n = A.c.n_states
        need(n_sets >= 1 and labels.shape[0] == n and order.shape[0] == n,
             "lengths of labels and order")
        need((row is None or row.shape[0] == n) and (col is None or col.shape[0] == n),
             "lengths of row and col")
        need((shift is None or shift.shape[0] == n) and (weight is None or weight.shape[0] == n),
             "lengths of shift and weight")
        self.matrix, self.row, self.col, self.shift = A, row, col, shift
        self.labels, self.order, self.weight = labels, order, weight
        self.numbers, self.places = np.empty((4, n_sets)), np.full((5, n_sets), -1, np.int32)
        self.degrees = np.zeros(n_sets, np.int64)
        self.degree = as_array(self.degrees)
        self.c.capacity = n_sets + 1_000_000
        self.out_into, self.out_flow = int32s(self.c.capacity), doubles(self.c.capacity)
        self.c.A, self.c.row, self.c.col = &A.c, pointer(row), pointer(col)
        self.c.shift = pointer(shift)
        self.c.labels, self.c.order, self.c.weight = &labels[0], &order[0], pointer(weight)
        self.c.probability, self.c.high = &self.numbers[0, 0], &self.numbers[1, 0]
        self.c.low, self.c.flow = &self.numbers[2, 0], &self.numbers[3, 0]
        self.c.high_at, self.c.low_at = &self.places[0, 0], &self.places[1, 0]
        self.c.last = &self.places[2, 0]
        self.c.touched, self.c.row_touched = &self.places[3, 0], &self.places[4, 0]
        self.c.degree, self.c.out_into = &self.degrees[0], &self.out_into[0]
        self.c.out_flow = &self.out_flow[0]
        self.c.n_sets, self.c.x, self.c.y, self.c.into = n_sets, -1, -1, -1

    @property
    def n_seen(self):
        return self.c.at

    @property
    def defect(self):
        """(defect, x, y, into); x, y and into are -1 where it is zero."""
        ebm_lump_judge(&self.c)
        return self.c.defect, self.c.x, self.c.y, self.c.into

    def expand(self, int64_t n_entries):
        cdef int status, done
        with nogil:
            status = ebm_lump_expand(&self.c, n_entries, &done)
        check(status)
        return bool(done)

    def take(self):
        """(into, flow) of the sets finished since the last time."""
        n = self.c.n_out
        self.c.n_out = 0
        return np.array(self.out_into[:n]), np.array(self.out_flow[:n])


def tilt_values(Csr A not None, const double[::1] log_row, const double[::1] log_col,
                const double[::1] reward, int64_t begin, int64_t end, int num_threads,
                double[::1] values not None, double[::1] log_norm):
    """Fills rows [begin, end) of values and, where it is given, log_norm: the rows then sum to one.
    -> the first row whose every entry is forbidden, or -1."""
    cdef int64_t row
    cdef int status
    need(values.shape[0] == A.nnz and (reward is None or reward.shape[0] == A.nnz),
         "lengths of values and reward")
    need(log_norm is None or log_norm.shape[0] == A.c.n_states, "length of log_norm")
    need_rows(A, begin, end)
    need_scalings(A, log_row, log_col)
    cdef const double *row_p = pointer(log_row)
    cdef const double *col_p = pointer(log_col)
    cdef const double *reward_p = pointer(reward)
    cdef double *norm_p = &log_norm[0] if log_norm is not None else NULL
    with nogil:
        status = ebm_tilt_values(&A.c, row_p, col_p, reward_p, norm_p != NULL, begin, end,
                                 num_threads, &values[0], norm_p, &row)
    return row if status != EBM_OK else -1


def tilt_log_sums(Csr A not None, const double[::1] log_row, const double[::1] log_col,
                  const double[::1] reward, int64_t begin, int64_t end, int num_threads,
                  double[::1] log_sum not None):
    """Fills rows [begin, end) of log_sum: logs of the row sums of the tilted matrix."""
    cdef int status
    need(reward is None or reward.shape[0] == A.nnz, "length of reward")
    need(log_sum.shape[0] == A.c.n_states, "length of log_sum")
    need_rows(A, begin, end)
    need_scalings(A, log_row, log_col)
    cdef const double *row_p = pointer(log_row)
    cdef const double *col_p = pointer(log_col)
    cdef const double *reward_p = pointer(reward)
    with nogil:
        status = ebm_tilt_log_sums(&A.c, row_p, col_p, reward_p, begin, end, num_threads,
                                   &log_sum[0])
    check(status)


cdef class Balance:
    """The fluxes of a chain against their reversal: `expand` over all of `n_blocks`, then `total`.
    """

    cdef readonly Csr matrix, transpose
    cdef readonly int64_t n_blocks
    cdef const double[::1] log_row, log_col, log_pi
    cdef uint8_t[::1] partial

    def __cinit__(self, Csr A not None, Csr T not None, const double[::1] log_row,
                  const double[::1] log_col, const double[::1] log_pi not None):
        need(T.c.n_states == A.c.n_states and log_pi.shape[0] == A.c.n_states, "lengths")
        need_scalings(A, log_row, log_col)
        self.matrix, self.transpose = A, T
        self.log_row, self.log_col, self.log_pi = log_row, log_col, log_pi
        self.n_blocks = ebm_n_blocks(A.c.n_states)
        self.partial = np.empty(self.n_blocks * sizeof(ebm_flux_balance_t), np.uint8)

    def expand(self, int64_t first, int64_t last, int num_threads):
        cdef int status
        need(0 <= first <= last <= self.n_blocks, "a range of blocks")
        cdef const double *row_p = pointer(self.log_row)
        cdef const double *col_p = pointer(self.log_col)
        with nogil:
            status = ebm_flux_balance_blocks(&self.matrix.c, &self.transpose.c, row_p, col_p,
                                             &self.log_pi[0], first, last, num_threads,
                                             <ebm_flux_balance_t *>&self.partial[0])
        check(status)

    def total(self):
        """-> dict of the fields of ebm_flux_balance_t, worst as a list of (source, target, forward,
        backward)."""
        cdef ebm_flux_balance_t total
        cdef int64_t i
        check(ebm_flux_balance_total(self.n_blocks, <const ebm_flux_balance_t *>&self.partial[0],
                                     &total))
        worst = [(total.worst[i].source, total.worst[i].target, total.worst[i].forward,
                  total.worst[i].backward) for i in range(total.n_worst)]
        return {"max_violation": total.max_violation, "violation": total.violation,
                "one_way": total.one_way, "entropy_production": total.entropy_production,
                "n_one_way": total.n_one_way, "worst": worst}


def flux_additive_count(Csr A not None, Csr T not None, int64_t begin, int64_t end, int num_threads,
                        int64_t[::1] degree not None):
    """Fills degree[begin:end], the row lengths of the additive reversibilisation."""
    cdef int status
    need(T.c.n_states == A.c.n_states and degree.shape[0] == A.c.n_states, "lengths")
    need_rows(A, begin, end)
    with nogil:
        status = ebm_flux_additive_count(&A.c, &T.c, begin, end, num_threads, &degree[0])
    check(status)


def flux_additive_fill(Csr A not None, Csr T not None, const double[::1] log_row,
                       const double[::1] log_col, const double[::1] log_pi not None, int64_t begin,
                       int64_t end, int num_threads, const int64_t[::1] indptr not None,
                       int32_t[::1] indices not None, double[::1] values not None):
    """Fills rows [begin, end) of the symmetric matrix of the additive reversibilisation."""
    cdef int64_t n = A.c.n_states
    cdef int status
    need(T.c.n_states == n and log_pi.shape[0] == n and indptr.shape[0] == n + 1, "lengths")
    need(indices.shape[0] == indptr[n] and values.shape[0] == indptr[n],
         "lengths of indices and values")
    need_rows(A, begin, end)
    need_scalings(A, log_row, log_col)
    cdef const double *row_p = pointer(log_row)
    cdef const double *col_p = pointer(log_col)
    with nogil:
        status = ebm_flux_additive_fill(&A.c, &T.c, row_p, col_p, &log_pi[0], begin, end,
                                        num_threads, &indptr[0], &indices[0], &values[0])
    check(status)


cdef class Evolution:
    """A block of deviations h = unit g under diag(scale) A + diag(shift): `step` over all of
    `n_blocks`, then `total`."""

    cdef ebm_evolution_t c
    cdef object arrays
    cdef readonly Kernel kernel
    cdef readonly int64_t n_blocks

    def __cinit__(self, Kernel kernel not None, const double[::1] scale, const double[::1] shift,
                  const double[::1] unit, const double[::1] root not None):
        cdef int64_t n = kernel.c.n_states
        need(scale is None or scale.shape[0] == n, "length of scale")
        need(shift is None or shift.shape[0] == n, "length of shift")
        need(unit is None or unit.shape[0] == n, "length of unit")
        need(root.shape[0] == n, "length of root")
        self.kernel, self.arrays = kernel, (scale, shift, unit, root)
        self.c.kernel = &kernel.c
        self.c.scale, self.c.shift = pointer(scale), pointer(shift)
        self.c.unit, self.c.root = pointer(unit), &root[0]
        self.n_blocks = ebm_n_blocks(n)

    def step(self, const double[:, ::1] h, double[:, ::1] next not None,
             const double[::1] mean not None, bint measured, int64_t first, int64_t last,
             int num_threads, double[:, :, ::1] partial not None):
        """Rows of the blocks first..last-1 of next, and their sums in partial (n_blocks, kinds,
        width); h None: only the sums."""
        cdef int64_t width = next.shape[1]
        cdef int status
        need(next.shape[0] == self.c.kernel.n_states and mean.shape[0] == width and width >= 1,
             "shapes of next and mean")
        need(h is None or (h.shape[0] == next.shape[0] and h.shape[1] == width), "shape of h")
        need(partial.shape[0] == self.n_blocks and partial.shape[1] == EBM_EVOLUTION_KINDS
             and partial.shape[2] == width, "shape of partial")
        cdef const double *before = &h[0, 0] if h is not None else NULL
        with nogil:
            status = ebm_evolution_step(&self.c, width, first, last, measured, num_threads,
                                        &mean[0], before, &next[0, 0], &partial[0, 0, 0])
        check(status)

    def total(self, const double[:, :, ::1] partial not None):
        """-> array (kinds, width): mean, total variation, Kullback-Leibler, chi-square, separation.
        """
        need(partial.shape[0] == self.n_blocks and partial.shape[1] == EBM_EVOLUTION_KINDS,
             "shape of partial")
        cdef double[:, ::1] out = np.empty((EBM_EVOLUTION_KINDS, partial.shape[2]))
        check(ebm_evolution_total(self.n_blocks, partial.shape[2], &partial[0, 0, 0], &out[0, 0]))
        return np.asarray(out)
