/* Tilts, fluxes and distances, on chains small enough to check by hand. */
#include <float.h>

#include "check.h"
#include "fastebm/base/parallel.h"
#include "fastebm/chains/evolution.h"
#include "fastebm/chains/flux.h"
#include "fastebm/chains/tilt.h"

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
    /* logs of row sums, where the sums overflow */
    CHECK(ebm_tilt_log_sums(&A, (const double[]){3, -1e5}, NULL, reward, 0, 2, 2, norm) == EBM_OK);
    CLOSE(norm[0], 1003 + log(z), 1e-15), CLOSE(norm[1], 5 - 1e5, 1e-15);
    CHECK(ebm_tilt_log_sums(&A, NULL, (const double[]){-INFINITY, 0}, NULL, 0, 2, 1, norm) ==
              EBM_OK &&
          norm[1] == -INFINITY);
    CLOSE(norm[0], log(0.5), 1e-15);
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
    /* states of pi = 0 add nothing */
    balance(&ring, &gnir, NULL, (const double[]){0, -INFINITY, -INFINITY}, &b);
    CLOSE(b.violation, 1, 1e-15), CHECK(b.n_one_way == 1);
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
    /* through both forms, their borders sqrt(1/2) - 1 and sqrt(2) - 1 too; the reference cancels, so
       it needs a long double with more digits (valgrind and some platforms have none) */
    const volatile long double one = 1;
    const int has_more_digits = one + DBL_EPSILON / 16 > one;
    for (double u = -0.999; has_more_digits && u < 40; u += 0.00390625) {
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

int main(void)
{
    test_tilt();
    test_flux();
    test_distances();
    return 0;
}
