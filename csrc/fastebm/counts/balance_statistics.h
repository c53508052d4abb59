/* Tests of detailed balance on counts. Under the reversible fit v (pair_newton.h,
   EBM_PAIR_NEWTON_LOGISTIC) the expected count of (x, y) is m(x, y) = (n(x, y) + n(y, x)) / (1 +
   exp(v(y) - v(x))): each pair keeps its sum, each row its sum. The score form is the cycle
   statistic, not the Wald form: data and replicates must be compared by one statistic, and
   replicates have zeros where the data have none. */
#ifndef FASTEBM_COUNTS_BALANCE_STATISTICS_H
#define FASTEBM_COUNTS_BALANCE_STATISTICS_H

#include "fastebm/counts/pair_graph.h"

/* 2 sum n log(n / m), the likelihood ratio, and sum (n - m)^2 / m, its score form, over pairs whose
   two states are in one class of labels (NULL: all); the other pairs are not tested: they are
   one-way, fitted exactly in the limit and on no cycle. Replicates that lose their strong
   connectivity are treated alike, so every replicate has a finite fit. fitted: m of every entry
   (NULL: not needed). */
int ebm_balance_statistics(const ebm_pairgraph_t *counts, const int32_t *labels, const double *v,
                           double *fitted, double *likelihood_ratio, double *score);

/* The same for replicates first .. first + n_replicates - 1 of the counts, drawn row by row with
   expectations m (entries of `expected`, on the pattern of the pair graph) and row totals `total`
   (diagonal included), each with a fit of its own. Replicates whose fit did not reach its tolerance
   are NaN. deviation: (n_replicates, nnz) n - m of each, or NULL. n_slots threads, each with its
   slice of work (ebm_balance_work doubles a slot) and of work_index (ebm_balance_work_index int64s
   a slot). */
int64_t ebm_balance_work(int64_t n_states, int64_t nnz);
int64_t ebm_balance_work_index(int64_t n_states, int64_t nnz);
int ebm_balance_bootstrap(const ebm_pairgraph_t *pattern, const int64_t *mirror,
                          const double *expected, const double *total, const double *v,
                          const uint64_t key[2], int64_t first, int64_t n_replicates, int n_slots,
                          double *work, int64_t *work_index, double *likelihood_ratio,
                          double *score, double *deviation);

#endif
