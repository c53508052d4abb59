# Linear systems with I - P_BB: conjugate gradients, Gauss-Seidel sweeps, elimination.


cdef class Preconditioner:
    """z = B r, B close to the inverse of D - F; see cg.h. Subclasses fill in `c` and keep the
    objects alive that it points to."""

    cdef ebm_precond_t c

    def apply(self, const double[::1] r not None, double[::1] z not None, int num_threads):
        cdef int status
        need(z.shape[0] == r.shape[0], "lengths of r and z")
        with nogil:
            status = self.c.apply(self.c.ctx, num_threads, &r[0], &z[0])
        check(status)


cdef class Jacobi(Preconditioner):
    """B = 1 / diagonal, 0 where it is not positive."""

    cdef ebm_jacobi_t jacobi
    cdef const double[::1] diagonal

    def __cinit__(self, const double[::1] diagonal not None):
        self.diagonal = diagonal
        self.jacobi.n_states = diagonal.shape[0]
        self.jacobi.diagonal = &self.diagonal[0]
        ebm_jacobi_precond(&self.jacobi, &self.c)


cdef class ConjugateGradients:
    """The state of preconditioned conjugate gradients for (D - F) x = b, from x = 0; b is
    overwritten, it becomes the residual."""

    cdef ebm_cg_t c
    cdef readonly Scaled F
    cdef readonly Preconditioner precond
    cdef int num_threads
    cdef const double[::1] weight
    cdef double[::1] _x, r, z, p, q

    def __cinit__(self, Scaled F not None, Preconditioner precond not None,
                  const double[::1] weight not None, double[::1] b not None, int num_threads):
        cdef int64_t n = F.c.kernel.n_states
        cdef int status
        need(b.shape[0] == n and weight.shape[0] == n, "lengths of weight and b")
        self.F, self.precond, self.weight, self.r = F, precond, weight, b
        self.num_threads = num_threads
        self._x, self.z, self.p, self.q = doubles(n), doubles(n), doubles(n), doubles(n)
        self.c.F, self.c.precond, self.c.weight = &F.c, &precond.c, &self.weight[0]
        self.c.x, self.c.r, self.c.z = &self._x[0], &self.r[0], &self.z[0]
        self.c.p, self.c.q = &self.p[0], &self.q[0]
        with nogil:
            status = ebm_cg_start(&self.c, num_threads)
        check(status)

    @property
    def x(self):
        return as_array(self._x)

    @property
    def energy(self):
        """r . B r, as the recurrence has it."""
        return self.c.energy

    @property
    def worst(self):
        """max |r / w|, as the recurrence has it: the residual of the unsymmetrised system."""
        return self.c.worst

    def state(self):
        """Copies of what a later call needs to go on with the same bits: (x, r, p, energy, worst).
        """
        return self.x.copy(), np.array(self.r), np.array(self.p), self.c.energy, self.c.worst

    def restore(self, const double[::1] x not None, const double[::1] r not None,
                const double[::1] p not None, double energy, double worst):
        """Goes back to what `state` returned."""
        cdef int64_t n = self.c.F.kernel.n_states
        need(x.shape[0] == n and r.shape[0] == n and p.shape[0] == n, "lengths of x, r and p")
        self._x[:], self.r[:], self.p[:] = x, r, p
        self.c.energy, self.c.worst = energy, worst

    def expand(self, int64_t n_steps, double target, double least):
        """At most n_steps steps, until worst <= target or energy <= least; -> steps done."""
        cdef int64_t n_done
        cdef int status
        with nogil:
            status = ebm_cg_expand(&self.c, n_steps, target, least, self.num_threads, &n_done)
        check(status)
        return n_done


def residual(Csr A not None, const double[::1] row, const double[::1] col,
             const uint8_t[::1] inside not None, const double[::1] hi not None,
             const double[::1] lo not None, const double[::1] b not None, double[::1] r not None,
             int num_threads):
    """r = b - (I - P) (hi + lo) inside, 0 elsewhere, in twice the working precision."""
    cdef int64_t n = A.c.n_states
    cdef int status
    need(inside.shape[0] == n and hi.shape[0] == n and lo.shape[0] == n and b.shape[0] == n
         and r.shape[0] == n, "lengths")
    need((row is None or row.shape[0] == n) and (col is None or col.shape[0] == n),
         "lengths of the scalings")
    cdef const double *row_p = pointer(row)
    cdef const double *col_p = pointer(col)
    with nogil:
        status = ebm_residual(&A.c, row_p, col_p, &inside[0], &hi[0], &lo[0], &b[0], num_threads,
                              &r[0])
    check(status)


def residual_balance(Csr A not None, Csr T not None, const double[::1] row, const double[::1] col,
                     const double[::1] hi not None, const double[::1] lo not None,
                     const int32_t[::1] exponent not None, int num_threads):
    """-> (r, flow) of the balance equations; see ebm_residual_balance."""
    cdef int64_t n = A.c.n_states
    cdef double[::1] r = doubles(n), flow = doubles(n)
    cdef int status
    need(T.c.n_states == n and hi.shape[0] == n and lo.shape[0] == n and exponent.shape[0] == n,
         "lengths")
    need((row is None or row.shape[0] == n) and (col is None or col.shape[0] == n),
         "lengths of the scalings")
    cdef const double *row_p = pointer(row)
    cdef const double *col_p = pointer(col)
    with nogil:
        status = ebm_residual_balance(&A.c, &T.c, row_p, col_p, &hi[0], &lo[0], &exponent[0],
                                      num_threads, &r[0], &flow[0])
    check(status)
    return as_array(r), as_array(flow)


def residual_add(const double[::1] x not None, double[::1] hi not None, double[::1] lo not None,
                 int num_threads):
    """hi + lo += x."""
    cdef int status
    need(hi.shape[0] == x.shape[0] and lo.shape[0] == x.shape[0], "lengths")
    with nogil:
        status = ebm_residual_add(x.shape[0], num_threads, &x[0], &hi[0], &lo[0])
    check(status)


def exit_rate(Csr A not None, const double[::1] row, const double[::1] col, int num_threads):
    """-> the exit rate of each state, its self-loop excluded."""
    cdef int64_t n = A.c.n_states
    cdef double[::1] out = doubles(n)
    cdef int status
    need((row is None or row.shape[0] == n) and (col is None or col.shape[0] == n),
         "lengths of the scalings")
    cdef const double *row_p = pointer(row)
    cdef const double *col_p = pointer(col)
    with nogil:
        status = ebm_residual_exit_rate(&A.c, row_p, col_p, num_threads, &out[0])
    check(status)
    return as_array(out)


cdef class Sweep:
    """x = T^-1 b, T the part of I - P_BB that holds every transition between its communicating
    classes; see sweep.h. `expand` finds the order, until it returns True; then `apply` is called
    for all positions of the order in turn."""

    cdef ebm_sweep_order_t c
    cdef readonly Csr matrix
    cdef int64_t n_inside
    cdef const double[::1] row, col, rate
    cdef const uint8_t[::1] inside
    cdef int32_t[::1] order, parent
    cdef int64_t[::1] next

    def __cinit__(self, Csr A not None, const double[::1] row, const double[::1] col,
                  const uint8_t[::1] inside not None, const double[::1] exit_rate not None):
        cdef int64_t n = A.c.n_states
        need(inside.shape[0] == n and exit_rate.shape[0] == n, "lengths of inside and exit_rate")
        need((row is None or row.shape[0] == n) and (col is None or col.shape[0] == n),
             "lengths of the scalings")
        self.matrix, self.row, self.col, self.inside, self.rate = A, row, col, inside, exit_rate
        self.n_inside = np.count_nonzero(inside)
        self.order, self.parent, self.next = int32s(self.n_inside + 1), np.full(n, -1,
                                                                                np.int32), int64s(n)
        self.c.A, self.c.inside = &A.c, &self.inside[0]
        self.c.order, self.c.parent, self.c.next = &self.order[0], &self.parent[0], &self.next[0]

    def expand(self, int64_t n_entries):
        cdef int status, done
        with nogil:
            status = ebm_sweep_order_expand(&self.c, n_entries, &done)
        check(status)
        if done:
            self.c.parent, self.c.next = NULL, NULL
            self.parent, self.next = None, None  # 12 bytes a state that are not needed any more
        return bool(done)

    def apply(self, const double[::1] b not None, double[::1] x not None, int64_t begin,
              int64_t end):
        """Positions [begin, end) of the order; x is zero everywhere at first."""
        cdef int status
        need(b.shape[0] == self.matrix.c.n_states and x.shape[0] == b.shape[0],
             "lengths of b and x")
        need(0 <= begin <= end <= self.c.n_found, "range of positions")
        cdef const double *row = pointer(self.row)
        cdef const double *col = pointer(self.col)
        with nogil:
            status = ebm_sweep_apply(self.c.A, row, col, self.c.order, begin, end, &self.rate[0],
                                     &b[0], &x[0])
        check(status)


def rates(Csr A not None, Csr T not None, const double[::1] row, const double[::1] col,
          const int32_t[::1] number not None, int64_t n_inside, int64_t n_groups, int num_threads):
    """-> (indptr, indices, out_rate, in_rate, leak (n_inside, n_groups)); see ebm_rates_fill."""
    cdef int64_t n = A.c.n_states
    cdef int64_t[::1] indptr = int64s(n_inside + 1)
    cdef int status
    need(T.c.n_states == n and number.shape[0] == n and n_inside >= 1 and n_groups >= 1, "lengths")
    need((row is None or row.shape[0] == n) and (col is None or col.shape[0] == n),
         "lengths of the scalings")
    with nogil:
        status = ebm_rates_count(&A.c, &T.c, &number[0], &indptr[0])
    check(status)
    cdef int64_t nnz = indptr[n_inside]
    # one more, so that there is a first element to point to
    cdef int32_t[::1] indices = int32s(nnz + 1)
    cdef double[::1] out_rate = doubles(nnz + 1), in_rate = doubles(nnz + 1)
    cdef double[:, ::1] leak = np.empty((n_inside, n_groups))
    cdef const double *row_p = pointer(row)
    cdef const double *col_p = pointer(col)
    with nogil:
        status = ebm_rates_fill(&A.c, &T.c, row_p, col_p, &number[0], n_groups, num_threads,
                                &indptr[0], &indices[0], &out_rate[0], &in_rate[0], &leak[0, 0])
    check(status)
    return (as_array(indptr), as_array(indices)[:nnz], as_array(out_rate)[:nnz],
            as_array(in_rate)[:nnz], np.asarray(leak))


cdef class MinimumDegree:
    """The search for an elimination order of small fill, and the fill of the order found."""

    cdef ebm_mindeg_t c
    cdef const int64_t[::1] indptr
    cdef const int32_t[::1] indices
    cdef int32_t[::1] lists
    cdef int64_t[::1] work

    def __cinit__(self, const int64_t[::1] indptr not None, const int32_t[::1] indices not None):
        cdef int64_t n = indptr.shape[0] - 1, nnz = indptr[n], size = nnz + nnz // 5 + n + 1
        cdef int status
        need(indices.shape[0] >= nnz, "length of indices")
        self.indptr, self.indices = indptr, indices
        self.lists, self.work = int32s(size), int64s(EBM_MINDEG_ARRAYS * (n + 1))
        cdef const int32_t *columns = &self.indices[0] if indices.shape[0] else NULL
        status = ebm_mindeg_start(&self.c, n, &self.indptr[0], columns, size, &self.lists[0],
                                  &self.work[0])
        check(status)

    def expand(self, int64_t n_pivots):
        """-> whether all states are ordered."""
        cdef int status
        with nogil:
            status = ebm_mindeg_expand(&self.c, n_pivots)
        check(status)
        return self.c.n_done == self.c.n

    @property
    def n_visited(self):
        """Entries of lists that were updated so far: the work done."""
        return self.c.n_visited

    def supernodes(self, int64_t limit):
        """-> (order, first, height, parent, fill), or None where the factors exceed `limit`
        entries."""
        cdef int64_t n = self.c.n
        cdef int32_t[::1] order = int32s(n)
        cdef int64_t[:, ::1] nodes = np.empty((3, n + 1), np.int64)
        cdef ebm_fill_t fill
        cdef int status
        cdef const int32_t *columns = &self.indices[0] if self.indices.shape[0] else NULL
        status = ebm_mindeg_order(&self.c, &order[0])
        check(status)
        with nogil:
            status = ebm_mindeg_supernodes(n, &self.indptr[0], columns, limit, &self.work[0],
                                           &order[0], &nodes[0, 0], &nodes[1, 0], &nodes[2, 0],
                                           &fill)
        check(status)
        if fill.n_entries > limit:
            return None
        return (as_array(order), *(np.asarray(nodes)[k, :fill.n_supernodes + 1].copy()
                                   for k in range(3)), fill)


cdef class Elimination:
    """Subtraction-free elimination of all states in the order that MinimumDegree found; then solves
    with M."""

    cdef ebm_eliminate_t c
    cdef readonly object factor
    cdef tuple keep
    cdef int64_t[:, ::1] ints
    cdef int64_t[::1] nodes
    cdef int32_t[::1] rows
    cdef double[::1] exit_rate, leak, stack

    def __cinit__(self, const int64_t[::1] indptr not None, const int32_t[::1] indices not None,
                  const double[::1] out_rate not None, const double[::1] in_rate not None,
                  const double[::1] leak not None,
                  symbolic):
        cdef int64_t n = indptr.shape[0] - 1
        cdef int status
        cdef const int32_t[::1] order
        cdef const int64_t[::1] first, height, parent
        cdef double[::1] factor
        order, first, height, parent, fill = symbolic
        cdef int64_t n_supernodes = fill["n_supernodes"]
        need(leak.shape[0] == n and order.shape[0] == n and out_rate.shape[0] == indices.shape[0]
             and in_rate.shape[0] == indices.shape[0], "lengths")
        self.keep = (np.asarray(indptr), np.asarray(indices), np.asarray(out_rate),
                     np.asarray(in_rate), symbolic)
        self.factor = factor = np.empty(fill["n_factor"])
        self.ints, self.nodes = np.empty((2, n), np.int64), int64s(3 * n_supernodes + 2)
        self.rows = int32s(fill["n_rows"] + 1)
        self.exit_rate, self.stack = doubles(n), doubles(fill["n_stack"])
        self.leak = np.asarray(leak)[np.asarray(order)]
        self.c.n, self.c.n_supernodes = n, n_supernodes
        self.c.indptr = &indptr[0]
        self.c.indices = NULL
        self.c.out_rate = self.c.in_rate = NULL
        if indices.shape[0]:
            self.c.indices, self.c.out_rate, self.c.in_rate = &indices[0], &out_rate[0], &in_rate[0]
        self.c.order, self.c.first, self.c.height = &order[0], &first[0], &height[0]
        self.c.parent = &parent[0]
        self.c.place, self.c.local = &self.ints[0, 0], &self.ints[1, 0]
        self.c.waiting = &self.nodes[0]
        self.c.row_begin = &self.nodes[n_supernodes]
        self.c.factor_begin = &self.nodes[2 * n_supernodes + 1]
        self.c.rows, self.c.factor = &self.rows[0], &factor[0]
        self.c.exit_rate, self.c.leak = &self.exit_rate[0], &self.leak[0]
        self.c.stack = &self.stack[0]
        status = ebm_eliminate_start(&self.c)
        check(status)

    def expand(self, double n_flops, int num_threads):
        """About n_flops operations more; -> whether all states are eliminated."""
        cdef int status
        with nogil:
            status = ebm_eliminate_expand(&self.c, n_flops, num_threads)
        check(status)
        if self.c.supernode < self.c.n_supernodes:
            return False
        self.stack = None
        return True

    @property
    def underflow(self):
        """Whether a product underflowed."""
        return bool(self.c.underflow)

    def solve(self, const double[:, ::1] b not None):
        """-> M^-1 b for a block (n, width)."""
        cdef int64_t width = b.shape[1]
        cdef int status
        need(b.shape[0] == self.c.n and width >= 1 and self.c.supernode == self.c.n_supernodes,
             "shape of b, or not eliminated")
        cdef double[:, ::1] x = np.empty((self.c.n, width)), work = np.empty((self.c.n, width))
        with nogil:
            status = ebm_eliminate_solve(&self.c, width, &b[0, 0], &work[0, 0], &x[0, 0])
        check(status)
        return np.asarray(x)

    def solve_left(self, const double[::1] b not None, const int32_t[::1] exponent not None):
        """-> (x, exponent) of x^T = b^T M^-1 for wide numbers b 2^(512 exponent) >= 0."""
        cdef int64_t n = self.c.n
        cdef int status
        need(b.shape[0] == n and exponent.shape[0] == n
             and self.c.supernode == self.c.n_supernodes, "lengths, or not eliminated")
        cdef double[::1] x = doubles(n)
        cdef int32_t[::1] x_exponent = int32s(n)
        cdef double[::1] work = doubles(2 * n)  # a wide number has the size of two doubles
        with nogil:
            status = ebm_eliminate_solve_left(&self.c, &b[0], &exponent[0], <ebm_wide_t *>&work[0],
                                              &x[0], &x_exponent[0])
        check(status)
        return as_array(x), as_array(x_exponent)
