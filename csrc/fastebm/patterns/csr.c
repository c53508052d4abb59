#include "fastebm/patterns/csr.h"

#include <math.h>
#include <stddef.h>

#include "fastebm/base/parallel.h"

/* --- products --------------------------------------------------------------------------------- */

/* The value type and the common widths are compile-time constants of the inlined bodies, so each
   combination is compiled to its own loop. A row is summed in the order of its entries, except for
   a single vector and a matrix of long rows: there in four independent partial sums, which hide the
   latency of the additions. (AVX2 gathers were slower on AMD EPYC.) */

#define LANES 4
#define LONG_ROW 8

/* Prefetch x[indices[k + AHEAD]] while summing entry k, only in tiles whose columns are scattered
   beyond the second-level cache: without it a mispredicted end of a row stops the out-of-order core
   from issuing further cache misses. The product of a random graph is then faster than a plain
   gather when other processes fill the last-level cache (benchmarks/roofline.py), and hardly slower
   when x is cached. Values from 64 to 256 are equivalent. Tried and not faster: tiles of rows and
   columns with 16-bit indices (rows of a tile hold one entry each), non-temporal prefetches,
   gathers in single precision. */
#define AHEAD 128
#define SCATTERED 32768 /* states between a row and an entry that is far: 256 KB */
#define SAMPLES 16

static int has_long_rows(const ebm_csr_t *A)
{
    return A->indptr[A->n_states] - A->indptr[0] >= LONG_ROW * A->n_states;
}

/* Whether most entries of these rows are far from the diagonal, by a sample. It decides on
   prefetching only, never on a result. */
static int is_scattered(const ebm_csr_t *A, int64_t begin, int64_t end)
{
    const int64_t first = A->indptr[begin], count = A->indptr[end] - first;
    int n_far = 0;
    for (int s = 0; s < SAMPLES && count > 0; s++) {
        const int64_t away = A->indices[first + count * s / SAMPLES] - begin;
        n_far += away < -SCATTERED || away > SCATTERED + end - begin;
    }
    return 2 * n_far > SAMPLES;
}

EBM_INLINE void prefetch_ahead(const ebm_csr_t *A, int64_t k, int n, int64_t last, const double *x)
{
    if (k + n <= last)
        for (int j = 0; j < n; j++) EBM_PREFETCH(x + A->indices[k + j + AHEAD]);
}

/* The last entry for which the one AHEAD of it exists. */
static inline int64_t last_prefetch(const ebm_csr_t *A) { return A->indptr[A->n_states] - AHEAD; }

EBM_INLINE double value_at(const ebm_csr_t *A, ebm_value_type_t type, int64_t k)
{
    return type == EBM_VALUES_F64   ? ((const double *)A->values)[k]
           : type == EBM_VALUES_F32 ? (double)((const float *)A->values)[k]
                                    : 1.0;
}

EBM_INLINE void rows_single(const ebm_csr_t *A, ebm_value_type_t type, int prefetching,
                            int64_t begin, int64_t end, const double *x, double *y)
{
    const int64_t *indptr = A->indptr, last = last_prefetch(A);
    const int32_t *indices = A->indices;
    for (int64_t i = begin; i < end; i++) {
        double sum = 0.0;
        for (int64_t k = indptr[i]; k < indptr[i + 1]; k++) {
            if (prefetching) prefetch_ahead(A, k, 1, last, x);
            sum += value_at(A, type, k) * x[indices[k]];
        }
        y[i - begin] = sum;
    }
}

EBM_INLINE void rows_long(const ebm_csr_t *A, ebm_value_type_t type, int prefetching, int64_t begin,
                          int64_t end, const double *x, double *y)
{
    const int64_t *indptr = A->indptr, last = last_prefetch(A);
    const int32_t *indices = A->indices;
    for (int64_t i = begin; i < end; i++) {
        double lane0 = 0.0, lane1 = 0.0, lane2 = 0.0, lane3 = 0.0;
        int64_t k = indptr[i];
        for (; k + LANES <= indptr[i + 1]; k += LANES) {
            if (prefetching) prefetch_ahead(A, k, LANES, last, x);
            lane0 += value_at(A, type, k) * x[indices[k]];
            lane1 += value_at(A, type, k + 1) * x[indices[k + 1]];
            lane2 += value_at(A, type, k + 2) * x[indices[k + 2]];
            lane3 += value_at(A, type, k + 3) * x[indices[k + 3]];
        }
        double sum = (lane0 + lane2) + (lane1 + lane3);
        for (; k < indptr[i + 1]; k++) {
            if (prefetching) prefetch_ahead(A, k, 1, last, x);
            sum += value_at(A, type, k) * x[indices[k]];
        }
        y[i - begin] = sum;
    }
}

EBM_INLINE void rows_block(const ebm_csr_t *A, ebm_value_type_t type, int prefetching,
                           int64_t begin, int64_t end, int64_t width, const double *x, double *y)
{
    const int64_t *indptr = A->indptr, last = last_prefetch(A);
    const int32_t *indices = A->indices;
    for (int64_t i = begin; i < end; i++) {
        double *out = y + (i - begin) * width;
        for (int64_t j = 0; j < width; j++) out[j] = 0.0;
        for (int64_t k = indptr[i]; k < indptr[i + 1]; k++) {
            if (prefetching && k < last) EBM_PREFETCH(x + (int64_t)indices[k + AHEAD] * width);
            const double a = value_at(A, type, k);
            const double *in = x + (int64_t)indices[k] * width;
            for (int64_t j = 0; j < width; j++) out[j] += a * in[j];
        }
    }
}

/* Columns that are summed in one vector register. Summed into y, which the compiler must assume to
   alias x, a row of 16 columns takes 21 instead of 8 ns an entry (benchmarks: TV and KL of 16
   starts). */
typedef double lanes_t __attribute__((vector_size(64), aligned(8), may_alias));
#define COLUMNS 8
/* The prefetch distance of block products, in cache lines. */
#define LINES_AHEAD 32

EBM_INLINE void rows_lanes(const ebm_csr_t *A, ebm_value_type_t type, int64_t begin, int64_t end,
                           int64_t width, const double *x, double *y)
{
    const int64_t *indptr = A->indptr;
    const int32_t *indices = A->indices;
    const int64_t ahead = LINES_AHEAD * COLUMNS / width, last = indptr[end] - ahead;
    for (int64_t i = begin; i < end; i++) {
        lanes_t low = {0}, high = {0};
        for (int64_t k = indptr[i]; k < indptr[i + 1]; k++) {
            const double a = value_at(A, type, k);
            const lanes_t *in = (const lanes_t *)(x + (int64_t)indices[k] * width);
            if (k < last) {
                const double *later = x + (int64_t)indices[k + ahead] * width;
                EBM_PREFETCH(later);
                if (width > COLUMNS) EBM_PREFETCH(later + COLUMNS);
            }
            low += a * in[0];
            if (width > COLUMNS) high += a * in[1];
        }
        lanes_t *out = (lanes_t *)(y + (i - begin) * width);
        out[0] = low;
        if (width > COLUMNS) out[1] = high;
    }
}

EBM_INLINE void rows(const ebm_csr_t *A, ebm_value_type_t type, int64_t begin, int64_t end,
                     int64_t width, const double *x, double *y)
{
    const int prefetching = is_scattered(A, begin, end);
    switch (width) {
    case 1:
        if (has_long_rows(A) && prefetching) rows_long(A, type, 1, begin, end, x, y);
        else if (has_long_rows(A)) rows_long(A, type, 0, begin, end, x, y);
        else if (prefetching) rows_single(A, type, 1, begin, end, x, y);
        else rows_single(A, type, 0, begin, end, x, y);
        break;
    case 4:
        if (prefetching) rows_block(A, type, 1, begin, end, 4, x, y);
        else rows_block(A, type, 0, begin, end, 4, x, y);
        break;
    case COLUMNS: rows_lanes(A, type, begin, end, COLUMNS, x, y); break;
    case 2 * COLUMNS: rows_lanes(A, type, begin, end, 2 * COLUMNS, x, y); break;
    default: rows_block(A, type, prefetching, begin, end, width, x, y);
    }
}

EBM_MULTIVERSION
static int apply(const ebm_csr_t *A, int64_t begin, int64_t end, int64_t width, const double *x,
                 double *y)
{
    switch (A->value_type) {
    case EBM_VALUES_F64: rows(A, EBM_VALUES_F64, begin, end, width, x, y); break;
    case EBM_VALUES_F32: rows(A, EBM_VALUES_F32, begin, end, width, x, y); break;
    default: rows(A, EBM_VALUES_NONE, begin, end, width, x, y);
    }
    return EBM_OK;
}

static int csr_apply(const void *ctx, int64_t begin, int64_t end, int64_t width, const double *x,
                     double *y)
{
    return apply(((const ebm_csr_pair_t *)ctx)->forward, begin, end, width, x, y);
}

static int csr_apply_t(const void *ctx, int64_t begin, int64_t end, int64_t width, const double *x,
                       double *y)
{
    return apply(((const ebm_csr_pair_t *)ctx)->transpose, begin, end, width, x, y);
}

EBM_INLINE void rows_difference(const ebm_csr_t *A, ebm_value_type_t type, int64_t begin,
                                int64_t end, int power, const double *col, const double *x,
                                double *y)
{
    for (int64_t i = begin; i < end; i++) {
        double sum = 0.0;
        for (int64_t k = A->indptr[i]; k < A->indptr[i + 1]; k++) {
            const int32_t j = A->indices[k];
            const double d = x[i] - x[j], w = value_at(A, type, k) * (col ? col[j] : 1.0);
            sum += power == 2 ? w * d * d : w * d;
        }
        y[i - begin] = sum;
    }
}

static int csr_difference(const void *ctx, int64_t begin, int64_t end, int power, const double *col,
                          const double *x, double *y)
{
    const ebm_csr_t *A = ((const ebm_csr_pair_t *)ctx)->forward;
    switch (A->value_type) {
    case EBM_VALUES_F64: rows_difference(A, EBM_VALUES_F64, begin, end, power, col, x, y); break;
    case EBM_VALUES_F32: rows_difference(A, EBM_VALUES_F32, begin, end, power, col, x, y); break;
    default: rows_difference(A, EBM_VALUES_NONE, begin, end, power, col, x, y);
    }
    return EBM_OK;
}

void ebm_csr_kernel(const ebm_csr_pair_t *pair, ebm_kernel_t *kernel)
{
    *kernel = (ebm_kernel_t){.n_states = pair->forward->n_states,
                             .ctx = pair,
                             .apply = csr_apply,
                             .apply_t = pair->transpose ? csr_apply_t : NULL,
                             .difference = csr_difference};
}

/* --- inspection and transposition ------------------------------------------------------------- */

static int inspect_row(const ebm_csr_t *A, int64_t nnz, int64_t i, double *row_sum,
                       ebm_csr_facts_t *f)
{
    const int64_t begin = A->indptr[i], end = A->indptr[i + 1];
    f->row = i;
    f->entry = -1;
    if (begin < 0 || begin > end || end > nnz) return EBM_ERR_INDPTR;
    double sum = 0.0, first = begin < end ? ebm_csr_value(A, begin) : 0.0;
    for (int64_t k = begin; k < end; k++) {
        const int32_t j = A->indices[k];
        const double a = ebm_csr_value(A, k);
        f->entry = k;
        if (j < 0 || j >= A->n_states) return EBM_ERR_INDEX;
        if (!isfinite(a)) return EBM_ERR_NONFINITE;
        if (a < 0.0) return EBM_ERR_NEGATIVE;
        if (a == 0.0) f->has_zeros = 1;
        if (a != first) f->rows_uniform = 0;
        if (k > begin && j < A->indices[k - 1]) f->is_sorted = 0;
        sum += a;
    }
    row_sum[i] = sum;
    f->entry = -1;
    if (!isfinite(sum)) return EBM_ERR_NONFINITE;
    return sum > 0.0 ? EBM_OK : EBM_ERR_EMPTY_ROW;
}

int ebm_csr_inspect(const ebm_csr_t *A, int64_t nnz, int64_t begin, int64_t end, int num_threads,
                    double *row_sum, ebm_csr_facts_t *facts)
{
    (void)num_threads;
    int status = EBM_OK;
    if (begin == 0 && (A->indptr[0] != 0 || A->indptr[A->n_states] != nnz)) {
        facts->row = 0;
        return EBM_ERR_INDPTR;
    }
#pragma omp parallel num_threads(num_threads) if (end - begin > EBM_BLOCK_STATES)
    {
        ebm_csr_facts_t own = EBM_CSR_FACTS_NONE;
        int fault = EBM_OK; /* a thread's rows ascend, so its first fault is its lowest */
#pragma omp for schedule(dynamic, EBM_TILE)
        for (int64_t i = begin; i < end; i++)
            if (fault == EBM_OK) fault = inspect_row(A, nnz, i, row_sum, &own);
#pragma omp critical(ebm_csr_inspect_merge)
        {
            facts->is_sorted &= own.is_sorted;
            facts->has_zeros |= own.has_zeros;
            facts->rows_uniform &= own.rows_uniform;
            if (fault != EBM_OK && (status == EBM_OK || own.row < facts->row)) {
                status = fault;
                facts->row = own.row;
                facts->entry = own.entry;
            }
        }
    }
    return status;
}

/* Ranges of columns, one a thread. */
static int64_t n_parts(int64_t n_entries, int num_threads)
{
    if (n_entries <= EBM_BLOCK_STATES || num_threads < 1) return 1;
    return num_threads < EBM_MAX_BLOCKS ? num_threads : EBM_MAX_BLOCKS;
}

int ebm_csr_transpose_count(const ebm_csr_t *A, int64_t begin, int64_t end, int num_threads,
                            int64_t *t_indptr)
{
    const int64_t n = A->n_states, first = A->indptr[begin], last = A->indptr[end];
    const int64_t parts = n_parts(last - first, num_threads);
#pragma omp parallel for num_threads(num_threads) schedule(static, 1) if (parts > 1)
    for (int64_t part = 0; part < parts; part++) {
        const int64_t low = ebm_block_begin(n, parts, part),
                      high = ebm_block_begin(n, parts, part + 1);
        for (int64_t k = first; k < last; k++)
            if (A->indices[k] >= low && A->indices[k] < high) t_indptr[A->indices[k] + 1]++;
    }
    return EBM_OK;
}

int ebm_csr_transpose_place(int64_t n_states, int64_t *t_indptr)
{
    /* t_indptr[j + 1] first counts column j, then is the position of its next entry, finally its
       end. */
    int64_t place = 0;
    for (int64_t j = 0; j < n_states; j++) {
        const int64_t count = t_indptr[j + 1];
        t_indptr[j + 1] = place;
        place += count;
    }
    return EBM_OK;
}

EBM_INLINE void fill_columns(const ebm_csr_t *A, ebm_value_type_t type, int64_t begin, int64_t end,
                             int64_t low, int64_t high, int64_t *t_indptr, int32_t *t_indices,
                             void *t_values)
{
    for (int64_t i = begin; i < end; i++)
        for (int64_t k = A->indptr[i]; k < A->indptr[i + 1]; k++) {
            const int64_t j = A->indices[k];
            if (j < low || j >= high) continue;
            const int64_t at = t_indptr[j + 1]++;
            t_indices[at] = (int32_t)i;
            if (type == EBM_VALUES_F64) ((double *)t_values)[at] = ((const double *)A->values)[k];
            if (type == EBM_VALUES_F32) ((float *)t_values)[at] = ((const float *)A->values)[k];
        }
}

/* The first column whose entries go to `place` or beyond: positions ascend over the columns at any
   time. */
static int64_t column_at(int64_t n, const int64_t *t_indptr, int64_t place)
{
    int64_t low = 0, high = n;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (t_indptr[middle + 1] < place) low = middle + 1;
        else high = middle;
    }
    return low;
}

int ebm_csr_transpose_fill(const ebm_csr_t *A, int64_t begin, int64_t end, int num_threads,
                           int64_t *t_indptr, int32_t *t_indices, void *t_values)
{
    const int64_t n = A->n_states, nnz = A->indptr[n],
                  parts = n_parts(A->indptr[end] - A->indptr[begin], num_threads);
    /* of the columns of each part: about as many entries in each */
    int64_t bound[EBM_MAX_BLOCKS + 1];
    for (int64_t part = 0; part <= parts; part++)
        bound[part] = part == 0       ? 0
                      : part == parts ? n
                                      : column_at(n, t_indptr, ebm_block_begin(nnz, parts, part));
#pragma omp parallel for num_threads(num_threads) schedule(static, 1) if (parts > 1)
    for (int64_t part = 0; part < parts; part++) {
        const int64_t low = bound[part], high = bound[part + 1];
        switch (A->value_type) {
        case EBM_VALUES_F64:
            fill_columns(A, EBM_VALUES_F64, begin, end, low, high, t_indptr, t_indices, t_values);
            break;
        case EBM_VALUES_F32:
            fill_columns(A, EBM_VALUES_F32, begin, end, low, high, t_indptr, t_indices, t_values);
            break;
        default:
            fill_columns(A, EBM_VALUES_NONE, begin, end, low, high, t_indptr, t_indices, t_values);
        }
    }
    return EBM_OK;
}
