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

/* The residual of the global balance equations y P = y for y = (hi + lo) 2^(512 exponent), in units
   of 2^(512 exponent[i]): r[i] = sum_{j != i} (y[j] P[j, i] - y[i] P[i, j]); flow[i]: the sum of
   the flow into i and the flow out of it. P[i, j] is the double A[i, j] row[i] col[j] that the
   elimination uses. T is the transpose of A. |lo| is at most an ulp of hi. The error of r[i] is
   about (8 + degree)^2 u^2 flow[i]; r[i] is not finite where the flow in is beyond 2^1024 units. */
int ebm_residual_balance(const ebm_csr_t *A, const ebm_csr_t *T, const double *row,
                         const double *col, const double *hi, const double *lo,
                         const int32_t *exponent, int num_threads, double *r, double *flow);

/* hi + lo += x. */
int ebm_residual_add(int64_t n, int num_threads, const double *x, double *hi, double *lo);

/* out[i] = row[i] sum_{j != i} A[i, j] col[j]: the exit rate of i. */
int ebm_residual_exit_rate(const ebm_csr_t *A, const double *row, const double *col,
                           int num_threads, double *out);

#endif
