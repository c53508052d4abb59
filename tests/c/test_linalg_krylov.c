/* The Lanczos recurrence, bases and composed operators, on operators with known eigenvalues. */
#include <float.h>

#include "check.h"
#include "fastebm/linalg/basis.h"
#include "fastebm/linalg/composed.h"
#include "fastebm/linalg/lanczos.h"

/* --- Lanczos ---------------------------------------------------------------------------------- */

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

int main(void)
{
    test_lanczos_two_states();
    test_lanczos_path();
    test_lanczos_second_pass();
    test_basis();
    test_compose();
    return 0;
}
