#include "fastebm/linalg/composed.h"

#include <stddef.h>

#include "fastebm/base/parallel.h"

/* packed (n, width) = inner * x from x (width, n). */
EBM_MULTIVERSION
static void pack_rows(int64_t begin, int64_t end, int64_t n, int64_t width, const double *inner,
                      const double *x, double *packed)
{
    for (int64_t i = begin; i < end; i++) {
        const double a = inner ? inner[i] : 1.0;
        for (int64_t j = 0; j < width; j++) packed[i * width + j] = a * x[j * n + i];
    }
}

/* y (width, n) = weight (outer * tile + shift * x) + keep y on the states begin..end-1, tile being
   (end - begin, width). */
EBM_MULTIVERSION
static void unpack_rows(int64_t begin, int64_t end, int64_t n, int64_t width, const double *outer,
                        const double *shift, const double *tile, const double *x, double weight,
                        double keep, double *y)
{
    for (int64_t j = 0; j < width; j++)
        for (int64_t i = begin; i < end; i++) {
            double value = tile[(i - begin) * width + j];
            if (outer) value *= outer[i];
            if (shift) value += shift[i] * x[j * n + i];
            y[j * n + i] = keep == 0.0 ? weight * value : weight * value + keep * y[j * n + i];
        }
}

/* y = weight M x + keep y, M = S or its transpose. */
static int product(const ebm_scaled_t *S, int transposed, int num_threads, int64_t width,
                   const double *x, double *packed, double weight, double keep, double *y)
{
    (void)num_threads;
    const ebm_kernel_t *kernel = S->kernel;
    const int64_t n = kernel->n_states, n_blocks = ebm_n_blocks(n);
    const double *inner = transposed ? S->row : S->col, *outer = transposed ? S->col : S->row;
    int (*apply)(const void *, int64_t, int64_t, int64_t, const double *, double *) =
        transposed ? kernel->apply_t : kernel->apply;
    const double *in = x;
    int status = EBM_OK;
    if (!apply) return EBM_ERR_UNSUPPORTED;
    if (inner || width > 1) {
#pragma omp parallel for num_threads(num_threads) schedule(dynamic) if (n_blocks > 1)
        for (int64_t b = 0; b < n_blocks; b++)
            pack_rows(ebm_block_begin(n, n_blocks, b), ebm_block_begin(n, n_blocks, b + 1), n,
                      width, inner, x, packed);
        in = packed;
    }
#pragma omp parallel for num_threads(num_threads) schedule(dynamic) \
    reduction(max : status) if (n_blocks > 1)
    for (int64_t b = 0; b < n_blocks; b++) {
        double tile[EBM_TILE];
        const int64_t end = ebm_block_begin(n, n_blocks, b + 1), rows = EBM_TILE / width;
        for (int64_t begin = ebm_block_begin(n, n_blocks, b); begin < end; begin += rows) {
            const int64_t stop = begin + rows < end ? begin + rows : end;
            const int failed = apply(kernel->ctx, begin, stop, width, in, tile);
            if (failed > status) status = failed;
            unpack_rows(begin, stop, n, width, outer, S->shift, tile, x, weight, keep, y);
        }
    }
    return status;
}

int ebm_composed_apply(const ebm_scaled_t *S, ebm_composed_kind_t kind, int num_threads,
                       int64_t width, const double *x, double *scratch, double *y)
{
    if (width < 1 || width > EBM_TILE) return EBM_ERR_ARGUMENT;
    double *middle = scratch + S->kernel->n_states * width;
    int status;
    switch (kind) {
    case EBM_COMPOSED_RIGHT: return product(S, 0, num_threads, width, x, scratch, 1.0, 0.0, y);
    case EBM_COMPOSED_LEFT: return product(S, 1, num_threads, width, x, scratch, 1.0, 0.0, y);
    case EBM_COMPOSED_MULTIPLICATIVE:
        status = product(S, 1, num_threads, width, x, scratch, 1.0, 0.0, middle);
        return status != EBM_OK ? status
                                : product(S, 0, num_threads, width, middle, scratch, 1.0, 0.0, y);
    case EBM_COMPOSED_ADDITIVE:
        status = product(S, 0, num_threads, width, x, scratch, 0.5, 0.0, y);
        return status != EBM_OK ? status
                                : product(S, 1, num_threads, width, x, scratch, 0.5, 1.0, y);
    }
    return EBM_ERR_ARGUMENT;
}
