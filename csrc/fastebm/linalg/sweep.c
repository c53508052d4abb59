#include "fastebm/linalg/sweep.h"

int ebm_sweep_order_expand(ebm_sweep_order_t *search, int64_t n_entries, int *done)
{
    const ebm_csr_t *A = search->A;
    const uint8_t *inside = search->inside;
    int32_t *order = search->order, *parent = search->parent;
    int64_t *next = search->next, root = search->root, n_found = search->n_found, left = n_entries;
    int32_t v = (int32_t)search->at - 1;

    while (left > 0) {
        if (v < 0) {
            while (root < A->n_states && (!inside[root] || parent[root] >= 0)) root++;
            if (root == A->n_states) break;
            v = parent[root] = (int32_t)root; /* a root is its own parent */
            next[v] = A->indptr[v];
        }
        while (left-- > 0) {
            if (next[v] < A->indptr[v + 1]) {
                const int32_t to = A->indices[next[v]++];
                if (inside[to] && parent[to] < 0) {
                    parent[to] = v;
                    next[to] = A->indptr[to];
                    v = to;
                }
                continue;
            }
            order[n_found++] = v;
            if (parent[v] == v) {
                v = -1;
                break;
            }
            v = parent[v];
        }
    }
    search->root = root;
    search->n_found = n_found;
    search->at = (int64_t)v + 1;
    *done = v < 0 && root == A->n_states;
    return EBM_OK;
}

int ebm_sweep_apply(const ebm_csr_t *A, const double *row, const double *col, const int32_t *order,
                    int64_t begin, int64_t end, const double *exit_rate, const double *b, double *x)
{
    for (int64_t k = begin; k < end; k++) {
        const int32_t i = order[k];
        double sum = 0.0;
        for (int64_t e = A->indptr[i]; e < A->indptr[i + 1]; e++) {
            const int32_t j = A->indices[e];
            if (j != i) sum += ebm_csr_value(A, e) * (col ? col[j] : 1.0) * x[j];
        }
        x[i] = (b[i] + (row ? row[i] : 1.0) * sum) / exit_rate[i];
    }
    return EBM_OK;
}
