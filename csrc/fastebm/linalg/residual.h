/* The residual of (I - P_BB) x = b in twice the working precision, with x = hi + lo: it certifies
   the relative error of x. In plain doubles the residual of mean hitting times h is lost in the
   rounding of h itself, u max h, at means of 1e8.

   Stored matrices only: error-free transformations need each entry. */
#ifndef FASTEBM_LINALG_RESIDUAL_H
#define FASTEBM_LINALG_RESIDUAL_H

#include "fastebm/patterns/csr.h"

/* r[i] = b[i] - row[i] sum_j (A[i, j] col[j]) ((hi + lo)[i] - (hi + lo)[j]) where inside[i], else
   0; hi and lo are zero outside B unless the system says otherwise, and |lo| is at most an ulp of
   hi. Each product A col is rounded once, as everywhere; the rest has an error of about (8 +
   degree)^2 u^2 max |hi|, u = 2^-53. row, col NULL for ones. */
int ebm_residual(const ebm_csr_t *A, const double *row, const double *col, const uint8_t *inside,
                 const double *hi, const double *lo, const double *b, int num_threads, double *r);

/* hi + lo += x. */
int ebm_residual_add(int64_t n, int num_threads, const double *x, double *hi, double *lo);

/* out[i] = row[i] sum_{j != i} A[i, j] col[j]: the exit rate of i. */
int ebm_residual_exit_rate(const ebm_csr_t *A, const double *row, const double *col,
                           int num_threads, double *out);

#endif
