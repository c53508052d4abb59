# Kernels that compute their rows: lattices, rules, and searches by rows.

from cpython.exc cimport PyErr_CheckSignals

RULE_MAX_DEGREE = EBM_RULE_MAX_DEGREE

# Entries that one call enumerates: about 0.1 s at 20 ns each, so that Ctrl-C is answered in
# between.
cdef int64_t ENTRIES_PER_CALL = 5000000


cdef class ComputedKernel(Kernel):
    """A kernel with rows; rows_per_call of them are enumerated in one call."""

    cdef public int64_t rows_per_call

    cdef int start(self) except -1:
        self.rows_per_call = max(1, ENTRIES_PER_CALL // self.c.max_degree)
        return 0


cdef class LatticeKernel(ComputedKernel):
    """A product of cycles or of complete graphs; lengths (n_axes,), that of the fastest axis first.
    """

    cdef ebm_lattice_t lattice

    def __cinit__(self, const int64_t[::1] lengths not None, bint is_cyclic, bint self_loop):
        need(lengths.shape[0] >= 1, "a lattice has an axis")
        check(ebm_lattice_start(lengths.shape[0], &lengths[0], is_cyclic, self_loop, &self.lattice))
        ebm_lattice_kernel(&self.lattice, &self.c)
        self.start()

    @property
    def degree(self):
        """Entries of each row."""
        return self.lattice.degree


cdef class RuleKernel(ComputedKernel):
    """A compiled rule: addresses of functions ebm_rule_rows_t (incoming 0: no left products) and
    those of its data.

    keep: whatever must live as long as the addresses are used."""

    cdef ebm_rule_t rule
    cdef const int64_t[::1] data
    cdef object keep

    def __cinit__(self, int64_t n_states, int64_t max_degree, size_t outgoing, size_t incoming,
                  const int64_t[::1] data not None, keep):
        need(n_states >= 1 and outgoing != 0 and data.shape[0] >= 1, "arguments of a rule")
        self.keep, self.data = keep, data
        self.rule.n_states, self.rule.max_degree = n_states, max_degree
        self.rule.outgoing = <ebm_rule_rows_t>outgoing
        self.rule.incoming = <ebm_rule_rows_t>incoming
        self.rule.data = &data[0]
        check(ebm_rule_kernel(&self.rule, &self.c))
        self.start()

    def inspect(self, int num_threads, bint allow_empty, int64_t begin, int64_t end,
                double[::1] row_sum not None):
        """-> (fault or None, facts): facts of rows begin..end-1, or of the first faulty one;
        row_sum (n_states,)."""
        cdef ebm_rule_facts_t facts
        cdef int status
        need(0 <= begin < end <= self.rule.n_states and row_sum.shape[0] == self.rule.n_states,
             "rows to inspect")
        with nogil:
            status = ebm_rule_inspect(&self.rule, num_threads, allow_empty, begin, end,
                                      &row_sum[begin], &facts)
        return ebm_status_text(status).decode() if status != EBM_OK else None, facts

    def set_all_ones(self):
        """Every weight is 1: enumerated rows need no values."""
        self.c.all_ones = 1


def rows_of(ComputedKernel kernel not None, const int64_t[::1] states, int num_threads):
    """-> (indptr, indices int32, values or None where every entry is 1) of the rows of `states`,
    None for all."""
    cdef int64_t n, i = 0, end, size = kernel.rows_per_call
    cdef const int64_t *states_p = NULL
    cdef int status
    need(kernel.c.n_states < 2**31, "rows to store")
    n = kernel.c.n_states
    if states is not None:
        n = states.shape[0]
        states_p = &states[0] if n else NULL
        need(n == 0 or (np.min(states) >= 0 and np.max(states) < kernel.c.n_states), "states")
    cdef int64_t[::1] indptr = np.zeros(n + 1,
                                        np.int64), work = int64s(num_threads * kernel.c.max_degree)
    while i < n:
        end = min(n, i + size)
        with nogil:
            status = ebm_rows_count(&kernel.c, states_p, num_threads, i, end, &indptr[i + 1])
        check(status)
        PyErr_CheckSignals()
        i = end
    np.cumsum(as_array(indptr), out=as_array(indptr))
    nnz = indptr[n]
    cdef int32_t[::1] indices = int32s(max(nnz, 1))
    cdef double[::1] values = doubles(1 if kernel.c.all_ones else max(nnz, 1))
    cdef double *values_p = NULL if kernel.c.all_ones else &values[0]
    i = 0
    while i < n:
        end = min(n, i + size)
        with nogil:
            status = ebm_rows_fill(&kernel.c, states_p, num_threads, i, end, &indptr[0], &work[0],
                                   &indices[0], values_p)
        check(status)
        PyErr_CheckSignals()
        i = end
    entries = None if kernel.c.all_ones else as_array(values)[:nnz]
    return as_array(indptr), as_array(indices)[:nnz], entries


cdef class RowsSearch:
    """The breadth-first search of a kernel's rows, and its queue."""

    cdef ebm_rows_search_t c
    cdef ComputedKernel kernel
    cdef int64_t[::1] queue, row
    cdef int64_t size

    def __cinit__(self, ComputedKernel kernel not None):
        self.kernel, self.queue = kernel, int64s(kernel.c.n_states)
        self.row = int64s(2 * kernel.c.max_degree)
        self.c.kernel, self.c.queue, self.c.row = &kernel.c, &self.queue[0], &self.row[0]
        self.size = max(1,
                        kernel.rows_per_call // 10)  # a search has a cache miss at every entry


def rows_reach(ComputedKernel kernel not None, uint8_t[::1] reached not None,
               const uint8_t[::1] avoid):
    """Extends `reached` in place to all that is reachable from it along the rows without entering
    `avoid`."""
    cdef RowsSearch search = RowsSearch(kernel)
    cdef int status, done = 0
    need(reached.shape[0] == kernel.c.n_states, "length of reached")
    need(avoid is None or avoid.shape[0] == kernel.c.n_states, "length of avoid")
    cdef const uint8_t *blocked = &avoid[0] if avoid is not None else NULL
    while not done:
        with nogil:
            status = ebm_rows_reach(&search.c, search.size, blocked, &reached[0], &done)
        check(status)
        PyErr_CheckSignals()


def rows_classes(ComputedKernel kernel not None):
    """-> (labels int32, period int64, size int64) where every edge has its reverse edge, or all is
    one class."""
    cdef RowsSearch search = RowsSearch(kernel)
    cdef int64_t n = kernel.c.n_states, n_classes = 0
    cdef int64_t[::1] level = int64s(n), period = int64s(n), size = int64s(n)
    cdef int32_t[::1] labels = np.full(n, -1, np.int32)
    cdef int status, done = 0
    while not done:
        with nogil:
            status = ebm_rows_classes(&search.c, search.size, &level[0], &labels[0], &n_classes,
                                      &period[0], &size[0], &done)
        check(status)
        PyErr_CheckSignals()
    return as_array(labels), as_array(period)[:n_classes].copy(), as_array(size)[:n_classes].copy()


def rows_potential(ComputedKernel kernel not None):
    """-> (w, mismatch) as graph_potential finds them, without a transpose."""
    cdef RowsSearch search = RowsSearch(kernel)
    cdef double[::1] row_values = doubles(2 * kernel.c.max_degree), w = np.full(kernel.c.n_states,
                                                                                np.nan)
    cdef double mismatch = 0.0
    cdef int status, done = 0
    while not done:
        with nogil:
            status = ebm_rows_potential(&search.c, max(1, search.size // 10), &row_values[0], &w[0],
                                        &mismatch, &done)
        check(status)
        PyErr_CheckSignals()
    return as_array(w), mismatch


cdef class RowsWalker(Kernel):
    """The walking kernel of a scaled computed kernel: no tables. `offered` is False where its rows
    are too long to scan."""

    cdef readonly Scaled scaled

    def __cinit__(self, Scaled scaled not None):
        self.scaled = scaled
        ebm_rows_walker(&scaled.c, &self.c)

    @property
    def offered(self):
        return self.c.step != NULL

    @property
    def nbytes(self):
        return 0
