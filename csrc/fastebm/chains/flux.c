#include "fastebm/chains/flux.h"

#include <math.h>
#include <stddef.h>

#include "fastebm/patterns/pairs.h"
#include "fastebm/base/parallel.h"

static inline double log_entry(double a, int64_t x, int64_t y, const double *log_row,
                               const double *log_col)
{
    return log(a) + (log_row ? log_row[x] : 0.0) + (log_col ? log_col[y] : 0.0);
}

static void keep_worst(ebm_flux_balance_t *b, ebm_flux_edge_t edge)
{
    const double size = fabs(edge.forward - edge.backward);
    int64_t at = b->n_worst < EBM_FLUX_WORST ? b->n_worst++ : EBM_FLUX_WORST;
    if (at == EBM_FLUX_WORST &&
        !(size > fabs(b->worst[at - 1].forward - b->worst[at - 1].backward)))
        return;
    if (at == EBM_FLUX_WORST) at--;
    while (at > 0 && size > fabs(b->worst[at - 1].forward - b->worst[at - 1].backward)) {
        b->worst[at] = b->worst[at - 1];
        at--;
    }
    b->worst[at] = edge;
}

static void balance_rows(const ebm_csr_t *A, const ebm_csr_t *T, const double *log_row,
                         const double *log_col, const double *log_pi, int64_t begin, int64_t end,
                         ebm_flux_balance_t *out)
{
    ebm_flux_balance_t b = {0};
    for (int64_t x = begin; x < end; x++) {
        ebm_pairs_t pair = ebm_pairs_of(A, T, x);
        while (ebm_pairs_next(&pair)) {
            const int64_t y = pair.other;
            if (y <= x) continue; /* each unordered pair once; a self-loop carries no flux */
            const double log_f = pair.forward > 0.0
                                     ? log_pi[x] + log_entry(pair.forward, x, y, log_row, log_col)
                                     : -INFINITY;
            const double log_b = pair.backward > 0.0
                                     ? log_pi[y] + log_entry(pair.backward, y, x, log_row, log_col)
                                     : -INFINITY;
            const ebm_flux_edge_t edge = {x, y, exp(log_f), exp(log_b)};
            const double gap = fabs(edge.forward - edge.backward);
            b.violation += gap;
            if (gap > b.max_violation) b.max_violation = gap;
            if (gap > 0.0) keep_worst(&b, edge);
            if (log_f > -INFINITY && log_b > -INFINITY)
                b.entropy_production += (edge.forward - edge.backward) * (log_f - log_b);
            else if (log_f > -INFINITY || log_b > -INFINITY) b.one_way += gap, b.n_one_way++;
        }
    }
    *out = b;
}

int ebm_flux_balance_blocks(const ebm_csr_t *A, const ebm_csr_t *T, const double *log_row,
                            const double *log_col, const double *log_pi, int64_t first,
                            int64_t last, int num_threads, ebm_flux_balance_t *partial)
{
    (void)num_threads;
    const int64_t n = A->n_states, n_blocks = ebm_n_blocks(n);
#pragma omp parallel for num_threads(num_threads) schedule(dynamic) if (last - first > 1)
    for (int64_t b = first; b < last; b++)
        balance_rows(A, T, log_row, log_col, log_pi, ebm_block_begin(n, n_blocks, b),
                     ebm_block_begin(n, n_blocks, b + 1), partial + b);
    return EBM_OK;
}

int ebm_flux_balance_total(int64_t n_blocks, const ebm_flux_balance_t *partial,
                           ebm_flux_balance_t *out)
{
    ebm_flux_balance_t total = {0};
    for (int64_t b = 0; b < n_blocks; b++) {
        if (partial[b].max_violation > total.max_violation)
            total.max_violation = partial[b].max_violation;
        total.violation += partial[b].violation;
        total.one_way += partial[b].one_way;
        total.entropy_production += partial[b].entropy_production;
        total.n_one_way += partial[b].n_one_way;
        for (int64_t i = 0; i < partial[b].n_worst; i++) keep_worst(&total, partial[b].worst[i]);
    }
    *out = total;
    return EBM_OK;
}

int ebm_flux_additive_count(const ebm_csr_t *A, const ebm_csr_t *T, int64_t begin, int64_t end,
                            int num_threads, int64_t *degree)
{
    (void)num_threads;
#pragma omp parallel for num_threads(num_threads)           \
    schedule(dynamic, EBM_TILE) if (end - begin > EBM_TILE)
    for (int64_t x = begin; x < end; x++) {
        ebm_pairs_t pair = ebm_pairs_of(A, T, x);
        degree[x] = 0;
        while (ebm_pairs_next(&pair)) degree[x]++;
    }
    return EBM_OK;
}

int ebm_flux_additive_fill(const ebm_csr_t *A, const ebm_csr_t *T, const double *log_row,
                           const double *log_col, const double *log_pi, int64_t begin, int64_t end,
                           int num_threads, const int64_t *indptr, int32_t *indices, double *values)
{
    (void)num_threads;
#pragma omp parallel for num_threads(num_threads)           \
    schedule(dynamic, EBM_TILE) if (end - begin > EBM_TILE)
    for (int64_t x = begin; x < end; x++) {
        ebm_pairs_t pair = ebm_pairs_of(A, T, x);
        for (int64_t k = indptr[x]; ebm_pairs_next(&pair); k++) {
            const int64_t y = pair.other;
            const double half = 0.5 * (log_pi[x] - log_pi[y]);
            const double f = pair.forward > 0.0
                                 ? exp(half + log_entry(pair.forward, x, y, log_row, log_col))
                                 : 0.0;
            const double g = pair.backward > 0.0
                                 ? exp(-half + log_entry(pair.backward, y, x, log_row, log_col))
                                 : 0.0;
            indices[k] = (int32_t)y;
            /* f + g = g + f exactly, so entry (y, x) has the same bits */
            values[k] = 0.5 * (f + g);
        }
    }
    return EBM_OK;
}
