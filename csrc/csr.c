#include "csr.h"

#include <math.h>
#include <stddef.h>

#include "parallel.h"

/* --- products --------------------------------------------------------------------------------------------------------
   The value type and the common widths are compile-time constants of the inlined bodies, so that each combination is
   its own tight loop. A row is summed in the order of its entries whatever the width, hence equal bits for x and for a
   column of a block. */

EBM_INLINE double value_at(const ebm_csr_t *A, ebm_value_type_t type, int64_t k)
{
    return type == EBM_VALUES_F64 ? ((const double *)A->values)[k]
         : type == EBM_VALUES_F32 ? (double)((const float *)A->values)[k] : 1.0;
}

EBM_INLINE void rows_single(const ebm_csr_t *A, ebm_value_type_t type, int64_t begin, int64_t end, const double *x, double *y)
{
    const int64_t *indptr = A->indptr;
    const int32_t *indices = A->indices;
    for (int64_t i = begin; i < end; i++) {
        double sum = 0.0;
        for (int64_t k = indptr[i]; k < indptr[i + 1]; k++) sum += value_at(A, type, k) * x[indices[k]];
        y[i - begin] = sum;
    }
}

EBM_INLINE void rows_block(const ebm_csr_t *A, ebm_value_type_t type, int64_t begin, int64_t end, int64_t width,
                           const double *x, double *y)
{
    const int64_t *indptr = A->indptr;
    const int32_t *indices = A->indices;
    for (int64_t i = begin; i < end; i++) {
        double *out = y + (i - begin) * width;
        for (int64_t j = 0; j < width; j++) out[j] = 0.0;
        for (int64_t k = indptr[i]; k < indptr[i + 1]; k++) {
            const double a = value_at(A, type, k);
            const double *in = x + (int64_t)indices[k] * width;
            for (int64_t j = 0; j < width; j++) out[j] += a * in[j];
        }
    }
}

EBM_INLINE void rows(const ebm_csr_t *A, ebm_value_type_t type, int64_t begin, int64_t end, int64_t width, const double *x,
                     double *y)
{
    switch (width) {
    case 1: rows_single(A, type, begin, end, x, y); break;
    case 4: rows_block(A, type, begin, end, 4, x, y); break;
    case 8: rows_block(A, type, begin, end, 8, x, y); break;
    case 16: rows_block(A, type, begin, end, 16, x, y); break;
    default: rows_block(A, type, begin, end, width, x, y);
    }
}

EBM_MULTIVERSION
static void product(const ebm_csr_t *A, int64_t begin, int64_t end, int64_t width, const double *x, double *y)
{
    switch (A->value_type) {
    case EBM_VALUES_F64: rows(A, EBM_VALUES_F64, begin, end, width, x, y); break;
    case EBM_VALUES_F32: rows(A, EBM_VALUES_F32, begin, end, width, x, y); break;
    default: rows(A, EBM_VALUES_NONE, begin, end, width, x, y);
    }
}

static int csr_apply(const void *ctx, int64_t begin, int64_t end, int64_t width, const double *x, double *y)
{
    product(((const ebm_csr_pair_t *)ctx)->forward, begin, end, width, x, y);
    return EBM_OK;
}

static int csr_apply_t(const void *ctx, int64_t begin, int64_t end, int64_t width, const double *x, double *y)
{
    product(((const ebm_csr_pair_t *)ctx)->transpose, begin, end, width, x, y);
    return EBM_OK;
}

EBM_INLINE void rows_difference(const ebm_csr_t *A, ebm_value_type_t type, int64_t begin, int64_t end, int power,
                                const double *col, const double *x, double *y)
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

static int csr_difference(const void *ctx, int64_t begin, int64_t end, int power, const double *col, const double *x,
                          double *y)
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
    kernel->n_states = pair->forward->n_states;
    kernel->ctx = pair;
    kernel->apply = csr_apply;
    kernel->apply_t = pair->transpose ? csr_apply_t : NULL;
    kernel->difference = csr_difference;
    kernel->step = NULL;
}

/* --- inspection and transposition ----------------------------------------------------------------------------------- */

int ebm_csr_inspect(const ebm_csr_t *A, int64_t nnz, double *row_sum, ebm_csr_facts_t *facts)
{
    ebm_csr_facts_t f = {.is_sorted = 1, .has_zeros = 0, .rows_uniform = 1, .has_repeats = 0, .row = -1, .entry = -1};
    int status = EBM_OK;
    if (A->indptr[0] != 0 || A->indptr[A->n_states] != nnz) status = EBM_ERR_INDPTR, f.row = 0;
    for (int64_t i = 0; i < A->n_states && status == EBM_OK; i++) {
        const int64_t begin = A->indptr[i], end = A->indptr[i + 1];
        f.row = i;
        if (begin > end || end > nnz) { status = EBM_ERR_INDPTR; break; }
        double sum = 0.0, first = begin < end ? ebm_csr_value(A, begin) : 0.0;
        for (int64_t k = begin; k < end; k++) {
            const int32_t j = A->indices[k];
            const double a = ebm_csr_value(A, k);
            f.entry = k;
            if (j < 0 || j >= A->n_states) { status = EBM_ERR_INDEX; break; }
            if (!isfinite(a)) { status = EBM_ERR_NONFINITE; break; }
            if (a < 0.0) { status = EBM_ERR_NEGATIVE; break; }
            if (a == 0.0) f.has_zeros = 1;
            if (a != first) f.rows_uniform = 0;
            if (k > begin && j < A->indices[k - 1]) f.is_sorted = 0;
            if (k > begin && j == A->indices[k - 1]) f.has_repeats = 1;
            sum += a;
        }
        row_sum[i] = sum;
        if (status == EBM_OK && !isfinite(sum)) status = EBM_ERR_NONFINITE;
        if (status == EBM_OK && !(sum > 0.0)) { status = EBM_ERR_EMPTY_ROW; f.entry = -1; }
    }
    *facts = f;
    return status;
}

int ebm_csr_transpose(const ebm_csr_t *A, int64_t *t_indptr, int32_t *t_indices, void *t_values)
{
    const int64_t n = A->n_states, nnz = A->indptr[n];
    /* t_indptr[j + 1] first counts column j, then is the place of its next entry, last its end. */
    for (int64_t j = 0; j <= n; j++) t_indptr[j] = 0;
    for (int64_t k = 0; k < nnz; k++) t_indptr[A->indices[k] + 1]++;
    int64_t place = 0;
    for (int64_t j = 0; j < n; j++) {
        const int64_t count = t_indptr[j + 1];
        t_indptr[j + 1] = place;
        place += count;
    }
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = A->indptr[i]; k < A->indptr[i + 1]; k++) {
            const int64_t at = t_indptr[A->indices[k] + 1]++;
            t_indices[at] = (int32_t)i;
            if (A->value_type == EBM_VALUES_F64) ((double *)t_values)[at] = ((const double *)A->values)[k];
            if (A->value_type == EBM_VALUES_F32) ((float *)t_values)[at] = ((const float *)A->values)[k];
        }
    return EBM_OK;
}
