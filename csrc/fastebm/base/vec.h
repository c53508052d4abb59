/* Vectors: sums with the same bits for any number of threads, and elementwise passes. */
#ifndef FASTEBM_BASE_VEC_H
#define FASTEBM_BASE_VEC_H

#include <stdint.h>

#include "fastebm/base/status.h"

/* y = a x, elementwise over n rows of `width`; a scales rows. y may be x. */
int ebm_vec_scale(int64_t n, int64_t width, int num_threads, const double *a, const double *x,
                  double *y);

/* sum_i x[i] y[i]; y may be NULL for ones. */
int ebm_vec_dot(int64_t n, int num_threads, const double *x, const double *y, double *out);

/* sum_i |x[i] - y[i]|; y may be NULL for zeros. */
int ebm_vec_l1(int64_t n, int num_threads, const double *x, const double *y, double *out);

/* max_i |x[i] / y[i] - 1| over all i with x[i] != y[i]: the largest relative change of a component;
   infinite where y[i] is 0. */
int ebm_vec_change(int64_t n, int num_threads, const double *x, const double *y, double *out);

/* u = logs minus log(sum exp(logs)), the sum's log in `log_sum`; weights = exp(u). Either output
   may be logs itself. */
int ebm_vec_normalize_logs(int64_t n, int num_threads, const double *logs, double *u,
                           double *weights, double *log_sum);

#endif
