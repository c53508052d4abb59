/* Products, transposition, tilts, fluxes, the recurrence and the distances, without Python, on
   chains small enough to check by hand. Build and run under sanitizers: gcc -std=c11 -g -O1
   -fsanitize=address,undefined -fno-sanitize-recover=all -fopenmp -Icsrc \
       csrc/fastebm/ */
*.c tests / c / test_core.c - lm &&./ a.out * /
#include <float.h>

#include "check.h"

#define LENGTH(array) (int64_t)(sizeof(array) / sizeof(array)[0])

                                  /* A number in (0, 1) that depends on i alone. */
                                  static double noise(int64_t i)
{
    const uint64_t key[2] = {1, 2}, counter[4] = {(uint64_t)i, 0, 0, 0};
    uint64_t out[4];
    ebm_philox_block(key, counter, out);
    return ((double)(out[0] >> 11) + 0.5) * 0x1p-53;
}

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
    /* so many states that products ask ahead for numbers far away */
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

    /* many rows and threads: of two faults the one in the lower row is told */
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

/* --- tilts and fluxes ------------------------------------------------------------------------- */

static void test_tilt(void)
{
    const int64_t indptr[] = {0, 3, 4};
    const int32_t indices[] = {0, 0, 1, 0};
    const double quarter[] = {0.25, 0.25, 0.5, 1}, reward[] = {-1000, 1000, 999, 5};
    const ebm_csr_t A = csr(2, indptr, indices, quarter, EBM_VALUES_F64);
    double values[4], norm[2];
    int64_t row;
    CHECK(ebm_tilt_values(&A, NULL, NULL, reward, 1, 0, 2, 2, values, norm, &row) == EBM_OK &&
          row == 2);
    const double z = 0.25 + 0.5 * exp(-1);
    CLOSE(values[0], 0, 0), CLOSE(values[1], 0.25 / z, 1e-13),
        CLOSE(values[2], 0.5 * exp(-1) / z, 1e-13), CLOSE(values[3], 1, 0);
    CLOSE(norm[0], 1000 + log(z), 1e-15), CLOSE(norm[1], 5, 0);
    /* every reward far below: nothing underflows */
    CHECK(ebm_tilt_values(&A, (const double[]){-1000, -1e5}, (const double[]){-1000, -1000}, NULL,
                          1, 0, 2, 1, values, norm, &row) == EBM_OK);
    for (int k = 0; k < 4; k++) CLOSE(values[k], quarter[k], 1e-12);
    CLOSE(norm[0], -2000, 1e-15), CLOSE(norm[1], -101000, 1e-15);
    /* without normalisation the logs of the scalings may cancel */
    CHECK(ebm_tilt_values(&A, (const double[]){1000, 0}, (const double[]){-1000, -1000}, NULL, 0, 0,
                          2, 1, values, NULL, &row) == EBM_OK);
    CLOSE(values[2], 0.5, 1e-12), CLOSE(values[3], 0, 0);
    /* forbidden transitions, and a row of them */
    CHECK(ebm_tilt_values(&A, NULL, NULL, (const double[]){-INFINITY, 0, -INFINITY, 0}, 1, 0, 2, 1,
                          values, norm, &row) == EBM_OK);
    CHECK(values[0] == 0 && values[1] == 1 && values[2] == 0);
    CHECK(ebm_tilt_values(&A, NULL, (const double[]){-INFINITY, 0}, NULL, 1, 0, 2, 1, values, norm,
                          &row) == EBM_ERR_EMPTY_ROW &&
          row == 1);
}

/* The walk on the 3-cycle with 3/4 one way and 1/4 the other: fluxes 1/4 and 1/12, entropy
   production log(3) / 2. */
static void balance(const ebm_csr_t *A, const ebm_csr_t *T, const double *log_row,
                    const double *log_pi, ebm_flux_balance_t *out)
{
    ebm_flux_balance_t *partial = take(1, sizeof *partial);
    CHECK(ebm_flux_balance_blocks(A, T, log_row, NULL, log_pi, 0, 1, 1, partial) == EBM_OK);
    CHECK(ebm_flux_balance_total(1, partial, out) == EBM_OK);
    free(partial);
}

static void test_flux(void)
{
    const int64_t indptr[] = {0, 2, 4, 6};
    const int32_t indices[] = {1, 2, 0, 2, 0, 1};
    const double values[] = {0.75, 0.25, 0.25, 0.75, 0.75, 0.25},
                 back[] = {0.25, 0.75, 0.75, 0.25, 0.25, 0.75};
    const double log_pi[] = {-log(3), -log(3), -log(3)}, zero[3] = {0};
    const ebm_csr_t A = csr(3, indptr, indices, values, EBM_VALUES_F64),
                    T = csr(3, indptr, indices, back, EBM_VALUES_F64);
    ebm_flux_balance_t b;
    balance(&A, &T, zero, log_pi, &b);
    CLOSE(b.max_violation, 1.0 / 6, 1e-14), CLOSE(b.violation, 0.5, 1e-14),
        CLOSE(b.entropy_production, 0.5 * log(3), 1e-14);
    CHECK(b.one_way == 0 && b.n_one_way == 0 && b.n_worst == 3);
    for (int e = 0; e < 3; e++) {
        const int onward = (b.worst[e].source + 1) % 3 == b.worst[e].target;
        CLOSE(b.worst[e].forward, onward ? 0.25 : 1.0 / 12, 1e-14),
            CLOSE(b.worst[e].backward, onward ? 1.0 / 12 : 0.25, 1e-14);
    }
    /* the additive reversibilisation is the simple walk, and symmetric to the bit */
    int64_t union_indptr[4], degree[3];
    int32_t union_indices[6];
    double union_values[6];
    CHECK(ebm_flux_additive_count(&A, &T, 0, 3, 2, degree) == EBM_OK);
    union_indptr[0] = 0;
    for (int i = 0; i < 3; i++)
        CHECK(degree[i] == 2), union_indptr[i + 1] = union_indptr[i] + degree[i];
    for (int i = 0; i < 3; i++)
        CHECK(ebm_flux_additive_fill(&A, &T, NULL, zero, log_pi, i, i + 1, 2, union_indptr,
                                     union_indices, union_values) == EBM_OK);
    for (int k = 0; k < 6; k++) CLOSE(union_values[k], 0.5, 1e-15);
    CHECK(union_values[0] == union_values[2] && !memcmp(union_indices, indices, sizeof indices));

    const int64_t ring_indptr[] = {0, 1, 2, 3};
    const ebm_csr_t ring = csr(3, ring_indptr, (const int32_t[]){1, 2, 0}, NULL, EBM_VALUES_NONE);
    const ebm_csr_t gnir = csr(3, ring_indptr, (const int32_t[]){2, 0, 1}, NULL, EBM_VALUES_NONE);
    balance(&ring, &gnir, NULL, log_pi, &b);
    CLOSE(b.one_way, 1, 1e-15), CLOSE(b.violation, 1, 1e-15),
        CHECK(b.n_one_way == 3 && b.entropy_production == 0);
    /* states of pi = 0 carry nothing */
    balance(&ring, &gnir, NULL, (const double[]){0, -INFINITY, -INFINITY}, &b);
    CLOSE(b.violation, 1, 1e-15), CHECK(b.n_one_way == 1);
}

/* --- the recurrence --------------------------------------------------------------------------- */

/* Number of eigenvalues below x of a tridiagonal matrix, by Sturm's sequence. */
static int below(int64_t m, const double *alpha, const double *beta, double x)
{
    int count = 0;
    double pivot = 1;
    for (int64_t i = 0; i < m; i++) {
        pivot = alpha[i] - x - (i ? beta[i - 1] * beta[i - 1] / pivot : 0);
        if (pivot == 0) pivot = -DBL_EPSILON;
        count += pivot < 0;
    }
    return count;
}

static void test_lanczos_two_states(void)
{
    /* leave with 0.3 and 0.1: pi = (1/4, 3/4), the other eigenvalue 0.6 */
    const int64_t indptr[] = {0, 2, 4};
    const int32_t indices[] = {0, 1, 0, 1};
    const double values[] = {0.7, 0.3, 0.1, 0.9}, pi[] = {0.25, 0.75};
    const ebm_csr_t A = csr(2, indptr, indices, values, EBM_VALUES_F64);
    const ebm_csr_pair_t pair = {&A, NULL};
    ebm_kernel_t kernel;
    ebm_csr_kernel(&pair, &kernel);
    double w[] = {2, 0}, w_prev[2], alpha[5], beta[5];
    int64_t n_done;
    ebm_lanczos_t L = {.kernel = &kernel, .ratio = pi, .top_scale = 1, .w = w, .w_prev = w_prev};
    CHECK(ebm_lanczos_start(&L, 1) == EBM_OK);
    CLOSE(w[0], 1.5, 1e-15), CLOSE(w[1], -0.5, 1e-15), CLOSE(L.norm, sqrt(0.75), 1e-15),
        CLOSE(L.mean, 0, 1e-15);
    CHECK(ebm_lanczos_expand(&L, 5, NULL, 1, NULL, alpha, beta, &n_done) == EBM_OK);
    /* the complement of sqrt(pi) has one dimension */
    CHECK(n_done == 1 && beta[0] <= 16 * DBL_EPSILON);
    CLOSE(alpha[0], 0.6, 1e-15);
    L.norm = 0;
    CHECK(ebm_lanczos_expand(&L, 1, NULL, 1, NULL, alpha, beta, &n_done) == EBM_ERR_ARGUMENT);
    L.w[0] = NAN;
    CHECK(ebm_lanczos_start(&L, 1) == EBM_ERR_BREAKDOWN);
}

typedef struct path {
    int64_t n;
    int64_t *indptr;
    int32_t *indices;
    double *row, *scale, *root; /* 1 / degree, its root, and sqrt(pi) */
    ebm_csr_t A;
    ebm_csr_pair_t pair;
    ebm_kernel_t kernel;
} path_t;

/* The walk on a path reflected at both ends: eigenvalues cos(pi k / (n - 1)); pi is the degree. */
static path_t *path_new(int64_t n)
{
    path_t *p = take(1, sizeof *p);
    p->n = n;
    p->indptr = take(n + 1, sizeof(int64_t)), p->indices = take(2 * n - 2, sizeof(int32_t));
    p->row = doubles(n, 0.5), p->scale = doubles(n, sqrt(0.5)),
    p->root = doubles(n, sqrt(1.0 / (double)(n - 1)));
    p->row[0] = p->row[n - 1] = p->scale[0] = p->scale[n - 1] = 1;
    p->root[0] = p->root[n - 1] = sqrt(0.5 / (double)(n - 1));
    int64_t k = 0;
    for (int64_t i = 0; i < n; i++) {
        p->indptr[i] = k;
        if (i > 0) p->indices[k++] = (int32_t)(i - 1);
        if (i < n - 1) p->indices[k++] = (int32_t)(i + 1);
    }
    p->indptr[n] = k;
    p->A = csr(n, p->indptr, p->indices, NULL, EBM_VALUES_NONE);
    p->pair.forward = p->pair.transpose = &p->A;
    ebm_csr_kernel(&p->pair, &p->kernel);
    return p;
}

/* pi row is one number, whose root is the scale of the constant function. */
static ebm_lanczos_t path_lanczos(const path_t *p, double *w, double *w_prev)
{
    return (ebm_lanczos_t){.kernel = &p->kernel,
                           .square = p->row,
                           .top_scale = sqrt(1.0 / (double)(2 * p->n - 2)),
                           .w = w,
                           .w_prev = w_prev};
}

static void path_free(path_t *p)
{
    free(p->indptr), free(p->indices), free(p->row), free(p->scale), free(p->root), free(p);
}

static void test_lanczos_path(void)
{
    const int64_t n = 12, steps = n - 1;
    double *w = doubles(n, 0), *w_prev = doubles(n, 0), alpha[320], beta[320];
    /* with half of holding: eigenvalues (1 + cos) / 2, a shift and a longer recurrence past the
       invariant subspace */
    for (int lazy = 0; lazy < 2; lazy++) {
        path_t *p = path_new(n);
        double *half = doubles(n, 0.5);
        for (int64_t i = 0; i < n; i++) w[i] = noise(i) - 0.5, p->row[i] *= lazy ? 0.5 : 1;
        ebm_lanczos_t L = path_lanczos(p, w, w_prev);
        if (lazy) L.shift = half, L.top_scale *= sqrt(0.5);
        int64_t n_done, more;
        CHECK(ebm_lanczos_start(&L, 1) == EBM_OK);
        /* in two calls */
        CHECK(ebm_lanczos_expand(&L, 4, NULL, 1, NULL, alpha, beta, &n_done) == EBM_OK &&
              n_done == 4);
        CHECK(ebm_lanczos_expand(&L, steps - 4, NULL, 1, NULL, alpha + 4, beta + 4, &n_done) ==
                  EBM_OK &&
              n_done == steps - 4);
        CHECK(beta[steps - 1] < 1e-9);
        for (int64_t k = 1; k < n; k++) { /* all eigenvalues but the deflated 1, each once */
            double x = cos(acos(-1) * (double)k / (double)(n - 1));
            x = lazy ? 0.5 + 0.5 * x : x;
            CHECK(below(steps, alpha, beta, x + 1e-10) == n - k &&
                  below(steps, alpha, beta, x - 1e-10) == n - k - 1);
        }
        /* what rounding left is no false eigenvalue, and brings back no deflated one */
        if (beta[steps - 1] > 16 * DBL_EPSILON) {
            CHECK(ebm_lanczos_expand(&L, 300, NULL, 1, NULL, alpha + steps, beta + steps, &more) ==
                  EBM_OK);
            const double top = lazy ? 0.5 + 0.5 * cos(acos(-1) / (double)(n - 1))
                                    : cos(acos(-1) / (double)(n - 1));
            CHECK(below(steps + more, alpha, beta, top + 1e-10) == steps + more);
            CHECK(below(steps + more, alpha, beta, (lazy ? 0.0 : -1.0) - 1e-10) == 0);
        }
        path_free(p);
        free(half);
    }
    free(w), free(w_prev);
}

/* The second pass sums the vectors of the first, bit for bit: with weights of the first step alone
   it is the start itself. */
static void test_lanczos_second_pass(void)
{
    const int64_t n = 9000;
    path_t *p = path_new(n);
    double *start = doubles(n, 0), *w_prev = doubles(n, 0), *ritz = doubles(n, 0),
           *w = doubles(n, 0);
    double first[6], norms[6], again[6], norms_again[6];
    const double combine[6] = {1, 0, 0, 0, 0, 0};
    int64_t n_done;
    for (int64_t i = 0; i < n; i++) w[i] = noise(i) - 0.5;
    ebm_lanczos_t L = path_lanczos(p, w, w_prev);
    CHECK(ebm_lanczos_start(&L, 1) == EBM_OK &&
          ebm_lanczos_expand(&L, 6, NULL, 1, NULL, first, norms, &n_done) == EBM_OK);
    for (int64_t i = 0; i < n; i++) w[i] = noise(i) - 0.5;
    L = path_lanczos(p, w, w_prev);
    CHECK(ebm_lanczos_start(&L, 4) == EBM_OK);
    const double norm = L.norm;
    memcpy(start, w, (size_t)n * sizeof *w);
    CHECK(ebm_lanczos_expand(&L, 6, combine, 4, ritz, again, norms_again, &n_done) == EBM_OK &&
          n_done == 6);
    CHECK(!memcmp(first, again, sizeof first) && !memcmp(norms, norms_again, sizeof norms));
    for (int64_t i = 0; i < n; i++) CLOSE(ritz[i], start[i] / norm, 1e-15);
    path_free(p);
    free(start), free(w_prev), free(ritz), free(w);
}

/* --- distances -------------------------------------------------------------------------------- */

/* The sums of a block as it is, without a step. */
static void measure(const ebm_evolution_t *E, int64_t width, int num_threads, double *h,
                    double *total)
{
    static double partial[EBM_MAX_BLOCKS * EBM_EVOLUTION_KINDS * EBM_EVOLUTION_WIDTH];
    const int64_t n_blocks = ebm_n_blocks(E->kernel->n_states);
    CHECK(ebm_evolution_step(E, width, 0, n_blocks, 1, num_threads, NULL, NULL, h, partial) ==
          EBM_OK);
    CHECK(ebm_evolution_total(n_blocks, width, partial, total) == EBM_OK);
}

/* The divergence term alone: one state of weight one. */
static double divergence(double u)
{
    const double one = 1;
    const ebm_kernel_t kernel = {.n_states = 1};
    const ebm_evolution_t E = {.kernel = &kernel, .root = &one};
    double total[EBM_EVOLUTION_KINDS];
    measure(&E, 1, 1, &u, total);
    CLOSE(total[EBM_EVOLUTION_TV], 0.5 * fabs(u), 1e-16),
        CLOSE(total[EBM_EVOLUTION_CHI2], u * u, 1e-16);
    CHECK(total[EBM_EVOLUTION_MEAN] == u && total[EBM_EVOLUTION_SEPARATION] == -u);
    return total[EBM_EVOLUTION_KL];
}

static void test_distances(void)
{
    for (int e = -1; e > -150; e--)
        for (int sign = -1; sign <= 1; sign += 2) {
            const double u = sign * pow(10, e);
            const double series =
                u * u * (0.5 - u * (1.0 / 6 - u * (1.0 / 12 - u * (1.0 / 20 - u / 30))));
            if (e <= -4) CHECK(fabs(divergence(u) / series - 1) < 1e-15);
        }
    /* through both forms, their borders sqrt(1/2) - 1 and sqrt(2) - 1 too */
    for (double u = -0.999; u < 40; u += 0.00390625) {
        const long double v = u, exact = (1 + v) * log1pl(v) - v;
        if (fabs(u) > 1e-3) CHECK(fabs((double)(divergence(u) / exact - 1)) < 4e-15);
    }
    CHECK(divergence(0) == 0 && divergence(-1) == 1 && divergence(-1 - 1e-15) == 1);
    CLOSE(divergence(nextafter(-1, 0)), 1, 1e-14),
        CLOSE(divergence(-0.5), 0.5 * log(0.5) + 0.5, 1e-15);
    CLOSE(divergence(1), 2 * log(2) - 1, 1e-15),
        CLOSE(divergence(1e150) / 1e150, log(1e150) - 1, 1e-14);

    /* several columns, in several blocks, are the columns one by one; the number of threads changes
       no bit */
    enum { N = 10000, W = EBM_EVOLUTION_WIDTH, K = EBM_EVOLUTION_KINDS };
    double *root = doubles(N, 0), *unit = doubles(N, 0), *h = doubles(N * W, 0),
           *column = doubles(N, 0);
    double all[K * W], two[K * W], alone[K];
    const ebm_kernel_t kernel = {.n_states = N};
    const ebm_evolution_t E = {.kernel = &kernel, .root = root, .unit = unit};
    /* some out of range */
    for (int64_t i = 0; i < N; i++)
        root[i] = i % 7 ? 0.01 * noise(i) : 1e-200, unit[i] = 1e-3 + noise(i + N);
    for (int64_t i = 0; i < N * W; i++) h[i] = noise(i) - 0.5;
    measure(&E, W, 1, h, all), measure(&E, W, 2, h, two);
    CHECK(!memcmp(all, two, sizeof all));
    for (int64_t j = 0; j < W; j++) {
        for (int64_t i = 0; i < N; i++) column[i] = h[i * W + j];
        measure(&E, 1, 1, column, alone);
        for (int kind = 0; kind < K; kind++)
            CHECK(alone[kind] == all[kind * W + j] && isfinite(alone[kind]));
    }
    for (int64_t width = 0; width <= W + 1; width += W + 1)
        CHECK(ebm_evolution_step(&E, width, 0, 1, 1, 1, NULL, NULL, h, all) == EBM_ERR_ARGUMENT);
    CHECK(ebm_evolution_step(&E, 1, 0, EBM_MAX_BLOCKS + 1, 1, 1, NULL, NULL, h, all) ==
          EBM_ERR_ARGUMENT);
    free(root), free(unit), free(h), free(column);
}

/* --- bases and composed operators ------------------------------------------------------------- */

static void test_basis(void)
{
    /* two blocks of states, the last tile ragged */
    const int64_t n = 8203, m = 6, w = 5, k = 4, blocks = 2;
    double *V = doubles(m * n, 0), *W = doubles(w * n, 0), *partial = doubles(blocks * m * w, 0),
           H[30], again[30], C[30], Q[24];
    for (int64_t i = 0; i < m * n; i++) V[i] = noise(i) - 0.5;
    for (int64_t i = 0; i < w * n; i++) W[i] = noise(m * n + i) - 0.5;
    for (int64_t i = 0; i < m * w; i++) C[i] = noise(-1 - i);
    for (int64_t i = 0; i < m * k; i++) Q[i] = noise(-100 - i);
    CHECK(ebm_basis_project(n, m, w, V, W, 1, partial, H) == EBM_OK);
    CHECK(ebm_basis_project(n, m, w, V, W, 2, partial, again) == EBM_OK &&
          !memcmp(H, again, sizeof H));
    double expected = 0, left = W[3 * n + 7];
    for (int64_t i = 0; i < n; i++) expected += V[2 * n + i] * W[3 * n + i];
    CLOSE(H[2 * w + 3], expected, 1e-12);
    CHECK(ebm_basis_remove(n, m, w, V, C, 2, W, partial, H) == EBM_OK);
    for (int64_t j = 0; j < m; j++) left -= C[j * w + 3] * V[j * n + 7];
    CLOSE(W[3 * n + 7], left, 1e-14);
    CHECK(ebm_basis_project(n, m, w, V, W, 1, partial, again) == EBM_OK &&
          !memcmp(H, again, sizeof H));
    double turned = 0;
    for (int64_t j = 0; j < m; j++) turned += Q[j * k + 1] * V[j * n + 8000];
    CHECK(ebm_basis_rotate(n, 0, 5000, m, k, Q, 2, V) == EBM_OK &&
          ebm_basis_rotate(n, 5000, n, m, k, Q, 2, V) == EBM_OK);
    CLOSE(V[n + 8000], turned, 1e-14);
    CHECK(ebm_basis_rotate(n, 0, n + 1, m, k, Q, 1, V) == EBM_ERR_ARGUMENT &&
          ebm_basis_rotate(n, 0, n, m, m + 1, Q, 1, V) == EBM_ERR_ARGUMENT);
    V[m * n - 1] = NAN;
    CHECK(ebm_basis_project(n, m, w, V, W, 1, partial, H) == EBM_ERR_BREAKDOWN);
    free(V), free(W), free(partial);
}

static void test_compose(void)
{
    /* S = diag(row) A diag(col) + diag(shift) with A = ((0, 2), (3, 4)): ((0.5, 2), (9, 6.5)) */
    const int64_t indptr[] = {0, 1, 3}, t_indptr[] = {0, 1, 3};
    const int32_t indices[] = {1, 0, 1}, t_indices[] = {1, 0, 1};
    const double values[] = {2, 3, 4}, t_values[] = {3, 2, 4}, row[] = {1, 3}, col[] = {1, 1},
                 shift[] = {0.5, -5.5};
    const ebm_csr_t A = csr(2, indptr, indices, values, EBM_VALUES_F64),
                    T = csr(2, t_indptr, t_indices, t_values, EBM_VALUES_F64);
    const ebm_csr_pair_t both = {&A, &T}, one = {&A, NULL};
    ebm_kernel_t kernel, forward;
    ebm_csr_kernel(&both, &kernel), ebm_csr_kernel(&one, &forward);
    const ebm_scaled_t S = {&kernel, row, col, shift}, F = {&forward, row, col, shift};
    /* two unit vectors: y holds the columns */
    double x[] = {1, 0, 0, 1}, *scratch = doubles(8, 0), y[4];
    const double s[2][2] = {{0.5, 2}, {9, 6.5}};
    for (ebm_composed_kind_t kind = EBM_COMPOSED_RIGHT; kind <= EBM_COMPOSED_ADDITIVE; kind++) {
        CHECK(ebm_composed_apply(&S, kind, 2, 2, x, scratch, y) == EBM_OK);
        for (int i = 0; i < 2; i++)
            for (int j = 0; j < 2; j++) {
                const double fold = s[i][0] * s[j][0] + s[i][1] * s[j][1],
                             mean = (s[i][j] + s[j][i]) / 2;
                CLOSE(y[j * 2 + i],
                      kind == EBM_COMPOSED_RIGHT            ? s[i][j]
                      : kind == EBM_COMPOSED_LEFT           ? s[j][i]
                      : kind == EBM_COMPOSED_MULTIPLICATIVE ? fold
                                                            : mean,
                      1e-15);
            }
    }
    CHECK(ebm_composed_apply(&F, EBM_COMPOSED_RIGHT, 1, 1, x, scratch, y) == EBM_OK &&
          y[0] == 0.5 && y[1] == 9);
    CHECK(ebm_composed_apply(&F, EBM_COMPOSED_ADDITIVE, 1, 1, x, scratch, y) ==
          EBM_ERR_UNSUPPORTED);
    CHECK(ebm_composed_apply(&S, EBM_COMPOSED_RIGHT, 1, 0, x, scratch, y) == EBM_ERR_ARGUMENT);
    free(scratch);
}

/* --- vectors and statuses --------------------------------------------------------------------- */

static void test_vectors(void)
{
    const int64_t n = 20001;
    double *x = doubles(n, 0), *y = doubles(n, 2), one, four, l1;
    for (int64_t i = 0; i < n; i++) x[i] = noise(i);
    CHECK(ebm_vec_dot(n, 1, x, y, &one) == EBM_OK && ebm_vec_dot(n, 4, x, y, &four) == EBM_OK &&
          one == four);
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += 2 * x[i];
    CLOSE(one, sum, 1e-12);
    CHECK(ebm_vec_dot(n, 2, x, NULL, &one) == EBM_OK);
    CLOSE(one, sum / 2, 1e-12);
    CHECK(ebm_vec_l1(n, 2, y, NULL, &l1) == EBM_OK && l1 == 2.0 * (double)n);
    CHECK(ebm_vec_l1(n, 2, y, y, &l1) == EBM_OK && l1 == 0);
    double logs[] = {-1000, -1000 + log(3)}, u[2], weights[2], total;
    CHECK(ebm_vec_normalize_logs(2, 1, logs, u, weights, &total) == EBM_OK);
    CLOSE(weights[0], 0.25, 1e-12), CLOSE(weights[1], 0.75, 1e-12),
        CLOSE(total, -1000 + log(4), 1e-15), CLOSE(exp(u[0]), 0.25, 1e-12);
    logs[0] = logs[1] = -INFINITY;
    CHECK(ebm_vec_normalize_logs(2, 1, logs, u, weights, &total) == EBM_ERR_ARGUMENT);
    free(x), free(y);
}

static void test_statuses(void)
{
    for (int s = 0; s < EBM_N_STATUS; s++)
        CHECK(strlen(ebm_status_text(s)) > 0 &&
              (s == EBM_OK || strlen(ebm_status_exception(s)) > 0));
    CHECK(!strcmp(ebm_status_text(-1), "unknown status") &&
          !strcmp(ebm_status_exception(EBM_N_STATUS), "RuntimeError"));
}

int main(void)
{
    test_products();
    test_transpose_twice();
    test_inspection();
    test_tilt();
    test_flux();
    test_lanczos_two_states();
    test_lanczos_path();
    test_lanczos_second_pass();
    test_basis();
    test_compose();
    test_distances();
    test_vectors();
    test_statuses();
    return 0;
}
