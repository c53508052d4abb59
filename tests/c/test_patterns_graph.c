/* Classes, components, reachability and the potential of small graphs. */
#include "check.h"
#include "fastebm/patterns/components.h"
#include "fastebm/patterns/graph.h"

/* The searches, run to their end with at most `n_entries` entries a call. */
static int64_t components(const ebm_csr_t *A, int64_t n_entries, int32_t *labels)
{
    const int64_t n = A->n_states;
    int32_t *work = take(3 * n, sizeof *work);
    int64_t *next = take(n, sizeof *next);
    ebm_graph_components_t search = {.A = A,
                                     .labels = labels,
                                     .low = work,
                                     .open = work + n,
                                     .parent = work + 2 * n,
                                     .next = next};
    for (int64_t i = 0; i < n; i++) labels[i] = -1;
    for (int done = 0; !done;)
        CHECK(ebm_graph_components_expand(&search, n_entries, &done) == EBM_OK);
    free(work), free(next);
    return search.n_classes;
}

static void classes(const ebm_csr_t *A, const int32_t *labels, int64_t n_classes, int64_t n_entries,
                    uint8_t *closed, int64_t *period, int64_t *size)
{
    const int64_t n = A->n_states;
    int32_t *states = take(n, sizeof *states), *level = take(n, sizeof *level);
    ebm_graph_queue_t queue = {states, 0, 0, 0};
    for (int64_t i = 0; i < n; i++) level[i] = -1;
    for (int64_t c = 0; c < n_classes; c++) closed[c] = 1, period[c] = 0, size[c] = 0;
    for (int done = 0; !done;)
        CHECK(ebm_graph_classes_expand(A, labels, n_entries, &queue, level, closed, period, size,
                                       &done) == EBM_OK);
    free(states), free(level);
}

static void reach(const ebm_csr_t *A, const uint8_t *avoid, int64_t n_entries, uint8_t *reached)
{
    int32_t *states = take(A->n_states, sizeof *states);
    ebm_graph_queue_t queue = {states, 0, 0, 0};
    for (int done = 0; !done;)
        CHECK(ebm_graph_reach_expand(A, avoid, n_entries, &queue, reached, &done) == EBM_OK);
    free(states);
}

/* The mismatch of the potential w; infinite where an edge has no reverse. */
static double potential(const ebm_csr_t *A, const ebm_csr_t *T, int64_t n_entries, double *w)
{
    int32_t *states = take(A->n_states, sizeof *states);
    ebm_graph_queue_t queue = {states, 0, 0, 0};
    int one_way = 0;
    double mismatch;
    for (int64_t i = 0; i < A->n_states; i++) w[i] = NAN;
    for (int done = 0; !done;)
        CHECK(ebm_graph_potential_expand(A, T, n_entries, &queue, w, &one_way, &done) == EBM_OK);
    free(states);
    CHECK(ebm_graph_mismatch(A, T, w, 0, A->n_states, 2, &mismatch) == EBM_OK);
    CHECK(!one_way || !(mismatch < INFINITY));
    return mismatch;
}

/* Union-find over all edges, in any pieces, against sweeps in both directions until nothing
   changes. */
static void check_components(const ebm_csr_t *A, int32_t *parent)
{
    const int64_t n = A->n_states;
    int32_t *smallest = take(n, sizeof *smallest);
    uint8_t *looped = take(n, 1);
    for (int64_t i = 0; i < n; i++) smallest[i] = (int32_t)i;
    for (int changed = 1; changed;) {
        changed = 0;
        for (int64_t i = 0; i < n; i++)
            for (int64_t k = A->indptr[i]; k < A->indptr[i + 1]; k++) {
                int32_t *a = smallest + i, *b = smallest + A->indices[k];
                if (*a != *b) changed = 1, *a = *b = *a < *b ? *a : *b;
            }
    }
    for (int64_t piece = 1; piece <= n; piece++) {
        for (int64_t i = 0; i < n; i++) parent[i] = (int32_t)i;
        for (int64_t first = 0; first < n; first += piece)
            for (int64_t begin = 0; begin < n; begin += piece) {
                const int64_t end = begin + piece < n ? begin + piece : n;
                CHECK(ebm_components_unite(A, begin, end, first, first + piece, -1, 2, parent) ==
                      EBM_OK);
            }
        CHECK(ebm_components_flatten(0, n, 2, parent) == EBM_OK);
        CHECK(!memcmp(parent, smallest, (size_t)n * sizeof *parent));
    }
    for (int64_t i = 0; i < n; i++) looped[i] = 0;
    CHECK(ebm_components_loops(A, 0, n, parent, looped) == EBM_OK);
    for (int64_t i = 0; i < n; i++) {
        int expected = 0;
        for (int64_t j = 0; j < n; j++)
            for (int64_t k = A->indptr[j]; k < A->indptr[j + 1]; k++)
                expected |= parent[j] == i && A->indices[k] == j;
        CHECK(looped[i] == expected);
    }
    free(smallest), free(looped);
}

static void check_graph(int64_t n, const int64_t *indptr, const int32_t *indices, int64_t n_classes,
                        const int64_t *period, const int *closed, const int *state_class)
{
    const ebm_csr_t A = csr(n, indptr, indices, NULL, EBM_VALUES_NONE);
    int32_t *labels = take(n, sizeof *labels), *again = take(n, sizeof *again);
    int64_t *periods = take(n, sizeof *periods), *size = take(n, sizeof *size), total = 0;
    uint8_t *is_closed = take(n, 1);
    const int64_t found = components(&A, INT64_MAX, labels);
    CHECK(found == n_classes);
    for (int64_t piece = 1; piece < 5; piece++) { /* wherever the search is cut */
        CHECK(components(&A, piece, again) == found &&
              !memcmp(labels, again, (size_t)n * sizeof *labels));
        classes(&A, labels, found, piece, is_closed, periods, size);
    }
    for (int64_t i = 0; i < n; i++) {
        CHECK(labels[i] >= 0 && labels[i] < found);
        for (int64_t j = 0; j < n; j++)
            CHECK((labels[i] == labels[j]) == (state_class[i] == state_class[j]));
        for (int64_t k = indptr[i]; k < indptr[i + 1]; k++) CHECK(labels[indices[k]] <= labels[i]);
        CHECK(periods[labels[i]] == period[state_class[i]] &&
              is_closed[labels[i]] == closed[state_class[i]]);
    }
    CHECK(is_closed[0]);
    for (int64_t c = 0; c < found; c++) total += size[c];
    CHECK(total == n);
    check_components(&A, again);
    free(labels), free(again), free(periods), free(size), free(is_closed);
}

static void test_graphs(void)
{
    /* 0 -> 1 -> 2 -> 0, 2 -> 3, 3 <-> 4, 5 -> 3, 5 -> 0, 6 -> 6 */
    check_graph(7, (const int64_t[]){0, 1, 2, 4, 5, 6, 8, 9},
                (const int32_t[]){1, 2, 0, 3, 4, 3, 0, 3, 6}, 4, (const int64_t[]){3, 2, 0, 1},
                (const int[]){0, 1, 0, 1}, (const int[]){0, 0, 0, 1, 1, 2, 3});
    /* cycles of 4 and 6 through state 0: period 2 */
    check_graph(8, (const int64_t[]){0, 2, 3, 4, 5, 6, 7, 8, 9},
                (const int32_t[]){1, 4, 2, 3, 0, 5, 6, 7, 3}, 1, (const int64_t[]){2},
                (const int[]){1}, (const int[]){0, 0, 0, 0, 0, 0, 0, 0});
    check_graph(1, (const int64_t[]){0, 1}, (const int32_t[]){0}, 1, (const int64_t[]){1},
                (const int[]){1}, (const int[]){0});

    /* a path of 100,000 states down and up again: nothing recurses */
    const int64_t n = 100000;
    int64_t *indptr = take(n + 1, sizeof *indptr);
    int32_t *indices = take(n, sizeof *indices), *labels = take(n, sizeof *labels);
    for (int64_t i = 0; i <= n; i++) indptr[i] = i;
    for (int64_t i = 0; i < n; i++) indices[i] = (int32_t)((i + 1) % n);
    const ebm_csr_t ring = csr(n, indptr, indices, NULL, EBM_VALUES_NONE);
    CHECK(components(&ring, 1000, labels) == 1);
    indices[n - 1] = (int32_t)(n - 1);
    CHECK(components(&ring, 1000, labels) == n && labels[n - 1] == 0);
    free(indptr), free(indices), free(labels);
}

static void test_reach(void)
{
    /* 0 -> 1 -> 2 -> 3, 1 -> 4 -> 3, 5 alone */
    const int64_t indptr[] = {0, 1, 3, 4, 5, 6, 7};
    const int32_t indices[] = {1, 2, 4, 3, 3, 3, 5};
    const ebm_csr_t A = csr(6, indptr, indices, NULL, EBM_VALUES_NONE);
    for (int64_t piece = 1; piece < 4; piece++) {
        uint8_t reached[6] = {1}, around[6] = {1}, avoid[6] = {0, 0, 1, 0, 1, 0},
                two[6] = {0, 0, 1, 0, 0, 1};
        reach(&A, NULL, piece, reached);
        CHECK(!memcmp(reached, (uint8_t[]){1, 1, 1, 1, 1, 0}, 6));
        reach(&A, avoid, piece, around);
        CHECK(!memcmp(around, (uint8_t[]){1, 1, 0, 0, 0, 0}, 6));
        reach(&A, avoid, piece, two); /* a start that is avoided is a start all the same */
        CHECK(!memcmp(two, (uint8_t[]){0, 0, 1, 1, 0, 1}, 6));
    }
}

static void test_potential(void)
{
    /* a triangle whose entries balance under w = (0, log 2, log 8), and a component of its own */
    const int64_t indptr[] = {0, 2, 4, 6, 7};
    const int32_t indices[] = {1, 2, 0, 2, 0, 1, 3};
    double values[] = {2, 8, 1, 4, 1, 1, 5}, t_values[7], w[4];
    int64_t t_indptr[5];
    int32_t t_indices[7];
    const ebm_csr_t A = csr(4, indptr, indices, values, EBM_VALUES_F64),
                    T = csr(4, t_indptr, t_indices, t_values, EBM_VALUES_F64);
    transpose(&A, t_indptr, t_indices, t_values);
    CLOSE(potential(&A, &T, 1, w), 0, 1e-15);
    CLOSE(w[0], 0, 0), CLOSE(w[1], log(2), 1e-15), CLOSE(w[2], log(8), 1e-15), CLOSE(w[3], 0, 0);
    values[3] = 12; /* the cycle now gains a factor of 3 */
    transpose(&A, t_indptr, t_indices, t_values);
    CLOSE(potential(&A, &T, 100, w), log(3), 1e-15);
    /* entries whose ratio leaves the range of a double */
    values[0] = 1e-300, values[2] = 1e300, values[3] = 4;
    transpose(&A, t_indptr, t_indices, t_values);
    const double mismatch = potential(&A, &T, 100, w);
    CHECK(isfinite(mismatch) && mismatch > 1000);
    /* entries that are not positive balance nothing, and no state is queued twice */
    for (int k = 0; k < 2; k++) {
        values[0] = values[1] = k ? NAN : -1.0;
        transpose(&A, t_indptr, t_indices, t_values);
        CHECK(isinf(potential(&A, &T, 100, w)));
    }
    /* one direction only */
    const int64_t one_way[] = {0, 1, 2, 3}, back[] = {0, 1, 2, 3};
    const ebm_csr_t ring = csr(3, one_way, (const int32_t[]){1, 2, 0}, NULL, EBM_VALUES_NONE);
    const ebm_csr_t gnir = csr(3, back, (const int32_t[]){2, 0, 1}, NULL, EBM_VALUES_NONE);
    CHECK(isinf(potential(&ring, &gnir, 100, w)));
}

int main(void)
{
    test_graphs();
    test_reach();
    test_potential();
    return 0;
}
