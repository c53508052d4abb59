#include "fastebm/linalg/basis.h"

#include <math.h>
#include <string.h>

#include "fastebm/base/parallel.h"

/* Number of interleaved partial sums, added pairwise at the end: vector instructions of any width
   give the same bits. */
#define LANES 8
/* Vectors of W that share one reading of a vector of V. */
#define GROUP 4
/* States whose part of the whole basis (64 vectors: 256 KiB) stays in the second-level cache
   between the removal and the products of one pass. */
#define ROWS 512
/* Doubles of a thread's rotated tile. */
#define TILE_DOUBLES 16384

/* sum[c] += v . w_c for the `count` vectors of W, count a constant where it is inlined. */
EBM_INLINE void dots(int64_t rows, int64_t n, int count, const double *v, const double *w,
                     double *sum)
{
    double a[LANES] = {0.0}, b[LANES] = {0.0}, c[LANES] = {0.0}, d[LANES] = {0.0};
    const double *w1 = w + (count > 1 ? n : 0), *w2 = w + (count > 2 ? 2 * n : 0),
                 *w3 = w + (count > 3 ? 3 * n : 0);
    const int64_t whole = rows - rows % LANES;
    for (int64_t i = 0; i < whole; i += LANES) {
#pragma omp simd
        for (int l = 0; l < LANES; l++) {
            a[l] += v[i + l] * w[i + l];
            if (count > 1) b[l] += v[i + l] * w1[i + l];
            if (count > 2) c[l] += v[i + l] * w2[i + l];
            if (count > 3) d[l] += v[i + l] * w3[i + l];
        }
    }
    double *const lanes[GROUP] = {a, b, c, d};
    for (int k = 0; k < count; k++) {
        double *lane = lanes[k];
        for (int64_t i = whole; i < rows; i++) lane[i - whole] += v[i] * w[k * n + i];
        for (int step = LANES / 2; step > 0; step /= 2)
            for (int l = 0; l < step; l++) lane[l] += lane[l + step];
        sum[k] += lane[0];
    }
}

/* sum (m, w) += V W^T on `rows` states, V and W pointing at the first of them. */
EBM_MULTIVERSION
static void project_rows(int64_t rows, int64_t n, int64_t m, int64_t w, const double *V,
                         const double *W, double *sum)
{
    for (int64_t c = 0; c < w; c += GROUP)
        for (int64_t j = 0; j < m; j++) {
            const double *v = V + j * n, *first = W + c * n;
            double *out = sum + j * w + c;
            switch (w - c) {
            case 1: dots(rows, n, 1, v, first, out); break;
            case 2: dots(rows, n, 2, v, first, out); break;
            case 3: dots(rows, n, 3, v, first, out); break;
            default: dots(rows, n, GROUP, v, first, out);
            }
        }
}

/* out += sign sum_j a[j stride] v_j over the vectors j < m, on `rows` states; GROUP vectors share
   one pass over out. */
EBM_INLINE void combine(int64_t rows, int64_t n, int64_t m, const double *V, double sign,
                        const double *a, int64_t stride, double *restrict out)
{
    int64_t j = 0;
    for (; j + GROUP <= m; j += GROUP) {
        const double *v = V + j * n, *at = a + j * stride;
        const double a0 = sign * at[0], a1 = sign * at[stride], a2 = sign * at[2 * stride],
                     a3 = sign * at[3 * stride];
        for (int64_t i = 0; i < rows; i++)
            out[i] += (a0 * v[i] + a1 * v[n + i]) + (a2 * v[2 * n + i] + a3 * v[3 * n + i]);
    }
    for (; j < m; j++) {
        const double *v = V + j * n, a0 = sign * a[j * stride];
        for (int64_t i = 0; i < rows; i++) out[i] += a0 * v[i];
    }
}

EBM_MULTIVERSION
static void remove_rows(int64_t rows, int64_t n, int64_t m, int64_t w, const double *V,
                        const double *C, double *W)
{
    for (int64_t c = 0; c < w; c++) combine(rows, n, m, V, -1.0, C + c, w, W + c * n);
}

EBM_MULTIVERSION
static void rotate_rows(int64_t rows, int64_t n, int64_t m, int64_t k, const double *Q, double *V)
{
    double tile[TILE_DOUBLES];
    memset(tile, 0, (size_t)(k * rows) * sizeof *tile);
    for (int64_t c = 0; c < k; c++) combine(rows, n, m, V, 1.0, Q + c, k, tile + c * rows);
    for (int64_t c = 0; c < k; c++) memcpy(V + c * n, tile + c * rows, (size_t)rows * sizeof *tile);
}

/* C NULL: only the products. */
static int remove_and_project(int64_t n, int64_t m, int64_t w, const double *V, const double *C,
                              int num_threads, const double *W, double *removed, double *partial,
                              double *H)
{
    (void)num_threads;
    const int64_t n_blocks = ebm_n_blocks(n), size = m * w;
#pragma omp parallel for num_threads(num_threads) schedule(static) if (n_blocks > 1)
    for (int64_t b = 0; b < n_blocks; b++) {
        const int64_t end = ebm_block_begin(n, n_blocks, b + 1);
        double *sum = partial + b * size;
        for (int64_t i = 0; i < size; i++) sum[i] = 0.0;
        for (int64_t begin = ebm_block_begin(n, n_blocks, b); begin < end; begin += ROWS) {
            const int64_t rows = begin + ROWS < end ? ROWS : end - begin;
            if (C) remove_rows(rows, n, m, w, V + begin, C, removed + begin);
            project_rows(rows, n, m, w, V + begin, W + begin, sum);
        }
    }
    for (int64_t i = 0; i < size; i++) {
        double sum = 0.0;
        for (int64_t b = 0; b < n_blocks; b++) sum += partial[b * size + i];
        H[i] = sum;
        if (!isfinite(sum)) return EBM_ERR_BREAKDOWN;
    }
    return EBM_OK;
}

int ebm_basis_project(int64_t n, int64_t m, int64_t w, const double *V, const double *W,
                      int num_threads, double *partial, double *H)
{
    return remove_and_project(n, m, w, V, NULL, num_threads, W, NULL, partial, H);
}

int ebm_basis_remove(int64_t n, int64_t m, int64_t w, const double *V, const double *C,
                     int num_threads, double *W, double *partial, double *H)
{
    return remove_and_project(n, m, w, V, C, num_threads, W, W, partial, H);
}

int ebm_basis_rotate(int64_t n, int64_t begin, int64_t end, int64_t m, int64_t k, const double *Q,
                     int num_threads, double *V)
{
    (void)num_threads;
    if (k < 1 || k > m || k > TILE_DOUBLES || begin < 0 || end > n || begin > end)
        return EBM_ERR_ARGUMENT;
    const int64_t rows = TILE_DOUBLES / k < ROWS ? TILE_DOUBLES / k : ROWS,
                  n_tiles = (end - begin + rows - 1) / rows;
#pragma omp parallel for num_threads(num_threads)        \
    schedule(static) if (end - begin > EBM_BLOCK_STATES)
    for (int64_t t = 0; t < n_tiles; t++) {
        const int64_t first = begin + t * rows;
        rotate_rows(first + rows < end ? rows : end - first, n, m, k, Q, V + first);
    }
    return EBM_OK;
}
