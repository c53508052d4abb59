#include "fastebm/linalg/lanczos.h"

#include <float.h>
#include <math.h>
#include <stddef.h>

#include "fastebm/base/parallel.h"

/* Norm of w below which its rounding along top, DBL_EPSILON / |w|, is deflated a second time. */
#define SHORT 1e-3

/* Independent partial sums of a range, so that the sum vectorises and has the same bits on every
   processor. */
#define LANES 8

static inline double add_lanes(const double *lane)
{
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) +
           ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

/* N[i] = ratio / square, the weight of the inner product. */
EBM_INLINE double weight_of(const ebm_lanczos_t *L, int64_t i)
{
    return (L->ratio ? L->ratio[i] : 1.0) / (L->square ? L->square[i] : 1.0);
}

/* One element of the first pass: w_prev <- s square (A w) + s shift w - back w_prev; returns its
   product with w. */
EBM_INLINE double product_element(const ebm_lanczos_t *L, int has_square, int has_ratio,
                                  int has_shift, int64_t i, double product, double s, double back)
{
    const double w = L->w[i];
    double along = (has_ratio ? L->ratio[i] : 1.0) * (w * product),
           y = (has_square ? L->square[i] : 1.0) * product;
    if (has_shift) {
        along += L->shift[i] * w * w * weight_of(L, i);
        y += L->shift[i] * w;
    }
    L->w_prev[i] = s * y - back * L->w_prev[i];
    return along;
}

EBM_INLINE double product_body(const ebm_lanczos_t *L, int has_square, int has_ratio, int has_shift,
                               int64_t begin, int64_t end, const double *product, double s,
                               double back)
{
    double lane[LANES] = {0.0};
    int64_t i = begin;
    for (; i + LANES <= end; i += LANES)
        for (int j = 0; j < LANES; j++)
            lane[j] += product_element(L, has_square, has_ratio, has_shift, i + j,
                                       product[i + j - begin], s, back);
    for (int j = 0; i < end; i++, j++)
        lane[j] +=
            product_element(L, has_square, has_ratio, has_shift, i, product[i - begin], s, back);
    return add_lanes(lane);
}

/* Each common combination of NULL pointers has its own loop. */
EBM_MULTIVERSION
static double product_tile(const ebm_lanczos_t *L, int64_t begin, int64_t end,
                           const double *product, double s, double back)
{
    if (L->shift)
        return product_body(L, L->square != NULL, L->ratio != NULL, 1, begin, end, product, s,
                            back);
    if (L->ratio) return product_body(L, L->square != NULL, 1, 0, begin, end, product, s, back);
    if (L->square) return product_body(L, 1, 0, 0, begin, end, product, s, back);
    return product_body(L, 0, 0, 0, begin, end, product, s, back);
}

/* w_prev <- s S w - back w_prev, tile by tile while the tile is in cache; *alpha = <w, S w> s^2, as
   |s w| = 1. */
static int product_pass(ebm_lanczos_t *L, double s, double back, int num_threads, double *alpha)
{
    (void)num_threads;
    double partial[EBM_MAX_BLOCKS];
    const ebm_kernel_t *kernel = L->kernel;
    const int64_t n = kernel->n_states, n_blocks = ebm_n_blocks(n);
    int status = EBM_OK;
#pragma omp parallel for num_threads(num_threads)         \
    schedule(dynamic, ebm_portion(n_blocks, num_threads)) \
    reduction(max : status) if (n_blocks > 1)
    for (int64_t b = 0; b < n_blocks; b++) {
        double tile[EBM_TILE], sum = 0.0;
        const int64_t end = ebm_block_begin(n, n_blocks, b + 1);
        for (int64_t begin = ebm_block_begin(n, n_blocks, b); begin < end; begin += EBM_TILE) {
            const int64_t stop = begin + EBM_TILE < end ? begin + EBM_TILE : end;
            const int failed = kernel->apply(kernel->ctx, begin, stop, 1, L->w, tile);
            if (failed > status) status = failed;
            sum += product_tile(L, begin, stop, tile, s, back);
        }
        partial[b] = sum;
    }
    *alpha = s * s * ebm_sum_blocks(n_blocks, partial);
    return status;
}

/* One element of the second pass: new <- new - a w - c top; its square and its part along top are
   summed. */
EBM_INLINE void shift_body(const ebm_lanczos_t *L, int has_top, const double *w, double *new,
                           double a, double c, int64_t begin, int64_t end, double *square,
                           double *along)
{
    double squares[LANES] = {0.0}, alongs[LANES] = {0.0};
    int64_t i = begin;
    for (; i < end; i += LANES) {
        const int n = end - i < LANES ? (int)(end - i) : LANES;
        if (n == LANES) {
            for (int j = 0; j < LANES; j++) {
                const double top = has_top ? L->top[i + j] : 1.0,
                             value = new[i + j] - a * w[i + j] - c * top;
                const double weighted = value * weight_of(L, i + j);
                new[i + j] = value;
                squares[j] += value * weighted;
                alongs[j] += top * weighted;
            }
        } else {
            for (int j = 0; j < n; j++) {
                const double top = has_top ? L->top[i + j] : 1.0,
                             value = new[i + j] - a * w[i + j] - c * top;
                const double weighted = value * weight_of(L, i + j);
                new[i + j] = value;
                squares[j] += value * weighted;
                alongs[j] += top * weighted;
            }
        }
    }
    *square = add_lanes(squares);
    *along = add_lanes(alongs);
}

EBM_MULTIVERSION
static void shift_range(const ebm_lanczos_t *L, const double *w, double *new, double a, double c,
                        int64_t begin, int64_t end, double *square, double *along)
{
    if (L->top) shift_body(L, 1, w, new, a, c, begin, end, square, along);
    else shift_body(L, 0, w, new, a, c, begin, end, square, along);
}

EBM_MULTIVERSION
static void add_to_ritz(const double *w, double weight, int64_t begin, int64_t end, double *ritz)
{
    for (int64_t i = begin; i < end; i++) ritz[i] += weight * w[i];
}

/* new <- new - a w - c top_scale top, and new's norm and mean; ritz += weight w. */
static void shift_pass(const ebm_lanczos_t *L, const double *w, double *new, double a, double c,
                       double weight, double *ritz, int num_threads, double *norm, double *mean)
{
    (void)num_threads;
    double squares[EBM_MAX_BLOCKS], alongs[EBM_MAX_BLOCKS];
    const int64_t n = L->kernel->n_states, n_blocks = ebm_n_blocks(n);
#pragma omp parallel for num_threads(num_threads)                           \
    schedule(dynamic, ebm_portion(n_blocks, num_threads)) if (n_blocks > 1)
    for (int64_t b = 0; b < n_blocks; b++) {
        const int64_t begin = ebm_block_begin(n, n_blocks, b),
                      end = ebm_block_begin(n, n_blocks, b + 1);
        if (ritz) add_to_ritz(w, weight, begin, end, ritz);
        shift_range(L, w, new, a, c * L->top_scale, begin, end, squares + b, alongs + b);
    }
    *norm = sqrt(ebm_sum_blocks(n_blocks, squares));
    *mean = L->top_scale * ebm_sum_blocks(n_blocks, alongs);
}

int ebm_lanczos_start(ebm_lanczos_t *L, int num_threads)
{
    double along;
    const int64_t n = L->kernel->n_states;
    for (int64_t i = 0; i < n; i++) L->w_prev[i] = 0.0;
    shift_pass(L, L->w_prev, L->w, 0.0, 0.0, 0.0, NULL, num_threads, &L->norm, &along);
    shift_pass(L, L->w_prev, L->w, 0.0, along, 0.0, NULL, num_threads, &L->norm, &L->mean);
    L->norm_prev = 1.0;
    L->mean_prev = 0.0;
    return isfinite(L->norm) ? EBM_OK : EBM_ERR_BREAKDOWN;
}

int ebm_lanczos_expand(ebm_lanczos_t *L, int64_t n_steps, const double *combine, int num_threads,
                       double *ritz, double *alpha, double *beta, int64_t *n_done)
{
    *n_done = 0;
    if (!(L->norm > 0.0)) return EBM_ERR_ARGUMENT;
    for (int64_t j = 0; j < n_steps; j++) {
        double a, norm, mean;
        const double s = 1.0 / L->norm, back = L->norm / L->norm_prev;
        const int status = product_pass(L, s, back, num_threads, &a);
        if (status != EBM_OK) return status;
        /* S top = top, so the new vector has (s - a s) mean - back mean_prev along top: measured in
           the last pass, removed in this one. Left alone it would grow by the factor 1 / beta in
           every step. */
        const double c = (s - a * s) * L->mean - back * L->mean_prev;
        shift_pass(L, L->w, L->w_prev, a * s, c, combine ? combine[j] * s : 0.0,
                   combine ? ritz : NULL, num_threads, &norm, &mean);
        /* a short vector is the difference of long ones and holds their rounding along top, which
           its division by its norm would magnify into a false Ritz value */
        if (norm < SHORT)
            shift_pass(L, L->w, L->w_prev, 0.0, mean, 0.0, NULL, num_threads, &norm, &mean);
        double *swap = L->w;
        L->w = L->w_prev;
        L->w_prev = swap;
        L->norm_prev = L->norm;
        L->mean_prev = L->mean;
        L->norm = norm;
        L->mean = mean;
        alpha[j] = a;
        beta[j] = norm;
        *n_done = j + 1;
        if (!isfinite(a) || !isfinite(norm)) return EBM_ERR_BREAKDOWN;
        /* |S| <= 1, so a vector this short is rounding error: the subspace is invariant */
        if (norm <= 16.0 * DBL_EPSILON) break;
    }
    return EBM_OK;
}
