#include "fastebm/chains/evolution.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "fastebm/base/parallel.h"

#define ROWS 64 /* measured at once: their terms stay in the first-level cache */
/* Below this sqrt(pi), pi underflows and the density overflows: logarithms are taken apart. */
#define TINY_ROOT 1e-150

/* (1 + u) log(1 + u) - u >= 0 for u >= -1, without a branch, so that the loops over a block run in
   vectors. With z = u / (2 + u), log(1 + u) = 2 z + 2 z^3 R(z^2), R = 1/3 + z^2/5 + z^4/7 + ...,
   the sum is z u (1 + (1 + z) z R), in which nothing cancels: taken for 1 + u in [sqrt(1/2),
   sqrt(2)). Beyond, the exponent is split off: 1 + u = 2^e m, m in that range. The coefficients of
   R for z^2 < 0.0295 are half of those of fdlibm's log (Sun Microsystems 1993), which leave
   2^-59. */
#define C1 (0.5 * 6.666666666666735130e-01)
#define C2 (0.5 * 3.999999999940941908e-01)
#define C3 (0.5 * 2.857142874366239149e-01)
#define C4 (0.5 * 2.222219843214978396e-01)
#define C5 (0.5 * 1.818357216161805012e-01)
#define C6 (0.5 * 1.531383769920937332e-01)
#define C7 (0.5 * 1.479819860511658591e-01)
EBM_INLINE double divergence_term(double u)
{
    static const uint64_t root_half = UINT64_C(0x3fe6a09e667f3bcd),
                          one = UINT64_C(0x3ff0000000000000);
    static const double ln2_high = 6.93147180369123816490e-01, ln2_low = 1.90821492927058770002e-10;
    const double t = 1.0 + u, safe = t > 0.0 ? t : 1.0;
    uint64_t bits, number;
    memcpy(&bits, &safe, sizeof bits);
    const uint64_t biased = (bits + (one - root_half)) >> 52; /* e + 1023 */
    number = UINT64_C(0x4330000000000000) | biased;           /* the double 2^52 + biased */
    bits = bits - (biased << 52) + one;
    double m, e;
    memcpy(&m, &bits, sizeof m);
    memcpy(&e, &number, sizeof e);
    e -= 4503599627370496.0 + 1023.0;
    const double f = e == 0.0 ? u : m - 1.0;
    const double z = f / (2.0 + f), w = z * z;
    /* even and odd powers apart: two short chains of dependent operations */
    const double v = w * w;
    const double R = (C1 + v * (C3 + v * (C5 + v * C7))) + w * (C2 + v * (C4 + v * C6));
    const double near = z * u * (1.0 + (1.0 + z) * z * R);
    const double far = t * (e * ln2_high + (e * ln2_low + 2.0 * (z + z * w * R))) - u;
    const double value = e == 0.0 ? near : far;
    return t > 0.0 ? value : 1.0; /* the limit; rounding may put u a little below -1 */
}

/* pi times the divergence term where pi or the density is out of range: s = sqrt(pi) g. */
static double tiny_term(double root, double s)
{
    if (s > 1e16 * root) return root * s * (log(s) - log(root) - 1.0);
    return root > 0.0 ? root * (root * divergence_term(s / root)) : 0.0;
}

/* The sums of up to ROWS rows, added to sum (EBM_EVOLUTION_KINDS, width). Each column is summed row
   after row whatever the width. */
EBM_INLINE void measure_rows(int64_t rows, int64_t width, int measured, const double *root,
                             const double *unit, const double *h, double *sum)
{
    double to_g[ROWS], to_s[ROWS], term[ROWS * EBM_EVOLUTION_WIDTH];
    int tiny = 0;
    for (int64_t i = 0; i < rows; i++) {
        to_g[i] = unit ? 1.0 / unit[i] : 1.0;
        to_s[i] = unit ? root[i] / unit[i] : root[i];
        tiny |= root[i] < TINY_ROOT;
    }
    double *mean = sum + EBM_EVOLUTION_MEAN * width, *tv = sum + EBM_EVOLUTION_TV * width,
           *kl = sum + EBM_EVOLUTION_KL * width;
    double *chi2 = sum + EBM_EVOLUTION_CHI2 * width,
           *separation = sum + EBM_EVOLUTION_SEPARATION * width;
    if (!measured) {
        for (int64_t i = 0; i < rows; i++)
            for (int64_t j = 0; j < width; j++) mean[j] += root[i] * (to_s[i] * h[i * width + j]);
        return;
    }
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < width; j++)
            term[i * width + j] = root[i] * root[i] * divergence_term(to_g[i] * h[i * width + j]);
    for (int64_t i = 0; tiny && i < rows; i++)
        for (int64_t j = 0; root[i] < TINY_ROOT && j < width; j++)
            term[i * width + j] = tiny_term(root[i], to_s[i] * h[i * width + j]);
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j < width; j++) {
            const double s = to_s[i] * h[i * width + j], below = -(to_g[i] * h[i * width + j]);
            mean[j] += root[i] * s;
            tv[j] += root[i] * fabs(s);
            kl[j] += term[i * width + j];
            chi2[j] += s * s;
            separation[j] = below > separation[j] ? below : separation[j];
        }
}

EBM_INLINE void finish_rows(const ebm_evolution_t *E, int64_t width, int64_t begin, int64_t end,
                            const double *mean, const double *h, double *next)
{
    for (int64_t i = begin; i < end; i++) {
        const double scale = E->scale ? E->scale[i] : 1.0, shift = E->shift ? E->shift[i] : 0.0,
                     unit = E->unit ? E->unit[i] : 1.0;
        for (int64_t j = 0; j < width; j++) {
            double value = scale * next[i * width + j];
            if (E->shift) value += shift * h[i * width + j];
            next[i * width + j] = value - unit * mean[j];
        }
    }
}

EBM_INLINE void tile_of(const ebm_evolution_t *E, int64_t width, int64_t begin, int64_t end,
                        int measured, const double *mean, const double *h, double *next,
                        double *sum)
{
    for (int64_t i = begin; i < end; i += ROWS) {
        const int64_t stop = i + ROWS < end ? i + ROWS : end;
        if (h) finish_rows(E, width, i, stop, mean, h, next);
        measure_rows(stop - i, width, measured, E->root + i, E->unit ? E->unit + i : NULL,
                     next + i * width, sum);
    }
}

EBM_MULTIVERSION
static void tile_rows(const ebm_evolution_t *E, int64_t width, int64_t begin, int64_t end,
                      int measured, const double *mean, const double *h, double *next, double *sum)
{
    switch (width) {
    case 1: tile_of(E, 1, begin, end, measured, mean, h, next, sum); break;
    case 8: tile_of(E, 8, begin, end, measured, mean, h, next, sum); break;
    case 16: tile_of(E, 16, begin, end, measured, mean, h, next, sum); break;
    default: tile_of(E, width, begin, end, measured, mean, h, next, sum);
    }
}

static int step_block(const ebm_evolution_t *E, int64_t width, int64_t begin, int64_t end,
                      int measured, const double *mean, const double *h, double *next, double *out)
{
    double sum[EBM_EVOLUTION_KINDS * EBM_EVOLUTION_WIDTH] = {0};
    int status = EBM_OK;
    for (int64_t j = 0; j < width; j++) sum[EBM_EVOLUTION_SEPARATION * width + j] = -INFINITY;
    for (int64_t tile = begin; tile < end; tile += EBM_TILE) {
        const int64_t stop = tile + EBM_TILE < end ? tile + EBM_TILE : end;
        if (h) {
            const int failed =
                E->kernel->apply(E->kernel->ctx, tile, stop, width, h, next + tile * width);
            if (failed > status) status = failed;
        }
        tile_rows(E, width, tile, stop, measured, mean, h, next, sum);
    }
    for (int64_t j = 0; j < EBM_EVOLUTION_KINDS * width; j++) out[j] = sum[j];
    return status;
}

int ebm_evolution_step(const ebm_evolution_t *E, int64_t width, int64_t first, int64_t last,
                       int measured, int num_threads, const double *mean, const double *h,
                       double *next, double *partial)
{
    (void)num_threads;
    const int64_t n = E->kernel->n_states, n_blocks = ebm_n_blocks(n);
    if (width < 1 || width > EBM_EVOLUTION_WIDTH || first < 0 || last > n_blocks)
        return EBM_ERR_ARGUMENT;
    int status = EBM_OK;
#pragma omp parallel for num_threads(num_threads) schedule(dynamic) \
    reduction(max : status) if (last - first > 1)
    for (int64_t b = first; b < last; b++) {
        const int failed = step_block(E, width, ebm_block_begin(n, n_blocks, b),
                                      ebm_block_begin(n, n_blocks, b + 1), measured, mean, h, next,
                                      partial + b * EBM_EVOLUTION_KINDS * width);
        if (failed > status) status = failed;
    }
    return status;
}

int ebm_evolution_total(int64_t n_blocks, int64_t width, const double *partial, double *total)
{
    for (int64_t j = 0; j < EBM_EVOLUTION_KINDS * width; j++) {
        const int largest = j >= EBM_EVOLUTION_SEPARATION * width;
        double value = largest ? -INFINITY : 0.0;
        for (int64_t b = 0; b < n_blocks; b++) {
            const double part = partial[b * EBM_EVOLUTION_KINDS * width + j];
            value = !largest ? value + part : part > value ? part : value;
        }
        total[j] =
            j >= EBM_EVOLUTION_TV * width && j < EBM_EVOLUTION_KL * width ? 0.5 * value : value;
    }
    return EBM_OK;
}
