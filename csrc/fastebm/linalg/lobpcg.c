#include "fastebm/linalg/lobpcg.h"

#include <stddef.h>

#include "fastebm/base/parallel.h"

enum { X, W, P, RIGHT, COLUMNS };
#define N_PAIRS 6
#define N_SUMS 15 /* N_PAIRS energies, N_PAIRS masses, three means */

EBM_MULTIVERSION
static void gram_rows(const ebm_flow_t *F, const double *pi, const double *basis, int64_t begin,
                      int64_t end, double *sums)
{
    const ebm_csr_t *A = F->A;
    double total[N_SUMS] = {0.0};
    for (int64_t i = begin; i < end; i++) {
        const double *f = basis + i * COLUMNS;
        double row[N_PAIRS] = {0.0};
        for (int64_t k = A->indptr[i]; k < A->indptr[i + 1]; k++) {
            const double *g = basis + (int64_t)A->indices[k] * COLUMNS;
            const double a = ebm_csr_value(A, k) * g[RIGHT], x = f[X] - g[X], w = f[W] - g[W],
                         p = f[P] - g[P];
            row[0] += a * x * x;
            row[1] += a * x * w;
            row[2] += a * x * p;
            row[3] += a * w * w;
            row[4] += a * w * p;
            row[5] += a * p * p;
        }
        const double half = 0.5 * (F->left ? F->left[i] : 1.0), mass = pi[i];
        for (int j = 0; j < N_PAIRS; j++) total[j] += half * row[j];
        total[6] += mass * f[X] * f[X];
        total[7] += mass * f[X] * f[W];
        total[8] += mass * f[X] * f[P];
        total[9] += mass * f[W] * f[W];
        total[10] += mass * f[W] * f[P];
        total[11] += mass * f[P] * f[P];
        total[12] += mass * f[X];
        total[13] += mass * f[W];
        total[14] += mass * f[P];
    }
    for (int j = 0; j < N_SUMS; j++) sums[j] = total[j];
}

int ebm_lobpcg_gram(const ebm_flow_t *F, const double *pi, const double *basis, int num_threads,
                    double *energy, double *mass, double *mean)
{
    (void)num_threads;
    double partial[EBM_MAX_BLOCKS][N_SUMS];
    const int64_t n = F->A->n_states, n_blocks = ebm_n_blocks(n);
#pragma omp parallel for num_threads(num_threads) schedule(dynamic) if (n_blocks > 1)
    for (int64_t b = 0; b < n_blocks; b++)
        gram_rows(F, pi, basis, ebm_block_begin(n, n_blocks, b),
                  ebm_block_begin(n, n_blocks, b + 1), partial[b]);
    double total[N_SUMS] = {0.0};
    for (int64_t b = 0; b < n_blocks; b++)
        for (int j = 0; j < N_SUMS; j++) total[j] += partial[b][j];
    for (int j = 0; j < N_PAIRS; j++) energy[j] = total[j], mass[j] = total[N_PAIRS + j];
    for (int j = 0; j < 3; j++) mean[j] = total[2 * N_PAIRS + j];
    return EBM_OK;
}

int ebm_lobpcg_step(int64_t n, const double a[3], const double shift[2], int num_threads,
                    double *basis)
{
    (void)num_threads;
#pragma omp parallel for num_threads(num_threads)                 \
    schedule(dynamic, EBM_BLOCK_STATES) if (n > EBM_BLOCK_STATES)
    for (int64_t i = 0; i < n; i++) {
        double *f = basis + i * COLUMNS;
        const double p = a[1] * f[W] + a[2] * f[P];
        f[P] = p - shift[1];
        f[X] = a[0] * f[X] + p - shift[0];
    }
    return EBM_OK;
}

EBM_MULTIVERSION
static double residual_rows(const ebm_flow_t *F, const double *pi, const double *basis, double gap,
                            int64_t begin, int64_t end, double *r)
{
    const ebm_csr_t *A = F->A;
    double square = 0.0;
    for (int64_t i = begin; i < end; i++) {
        const double x = basis[i * COLUMNS + X];
        double sum = 0.0;
        for (int64_t k = A->indptr[i]; k < A->indptr[i + 1]; k++) {
            const double *g = basis + (int64_t)A->indices[k] * COLUMNS;
            sum += ebm_csr_value(A, k) * g[RIGHT] * (x - g[X]);
        }
        r[i] = (F->left ? F->left[i] : 1.0) * sum - gap * pi[i] * x;
        if (pi[i] > 0.0) square += r[i] / pi[i] * r[i];
    }
    return square;
}

int ebm_lobpcg_residual(const ebm_flow_t *F, const double *pi, const double *basis, double gap,
                        int num_threads, double *r, double *square)
{
    (void)num_threads;
    double partial[EBM_MAX_BLOCKS];
    const int64_t n = F->A->n_states, n_blocks = ebm_n_blocks(n);
#pragma omp parallel for num_threads(num_threads) schedule(dynamic) if (n_blocks > 1)
    for (int64_t b = 0; b < n_blocks; b++)
        partial[b] = residual_rows(F, pi, basis, gap, ebm_block_begin(n, n_blocks, b),
                                   ebm_block_begin(n, n_blocks, b + 1), r);
    *square = ebm_sum_blocks(n_blocks, partial);
    return EBM_OK;
}

int ebm_lobpcg_put(int64_t n, int column, const double *x, int num_threads, double *basis)
{
    (void)num_threads;
    if (column < 0 || column >= COLUMNS) return EBM_ERR_ARGUMENT;
#pragma omp parallel for num_threads(num_threads)                 \
    schedule(dynamic, EBM_BLOCK_STATES) if (n > EBM_BLOCK_STATES)
    for (int64_t i = 0; i < n; i++) basis[i * COLUMNS + column] = x[i];
    return EBM_OK;
}
