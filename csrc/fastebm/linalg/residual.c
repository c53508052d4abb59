#include "fastebm/linalg/residual.h"

#include <math.h>
#include <stddef.h>

#include "fastebm/patterns/pairs.h"
#include "fastebm/base/parallel.h"

/* a + b = sum + error, exactly (Knuth); fma makes a product exact in the same way. */
EBM_INLINE double two_sum(double a, double b, double *error)
{
    const double sum = a + b, part = sum - a;
    *error = (a - (sum - part)) + (b - part);
    return sum;
}

EBM_FUSED
static void residual_rows(const ebm_csr_t *A, const double *row, const double *col,
                          const uint8_t *inside, const double *hi, const double *lo,
                          const double *b, int64_t begin, int64_t end, double *r)
{
    for (int64_t i = begin; i < end; i++) {
        double sum = 0.0, rest = 0.0;
        r[i] = 0.0;
        if (!inside[i]) continue;
        for (int64_t k = A->indptr[i]; k < A->indptr[i + 1]; k++) {
            const int32_t j = A->indices[k];
            const double a = ebm_csr_value(A, k) * (col ? col[j] : 1.0);
            double low, lost;
            const double high = two_sum(hi[i], -hi[j], &low), product = a * high;
            low += lo[i] - lo[j];
            sum = two_sum(sum, product, &lost);
            rest += lost + (fma(a, high, -product) + a * low);
        }
        const double scale = row ? row[i] : 1.0, whole = scale * sum;
        r[i] = (b[i] - whole) - (fma(scale, sum, -whole) + scale * rest);
    }
}

int ebm_residual(const ebm_csr_t *A, const double *row, const double *col, const uint8_t *inside,
                 const double *hi, const double *lo, const double *b, int num_threads, double *r)
{
    (void)num_threads;
    const int64_t n = A->n_states;
#pragma omp parallel for num_threads(num_threads) schedule(dynamic) if (n > EBM_BLOCK_STATES)
    for (int64_t begin = 0; begin < n; begin += EBM_TILE)
        residual_rows(A, row, col, inside, hi, lo, b, begin,
                      begin + EBM_TILE < n ? begin + EBM_TILE : n, r);
    return EBM_OK;
}

int ebm_residual_balance(const ebm_csr_t *A, const ebm_csr_t *T, const double *row,
                         const double *col, const double *hi, const double *lo,
                         const int32_t *exponent, int num_threads, double *r, double *flow)
{
    (void)num_threads;
#pragma omp parallel for num_threads(num_threads)                   \
    schedule(dynamic, EBM_TILE) if (A->n_states > EBM_BLOCK_STATES)
    for (int64_t x = 0; x < A->n_states; x++) {
        double in = 0.0, in_rest = 0.0, leave = 0.0, leave_rest = 0.0, lost;
        ebm_pairs_t pair = ebm_pairs_of(A, T, x);
        while (ebm_pairs_next(&pair)) {
            const int32_t y = pair.other;
            if (y == x) continue;
            const double away = pair.forward * (row ? row[x] : 1.0) * (col ? col[y] : 1.0);
            double back = pair.backward * (row ? row[y] : 1.0) * (col ? col[x] : 1.0);
            leave = two_sum(leave, away, &lost);
            leave_rest += lost;
            int32_t more = exponent[y] - exponent[x];
            if (more < -1 || back == 0.0) continue; /* less than 2^-512 of y[x] */
            for (; more > 1 && back < INFINITY; more--) back *= 0x1p512;
            const double unit = more > 0 ? 0x1p512 : more < 0 ? 0x1p-512 : 1.0, high = hi[y] * unit,
                         product = high * back;
            in = two_sum(in, product, &lost);
            in_rest += lost + (fma(high, back, -product) + lo[y] * unit * back);
        }
        const double out = hi[x] * leave, difference = two_sum(in, -out, &lost);
        lost -= fma(hi[x], leave, -out) + (hi[x] * leave_rest + lo[x] * leave);
        r[x] = difference + (lost + in_rest);
        flow[x] = in + out;
    }
    return EBM_OK;
}

int ebm_residual_add(int64_t n, int num_threads, const double *x, double *hi, double *lo)
{
    (void)num_threads;
#pragma omp parallel for num_threads(num_threads)                 \
    schedule(dynamic, EBM_BLOCK_STATES) if (n > EBM_BLOCK_STATES)
    for (int64_t i = 0; i < n; i++) {
        double lost;
        const double sum = two_sum(hi[i], x[i], &lost);
        lost += lo[i];
        hi[i] = sum + lost;
        lo[i] = lost - (hi[i] - sum);
    }
    return EBM_OK;
}

int ebm_residual_exit_rate(const ebm_csr_t *A, const double *row, const double *col,
                           int num_threads, double *out)
{
    (void)num_threads;
#pragma omp parallel for num_threads(num_threads)                           \
    schedule(dynamic, EBM_BLOCK_STATES) if (A->n_states > EBM_BLOCK_STATES)
    for (int64_t i = 0; i < A->n_states; i++) {
        double sum = 0.0;
        for (int64_t k = A->indptr[i]; k < A->indptr[i + 1]; k++)
            if (A->indices[k] != i) sum += ebm_csr_value(A, k) * (col ? col[A->indices[k]] : 1.0);
        out[i] = row ? row[i] * sum : sum;
    }
    return EBM_OK;
}
