# Fits and tests of reversible chains on counts.

cdef dict POTENTIAL_KINDS = {
    "least-squares": EBM_PAIR_NEWTON_SQUARES,
    "logistic": EBM_PAIR_NEWTON_LOGISTIC,
    "exponential": EBM_PAIR_NEWTON_EXPONENTIAL,
}


cdef class PairGraph:
    """The pairs {x, y}, x != y, of a stored matrix, each in the rows of both: forward = w(x, y),
    backward = w(y, x)."""

    cdef ebm_pairgraph_t c
    cdef readonly object indptr, indices, forward, backward, mirror
    cdef int64_t *mirror_p

    def __cinit__(self, Csr A not None, Csr T not None):
        cdef int64_t n = A.c.n_states, nnz
        cdef int64_t[::1] indptr = int64s(n + 1), work = int64s(n), mirror
        cdef int32_t[::1] indices
        cdef double[::1] forward, backward
        cdef int status
        need(T.c.n_states == n, "sizes of A and its transpose")
        with nogil:
            status = ebm_pairgraph_count(&A.c, &T.c, &indptr[0])
        check(status)
        nnz = max(indptr[n], 1)  # an empty array has no element to point to
        indices, mirror = int32s(nnz), int64s(nnz)
        forward, backward = doubles(nnz), doubles(nnz)
        with nogil:
            status = ebm_pairgraph_fill(&A.c, &T.c, &indptr[0], &work[0], &indices[0], &forward[0],
                                        &backward[0], &mirror[0])
        check(status)
        nnz = indptr[n]
        self.indptr, self.indices = as_array(indptr), as_array(indices)[:nnz]
        self.mirror = as_array(mirror)[:nnz]
        self.forward, self.backward = as_array(forward)[:nnz], as_array(backward)[:nnz]
        self.c.n_states = n
        self.c.indptr, self.c.indices = &indptr[0], &indices[0]
        self.c.forward, self.c.backward = &forward[0], &backward[0]
        self.mirror_p = &mirror[0]

    @property
    def n_states(self):
        return self.c.n_states

    @property
    def nnz(self):
        return self.c.indptr[self.c.n_states]


cdef class PairNewton:
    """The state of Newton's method on sum w(x, y) K(v(x) - v(y)) over a PairGraph, from v = 0."""

    cdef ebm_pair_newton_t c
    cdef readonly PairGraph graph
    cdef int num_threads
    cdef double[:, ::1] vectors
    cdef double[::1] _weight
    cdef const double[::1] law, stay

    def __cinit__(self, PairGraph graph not None, str kind, bint guess, double tol,
                  int64_t max_newton, int num_threads):
        cdef int64_t n = graph.c.n_states
        self.graph, self.num_threads = graph, num_threads
        self.vectors, self._weight = np.zeros((7, n)), doubles(max(graph.nnz, 1))
        self.c.graph, self.c.kind, self.c.guess = graph.c, POTENTIAL_KINDS[kind], guess
        self.c.tol, self.c.max_newton = tol, max_newton
        self.c.v, self.c.gradient = &self.vectors[0, 0], &self.vectors[1, 0]
        self.c.diagonal = &self.vectors[2, 0]
        self.c.step, self.c.residual = &self.vectors[3, 0], &self.vectors[4, 0]
        self.c.direction = &self.vectors[5, 0]
        self.c.product, self.c.weight = &self.vectors[6, 0], &self._weight[0]
        self.c.phase = EBM_PAIR_NEWTON_START

    @classmethod
    def multipliers(cls, PairGraph graph not None, const double[::1] law not None,
                    const double[::1] stay not None, const double[::1] start not None, double tol,
                    int64_t max_newton, int num_threads):
        """The multipliers of the reversible likelihood with a known law, from `start`; v is q."""
        cdef PairNewton self = cls(graph, "logistic", False, tol, max_newton, num_threads)
        cdef int64_t n = graph.c.n_states
        need(law.shape[0] == n and stay.shape[0] == n and start.shape[0] == n, "lengths")
        self.law, self.stay = law, stay
        self.c.kind, self.c.law, self.c.stay = EBM_PAIR_NEWTON_MULTIPLIER, &law[0], &stay[0]
        self.vectors[0, :] = start
        return self

    def run(self, int64_t max_products):
        """At most max_products more products; -> whether it is done."""
        cdef int status
        with nogil:
            status = ebm_pair_newton_run(&self.c, max_products, self.num_threads)
        check(status)
        return self.c.phase == EBM_PAIR_NEWTON_DONE

    def restart(self, const double[::1] step not None):
        """Add `step` to v, and go on from there with the next `run`."""
        cdef int64_t x, n = self.c.graph.n_states
        need(step.shape[0] == n, "length of the step")
        for x in range(n):
            self.c.v[x] += step[x]
        self.c.guess, self.c.phase = 0, EBM_PAIR_NEWTON_START

    def state(self):
        """-> (vectors, weight, numbers): arrays from which `restore` goes on with the same bits."""
        numbers = [self.c.phase, self.c.guess, self.c.n_newton, self.c.n_products, self.c.cg_steps,
                   self.c.rho, self.c.rho_start, self.c.rho_floor, self.c.step_size,
                   self.c.imbalance]
        return np.array(self.vectors), np.array(self._weight), np.array(numbers, dtype=np.float64)

    def restore(self, const double[:, ::1] vectors not None, const double[::1] weight not None,
                const double[::1] numbers not None):
        """Go on from `state()` of the same problem."""
        need(vectors.shape[0] == 7 and vectors.shape[1] == self.c.graph.n_states, "vectors")
        need(weight.shape[0] == self._weight.shape[0] and numbers.shape[0] == 10, "lengths")
        self.vectors[:], self._weight[:] = vectors, weight
        self.c.phase = <ebm_pair_newton_phase_t><int>numbers[0]
        self.c.guess, self.c.n_newton = <int>numbers[1], <int64_t>numbers[2]
        self.c.n_products, self.c.cg_steps = <int64_t>numbers[3], <int64_t>numbers[4]
        self.c.rho, self.c.rho_start, self.c.rho_floor = numbers[5], numbers[6], numbers[7]
        self.c.step_size, self.c.imbalance = numbers[8], numbers[9]

    @property
    def v(self):
        return np.asarray(self.vectors[0])

    @property
    def weight(self):
        """The curvatures of the pairs at v, the Laplacian's weights."""
        return as_array(self._weight)[:self.graph.nnz]

    @property
    def n_newton(self):
        return self.c.n_newton

    @property
    def n_products(self):
        return self.c.n_products

    @property
    def step_size(self):
        return self.c.step_size

    @property
    def imbalance(self):
        return self.c.imbalance

    def slopes(self):
        """-> array (nnz,): the gradient along e_x - e_y that one unit of w(x, y) adds."""
        cdef double[::1] slope = doubles(max(self.graph.nnz, 1))
        cdef int status
        with nogil:
            status = ebm_pair_probe_slopes(&self.c, self.num_threads, &slope[0])
        check(status)
        return as_array(slope)[:self.graph.nnz]

    def probe(self, const double[::1] slope not None, const double[::1] total not None,
              const double[::1] scale not None, const uint64_t[::1] key not None, int64_t probe,
              double[::1] flow not None, double tol, int64_t max_products):
        """-> H^+ g of one random g with the covariance of the gradient; see pair_probe.h. Valid
        until the next call."""
        cdef int64_t n = self.c.graph.n_states
        cdef int status
        need(slope.shape[0] == self.graph.nnz and flow.shape[0] == self.graph.nnz
             and key.shape[0] == 2, "lengths of entries")
        need(total.shape[0] == n and scale.shape[0] == n, "lengths of states")
        with nogil:
            status = ebm_pair_probe_draw(&self.c.graph, self.graph.mirror_p, &slope[0], &total[0],
                                         &scale[0], &key[0], probe, self.num_threads, &flow[0],
                                         self.c.residual)
            if status == EBM_OK:
                status = ebm_pair_newton_solve(&self.c, tol, max_products, self.num_threads)
        check(status)
        return np.asarray(self.vectors[3])


def resample_rows(const int64_t[::1] indptr not None, const double[::1] weight not None,
                  const double[::1] total not None, const uint64_t[::1] key not None,
                  int64_t replicate, int num_threads):
    """-> array like weight: multinomial rows of total[x] draws."""
    cdef int64_t n = total.shape[0]
    cdef double[::1] out = doubles(max(weight.shape[0], 1))
    cdef int status
    need(indptr.shape[0] == n + 1 and key.shape[0] == 2 and weight.shape[0] == indptr[n]
         and weight.shape[0] > 0, "lengths")
    with nogil:
        status = ebm_resample_rows(n, &indptr[0], &weight[0], NULL, &total[0], &key[0], replicate,
                                   num_threads, &out[0])
    check(status)
    return as_array(out)


def posterior_rows(const int64_t[::1] indptr not None, const double[::1] weight not None,
                   const uint64_t[::1] key not None, int64_t replicate, int num_threads):
    """-> array like weight: Dirichlet rows."""
    cdef int64_t n = indptr.shape[0] - 1
    cdef double[::1] out = doubles(max(weight.shape[0], 1))
    cdef int status
    need(n >= 0 and key.shape[0] == 2 and weight.shape[0] == indptr[n] and weight.shape[0] > 0,
         "lengths")
    with nogil:
        status = ebm_posterior_rows(n, &indptr[0], &weight[0], &key[0], replicate, num_threads,
                                    &out[0])
    check(status)
    return as_array(out)


cdef class Posterior:
    """Chains of Gibbs steps for reversible flows given counts; see posterior.h. `flow` and `stay`
    are changed in place."""

    cdef ebm_posterior_t c
    cdef PairGraph graph
    cdef const double[::1] counted_stay, total
    cdef const int64_t[:, ::1] cluster
    cdef const int32_t[::1] order
    cdef const int64_t[::1] place
    cdef double[:, ::1] _flow, _stay, _sum, work
    cdef const uint64_t[::1] key
    cdef int num_threads

    def __cinit__(self, PairGraph graph not None, const double[::1] stay not None,
                  const double[::1] total not None, const int64_t[:, ::1] cluster not None,
                  const int32_t[::1] order not None, const int64_t[::1] place not None,
                  double[:, ::1] flow not None, double[:, ::1] stay_flow not None,
                  const uint64_t[::1] key not None, int num_threads):
        cdef int64_t n = graph.c.n_states, m = flow.shape[0]
        need(stay.shape[0] == n and total.shape[0] == n and order.shape[0] == n
             and place.shape[0] == n and cluster.shape[1] == 2 and key.shape[0] == 2, "lengths")
        need(m > 0 and flow.shape[1] == graph.nnz and flow.shape[1] > 0
             and stay_flow.shape[0] == m and stay_flow.shape[1] == n, "sizes of the flows")
        self.graph, self.counted_stay, self.total, self.cluster = graph, stay, total, cluster
        self.order, self.place, self._flow, self._stay = order, place, flow, stay_flow
        self.key, self.num_threads = key, num_threads
        self._sum, self.work = np.zeros((m, n)), np.zeros((m, 3 * n))
        self.c.counts, self.c.mirror = graph.c, graph.mirror_p
        self.c.stay, self.c.total = &stay[0], &total[0]
        self.c.n_clusters = cluster.shape[0]
        self.c.cluster = &cluster[0, 0] if cluster.shape[0] else NULL
        self.c.order, self.c.place, self.c.n_chains = &order[0], &place[0], m
        self.c.flow, self.c.stay_flow = &flow[0, 0], &stay_flow[0, 0]
        self.c.sum, self.c.work = &self._sum[0, 0], &self.work[0, 0]
        check(ebm_posterior_rescale(&self.c, num_threads))

    @property
    def sums(self):
        """Row sums of the flows of each chain, (n_chains, n_states)."""
        return np.asarray(self._sum)

    def rescale(self):
        cdef int status
        with nogil:
            status = ebm_posterior_rescale(&self.c, self.num_threads)
        check(status)

    def flows(self, int64_t sweep, int64_t begin, int64_t end):
        cdef int status
        need(0 <= begin <= end <= self.c.counts.n_states, "range of rows")
        with nogil:
            status = ebm_posterior_flows(&self.c, &self.key[0], sweep, begin, end,
                                         self.num_threads)
        check(status)

    def clusters(self, int64_t sweep, int64_t begin, int64_t end):
        cdef int status
        need(0 <= begin <= end <= self.c.n_clusters, "range of clusters")
        with nogil:
            status = ebm_posterior_clusters(&self.c, &self.key[0], sweep, begin, end,
                                            self.num_threads)
        check(status)


def balance_expected(PairGraph counts not None, const int32_t[::1] labels,
                     const double[::1] v not None):
    """-> array (nnz,): counts expected under the reversible fit; labels None: one class."""
    cdef double[::1] expected = doubles(max(counts.nnz, 1))
    cdef int status
    need(v.shape[0] == counts.c.n_states and (labels is None or labels.shape[0] == v.shape[0]),
         "lengths")
    cdef const int32_t *labels_p = &labels[0] if labels is not None else NULL
    with nogil:
        status = ebm_balance_expected(&counts.c, labels_p, &v[0], &expected[0])
    check(status)
    return as_array(expected)[:counts.nnz]


cdef class BalanceWalk:
    """Random tables with the pair sums and row totals of a PairGraph; see balance_walk.h. ends
    None: independent rows."""

    cdef PairGraph graph
    cdef const double[::1] expected
    cdef const int64_t[::1] up, chords, start_range, starts
    cdef const int32_t[::1] depth, labels
    cdef const double[::1] ends, start_sum
    cdef ebm_balance_walk_t c

    def __cinit__(self, PairGraph graph not None, const double[::1] expected not None,
                  const int64_t[::1] up not None, const int32_t[::1] depth not None,
                  const int64_t[::1] chords not None, const int32_t[::1] labels not None,
                  const double[::1] ends, const int64_t[::1] start_range not None,
                  const int64_t[::1] starts not None, const double[::1] start_sum not None):
        cdef int64_t n = graph.c.n_states
        need(expected.shape[0] == graph.nnz and graph.nnz > 0, "length of expected")
        need(up.shape[0] == n and depth.shape[0] == n and labels.shape[0] == n
             and (ends is None or ends.shape[0] == n), "lengths of states")
        need(chords.shape[0] > 0, "length of chords")
        need(start_range.shape[0] > 1 and starts.shape[0] == start_range[start_range.shape[0] - 1]
             and start_sum.shape[0] == starts.shape[0], "length of starts")
        self.graph, self.expected, self.up, self.depth = graph, expected, up, depth
        self.chords, self.labels, self.ends = chords, labels, ends
        self.start_range, self.starts, self.start_sum = start_range, starts, start_sum
        self.c.counts, self.c.mirror, self.c.expected = graph.c, graph.mirror_p, &expected[0]
        self.c.up, self.c.depth, self.c.n_chords = &up[0], &depth[0], chords.shape[0]
        self.c.chords, self.c.labels = &chords[0], &labels[0]
        self.c.ends, self.c.starts = pointer(ends), &starts[0] if starts.shape[0] else NULL
        self.c.start_sum = &start_sum[0] if starts.shape[0] else NULL
        self.c.n_classes, self.c.start_range = start_range.shape[0] - 1, &start_range[0]

    def tree_steps(self, const uint64_t[::1] key not None, int64_t max_steps):
        """-> the steps that a tree of the data costs; max_steps + 1 if more."""
        cdef double[::1] spare_total = doubles(self.c.counts.n_states)
        cdef int64_t[::1] place = int64s(ebm_balance_walk_place(&self.c))
        cdef double[::1] table = np.array(self.graph.forward)
        cdef int64_t steps
        need(key.shape[0] == 2 and self.ends is not None, "a tree of trajectories")
        with nogil:
            steps = ebm_balance_walk_tree_steps(&self.c, &key[0], max_steps, &spare_total[0],
                                                &place[0], &table[0])
        return steps

    def run(self, double[:, ::1] tables not None, int64_t n_moves,
            const uint64_t[::1] key not None, int64_t leg, int64_t first, int n_slots):
        """Walk from each of the tables (n_tables, nnz), in place."""
        cdef int64_t n_tables = tables.shape[0]
        need(n_tables > 0 and tables.shape[1] == self.graph.nnz, "shape of tables")
        need(key.shape[0] == 2 and n_slots > 0, "counts")
        cdef double[::1] spare_total = doubles(n_slots * self.c.counts.n_states)
        cdef int64_t[::1] place = int64s(n_slots * ebm_balance_walk_place(&self.c))
        cdef int status
        with nogil:
            status = ebm_balance_walk_run(&self.c, n_moves, &key[0], leg, first,
                                          n_tables, n_slots, &spare_total[0], &place[0],
                                          &tables[0, 0])
        check(status)


cdef class CycleRanking:
    """Triangles and the cycles of a breadth-first forest, ranked by how much they break
    Kolmogorov's criterion."""

    cdef const int64_t[::1] indptr
    cdef const int32_t[::1] indices
    cdef const double[::1] ratio, variance
    cdef int32_t[::1] parent, depth
    cdef uint8_t[::1] best
    cdef int64_t n_keep, n_best
    cdef ebm_cycle_totals_t totals

    def __cinit__(self, const int64_t[::1] indptr not None, const int32_t[::1] indices not None,
                  const double[::1] ratio not None, const double[::1] variance, int64_t n_keep):
        cdef int64_t n = indptr.shape[0] - 1
        cdef int32_t[::1] queue = int32s(n)
        cdef int status
        need(indices.shape[0] == indptr[n] and ratio.shape[0] == indptr[n] and indptr[n] > 0
             and n_keep > 0, "lengths")
        need(variance is None or variance.shape[0] == indptr[n], "length of variance")
        self.indptr, self.indices, self.ratio, self.variance = indptr, indices, ratio, variance
        self.parent, self.depth = int32s(n), int32s(n)
        self.n_keep, self.best = n_keep, np.empty(n_keep * sizeof(ebm_cycle_t), np.uint8)
        with nogil:
            status = ebm_cycle_forest(n, &indptr[0], &indices[0], &ratio[0], &queue[0],
                                      &self.parent[0], &self.depth[0])
        check(status)

    def expand(self, int64_t begin, int64_t end):
        """Examine the edges whose smaller state is begin .. end - 1."""
        cdef const double *variance_p = pointer(self.variance)
        cdef int status
        with nogil:
            status = ebm_cycle_rank(self.parent.shape[0], &self.indptr[0], &self.indices[0],
                                    &self.ratio[0], variance_p, &self.parent[0], &self.depth[0],
                                    begin, end, self.n_keep, <ebm_cycle_t *>&self.best[0],
                                    &self.n_best, &self.totals)
        check(status)

    @property
    def found(self):
        """-> ([(states, affinity, variance, score)] best first, totals: n_triangles, n_longer,
        triangle_square)."""
        cdef ebm_cycle_t *best = <ebm_cycle_t *>&self.best[0]
        cdef int64_t i, j
        cycles = [([best[i].states[j] for j in range(best[i].length)], best[i].affinity,
                   best[i].variance, best[i].score) for i in range(self.n_best)]
        return cycles, self.totals
