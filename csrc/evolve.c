#include "evolve.h"

#include <math.h>

#include "parallel.h"

/* (1 + u) log(1 + u) - u >= 0 for u >= -1, its series where the closed form cancels: sum_{k>=2} (-u)^k / (k (k - 1)).
   At |u| = 1/16 twelve terms leave 1e-17 relative and the closed form has lost two digits. */
static inline double divergence_term(double u)
{
    if (u <= -1.0) return 1.0; /* the limit; rounding may put u a little below */
    if (fabs(u) > 0.0625) return (1.0 + u) * log1p(u) - u;
    double sum = 0.0;
    for (int k = 14; k >= 2; k--) sum = 1.0 / (k * (k - 1.0)) - u * sum;
    return u * u * sum;
}

int ebm_evolve_distances(int64_t n, int64_t width, int num_threads, const double *pi, const double *g, double *tv,
                         double *kl, double *chi2)
{
    (void)num_threads;
    if (width < 1 || width > EBM_EVOLVE_WIDTH) return EBM_ERR_ARGUMENT;
    static const int64_t n_kinds = 3;
    double partial[EBM_MAX_BLOCKS / 4 * 3 * EBM_EVOLVE_WIDTH]; /* on the stack: fewer ranges, as each holds 48 sums */
    int64_t n_blocks = ebm_n_blocks(n);
    if (n_blocks > EBM_MAX_BLOCKS / 4) n_blocks = EBM_MAX_BLOCKS / 4;
#pragma omp parallel for num_threads(num_threads) schedule(static) if (n_blocks > 1)
    for (int64_t b = 0; b < n_blocks; b++) {
        double *sum = partial + b * n_kinds * width;
        for (int64_t j = 0; j < n_kinds * width; j++) sum[j] = 0.0;
        for (int64_t i = ebm_block_begin(n, n_blocks, b); i < ebm_block_begin(n, n_blocks, b + 1); i++)
            for (int64_t j = 0; j < width; j++) {
                const double u = g[i * width + j];
                sum[j] += pi[i] * fabs(u);
                sum[width + j] += pi[i] * divergence_term(u);
                sum[2 * width + j] += pi[i] * u * u;
            }
    }
    for (int64_t j = 0; j < width; j++) tv[j] = kl[j] = chi2[j] = 0.0;
    for (int64_t b = 0; b < n_blocks; b++)
        for (int64_t j = 0; j < width; j++) {
            tv[j] += 0.5 * partial[b * n_kinds * width + j];
            kl[j] += partial[b * n_kinds * width + width + j];
            chi2[j] += partial[b * n_kinds * width + 2 * width + j];
        }
    return EBM_OK;
}
