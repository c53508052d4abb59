#include "fastebm/chains/tilt.h"

#include <math.h>
#include <stddef.h>

#include "fastebm/base/parallel.h"

/* The log of entry k but for its row scaling. */
static inline double entry_log(const ebm_csr_t *A, int64_t k, const double *log_col,
                               const double *reward)
{
    const double a = ebm_csr_value(A, k);
    double e = a == 1.0 ? 0.0 : log(a);
    if (log_col) e += log_col[A->indices[k]];
    if (reward) e += reward[k];
    return e;
}

/* The log of one row's entries into `out`, and the largest of them. */
static double row_logs(const ebm_csr_t *A, int64_t x, const double *log_row, const double *log_col,
                       const double *reward, double *out)
{
    const int64_t begin = A->indptr[x], end = A->indptr[x + 1];
    const double own = log_row ? log_row[x] : 0.0;
    double top = -INFINITY;
    for (int64_t k = begin; k < end; k++) {
        const double e = entry_log(A, k, log_col, reward) + own;
        out[k] = e;
        if (e > top) top = e;
    }
    return top;
}

int ebm_tilt_values(const ebm_csr_t *A, const double *log_row, const double *log_col,
                    const double *reward, int normalize, int64_t first, int64_t last,
                    int num_threads, double *values, double *log_norm, int64_t *row)
{
    (void)num_threads;
    int64_t first_empty = A->n_states;
#pragma omp parallel for num_threads(num_threads) schedule(dynamic, EBM_TILE) \
    reduction(min : first_empty) if (last - first > EBM_TILE)
    for (int64_t x = first; x < last; x++) {
        const int64_t begin = A->indptr[x], end = A->indptr[x + 1];
        const double top = row_logs(A, x, log_row, log_col, reward, values);
        if (!(top > -INFINITY)) {
            if (normalize && x < first_empty) first_empty = x;
            for (int64_t k = begin; k < end; k++) values[k] = 0.0;
            continue;
        }
        const double origin = normalize ? top : 0.0;
        double sum = 0.0;
        for (int64_t k = begin; k < end; k++) {
            values[k] = exp(values[k] - origin);
            sum += values[k];
        }
        if (!normalize) continue;
        log_norm[x] = top + log(sum);
        /* the row sums to one to the last digits, however large top */
        for (int64_t k = begin; k < end; k++) values[k] /= sum;
    }
    *row = first_empty;
    return first_empty < A->n_states ? EBM_ERR_EMPTY_ROW : EBM_OK;
}

int ebm_tilt_log_sums(const ebm_csr_t *A, const double *log_row, const double *log_col,
                      const double *reward, int64_t first, int64_t last, int num_threads,
                      double *log_sum)
{
    (void)num_threads;
#pragma omp parallel for num_threads(num_threads) schedule(dynamic, EBM_TILE) \
    if (last - first > EBM_TILE)
    for (int64_t x = first; x < last; x++) {
        double top = -INFINITY, sum = 0.0;
        for (int64_t k = A->indptr[x]; k < A->indptr[x + 1]; k++) {
            const double e = entry_log(A, k, log_col, reward);
            if (e > top) {
                sum = sum * exp(top - e) + 1.0;
                top = e;
            } else if (e > -INFINITY) {
                sum += exp(e - top);
            }
        }
        log_sum[x] = top > -INFINITY ? top + log(sum) + (log_row ? log_row[x] : 0.0) : -INFINITY;
    }
    return EBM_OK;
}
