# Stored kernels, their scalings, inspection and transposition.


cdef class Csr:
    """A stored matrix: int64 indptr, int32 indices, values float64, float32 or None (every entry
    1). Borrows the arrays."""

    cdef ebm_csr_t c
    cdef readonly object indptr, indices, values

    def __cinit__(self, indptr, indices, values):
        cdef const int64_t[::1] rows = indptr
        cdef const int32_t[::1] columns = indices
        cdef const double[::1] f64
        cdef const float[::1] f32
        need(rows.shape[0] >= 2, "indptr needs at least two entries")
        need(values is None or values.shape[0] == columns.shape[0],
             "values and indices differ in length")
        self.indptr, self.indices, self.values = indptr, indices, values
        self.c.n_states = rows.shape[0] - 1
        self.c.indptr = &rows[0]
        self.c.indices = &columns[0] if columns.shape[0] else NULL
        self.c.values = NULL
        self.c.value_type = EBM_VALUES_NONE
        if values is not None and values.dtype == np.float32:
            f32 = values
            self.c.values = &f32[0] if f32.shape[0] else NULL
            self.c.value_type = EBM_VALUES_F32
        elif values is not None:
            f64 = values
            self.c.values = &f64[0] if f64.shape[0] else NULL
            self.c.value_type = EBM_VALUES_F64

    @property
    def n_states(self):
        return self.c.n_states

    @property
    def nnz(self):
        return self.indices.shape[0]

    @property
    def nbytes(self):
        values = 0 if self.values is None else self.values.nbytes
        return self.indptr.nbytes + self.indices.nbytes + values


cdef class Kernel:
    """A pattern A as the algorithms see it."""

    cdef ebm_kernel_t c

    @property
    def n_states(self):
        return self.c.n_states

    @property
    def has_transpose(self):
        return self.c.apply_t != NULL


cdef class CsrKernel(Kernel):
    """The stored kernel; transpose is None, `matrix` itself (A symmetric) or the transposed matrix.
    """

    cdef ebm_csr_t forward, backward
    cdef ebm_csr_pair_t pair
    cdef readonly Csr matrix, transpose

    def __cinit__(self, Csr matrix not None, Csr transpose=None):
        self.matrix = matrix
        self.transpose = transpose
        self.forward = matrix.c
        self.pair.forward = &self.forward
        self.pair.transpose = NULL
        if transpose is not None:
            need(transpose.c.n_states == matrix.c.n_states,
                 "the transpose has another number of states")
            self.backward = transpose.c
            self.pair.transpose = &self.backward
        ebm_csr_kernel(&self.pair, &self.c)


cdef class Scaled:
    """diag(row) A diag(col) + diag(shift); row and col None for ones, shift None for zeros."""

    cdef ebm_scaled_t c
    cdef readonly Kernel kernel
    cdef readonly object row, col, shift

    def __cinit__(self, Kernel kernel not None, const double[::1] row=None,
                  const double[::1] col=None, const double[::1] shift=None):
        cdef int64_t n = kernel.c.n_states
        need(row is None or row.shape[0] == n, "row has a wrong length")
        need(col is None or col.shape[0] == n, "col has a wrong length")
        need(shift is None or shift.shape[0] == n, "shift has a wrong length")
        self.kernel = kernel
        self.row = None if row is None else np.asarray(row)
        self.col = None if col is None else np.asarray(col)
        self.shift = None if shift is None else np.asarray(shift)
        self.c.kernel = &kernel.c
        self.c.row = pointer(row)
        self.c.col = pointer(col)
        self.c.shift = pointer(shift)


cdef class Inspection:
    """Validation of a user's matrix in one pass: `row_sum`, `facts`, and `fault`, the text of the
    first fault (by row) or None; the caller raises the error, as it knows the labels. `expand` over
    all rows."""

    cdef readonly Csr matrix
    cdef readonly object row_sum, fault
    cdef double[::1] sums
    cdef ebm_csr_facts_t c

    def __cinit__(self, Csr A not None):
        self.matrix, self.sums = A, doubles(A.c.n_states)
        self.row_sum = as_array(self.sums)
        self.c = EBM_CSR_FACTS_NONE

    @property
    def facts(self):
        return self.c

    def expand(self, int64_t begin, int64_t end, int num_threads):
        """-> whether there was a fault."""
        cdef int status
        cdef int64_t nnz = self.matrix.nnz
        need(0 <= begin <= end <= self.matrix.c.n_states, "a range of rows")
        with nogil:
            status = ebm_csr_inspect(&self.matrix.c, nnz, begin, end, num_threads, &self.sums[0],
                                     &self.c)
        self.fault = ebm_status_text(status).decode() if status else None
        return status != EBM_OK


cdef class Transposition:
    """A transposed as `result`: `count` over all rows, `place`, then `fill` over all rows in order.
    """

    cdef readonly Csr matrix, result

    def __cinit__(self, Csr A not None):
        self.matrix = A
        values = None if A.values is None else np.empty(A.nnz, A.values.dtype)
        self.result = Csr(np.zeros(A.c.n_states + 1, np.int64), np.empty(A.nnz, np.int32), values)

    def count(self, int64_t begin, int64_t end, int num_threads):
        cdef int status
        need(0 <= begin <= end <= self.matrix.c.n_states, "a range of rows")
        with nogil:
            status = ebm_csr_transpose_count(&self.matrix.c, begin, end, num_threads,
                                             <int64_t *>self.result.c.indptr)
        check(status)

    def place(self):
        cdef int status
        with nogil:
            status = ebm_csr_transpose_place(self.matrix.c.n_states,
                                             <int64_t *>self.result.c.indptr)
        check(status)

    def fill(self, int64_t begin, int64_t end, int num_threads):
        cdef int status
        need(0 <= begin <= end <= self.matrix.c.n_states, "a range of rows")
        with nogil:
            status = ebm_csr_transpose_fill(&self.matrix.c, begin, end, num_threads,
                                            <int64_t *>self.result.c.indptr,
                                            <int32_t *>self.result.c.indices,
                                            <void *>self.result.c.values)
        check(status)


def scaled_apply(Scaled M not None, const double[:, ::1] x not None, double[:, ::1] y not None,
                 double[:, ::1] scratch, bint transposed, int num_threads):
    """y = M x, or M^T x; x, y, scratch (n_states, width)."""
    cdef int64_t width = x.shape[1]
    cdef int status
    need(x.shape[0] == M.c.kernel.n_states and y.shape[0] == x.shape[0] and y.shape[1] == width,
         "shapes of x and y")
    need(scratch is None or (scratch.shape[0] == x.shape[0] and scratch.shape[1] == width),
         "shape of scratch")
    if width == 0:
        return
    cdef double *work = &scratch[0, 0] if scratch is not None else NULL
    with nogil:
        status = ebm_scaled_apply(&M.c, transposed, num_threads, width, &x[0, 0], work, &y[0, 0])
    check(status)


def scaled_apply_rows(Scaled M not None, const double[:, ::1] x not None,
                      const double[:, ::1] inner not None, double[:, ::1] y not None, int64_t begin,
                      int64_t end, bint transposed, int num_threads):
    """Rows [begin, end) of y = M x, or M^T x; inner is x times the scaling on its side, or x
    itself."""
    cdef int64_t n = M.c.kernel.n_states, width = x.shape[1]
    cdef int status
    need(x.shape[0] == n and y.shape[0] == n and y.shape[1] == width, "shapes of x and y")
    need(inner.shape[0] == n and inner.shape[1] == width and width >= 1, "shape of inner")
    need(0 <= begin <= end <= n, "a range of rows")
    with nogil:
        status = ebm_scaled_apply_rows(&M.c, transposed, num_threads, width, begin, end, &x[0, 0],
                                       &inner[0, 0], &y[0, 0])
    check(status)


def scaled_difference(Scaled M not None, const double[::1] x not None, double[::1] y not None,
                      int power, int num_threads):
    """y[i] = sum_j M[i, j] (x[i] - x[j])^power over the off-diagonal part."""
    cdef int status
    need(x.shape[0] == M.c.kernel.n_states and y.shape[0] == x.shape[0], "lengths of x and y")
    with nogil:
        status = ebm_scaled_difference(&M.c, num_threads, power, &x[0], &y[0])
    check(status)


cdef int need_rows(Csr A, int64_t begin, int64_t end) except -1:
    return need(0 <= begin <= end <= A.c.n_states, "a range of rows")


cdef int need_scalings(Csr A, const double[::1] log_row, const double[::1] log_col) except -1:
    need(log_row is None or log_row.shape[0] == A.c.n_states, "length of log_row")
    return need(log_col is None or log_col.shape[0] == A.c.n_states, "length of log_col")
