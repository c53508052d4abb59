#include "fastebm/linalg/dirichlet_flow.h"

#include <math.h>
#include <stddef.h>

#include "fastebm/base/parallel.h"

/* A neighbour is a candidate for pairing if its flux is at least this part of the strongest one. */
#define STRONG 0.25
/* Two aggregates are strongly coupled if their flux, times this, is at least the mass of the
   lighter one: only then is a smooth function nearly constant on their union. Otherwise the union
   of a tiny cluster with its surroundings would hide the cluster's own slow mode, and random graphs
   would be coarsened without gain. */
#define BOUND 8.0

static inline double left_of(const ebm_flow_t *F, int64_t x) { return F->left ? F->left[x] : 1.0; }

EBM_MULTIVERSION
static void diagonal_rows(const ebm_flow_t *F, const double *leak, int64_t begin, int64_t end,
                          double *diag)
{
    for (int64_t x = begin; x < end; x++) {
        double sum = 0.0;
        for (int64_t k = F->A->indptr[x]; k < F->A->indptr[x + 1]; k++) {
            const int32_t y = F->A->indices[k];
            if (y != x) sum += ebm_csr_value(F->A, k) * (F->right ? F->right[y] : 1.0);
        }
        diag[x] = left_of(F, x) * sum + (leak ? leak[x] : 0.0);
    }
}

int ebm_flow_diagonal(const ebm_flow_t *F, const double *leak, int num_threads, double *diag)
{
    (void)num_threads;
    const int64_t n = F->A->n_states, n_blocks = ebm_n_blocks(n);
#pragma omp parallel for num_threads(num_threads) schedule(dynamic) if (n_blocks > 1)
    for (int64_t b = 0; b < n_blocks; b++)
        diagonal_rows(F, leak, ebm_block_begin(n, n_blocks, b), ebm_block_begin(n, n_blocks, b + 1),
                      diag);
    return EBM_OK;
}

int ebm_flow_pairs(const ebm_flow_t *F, const double *mass, int64_t begin, int64_t end,
                   int64_t *n_coarse, int32_t *aggregate)
{
    const ebm_csr_t *A = F->A;
    for (int64_t x = begin; x < end; x++) {
        if (aggregate[x] >= 0 || !(mass[x] > 0.0)) continue;
        /* the strongest of all candidates, and of the free ones */
        double strongest = 0.0, best = 0.0;
        int32_t nearest = -1, partner = -1;
        for (int64_t k = A->indptr[x]; k < A->indptr[x + 1]; k++) {
            const int32_t y = A->indices[k];
            if (y == x || !(mass[y] > 0.0)) continue;
            const double flux =
                left_of(F, x) * ebm_csr_value(A, k) * (F->right ? F->right[y] : 1.0);
            if (BOUND * flux < (mass[x] < mass[y] ? mass[x] : mass[y])) continue;
            if (flux > strongest) strongest = flux, nearest = y;
            if (aggregate[y] < 0 && flux > best) best = flux, partner = y;
        }
        if (partner >= 0 && best >= STRONG * strongest) {
            aggregate[partner] = (int32_t)*n_coarse;
        } else if (nearest >= 0) { /* taken, or it would be the partner */
            aggregate[x] = aggregate[nearest];
            continue;
        }
        aggregate[x] = (int32_t)(*n_coarse)++;
    }
    return EBM_OK;
}

int ebm_flow_members(int64_t n, const int32_t *aggregate, int64_t n_coarse, int64_t *start,
                     int32_t *members)
{
    for (int64_t c = 0; c <= n_coarse; c++) start[c] = 0;
    for (int64_t x = 0; x < n; x++)
        if (aggregate[x] >= 0) start[aggregate[x] + 1]++;
    /* start[c + 1] first counts aggregate c, then is the position of its next state, finally its
       end */
    int64_t place = 0;
    for (int64_t c = 0; c < n_coarse; c++) {
        const int64_t count = start[c + 1];
        start[c + 1] = place;
        place += count;
    }
    for (int64_t x = 0; x < n; x++)
        if (aggregate[x] >= 0) members[start[aggregate[x] + 1]++] = (int32_t)x;
    return EBM_OK;
}

/* Coarse rows begin..end-1: the neighbours of aggregate c get consecutive places from `next` on;
   place[e] >= first says that e has one in this row, as the rows' places ascend. indices NULL: only
   count, into indptr[c + 1]. */
static void coarse_rows(const ebm_flow_t *F, const int32_t *aggregate, const int64_t *start,
                        const int32_t *members, int64_t begin, int64_t end, int64_t next,
                        int64_t *place, int64_t *indptr, int32_t *indices, double *values)
{
    const ebm_csr_t *A = F->A;
    for (int64_t c = begin; c < end; c++) {
        const int64_t first = next;
        for (int64_t m = start[c]; m < start[c + 1]; m++) {
            const int32_t x = members[m];
            const double left = left_of(F, x);
            for (int64_t k = A->indptr[x]; k < A->indptr[x + 1]; k++) {
                const int32_t y = A->indices[k], e = aggregate[y];
                if (e < 0 || e == c) continue;
                if (place[e] < first) {
                    place[e] = next++;
                    if (indices) indices[place[e]] = e, values[place[e]] = 0.0;
                }
                if (indices)
                    values[place[e]] += left * ebm_csr_value(A, k) * (F->right ? F->right[y] : 1.0);
            }
        }
        if (!indices) indptr[c + 1] = next - first;
    }
}

static int coarse_pass(const ebm_flow_t *F, const int32_t *aggregate, int64_t n_coarse,
                       const int64_t *start, const int32_t *members, int num_threads,
                       int64_t *place, int64_t *indptr, int32_t *indices, double *values)
{
#pragma omp parallel for num_threads(num_threads) schedule(static) if (n_coarse > EBM_BLOCK_STATES)
    for (int t = 0; t < num_threads; t++) {
        int64_t *own = place + t * n_coarse;
        const int64_t begin = n_coarse * t / num_threads, end = n_coarse * (t + 1) / num_threads;
        for (int64_t e = 0; e < n_coarse; e++) own[e] = -1;
        coarse_rows(F, aggregate, start, members, begin, end, indices ? indptr[begin] : 0, own,
                    indptr, indices, values);
    }
    return EBM_OK;
}

int ebm_flow_coarse_count(const ebm_flow_t *F, const int32_t *aggregate, int64_t n_coarse,
                          const int64_t *start, const int32_t *members, int num_threads,
                          int64_t *place, int64_t *indptr)
{
    const int status =
        coarse_pass(F, aggregate, n_coarse, start, members, num_threads, place, indptr, NULL, NULL);
    indptr[0] = 0;
    for (int64_t c = 0; c < n_coarse; c++) indptr[c + 1] += indptr[c];
    return status;
}

int ebm_flow_coarse_fill(const ebm_flow_t *F, const int32_t *aggregate, int64_t n_coarse,
                         const int64_t *start, const int32_t *members, int num_threads,
                         int64_t *place, const int64_t *indptr, int32_t *indices, double *values)
{
    return coarse_pass(F, aggregate, n_coarse, start, members, num_threads, place,
                       (int64_t *)indptr, indices, values);
}

/* Row k of the factor: multipliers F[i, k] / pivot[k] are read as its transposed entries, so the
   lower triangle holds F[k, j], j < k, as it was when k was eliminated, and the diagonal the
   pivot. */
int ebm_flow_eliminate(const ebm_flow_t *F, double *leak, double *factor)
{
    const int64_t n = F->A->n_states;
    for (int64_t i = 0; i < n * n; i++) factor[i] = 0.0;
    for (int64_t x = 0; x < n; x++)
        for (int64_t k = F->A->indptr[x]; k < F->A->indptr[x + 1]; k++) {
            const int32_t y = F->A->indices[k];
            if (y != x)
                factor[x * n + y] +=
                    left_of(F, x) * ebm_csr_value(F->A, k) * (F->right ? F->right[y] : 1.0);
        }
    for (int64_t k = n - 1; k >= 0; k--) {
        double *row = factor + k * n, pivot = leak[k];
        for (int64_t j = 0; j < k; j++) pivot += row[j];
        row[k] = pivot;
        if (!(pivot > 0.0)) continue;
        for (int64_t i = 0; i < k; i++) {
            const double share = row[i] / pivot; /* F is symmetric: F[i, k] = F[k, i] */
            if (share == 0.0) continue;
            leak[i] += share * leak[k];
            for (int64_t j = 0; j < k; j++)
                if (j != i) factor[i * n + j] += share * row[j];
        }
    }
    return EBM_OK;
}

int ebm_flow_solve(int64_t n, const double *factor, const double *r, double *x)
{
    for (int64_t i = 0; i < n; i++) x[i] = r[i];
    for (int64_t k = n - 1; k > 0; k--) {
        const double *row = factor + k * n, share = row[k] > 0.0 ? x[k] / row[k] : 0.0;
        for (int64_t i = 0; i < k; i++) x[i] += share * row[i];
    }
    /* without a leak the last pivot is zero: L is singular, and the constant is chosen here */
    x[0] = factor[0] > 0.0 ? x[0] / factor[0] : 0.0;
    for (int64_t k = 1; k < n; k++) {
        const double *row = factor + k * n;
        double sum = x[k];
        for (int64_t j = 0; j < k; j++) sum += row[j] * x[j];
        x[k] = row[k] > 0.0 ? sum / row[k] : 0.0;
    }
    return EBM_OK;
}
