# Flows of reversible chains, multigrid for their Laplacians, LOBPCG steps in the Dirichlet form.

from libc.stdlib cimport calloc, free


cdef class Flow:
    """F[x, y] = left[x] A[x, y] right[y], y != x; left and right None for ones. Borrows the arrays.
    """

    cdef ebm_flow_t c
    cdef readonly Csr matrix
    cdef readonly object left, right

    def __cinit__(self, Csr matrix not None, const double[::1] left=None,
                  const double[::1] right=None):
        cdef int64_t n = matrix.c.n_states
        need(left is None or left.shape[0] == n, "length of left")
        need(right is None or right.shape[0] == n, "length of right")
        self.matrix = matrix
        self.left = None if left is None else np.asarray(left)
        self.right = None if right is None else np.asarray(right)
        self.c.A = &matrix.c
        self.c.left = pointer(left)
        self.c.right = pointer(right)

    @property
    def n_states(self):
        return self.matrix.c.n_states

    def diagonal(self, const double[::1] leak, int num_threads):
        """-> float64 (n_states,): leak plus the row sums of F."""
        cdef double[::1] diag = doubles(self.matrix.c.n_states)
        cdef int status
        need(leak is None or leak.shape[0] == diag.shape[0], "length of leak")
        cdef const double *leaks = pointer(leak)
        with nogil:
            status = ebm_flow_diagonal(&self.c, leaks, num_threads, &diag[0])
        check(status)
        return as_array(diag)

    def pair(self, const double[::1] mass not None, int64_t begin, int64_t end, int64_t n_coarse,
             int32_t[::1] aggregate not None):
        """Pairs the states begin..end-1 in place; -> aggregates so far."""
        cdef int status
        need(mass.shape[0] == self.matrix.c.n_states and aggregate.shape[0] == mass.shape[0],
             "lengths of mass and aggregate")
        need(0 <= begin <= end <= mass.shape[0], "range of states")
        with nogil:
            status = ebm_flow_pairs(&self.c, &mass[0], begin, end, &n_coarse, &aggregate[0])
        check(status)
        return n_coarse

    def coarse(self, const int32_t[::1] aggregate not None, int64_t n_coarse,
               const int64_t[::1] start not None, const int32_t[::1] members not None,
               int num_threads):
        """-> Flow of the aggregates."""
        cdef int64_t[::1] indptr = int64s(n_coarse + 1)
        cdef int32_t[::1] indices
        cdef int64_t[::1] place = int64s(num_threads * n_coarse)
        cdef double[::1] values
        cdef int status
        need(n_coarse >= 1 and aggregate.shape[0] == self.matrix.c.n_states, "length of aggregate")
        need(start.shape[0] == n_coarse + 1 and members.shape[0] == aggregate.shape[0],
             "lengths of start and members")
        with nogil:
            status = ebm_flow_coarse_count(&self.c, &aggregate[0], n_coarse, &start[0], &members[0],
                                           num_threads, &place[0], &indptr[0])
        check(status)
        nnz = indptr[n_coarse]
        indices, values = int32s(max(nnz, 1)), doubles(max(nnz, 1))
        with nogil:
            status = ebm_flow_coarse_fill(&self.c, &aggregate[0], n_coarse, &start[0], &members[0],
                                          num_threads, &place[0], &indptr[0], &indices[0],
                                          &values[0])
        check(status)
        return Flow(Csr(as_array(indptr), as_array(indices)[:nnz], as_array(values)[:nnz]))

    def eliminate(self, double[::1] leak not None):
        """-> factor (n, n) of a small flow; leak is overwritten."""
        cdef int64_t n = self.matrix.c.n_states
        cdef double[:, ::1] factor = np.empty((n, n))
        cdef int status
        need(leak.shape[0] == n, "length of leak")
        with nogil:
            status = ebm_flow_eliminate(&self.c, &leak[0], &factor[0, 0])
        check(status)
        return np.asarray(factor)


def flow_members(const int32_t[::1] aggregate not None, int64_t n_coarse):
    """-> (start, members): the states of each aggregate."""
    cdef int64_t[::1] start = int64s(n_coarse + 1)
    cdef int32_t[::1] members = int32s(aggregate.shape[0])
    cdef int status
    need(n_coarse >= 1, "n_coarse")
    with nogil:
        status = ebm_flow_members(aggregate.shape[0], &aggregate[0], n_coarse, &start[0],
                                  &members[0])
    check(status)
    return as_array(start), as_array(members)


cdef class Multigrid(Preconditioner):
    """A hierarchy ready to run: levels is a list of (flow, diag, aggregate, start, members), finest
    first, the last one (flow, diag, factor). It keeps the arrays and overwrites the first diag."""

    cdef ebm_multigrid_t mg
    cdef list keep
    cdef readonly int64_t nbytes

    def __cinit__(self, list levels not None):
        cdef ebm_multigrid_level_t *level
        cdef Flow flow
        cdef double[::1] real
        cdef int32_t[::1] small
        cdef int64_t[::1] large
        cdef double[:, ::1] factor
        cdef int64_t i, n_levels = len(levels)
        need(n_levels >= 1 and len(levels[n_levels - 1]) == 3, "levels")
        self.keep = [levels]
        self.mg.levels = <ebm_multigrid_level_t *>calloc(n_levels, sizeof(ebm_multigrid_level_t))
        if self.mg.levels == NULL:
            raise MemoryError
        self.mg.n_levels = n_levels
        ebm_multigrid_precond(&self.mg, &self.c)
        for i in range(n_levels):
            level = self.mg.levels + i
            flow, diag = levels[i][:2]
            level.F = flow.c
            level.n = flow.matrix.c.n_states
            need(diag.shape[0] == level.n, "length of diag")
            inverse = np.divide(1.0, diag, out=diag if i == 0 else np.zeros(level.n),
                                where=diag > 0.0)
            # the finest level needs only the inverse of its diagonal, which replaces it
            if i > 0:
                real = diag
                level.diag = &real[0]
            level.inverse = self.work(inverse)
            level.x = self.work(np.empty(level.n))
            level.scaled = self.work(np.empty(level.n)) if level.F.right != NULL else level.x
            if i > 0:
                need(level.F.left == NULL and level.F.right == NULL
                     and level.F.A.value_type == EBM_VALUES_F64, "coarse flow")
                level.r = self.work(np.empty(level.n))
            if i + 1 == n_levels:
                factor = levels[i][2]
                need(factor.shape[0] == level.n and factor.shape[1] == level.n, "shape of factor")
                level.factor = &factor[0, 0]
                break
            small, large = levels[i][2], levels[i][3]
            need(small.shape[0] == level.n, "length of aggregate")
            level.aggregate = &small[0]
            level.n_coarse = large.shape[0] - 1
            level.start = &large[0]
            small = levels[i][4]
            level.members = &small[0]
            if i > 0:
                level.c, level.v = self.work(np.empty(level.n)), self.work(np.empty(level.n))
                level.d, level.w = self.work(np.empty(level.n)), self.work(np.empty(level.n))

    def __dealloc__(self):
        free(self.mg.levels)

    cdef double *work(self, array) except NULL:
        cdef double[::1] view = array
        self.keep.append(array)
        self.nbytes += array.nbytes
        return &view[0]


def lobpcg_gram(Flow F not None, const double[::1] pi not None,
                  const double[:, ::1] basis not None, int num_threads):
    """-> (energy, mass, mean): the pairs (x,x) (x,w) (x,p) (w,w) (w,p) (p,p), and x, w, p."""
    cdef double[::1] out = doubles(15)
    cdef int status
    need(pi.shape[0] == F.n_states and basis.shape[0] == pi.shape[0] and basis.shape[1] == 4,
         "shapes of pi and basis")
    with nogil:
        status = ebm_lobpcg_gram(&F.c, &pi[0], &basis[0, 0], num_threads, &out[0], &out[6],
                                 &out[12])
    check(status)
    found = as_array(out)
    return found[:6], found[6:12], found[12:]


def lobpcg_step(const double[::1] a not None, const double[::1] shift not None,
                  double[:, ::1] basis not None, int num_threads):
    cdef int status
    need(a.shape[0] == 3 and shift.shape[0] == 2 and basis.shape[1] == 4,
         "shapes of a, shift and basis")
    with nogil:
        status = ebm_lobpcg_step(basis.shape[0], &a[0], &shift[0], num_threads, &basis[0, 0])
    check(status)


def lobpcg_residual(Flow F not None, const double[::1] pi not None,
                      const double[:, ::1] basis not None, double gap, double[::1] r not None,
                      int num_threads):
    """r = L x - gap pi x; -> sum r^2 / pi."""
    cdef double square
    cdef int status
    need(pi.shape[0] == F.n_states and basis.shape[0] == pi.shape[0] and basis.shape[1] == 4,
         "shapes of pi and basis")
    need(r.shape[0] == pi.shape[0], "length of r")
    with nogil:
        status = ebm_lobpcg_residual(&F.c, &pi[0], &basis[0, 0], gap, num_threads, &r[0], &square)
    check(status)
    return square


def lobpcg_put(double[:, ::1] basis not None, int column, const double[::1] x not None,
                 int num_threads):
    """basis[:, column] = x."""
    cdef int status
    need(basis.shape[1] == 4 and x.shape[0] == basis.shape[0], "shapes of basis and x")
    with nogil:
        status = ebm_lobpcg_put(x.shape[0], column, &x[0], num_threads, &basis[0, 0])
    check(status)
