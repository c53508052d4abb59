/* Stored kernels: products, transposition and inspection, on matrices small enough to check by
   hand. */
#include "check.h"
#include "fastebm/patterns/scaled.h"

/* --- products --------------------------------------------------------------------------------- */

/* A band of `degree` entries a row with wrap-around, ascending, one row empty, one entry
   repeated. */
typedef struct band {
    int64_t *indptr;
    int32_t *indices;
    float *single;
    double *values;
} band_t;

static band_t band_new(int64_t n, int64_t degree)
{
    band_t b = {take(n + 1, sizeof(int64_t)), take(n * degree, sizeof(int32_t)),
                take(n * degree, sizeof(float)), take(n * degree, sizeof(double))};
    b.indptr[0] = 0;
    for (int64_t i = 0; i < n; i++) {
        const int64_t begin = b.indptr[i], end = i == n / 2 ? begin : begin + degree;
        for (int64_t k = begin; k < end; k++) {
            int32_t j = (int32_t)((i * 7 + (k - begin) * (n / degree)) % n);
            if (i == 1 && k == begin + 1) j = b.indices[begin];
            int64_t at = k;
            for (; at > begin && b.indices[at - 1] > j; at--) b.indices[at] = b.indices[at - 1];
            b.indices[at] = j;
            b.single[k] = (float)noise(k);
            b.values[k] = b.single[k];
        }
        b.indptr[i + 1] = end;
    }
    return b;
}

static void band_free(band_t b)
{
    free(b.indptr);
    free(b.indices);
    free(b.single);
    free(b.values);
}

static void check_products(const ebm_csr_t *A, int64_t width, int num_threads)
{
    const int64_t n = A->n_states, nnz = A->indptr[n];
    const size_t size = A->value_type == EBM_VALUES_F32 ? sizeof(float) : sizeof(double);
    int64_t *t_indptr = take(n + 1, sizeof(int64_t));
    int32_t *t_indices = take(nnz, sizeof(int32_t));
    void *t_values = A->value_type == EBM_VALUES_NONE ? NULL : take(nnz, size);
    transpose(A, t_indptr, t_indices, t_values);
    const ebm_csr_t T = csr(n, t_indptr, t_indices, t_values, A->value_type);
    CHECK(t_indptr[0] == 0 && t_indptr[n] == nnz);
    for (int64_t i = 0; i < n; i++)
        for (int64_t k = t_indptr[i] + 1; k < t_indptr[i + 1]; k++)
            CHECK(t_indices[k - 1] <= t_indices[k]);

    const ebm_csr_pair_t pair = {A, &T};
    ebm_kernel_t kernel;
    ebm_csr_kernel(&pair, &kernel);
    CHECK(kernel.n_states == n && kernel.apply && kernel.apply_t && kernel.difference &&
          !kernel.step);

    double *row = doubles(n, 0), *col = doubles(n, 0), *shift = doubles(n, 0),
           *x = doubles(n * width, 0);
    double *y = doubles(n * width, NAN), *want = doubles(n * width, 0),
           *scratch = doubles(n * width, NAN);
    for (int64_t i = 0; i < n; i++)
        row[i] = 1 + noise(3 * i), col[i] = 1 + noise(3 * i + 1), shift[i] = noise(3 * i + 2);
    for (int64_t i = 0; i < n * width; i++) x[i] = noise(-i) - 0.5;
    for (int scaled = 0; scaled < 2; scaled++)
        for (int transposed = 0; transposed < 2; transposed++) {
            const ebm_scaled_t M = {&kernel, scaled ? row : NULL, scaled ? col : NULL,
                                    scaled ? shift : NULL};
            for (int64_t i = 0; i < n * width; i++)
                want[i] = scaled ? shift[i / width] * x[i] : 0.0;
            for (int64_t i = 0; i < n; i++)
                for (int64_t k = A->indptr[i]; k < A->indptr[i + 1]; k++) {
                    const int64_t j = A->indices[k], to = transposed ? j : i,
                                  from = transposed ? i : j;
                    const double a = ebm_csr_value(A, k) * (scaled ? row[i] * col[j] : 1.0);
                    for (int64_t c = 0; c < width; c++)
                        want[to * width + c] += a * x[from * width + c];
                }
            CHECK(ebm_scaled_apply(&M, transposed, num_threads, width, x, scaled ? scratch : NULL,
                                   y) == EBM_OK);
            for (int64_t i = 0; i < n * width; i++) CLOSE(y[i], want[i], 1e-13);
        }

    const ebm_scaled_t M = {&kernel, row, col, shift};
    for (int power = 1; power <= 2; power++) {
        CHECK(ebm_scaled_difference(&M, num_threads, power, x, y) == EBM_OK);
        for (int64_t i = 0; i < n; i++) {
            double sum = 0;
            for (int64_t k = A->indptr[i]; k < A->indptr[i + 1]; k++) {
                const int64_t j = A->indices[k];
                sum += row[i] * ebm_csr_value(A, k) * col[j] * pow(x[i] - x[j], power);
            }
            CLOSE(y[i], sum, 1e-13);
        }
    }
    CHECK(ebm_scaled_difference(&M, 1, 3, x, y) == EBM_ERR_ARGUMENT);
    CHECK(ebm_scaled_apply(&M, 0, 1, width, x, NULL, y) == EBM_ERR_ARGUMENT);
    const ebm_csr_pair_t forward = {A, NULL};
    ebm_csr_kernel(&forward, &kernel);
    CHECK(!kernel.apply_t &&
          ebm_scaled_apply(&M, 1, 1, width, x, scratch, y) == EBM_ERR_UNSUPPORTED);

    free(t_indptr), free(t_indices), free(t_values), free(row), free(col), free(shift);
    free(x), free(y), free(want), free(scratch);
}

static void test_products(void)
{
    static const int64_t widths[] = {1, 2, 3, 4, 5, 8, 16};
    /* large enough for products to prefetch */
    for (int64_t degree = 3; degree <= 9; degree += 6) {
        const int64_t n = 100000;
        const band_t b = band_new(n, degree);
        const ebm_csr_t none = csr(n, b.indptr, b.indices, NULL, EBM_VALUES_NONE);
        const ebm_csr_t twofold = csr(n, b.indptr, b.indices, b.values, EBM_VALUES_F64);
        check_products(&none, 1, 2);
        check_products(&twofold, 1, 1);
        check_products(&twofold, 4, 2);
        band_free(b);
    }
    for (int64_t n = 12; n <= 12000; n *= 1000) {
        const band_t b = band_new(n, 3);
        for (int64_t w = 0; w < LENGTH(widths); w++) {
            const ebm_csr_t none = csr(n, b.indptr, b.indices, NULL, EBM_VALUES_NONE);
            const ebm_csr_t single = csr(n, b.indptr, b.indices, b.single, EBM_VALUES_F32);
            const ebm_csr_t twofold = csr(n, b.indptr, b.indices, b.values, EBM_VALUES_F64);
            check_products(&none, widths[w], 1);
            check_products(&single, widths[w], 2);
            check_products(&twofold, widths[w], 3);
        }
        band_free(b);
    }
}

static void test_transpose_twice(void)
{
    const int64_t indptr[] = {0, 2, 3, 3, 6};
    const int32_t indices[] = {1, 3, 0, 0, 1, 3};
    const double values[] = {1, 2, 3, 4, 5, 6};
    int64_t p[5], pp[5];
    int32_t i[6], ii[6];
    double v[6], vv[6];
    const ebm_csr_t A = csr(4, indptr, indices, values, EBM_VALUES_F64),
                    T = csr(4, p, i, v, EBM_VALUES_F64);
    transpose(&A, p, i, v);
    transpose(&T, pp, ii, vv);
    static const double want[] = {3, 4, 1, 5, 2, 6};
    CHECK(p[1] == 2 && p[2] == 4 && p[3] == 4 && !memcmp(v, want, sizeof want));
    CHECK(!memcmp(pp, indptr, sizeof pp) && !memcmp(ii, indices, sizeof ii) &&
          !memcmp(vv, values, sizeof vv));
}

/* --- inspection ------------------------------------------------------------------------------- */

static void test_inspection(void)
{
    const struct {
        int64_t indptr[4], nnz;
        int32_t indices[5];
        double values[5];
        int status;
        int64_t row, entry;
    } faults[] = {
        {{0, 1, 2, 3}, 3, {1, 2, 0}, {1, 1, 1}, EBM_OK, -1, -1},
        {{1, 1, 2, 3}, 3, {1, 2, 0}, {1, 1, 1}, EBM_ERR_INDPTR, 0, -1},
        {{0, 1, 2, 4}, 3, {1, 2, 0}, {1, 1, 1}, EBM_ERR_INDPTR, 0, -1},
        {{0, 2, 1, 3}, 3, {1, 2, 0}, {1, 1, 1}, EBM_ERR_INDPTR, 1, -1},
        {{0, 9, 2, 3}, 3, {1, 2, 0}, {1, 1, 1}, EBM_ERR_INDPTR, 0, -1},
        {{0, 1, 2, 3}, 3, {1, 3, 0}, {1, 1, 1}, EBM_ERR_INDEX, 1, 1},
        {{0, 1, 2, 3}, 3, {1, -1, 0}, {1, 1, 1}, EBM_ERR_INDEX, 1, 1},
        {{0, 1, 2, 3}, 3, {1, 2, 0}, {1, 1, NAN}, EBM_ERR_NONFINITE, 2, 2},
        {{0, 1, 2, 3}, 3, {1, 2, 0}, {INFINITY, 1, 1}, EBM_ERR_NONFINITE, 0, 0},
        {{0, 1, 2, 3}, 3, {1, 2, 0}, {1, -1e-300, 1}, EBM_ERR_NEGATIVE, 1, 1},
        {{0, 1, 1, 2}, 2, {1, 2}, {1, 1}, EBM_ERR_EMPTY_ROW, 1, -1},
        {{0, 1, 3, 4}, 4, {1, 0, 2, 0}, {1, 0, 0, 1}, EBM_ERR_EMPTY_ROW, 1, -1},
        {{0, 2, 3, 4}, 4, {0, 1, 2, 0}, {1e308, 1e308, 1, 1}, EBM_ERR_NONFINITE, 0, -1},
    };
    for (int64_t f = 0; f < LENGTH(faults); f++) {
        double sum[3];
        ebm_csr_facts_t facts = EBM_CSR_FACTS_NONE;
        const ebm_csr_t A =
            csr(3, faults[f].indptr, faults[f].indices, faults[f].values, EBM_VALUES_F64);
        CHECK(ebm_csr_inspect(&A, faults[f].nnz, 0, 3, 2, sum, &facts) == faults[f].status);
        CHECK(facts.row == faults[f].row && facts.entry == faults[f].entry);
    }
    double sum[2];
    ebm_csr_facts_t facts = EBM_CSR_FACTS_NONE;
    const int64_t indptr[] = {0, 3, 5};
    const ebm_csr_t mixed = csr(2, indptr, (const int32_t[]){0, 0, 1, 1, 0},
                                (const double[]){1, 2, 0, 3, 3}, EBM_VALUES_F64);
    for (int64_t i = 0; i < 2; i++)
        CHECK(ebm_csr_inspect(&mixed, 5, i, i + 1, 1, sum, &facts) == EBM_OK);
    CHECK(!facts.is_sorted && facts.has_zeros && !facts.rows_uniform && sum[0] == 3 && sum[1] == 6);
    facts = EBM_CSR_FACTS_NONE;
    const ebm_csr_t plain = csr(2, indptr, (const int32_t[]){0, 1, 1, 0, 1},
                                (const double[]){2, 2, 2, 7, 7}, EBM_VALUES_F64);
    CHECK(ebm_csr_inspect(&plain, 5, 0, 2, 1, sum, &facts) == EBM_OK);
    CHECK(facts.is_sorted && !facts.has_zeros && facts.rows_uniform);

    /* many rows and threads: of two faults the one in the lower row is reported */
    const int64_t n = 20000;
    int64_t *ring = take(n + 1, sizeof *ring);
    int32_t *next = take(n, sizeof *next);
    double *sums = doubles(n, 0);
    for (int64_t i = 0; i <= n; i++) ring[i] = i;
    for (int64_t i = 0; i < n; i++) next[i] = (int32_t)((i + 1) % n);
    next[19000] = -1, next[777] = (int32_t)n;
    const ebm_csr_t damaged = csr(n, ring, next, NULL, EBM_VALUES_NONE);
    facts = EBM_CSR_FACTS_NONE;
    CHECK(ebm_csr_inspect(&damaged, n, 0, n, 4, sums, &facts) == EBM_ERR_INDEX &&
          facts.row == 777 && facts.entry == 777);
    free(ring), free(next), free(sums);
}

int main(void)
{
    test_products();
    test_transpose_twice();
    test_inspection();
    return 0;
}
