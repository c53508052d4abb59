#include "fastebm/patterns/scaled.h"

#include <stddef.h>

#include "fastebm/base/parallel.h"
#include "fastebm/base/vec.h"

/* Rows [begin, end) of y, tile by tile: the kernel's output is still in the cache when it is
   scaled. */
static int apply_range(const ebm_scaled_t *M, int transposed, int64_t width, int64_t begin,
                       int64_t end, const double *x, const double *in, double *y)
{
    const ebm_kernel_t *kernel = M->kernel;
    const double *outer = transposed ? M->col : M->row;
    int (*apply)(const void *, int64_t, int64_t, int64_t, const double *, double *) =
        transposed ? kernel->apply_t : kernel->apply;
    int status = EBM_OK;
    for (int64_t tile = begin; tile < end; tile += EBM_TILE) {
        const int64_t stop = tile + EBM_TILE < end ? tile + EBM_TILE : end;
        const int failed = apply(kernel->ctx, tile, stop, width, in, y + tile * width);
        if (failed > status) status = failed;
        if (!outer && !M->shift) continue;
        for (int64_t i = tile; i < stop; i++)
            for (int64_t j = 0; j < width; j++) {
                double value = y[i * width + j];
                if (outer) value *= outer[i];
                if (M->shift) value += M->shift[i] * x[i * width + j];
                y[i * width + j] = value;
            }
    }
    return status;
}

int ebm_scaled_apply_rows(const ebm_scaled_t *M, int transposed, int num_threads, int64_t width,
                          int64_t begin, int64_t end, const double *x, const double *in, double *y)
{
    if (!(transposed ? M->kernel->apply_t : M->kernel->apply)) return EBM_ERR_UNSUPPORTED;
    (void)num_threads;
    const int64_t n = end - begin, n_blocks = ebm_n_blocks(n);
    int status = EBM_OK;
#pragma omp parallel for num_threads(num_threads) schedule(dynamic) \
    reduction(max : status) if (n_blocks > 1)
    for (int64_t b = 0; b < n_blocks; b++) {
        const int failed =
            apply_range(M, transposed, width, begin + ebm_block_begin(n, n_blocks, b),
                        begin + ebm_block_begin(n, n_blocks, b + 1), x, in, y);
        if (failed > status) status = failed;
    }
    return status;
}

int ebm_scaled_apply(const ebm_scaled_t *M, int transposed, int num_threads, int64_t width,
                     const double *x, double *scratch, double *y)
{
    const int64_t n = M->kernel->n_states;
    const double *inner = transposed ? M->row : M->col;
    if (!(transposed ? M->kernel->apply_t : M->kernel->apply)) return EBM_ERR_UNSUPPORTED;
    if (!inner) return ebm_scaled_apply_rows(M, transposed, num_threads, width, 0, n, x, x, y);
    if (!scratch) return EBM_ERR_ARGUMENT;
    ebm_vec_scale(n, width, num_threads, inner, x, scratch);
    return ebm_scaled_apply_rows(M, transposed, num_threads, width, 0, n, x, scratch, y);
}

int ebm_scaled_difference(const ebm_scaled_t *M, int num_threads, int power, const double *x,
                          double *y)
{
    (void)num_threads;
    const ebm_kernel_t *kernel = M->kernel;
    const int64_t n = kernel->n_states, n_blocks = ebm_n_blocks(n);
    int status = EBM_OK;
    if (power != 1 && power != 2) return EBM_ERR_ARGUMENT;
    if (!kernel->difference) return EBM_ERR_UNSUPPORTED;
#pragma omp parallel for num_threads(num_threads) schedule(dynamic) \
    reduction(max : status) if (n_blocks > 1)
    for (int64_t b = 0; b < n_blocks; b++) {
        const int64_t begin = ebm_block_begin(n, n_blocks, b),
                      end = ebm_block_begin(n, n_blocks, b + 1);
        const int failed = kernel->difference(kernel->ctx, begin, end, power, M->col, x, y + begin);
        if (failed > status) status = failed;
        if (M->row)
            for (int64_t i = begin; i < end; i++) y[i] *= M->row[i];
    }
    return status;
}
