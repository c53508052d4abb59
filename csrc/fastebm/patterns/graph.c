#include "fastebm/patterns/graph.h"

#include <math.h>

#include "fastebm/patterns/pairs.h"
#include "fastebm/base/parallel.h"

#define UNSEEN (-1)

int ebm_graph_components_expand(ebm_graph_components_t *search, int64_t n_entries, int *done)
{
    const ebm_csr_t *A = search->A;
    int32_t *labels = search->labels, *low = search->low, *open = search->open,
            *parent = search->parent;
    int64_t *next = search->next, root = search->root, left = n_entries;
    int32_t n_open = (int32_t)search->n_open, clock = (int32_t)search->clock,
            v = (int32_t)search->at - 1;

    /* labels[v] is UNSEEN, or -2 - (discovery time) while v is open, or v's class. */
    while (left > 0) {
        if (v < 0) {
            while (root < A->n_states && labels[root] != UNSEEN) root++;
            if (root == A->n_states) break;
            v = (int32_t)root;
            parent[v] = -1;
            labels[v] = -2 - clock;
            low[v] = clock++;
            next[v] = A->indptr[v];
            open[n_open++] = v;
        }
        while (v >= 0 && left-- > 0) {
            if (next[v] < A->indptr[v + 1]) {
                const int32_t to = A->indices[next[v]++];
                if (labels[to] == UNSEEN) {
                    parent[to] = v;
                    labels[to] = -2 - clock;
                    low[to] = clock++;
                    next[to] = A->indptr[to];
                    open[n_open++] = to;
                    v = to;
                } else if (labels[to] < UNSEEN && -2 - labels[to] < low[v]) {
                    low[v] = -2 - labels[to];
                }
                continue;
            }
            const int32_t up = parent[v];
            /* v was discovered first in its class: the class is complete */
            if (low[v] == -2 - labels[v]) {
                int32_t member;
                do {
                    member = open[--n_open];
                    labels[member] = (int32_t)search->n_classes;
                } while (member != v);
                search->n_classes++;
            } else if (low[v] < low[up]) {
                low[up] = low[v];
            }
            v = up;
        }
    }
    search->root = root, search->n_open = n_open, search->clock = clock,
    search->at = (int64_t)v + 1;
    *done = v < 0 && root == A->n_states;
    return EBM_OK;
}

static int64_t gcd(int64_t a, int64_t b)
{
    while (b) {
        const int64_t r = a % b;
        a = b;
        b = r;
    }
    return a < 0 ? -a : a;
}

int ebm_graph_classes_expand(const ebm_csr_t *A, const int32_t *labels, int64_t n_entries,
                             ebm_graph_queue_t *queue, int32_t *level, uint8_t *closed,
                             int64_t *period, int64_t *size, int *done)
{
    for (int64_t left = n_entries; left > 0;) {
        if (queue->head == queue->tail) {
            while (queue->root < A->n_states && level[queue->root] != UNSEEN) queue->root++;
            if (queue->root == A->n_states) break;
            level[queue->root] = 0;
            queue->states[queue->tail++] = (int32_t)queue->root;
        }
        const int32_t x = queue->states[queue->head++], c = labels[x];
        size[c]++;
        for (int64_t k = A->indptr[x]; k < A->indptr[x + 1]; k++) {
            const int32_t y = A->indices[k];
            if (labels[y] != c) {
                closed[c] = 0;
            } else if (level[y] == UNSEEN) {
                level[y] = level[x] + 1;
                queue->states[queue->tail++] = y;
            } else if (period[c] != 1) {
                /* every such edge closes a cycle modulo the period (Denardo 1977) */
                period[c] = gcd(period[c], (int64_t)level[x] + 1 - level[y]);
            }
        }
        left -= 1 + A->indptr[x + 1] - A->indptr[x];
    }
    *done = queue->head == queue->tail && queue->root == A->n_states;
    return EBM_OK;
}

int ebm_graph_reach_expand(const ebm_csr_t *A, const uint8_t *avoid, int64_t n_entries,
                           ebm_graph_queue_t *queue, uint8_t *reached, int *done)
{
    int64_t left = n_entries;
    if (queue->root == 0) { /* at first: the states given */
        for (int64_t v = 0; v < A->n_states; v++)
            if (reached[v]) queue->states[queue->tail++] = (int32_t)v;
        queue->root = A->n_states;
    }
    while (queue->head < queue->tail && left > 0) {
        const int32_t x = queue->states[queue->head++];
        for (int64_t k = A->indptr[x]; k < A->indptr[x + 1]; k++) {
            const int32_t y = A->indices[k];
            if (reached[y] || (avoid && avoid[y])) continue;
            reached[y] = 1;
            queue->states[queue->tail++] = y;
        }
        left -= 1 + A->indptr[x + 1] - A->indptr[x];
    }
    *done = queue->head == queue->tail;
    return EBM_OK;
}

/* Difference of logs: the ratio of two entries may leave the range of a double. */
static inline double log_ratio(const ebm_pairs_t *pair)
{
    return pair->forward == pair->backward ? 0.0 : log(pair->forward) - log(pair->backward);
}

int ebm_graph_potential_expand(const ebm_csr_t *A, const ebm_csr_t *T, int64_t n_entries,
                               ebm_graph_queue_t *queue, double *w, int *one_way, int *done)
{
    for (int64_t left = n_entries; left > 0;) {
        if (queue->head == queue->tail) {
            while (queue->root < A->n_states && !isnan(w[queue->root])) queue->root++;
            if (queue->root == A->n_states) break;
            w[queue->root] = 0.0;
            queue->states[queue->tail++] = (int32_t)queue->root;
        }
        const int32_t x = queue->states[queue->head++];
        ebm_pairs_t pair = ebm_pairs_of(A, T, x);
        while (ebm_pairs_next(&pair)) {
            if (pair.forward == 0.0 || pair.backward == 0.0) {
                *one_way = *done = 1;
                return EBM_OK;
            }
            if (!isnan(w[pair.other])) continue;
            w[pair.other] = w[x] + log_ratio(&pair);
            if (isnan(w[pair.other])) { /* of entries that are not positive; it marks new states */
                *one_way = *done = 1;
                return EBM_OK;
            }
            queue->states[queue->tail++] = pair.other;
        }
        left -= 1 + A->indptr[x + 1] - A->indptr[x];
    }
    *done = queue->head == queue->tail && queue->root == A->n_states;
    return EBM_OK;
}

int ebm_graph_mismatch(const ebm_csr_t *A, const ebm_csr_t *T, const double *w, int64_t begin,
                       int64_t end, int num_threads, double *mismatch)
{
    (void)num_threads;
    double largest = 0.0;
#pragma omp parallel for num_threads(num_threads) schedule(dynamic, EBM_TILE) \
    reduction(max : largest) if (end - begin > EBM_TILE)
    for (int64_t x = begin; x < end; x++) {
        ebm_pairs_t pair = ebm_pairs_of(A, T, x);
        while (ebm_pairs_next(&pair)) {
            if (pair.other <= x) continue; /* each unordered pair once */
            const int both = pair.forward > 0.0 && pair.backward > 0.0;
            const double gap = both ? fabs(log_ratio(&pair) - (w[pair.other] - w[x])) : INFINITY;
            if (gap > largest) largest = gap;
        }
    }
    *mismatch = largest;
    return EBM_OK;
}
