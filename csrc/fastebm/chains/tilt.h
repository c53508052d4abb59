/* Values of a tilted matrix where scalings cannot hold them: rewards of single transitions, and
   scalings whose logs span more than the range of a double. A probability that underflows stays an
   edge, of value zero: only a reward of -infinity removes a transition.

   Stored matrices only: the result is the array of their values. */
#ifndef FASTEBM_CHAINS_TILT_H
#define FASTEBM_CHAINS_TILT_H

#include "fastebm/patterns/csr.h"

/* values[x, y] = exp(log A[x, y] + log_row[x] + log_col[y] + reward[x, y] - log_norm[x]) entry by
   entry. log_row, log_col and reward (one number an entry of A) may be NULL for zeros. normalize:
   log_norm[x] is chosen so that row x sums to one, and written; otherwise it is not touched and
   counts as 0. Rows [first, last). A row whose every entry is -infinity gives EBM_ERR_EMPTY_ROW and
   the first such number in `row`. */
int ebm_tilt_values(const ebm_csr_t *A, const double *log_row, const double *log_col,
                    const double *reward, int normalize, int64_t first, int64_t last,
                    int num_threads, double *values, double *log_norm, int64_t *row);

/* log_sum[x] = log sum_y exp(log A[x, y] + log_row[x] + log_col[y] + reward[x, y]), -INFINITY for a
   row whose every entry is. Arguments are as above; rows [first, last). */
int ebm_tilt_log_sums(const ebm_csr_t *A, const double *log_row, const double *log_col,
                      const double *reward, int64_t first, int64_t last, int num_threads,
                      double *log_sum);

#endif
