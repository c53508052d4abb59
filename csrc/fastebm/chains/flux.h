/* Probability fluxes F[x, y] = pi[x] P[x, y]: the distance from detailed balance, and the additive
   reversibilisation. Everything is in logs, as pi reaches 1e-108 and less on real chains.

   Stored matrices only: an edge is compared with its reverse by walking a row of A and of its
   transpose together. */
#ifndef FASTEBM_CHAINS_FLUX_H
#define FASTEBM_CHAINS_FLUX_H

#include "fastebm/patterns/csr.h"

#define EBM_FLUX_WORST 8 /* edges kept, per range of states and in all */

typedef struct ebm_flux_edge {
    int64_t source, target;
    double forward, backward; /* F[x, y], F[y, x] */
} ebm_flux_edge_t;

typedef struct ebm_flux_balance {
    double max_violation; /* max |F - F^T| */
    double violation;     /* sum |F - F^T| / 2, the total variation between the fluxes */
    double one_way;       /* sum of F over edges that have no reverse edge */
    /* 1/2 sum (F - F^T) log(F / F^T) over pairs of edges that have both directions */
    double entropy_production;
    int64_t n_one_way, n_worst;
    ebm_flux_edge_t worst[EBM_FLUX_WORST]; /* by |F - F^T|, largest first */
} ebm_flux_balance_t;

/* P[x, y] = A[x, y] exp(log_row[x] + log_col[y]); log_row, log_col NULL for zeros; -infinity in
   log_pi: a transient state. T is the transpose of A. First the ranges of states [first, last) of
   the n_blocks = ebm_n_blocks(n_states), in any number of calls, then their total. */
int ebm_flux_balance_blocks(const ebm_csr_t *A, const ebm_csr_t *T, const double *log_row,
                            const double *log_col, const double *log_pi, int64_t first,
                            int64_t last, int num_threads, ebm_flux_balance_t *partial);
int ebm_flux_balance_total(int64_t n_blocks, const ebm_flux_balance_t *partial,
                           ebm_flux_balance_t *out);

/* B[x, y] = (sqrt(pi[x] / pi[y]) P[x, y] + sqrt(pi[y] / pi[x]) P[y, x]) / 2 on the union of A's and
   T's patterns: symmetric to the last bit whatever the accuracy of pi, and in range where fluxes of
   1e-200 would not be; diag(pi)^-1/2 B diag(pi)^1/2 = (P + P*) / 2. For rows [begin, end): first
   their lengths, degree (n,), then the entries, with indptr (n + 1,) the running sum of all
   degrees. */
int ebm_flux_additive_count(const ebm_csr_t *A, const ebm_csr_t *T, int64_t begin, int64_t end,
                            int num_threads, int64_t *degree);
int ebm_flux_additive_fill(const ebm_csr_t *A, const ebm_csr_t *T, const double *log_row,
                           const double *log_col, const double *log_pi, int64_t begin, int64_t end,
                           int num_threads, const int64_t *indptr, int32_t *indices,
                           double *values);

#endif
