#include "lanczos.h"

#include <float.h>
#include <math.h>
#include <stddef.h>

#include "parallel.h"
#include "vec.h"

/* Below this length of v its rounding along u, DBL_EPSILON / |v|, is worth a second deflation. */
#define SHORT 1e-3

/* v -= a v' + c u, elementwise from the product in v_prev, and the bookkeeping of the next step, in one pass:
   reads product, v, deflate; writes v_prev = s v, v, scaled_v; returns |v|^2 of the new v in *square. */
static void shift_vectors(ebm_lanczos_t *L, double s, double a, double c, double weight, double *ritz, int num_threads,
                          double *square)
{
    (void)num_threads;
    double partial[EBM_MAX_BLOCKS];
    const double *col = L->S->col, *u = L->deflate;
    double *v = L->v, *v_prev = L->v_prev, *scaled_v = L->scaled_v;
    const int64_t n = L->S->kernel->n_states, n_blocks = ebm_n_blocks(n);
#pragma omp parallel for num_threads(num_threads) schedule(static) if (n_blocks > 1)
    for (int64_t b = 0; b < n_blocks; b++) {
        double sum = 0.0;
        for (int64_t i = ebm_block_begin(n, n_blocks, b); i < ebm_block_begin(n, n_blocks, b + 1); i++) {
            const double q = s * v[i], w = v_prev[i] - a * q - c * u[i];
            if (ritz) ritz[i] += weight * q;
            v_prev[i] = q;
            v[i] = w;
            if (scaled_v) scaled_v[i] = col[i] * w;
            sum += w * w;
        }
        partial[b] = sum;
    }
    *square = ebm_sum_blocks(n_blocks, partial);
}

int ebm_lanczos_start(ebm_lanczos_t *L, int num_threads)
{
    double along, square;
    const int64_t n = L->S->kernel->n_states;
    ebm_vec_dot(n, num_threads, L->deflate, L->v, &along);
    for (int64_t i = 0; i < n; i++) L->v_prev[i] = L->v[i];
    /* with the product standing in for v itself: v = v - along * deflate */
    shift_vectors(L, 0.0, 0.0, along, 0.0, NULL, num_threads, &square);
    for (int64_t i = 0; i < n; i++) L->v_prev[i] = 0.0;
    L->norm = sqrt(square);
    return isfinite(L->norm) ? EBM_OK : EBM_ERR_BREAKDOWN;
}

/* v_prev = S (s v) - norm v_prev, tile by tile while the tile is in cache, with the inner products that follow. c takes what
   v itself has along u into account: if it did not, that part would grow by a / beta in every step. */
static int product_pass(ebm_lanczos_t *L, double s, int num_threads, double *a, double *c)
{
    (void)num_threads;
    double with_v[EBM_MAX_BLOCKS], with_u[EBM_MAX_BLOCKS], v_with_u[EBM_MAX_BLOCKS];
    const ebm_scaled_t *S = L->S;
    const ebm_kernel_t *kernel = S->kernel;
    const double *in = L->scaled_v ? L->scaled_v : L->v, *v = L->v, *u = L->deflate, norm = L->norm;
    double *v_prev = L->v_prev;
    const int64_t n = kernel->n_states, n_blocks = ebm_n_blocks(n);
    int status = EBM_OK;
#pragma omp parallel for num_threads(num_threads) schedule(dynamic) reduction(max : status) if (n_blocks > 1)
    for (int64_t b = 0; b < n_blocks; b++) {
        double tile[EBM_TILE], sum_v = 0.0, sum_u = 0.0, sum_vu = 0.0;
        const int64_t end = ebm_block_begin(n, n_blocks, b + 1);
        for (int64_t begin = ebm_block_begin(n, n_blocks, b); begin < end; begin += EBM_TILE) {
            const int64_t stop = begin + EBM_TILE < end ? begin + EBM_TILE : end;
            const int failed = kernel->apply(kernel->ctx, begin, stop, 1, in, tile);
            if (failed > status) status = failed;
            for (int64_t i = begin; i < stop; i++) {
                double y = tile[i - begin];
                if (S->row) y *= S->row[i];
                if (S->shift) y += S->shift[i] * v[i];
                y = s * y - norm * v_prev[i];
                v_prev[i] = y;
                sum_v += y * v[i];
                sum_u += y * u[i];
                sum_vu += v[i] * u[i];
            }
        }
        with_v[b] = sum_v;
        with_u[b] = sum_u;
        v_with_u[b] = sum_vu;
    }
    *a = s * ebm_sum_blocks(n_blocks, with_v);
    *c = ebm_sum_blocks(n_blocks, with_u) - *a * s * ebm_sum_blocks(n_blocks, v_with_u);
    return status;
}

/* v -= (v . u) u once more: a short v is the difference of long vectors and holds their rounding along u, which its division
   by |v| would magnify into a false Ritz value. */
static void deflate_again(ebm_lanczos_t *L, int num_threads)
{
    double along, square;
    const double *col = L->S->col, *u = L->deflate;
    const int64_t n = L->S->kernel->n_states;
    ebm_vec_dot(n, num_threads, u, L->v, &along);
    for (int64_t i = 0; i < n; i++) {
        L->v[i] -= along * u[i];
        if (L->scaled_v) L->scaled_v[i] = col[i] * L->v[i];
    }
    ebm_vec_dot(n, num_threads, L->v, L->v, &square);
    L->norm = sqrt(square);
}

int ebm_lanczos_expand(ebm_lanczos_t *L, int64_t n_steps, const double *combine, int num_threads, double *ritz,
                       double *alpha, double *beta, int64_t *n_done)
{
    *n_done = 0;
    if (!(L->norm > 0.0)) return EBM_ERR_ARGUMENT;
    for (int64_t j = 0; j < n_steps; j++) {
        double a, c, square;
        const double s = 1.0 / L->norm;
        const int status = product_pass(L, s, num_threads, &a, &c);
        if (status != EBM_OK) return status;
        shift_vectors(L, s, a, c, combine ? combine[j] : 0.0, combine ? ritz : NULL, num_threads, &square);
        alpha[j] = a;
        L->norm = sqrt(square);
        if (L->norm < SHORT) deflate_again(L, num_threads);
        beta[j] = L->norm;
        *n_done = j + 1;
        if (!isfinite(a) || !isfinite(beta[j])) return EBM_ERR_BREAKDOWN;
        /* |S| <= 1, so a vector this short is rounding error: the subspace is invariant */
        if (beta[j] <= 16.0 * DBL_EPSILON) break;
    }
    return EBM_OK;
}
