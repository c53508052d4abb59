/* The scaled operator M = diag(row) A diag(col) + diag(shift): products, sums of differences and
   quadratic forms. */
#ifndef FASTEBM_PATTERNS_SCALED_H
#define FASTEBM_PATTERNS_SCALED_H

#include "fastebm/base/kernel.h"

/* y = M x (transposed: M^T x), x and y (n_states, width) row-major and distinct. scratch:
   (n_states, width), needed where the inner scaling is given (col; transposed: row), else NULL. */
int ebm_scaled_apply(const ebm_scaled_t *M, int transposed, int num_threads, int64_t width,
                     const double *x, double *scratch, double *y);

/* The same for rows [begin, end) of y, with `in` the whole of x times the inner scaling, or x where
   there is none. */
int ebm_scaled_apply_rows(const ebm_scaled_t *M, int transposed, int num_threads, int64_t width,
                          int64_t begin, int64_t end, const double *x, const double *in, double *y);

/* y[i] = row[i] sum_j A[i, j] col[j] (x[i] - x[j])^power, power 1 or 2. The shift cancels. */
int ebm_scaled_difference(const ebm_scaled_t *M, int num_threads, int power, const double *x,
                          double *y);

#endif
