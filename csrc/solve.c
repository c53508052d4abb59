#include "solve.h"

#include <math.h>

#include "parallel.h"
#include "vec.h"

/* p = r + ratio p, and col * p for the product. */
static void new_direction(ebm_cg_t *cg, double ratio, int num_threads)
{
    (void)num_threads;
    const double *col = cg->S->col, *r = cg->r;
    double *p = cg->p, *scaled_p = cg->scaled_p;
    const int64_t n = cg->S->kernel->n_states;
#pragma omp parallel for num_threads(num_threads) schedule(static) if (n > EBM_BLOCK_STATES)
    for (int64_t i = 0; i < n; i++) {
        p[i] = r[i] + ratio * p[i];
        if (scaled_p) scaled_p[i] = col[i] * p[i];
    }
}

int ebm_cg_start(ebm_cg_t *cg, int num_threads)
{
    const int64_t n = cg->S->kernel->n_states;
    for (int64_t i = 0; i < n; i++) cg->x[i] = cg->p[i] = 0.0;
    new_direction(cg, 0.0, num_threads);
    ebm_vec_dot(n, num_threads, cg->r, cg->r, &cg->square);
    return isfinite(cg->square) ? EBM_OK : EBM_ERR_BREAKDOWN;
}

/* q = (I - S) p tile by tile, and p . q. */
static int product_pass(ebm_cg_t *cg, int num_threads, double *dot)
{
    (void)num_threads;
    double partial[EBM_MAX_BLOCKS];
    const ebm_scaled_t *S = cg->S;
    const ebm_kernel_t *kernel = S->kernel;
    const double *in = cg->scaled_p ? cg->scaled_p : cg->p, *p = cg->p;
    double *q = cg->q;
    const int64_t n = kernel->n_states, n_blocks = ebm_n_blocks(n);
    int status = EBM_OK;
#pragma omp parallel for num_threads(num_threads) schedule(dynamic) reduction(max : status) if (n_blocks > 1)
    for (int64_t b = 0; b < n_blocks; b++) {
        double sum = 0.0;
        const int64_t end = ebm_block_begin(n, n_blocks, b + 1);
        for (int64_t begin = ebm_block_begin(n, n_blocks, b); begin < end; begin += EBM_TILE) {
            const int64_t stop = begin + EBM_TILE < end ? begin + EBM_TILE : end;
            const int failed = kernel->apply(kernel->ctx, begin, stop, 1, in, q + begin);
            if (failed > status) status = failed;
            for (int64_t i = begin; i < stop; i++) {
                double y = S->row ? S->row[i] * q[i] : q[i];
                if (S->shift) y += S->shift[i] * p[i];
                q[i] = p[i] - y;
                sum += p[i] * q[i];
            }
        }
        partial[b] = sum;
    }
    *dot = ebm_sum_blocks(n_blocks, partial);
    return status;
}

/* x += a p, r -= a q, and |r|^2. */
static double move(ebm_cg_t *cg, double a, int num_threads)
{
    (void)num_threads;
    double partial[EBM_MAX_BLOCKS];
    const double *p = cg->p, *q = cg->q;
    double *x = cg->x, *r = cg->r;
    const int64_t n = cg->S->kernel->n_states, n_blocks = ebm_n_blocks(n);
#pragma omp parallel for num_threads(num_threads) schedule(static) if (n_blocks > 1)
    for (int64_t b = 0; b < n_blocks; b++) {
        double sum = 0.0;
        for (int64_t i = ebm_block_begin(n, n_blocks, b); i < ebm_block_begin(n, n_blocks, b + 1); i++) {
            x[i] += a * p[i];
            r[i] -= a * q[i];
            sum += r[i] * r[i];
        }
        partial[b] = sum;
    }
    return ebm_sum_blocks(n_blocks, partial);
}

int ebm_cg_expand(ebm_cg_t *cg, int64_t n_steps, double target, int num_threads, int64_t *n_done)
{
    *n_done = 0;
    while (*n_done < n_steps && cg->square > target) {
        double dot;
        const int status = product_pass(cg, num_threads, &dot);
        if (status != EBM_OK) return status;
        if (!(dot > 0.0)) break; /* rounding has used up the definiteness of I - S: no further progress */
        const double before = cg->square;
        cg->square = move(cg, before / dot, num_threads);
        if (!isfinite(cg->square)) return EBM_ERR_BREAKDOWN;
        new_direction(cg, cg->square / before, num_threads);
        (*n_done)++;
    }
    return EBM_OK;
}
