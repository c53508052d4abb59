#include "fastebm/base/vec.h"

#include <math.h>

#include "fastebm/base/parallel.h"

int ebm_vec_scale(int64_t n, int64_t width, int num_threads, const double *a, const double *x,
                  double *y)
{
    (void)num_threads;
#pragma omp parallel for num_threads(num_threads)                         \
    schedule(dynamic, EBM_BLOCK_STATES) if (n * width > EBM_BLOCK_STATES)
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < width; j++) y[i * width + j] = a[i] * x[i * width + j];
    return EBM_OK;
}

/* sum_i x[i] y[i], y NULL for ones, or (distance) sum_i |x[i] - y[i]|, y NULL for zeros. */
static double sum_pairs(int64_t n, int num_threads, int distance, const double *x, const double *y)
{
    (void)num_threads;
    double partial[EBM_MAX_BLOCKS];
    const int64_t n_blocks = ebm_n_blocks(n);
#pragma omp parallel for num_threads(num_threads) schedule(dynamic) if (n_blocks > 1)
    for (int64_t b = 0; b < n_blocks; b++) {
        double sum = 0.0;
        for (int64_t i = ebm_block_begin(n, n_blocks, b); i < ebm_block_begin(n, n_blocks, b + 1);
             i++)
            sum += distance ? fabs(x[i] - (y ? y[i] : 0.0)) : x[i] * (y ? y[i] : 1.0);
        partial[b] = sum;
    }
    return ebm_sum_blocks(n_blocks, partial);
}

int ebm_vec_dot(int64_t n, int num_threads, const double *x, const double *y, double *out)
{
    *out = sum_pairs(n, num_threads, 0, x, y);
    return EBM_OK;
}

int ebm_vec_l1(int64_t n, int num_threads, const double *x, const double *y, double *out)
{
    *out = sum_pairs(n, num_threads, 1, x, y);
    return EBM_OK;
}

int ebm_vec_change(int64_t n, int num_threads, const double *x, const double *y, double *out)
{
    (void)num_threads;
    double largest = 0.0;
#pragma omp parallel for num_threads(num_threads) schedule(dynamic, EBM_BLOCK_STATES) \
    reduction(max : largest) if (n > EBM_BLOCK_STATES)
    for (int64_t i = 0; i < n; i++) {
        const double change = x[i] == y[i] ? 0.0 : fabs(x[i] / y[i] - 1.0);
        if (change > largest) largest = change;
    }
    *out = largest;
    return EBM_OK;
}

int ebm_vec_normalize_logs(int64_t n, int num_threads, const double *logs, double *u,
                           double *weights, double *log_sum)
{
    (void)num_threads;
    double partial[EBM_MAX_BLOCKS];
    double top = -INFINITY;
    for (int64_t i = 0; i < n; i++)
        if (logs[i] > top) top = logs[i];
    if (!isfinite(top)) return EBM_ERR_ARGUMENT;
    const int64_t n_blocks = ebm_n_blocks(n);
#pragma omp parallel for num_threads(num_threads) schedule(dynamic) if (n_blocks > 1)
    for (int64_t b = 0; b < n_blocks; b++) {
        double sum = 0.0;
        for (int64_t i = ebm_block_begin(n, n_blocks, b); i < ebm_block_begin(n, n_blocks, b + 1);
             i++)
            sum += exp(logs[i] - top);
        partial[b] = sum;
    }
    const double shift = top + log(ebm_sum_blocks(n_blocks, partial));
#pragma omp parallel for num_threads(num_threads) schedule(dynamic) if (n_blocks > 1)
    for (int64_t b = 0; b < n_blocks; b++)
        for (int64_t i = ebm_block_begin(n, n_blocks, b); i < ebm_block_begin(n, n_blocks, b + 1);
             i++) {
            u[i] = logs[i] - shift;
            weights[i] = exp(u[i]);
        }
    *log_sum = shift;
    return EBM_OK;
}
