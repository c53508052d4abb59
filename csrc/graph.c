#include "graph.h"

#include <math.h>

#include "pairs.h"

#define UNSEEN (-1)

int ebm_graph_components(const ebm_csr_t *A, int32_t *work32, int64_t *work64, int32_t *labels, int64_t *n_classes)
{
    const int64_t n = A->n_states;
    int32_t *low = work32, *open = work32 + n, *parent = work32 + 2 * n; /* open: Tarjan's stack of unassigned states */
    int64_t *next = work64;                                              /* the next entry of each state to look at */
    int32_t classes = 0, n_open = 0, clock = 0;

    /* labels[v] is UNSEEN, or -2 - (discovery time) while v is open, or v's class. */
    for (int64_t v = 0; v < n; v++) labels[v] = UNSEEN;
    for (int64_t root = 0; root < n; root++) {
        if (labels[root] != UNSEEN) continue;
        int32_t v = (int32_t)root;
        parent[v] = -1;
        labels[v] = -2 - clock;
        low[v] = clock++;
        next[v] = A->indptr[v];
        open[n_open++] = v;
        while (v >= 0) {
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
            if (low[v] == -2 - labels[v]) { /* v is the first-found state of its class: close the class */
                int32_t member;
                do {
                    member = open[--n_open];
                    labels[member] = classes;
                } while (member != v);
                classes++;
            } else if (low[v] < low[up]) {
                low[up] = low[v];
            }
            v = up;
        }
    }
    *n_classes = classes;
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

int ebm_graph_classes(const ebm_csr_t *A, const int32_t *labels, int64_t n_classes, int32_t *work, uint8_t *closed,
                      int64_t *period, int64_t *size)
{
    const int64_t n = A->n_states;
    int32_t *level = work, *queue = work + n;
    for (int64_t c = 0; c < n_classes; c++) closed[c] = 1, period[c] = 0, size[c] = 0;
    for (int64_t v = 0; v < n; v++) level[v] = UNSEEN;
    for (int64_t root = 0; root < n; root++) {
        if (level[root] != UNSEEN) continue;
        const int32_t c = labels[root];
        int64_t head = 0, tail = 0;
        level[root] = 0;
        queue[tail++] = (int32_t)root;
        while (head < tail) {
            const int32_t x = queue[head++];
            size[c]++;
            for (int64_t k = A->indptr[x]; k < A->indptr[x + 1]; k++) {
                const int32_t y = A->indices[k];
                if (labels[y] != c) {
                    closed[c] = 0;
                } else if (level[y] == UNSEEN) {
                    level[y] = level[x] + 1;
                    queue[tail++] = y;
                } else { /* every such edge closes a cycle modulo the period (Denardo 1977) */
                    period[c] = gcd(period[c], (int64_t)level[x] + 1 - level[y]);
                }
            }
        }
    }
    return EBM_OK;
}

int ebm_graph_reach(const ebm_csr_t *A, const uint8_t *avoid, int32_t *work, uint8_t *reached)
{
    int64_t tail = 0;
    for (int64_t v = 0; v < A->n_states; v++)
        if (reached[v]) work[tail++] = (int32_t)v;
    for (int64_t head = 0; head < tail; head++)
        for (int64_t k = A->indptr[work[head]]; k < A->indptr[work[head] + 1]; k++) {
            const int32_t y = A->indices[k];
            if (reached[y] || (avoid && avoid[y])) continue;
            reached[y] = 1;
            work[tail++] = y;
        }
    return EBM_OK;
}

int ebm_graph_potential(const ebm_csr_t *A, const ebm_csr_t *T, int32_t *work, double *w, double *mismatch)
{
    const int64_t n = A->n_states;
    *mismatch = 0.0;
    for (int64_t v = 0; v < n; v++) w[v] = NAN; /* unseen */
    for (int64_t root = 0; root < n; root++) {
        if (!isnan(w[root])) continue;
        int64_t head = 0, tail = 0;
        w[root] = 0.0;
        work[tail++] = (int32_t)root;
        while (head < tail) {
            const int32_t x = work[head++];
            ebm_pairs_t pair = ebm_pairs_of(A, T, x);
            while (ebm_pairs_next(&pair)) {
                if (pair.forward == 0.0 || pair.backward == 0.0) {
                    *mismatch = INFINITY;
                    return EBM_OK;
                }
                /* difference of logs: the ratio of two entries may leave the range of a double */
                const double step = pair.forward == pair.backward ? 0.0 : log(pair.forward) - log(pair.backward);
                if (isnan(w[pair.other])) {
                    w[pair.other] = w[x] + step;
                    work[tail++] = pair.other;
                } else {
                    const double gap = fabs(step - (w[pair.other] - w[x]));
                    if (gap > *mismatch) *mismatch = gap;
                }
            }
        }
    }
    return EBM_OK;
}
