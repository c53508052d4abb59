# Resumable searches and passes over a stored matrix; fastebm runs them to their end.


cdef class Components:
    """Tarjan's search for communicating classes, numbered in reverse topological order; `expand`
    until it returns True."""

    cdef ebm_graph_components_t c
    cdef readonly Csr matrix
    cdef readonly object labels
    cdef int32_t[::1] low, open, parent
    cdef int64_t[::1] next

    def __cinit__(self, Csr A not None):
        cdef int64_t n = A.c.n_states
        cdef int32_t[::1] labels = np.full(n, -1, np.int32)
        self.matrix, self.labels = A, as_array(labels)
        self.low, self.open, self.parent = int32s(n), int32s(n), int32s(n)
        self.next = int64s(n)
        self.c.A = &A.c
        self.c.labels, self.c.low, self.c.open = &labels[0], &self.low[0], &self.open[0]
        self.c.parent, self.c.next = &self.parent[0], &self.next[0]

    @property
    def n_classes(self):
        return self.c.n_classes

    def expand(self, int64_t n_entries):
        cdef int status, done
        with nogil:
            status = ebm_graph_components_expand(&self.c, n_entries, &done)
        check(status)
        return bool(done)


cdef class Classes:
    """Which classes are closed, their periods (0 without a cycle) and sizes; `expand` until it
    returns True."""

    cdef ebm_graph_queue_t queue
    cdef readonly Csr matrix
    cdef readonly object closed, period, size
    cdef const int32_t[::1] labels
    cdef int32_t[::1] states, level
    cdef uint8_t[::1] is_closed
    cdef int64_t[::1] periods, sizes

    def __cinit__(self, Csr A not None, const int32_t[::1] labels not None, int64_t n_classes):
        need(labels.shape[0] == A.c.n_states and n_classes >= 1, "length of labels")
        self.matrix, self.labels = A, labels
        self.states, self.level = int32s(A.c.n_states), np.full(A.c.n_states, -1, np.int32)
        self.is_closed = np.ones(n_classes, np.uint8)
        self.periods, self.sizes = np.zeros(n_classes, np.int64), np.zeros(n_classes, np.int64)
        self.closed = np.asarray(self.is_closed).view(bool)
        self.period, self.size = as_array(self.periods), as_array(self.sizes)
        self.queue.states = &self.states[0]

    def expand(self, int64_t n_entries):
        cdef int status, done
        with nogil:
            status = ebm_graph_classes_expand(&self.matrix.c, &self.labels[0], n_entries,
                                              &self.queue, &self.level[0], &self.is_closed[0],
                                              &self.periods[0], &self.sizes[0], &done)
        check(status)
        return bool(done)


cdef class Reach:
    """Extends `reached` in place to all that is reachable from it along the rows of A without
    entering `avoid`."""

    cdef ebm_graph_queue_t queue
    cdef readonly Csr matrix
    cdef int32_t[::1] states
    cdef uint8_t[::1] reached
    cdef const uint8_t[::1] avoid

    def __cinit__(self, Csr A not None, uint8_t[::1] reached not None, const uint8_t[::1] avoid):
        need(reached.shape[0] == A.c.n_states, "length of reached")
        need(avoid is None or avoid.shape[0] == A.c.n_states, "length of avoid")
        self.matrix, self.reached, self.avoid = A, reached, avoid
        self.states = int32s(A.c.n_states)
        self.queue.states = &self.states[0]

    def expand(self, int64_t n_entries):
        cdef int status, done
        cdef const uint8_t *blocked = &self.avoid[0] if self.avoid is not None else NULL
        with nogil:
            status = ebm_graph_reach_expand(&self.matrix.c, blocked, n_entries, &self.queue,
                                            &self.reached[0], &done)
        check(status)
        return bool(done)


cdef class Potential:
    """`w` with A[x, y] exp(w[x]) = A[y, x] exp(w[y]) along a spanning forest; `one_way` where an
    edge has no reverse."""

    cdef ebm_graph_queue_t queue
    cdef readonly Csr matrix, transpose
    cdef readonly object w
    cdef int32_t[::1] states
    cdef double[::1] values
    cdef int is_one_way

    def __cinit__(self, Csr A not None, Csr T not None):
        need(T.c.n_states == A.c.n_states, "sizes of A and its transpose")
        self.matrix, self.transpose = A, T
        self.states, self.values = int32s(A.c.n_states), np.full(A.c.n_states, np.nan)
        self.w = as_array(self.values)
        self.queue.states = &self.states[0]

    @property
    def one_way(self):
        return bool(self.is_one_way)

    def expand(self, int64_t n_entries):
        cdef int status, done
        with nogil:
            status = ebm_graph_potential_expand(&self.matrix.c, &self.transpose.c, n_entries,
                                                &self.queue, &self.values[0], &self.is_one_way,
                                                &done)
        check(status)
        return bool(done)


def components_unite(Csr A not None, int64_t begin, int64_t end, int64_t first, int64_t last,
                     int32_t skip, int num_threads, int32_t[::1] parent not None):
    """Entries [first, last) of the rows [begin, end) unite the trees of their ends; rows whose
    parent is `skip` are left out."""
    cdef int status
    need(parent.shape[0] == A.c.n_states and 0 <= first <= last,
         "length of parent, or a range of entries")
    need_rows(A, begin, end)
    with nogil:
        status = ebm_components_unite(&A.c, begin, end, first, last, skip, num_threads, &parent[0])
    check(status)


def components_flatten(int64_t begin, int64_t end, int num_threads, int32_t[::1] parent not None):
    """parent[x] becomes the root of x, for x in [begin, end)."""
    cdef int status
    need(0 <= begin <= end <= parent.shape[0] > 0, "a range of states")
    with nogil:
        status = ebm_components_flatten(begin, end, num_threads, &parent[0])
    check(status)


def components_loops(Csr A not None, int64_t begin, int64_t end, const int32_t[::1] label not None,
                     uint8_t[::1] looped not None):
    """looped[label[x]] = 1 for every x in [begin, end) with an entry (x, x)."""
    cdef int status
    need(label.shape[0] == A.c.n_states and looped.shape[0] > 0, "length of label")
    need_rows(A, begin, end)
    with nogil:
        status = ebm_components_loops(&A.c, begin, end, &label[0], &looped[0])
    check(status)


def graph_mismatch(Csr A not None, Csr T not None, const double[::1] w not None, int64_t begin,
                   int64_t end, int num_threads):
    """The largest |log(A[x, y] / A[y, x]) - (w[y] - w[x])| over the edges of rows [begin, end)."""
    cdef double mismatch
    cdef int status
    need(T.c.n_states == A.c.n_states and w.shape[0] == A.c.n_states, "lengths")
    need_rows(A, begin, end)
    with nogil:
        status = ebm_graph_mismatch(&A.c, &T.c, &w[0], begin, end, num_threads, &mismatch)
    check(status)
    return mismatch
