# Walkers and the tables that they walk on.

from cpython.exc cimport PyErr_CheckSignals

# Rows of tables that one call builds: 5e6 cells, about 0.1 s, so that Ctrl-C is answered in
# between.
cdef int64_t CELLS_PER_CALL = 5000000


cdef class AliasKernel(Kernel):
    """The walking kernel of a scaled stored matrix. Owns its tables, 16 bytes an entry and 4 a
    state (8 from 2^32 entries on; none where all rows have one degree); rows of equally likely
    entries need no table and are walked in the matrix."""

    cdef ebm_alias_t table
    cdef readonly object indptr, cells, matrix

    def __cinit__(self, Scaled scaled not None, int num_threads):
        cdef CsrKernel stored = <CsrKernel?>scaled.kernel
        cdef int64_t n = stored.forward.n_states
        cdef int64_t[::1] indptr = int64s(n + 1)
        cdef const uint32_t[::1] narrow
        cdef int status
        with nogil:
            status = ebm_alias_count(&stored.forward, scaled.c.shift, &indptr[0],
                                     &self.table.degree)
        check(status)
        self.table.n_states = n
        if stored.forward.values == NULL and scaled.c.col == NULL and scaled.c.shift == NULL:
            self.matrix = stored.matrix
            self.table.targets = stored.forward.indices
            if indptr[n] != stored.forward.indptr[n]:  # a matrix has no empty cells
                self.table.degree = 0
                indptr = stored.matrix.indptr.copy()
        else:
            self.build(scaled, stored, indptr, num_threads)
        if self.table.degree == 0 and indptr[n] < 2**32:
            self.indptr = as_array(indptr).astype(np.uint32)
            narrow = self.indptr
            self.table.narrow = &narrow[0]
        elif self.table.degree == 0:
            self.indptr = as_array(indptr)
            self.table.indptr = &indptr[0]
        ebm_alias_kernel(&self.table, &self.c)

    cdef int build(self, Scaled scaled, CsrKernel stored, int64_t[::1] indptr,
                   int num_threads) except -1:
        cdef int64_t n = stored.forward.n_states, begin = 0, end, rows_per_call
        cdef uint64_t[:, ::1] cells = np.empty((indptr[n], 2), np.uint64)
        cdef int status
        rows_per_call = max(1, n * CELLS_PER_CALL // indptr[n])
        while begin < n:
            end = min(n, begin + rows_per_call)
            with nogil:
                status = ebm_alias_build(&stored.forward, scaled.c.row, scaled.c.col,
                                         scaled.c.shift, num_threads, begin, end, &indptr[0],
                                         <ebm_alias_cell_t *>&cells[0, 0])
            check(status)
            PyErr_CheckSignals()
            begin = end
        self.cells = np.asarray(cells)
        self.table.cells = <const ebm_alias_cell_t *>&cells[0, 0]
        return 0

    @property
    def nbytes(self):
        return sum(array.nbytes for array in (self.indptr, self.cells) if array is not None)


def walk_hit(Kernel kernel not None, const uint64_t[::1] key not None,
             const uint64_t[::1] target_bits not None, int num_threads, int64_t first_walker,
             int64_t t_begin, int64_t t_end, int64_t[::1] states not None,
             int64_t[::1] hit_time not None):
    """Walk those with hit_time < 0 from step t_begin to the target or t_end; states and hit_time
    (n_walkers,) in place."""
    cdef int64_t n_walkers = states.shape[0]
    cdef int status
    need(key.shape[0] == 2, "key has two words")
    need(target_bits.shape[0] * 64 >= kernel.c.n_states, "length of target_bits")
    need(hit_time.shape[0] == n_walkers, "lengths of states and hit_time")
    if n_walkers == 0:
        return
    with nogil:
        status = ebm_walk_hit(&kernel.c, &key[0], &target_bits[0], num_threads, n_walkers,
                              first_walker, t_begin, t_end, &states[0], &hit_time[0])
    check(status)


def walk_watch(Kernel kernel not None, const uint64_t[::1] key not None,
               const uint64_t[::1] target_bits not None, int num_threads,
               const int64_t[::1] streams not None, int64_t t_begin, int64_t t_end,
               int64_t[::1] states not None, int64_t[::1] stop_time not None,
               const double[::1] score=None, const double[::1] level=None, double[::1] best=None,
               const double[::1] weight=None, double[::1] sum=None):
    """The same on the given streams, with statistics: `best` (n_walkers,) keeps the highest score,
    above `level` a walker stops; `sum` (n_walkers,) gains the weight (n_states,) of every state
    walked to."""
    cdef int64_t n_walkers = states.shape[0], n = kernel.c.n_states
    cdef ebm_watch_t watch
    cdef int status
    need(key.shape[0] == 2, "key has two words")
    need(target_bits.shape[0] * 64 >= n, "length of target_bits")
    need(stop_time.shape[0] == n_walkers and streams.shape[0] == n_walkers,
         "lengths of states, streams and stop_time")
    need(score is None or (level is not None and best is not None),
         "a score needs levels and a place for the best")
    need(score is None or score.shape[0] == n, "length of score")
    need(score is None or (level.shape[0] == n_walkers and best.shape[0] == n_walkers),
         "lengths of level and best")
    need((weight is None) == (sum is None), "a weight needs a place for its sum")
    need(weight is None or (weight.shape[0] == n and sum.shape[0] == n_walkers),
         "lengths of weight and sum")
    if n_walkers == 0:
        return
    watch.score = pointer(score)
    watch.level = pointer(level)
    watch.best = &best[0] if best is not None else NULL
    watch.weight = pointer(weight)
    watch.sum = &sum[0] if sum is not None else NULL
    with nogil:
        status = ebm_walk_watch(&kernel.c, &key[0], &target_bits[0], &watch, num_threads, n_walkers,
                                &streams[0], t_begin, t_end, &states[0], &stop_time[0])
    check(status)


ctypedef fused path_t:
    int32_t
    int64_t


def walk_paths(Kernel kernel not None, const uint64_t[::1] key not None, int num_threads,
               int64_t first_walker, int64_t t_begin, int64_t t_end, int64_t[::1] states not None,
               path_t[:, ::1] paths not None):
    """Walk all from step t_begin to t_end and write column t of paths (n_walkers, > t_end) for each
    step t."""
    cdef int64_t n_walkers = states.shape[0], stride = paths.shape[1]
    cdef int status
    need(key.shape[0] == 2, "key has two words")
    need(paths.shape[0] == n_walkers and stride > t_end, "shape of paths")
    need(path_t is int64_t or kernel.c.n_states <= 2**31, "paths too narrow")
    if n_walkers == 0:
        return
    with nogil:
        status = ebm_walk_paths(&kernel.c, &key[0], num_threads, n_walkers, first_walker, t_begin,
                                t_end, stride, path_t is int32_t, &states[0], &paths[0, 0])
    check(status)
