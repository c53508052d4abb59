/* Flows, their aggregation, the multigrid cycle and the LOBPCG step. */
#include <float.h>

#include "check.h"
#include "fastebm/linalg/cg.h"
#include "fastebm/linalg/dirichlet_flow.h"
#include "fastebm/linalg/lobpcg.h"
#include "fastebm/linalg/multigrid.h"

/* A weighted path with stays: flux 2^-(i % 5) between i and i + 1, and 1000 from i to itself. */
typedef struct chain {
    int64_t n;
    int64_t *indptr;
    int32_t *indices;
    double *values;
    ebm_csr_t A;
} chain_t;

static double flux(int64_t i) { return ldexp(1.0, -(int)(i % 5)); }

static chain_t chain_new(int64_t n)
{
    chain_t c = {n,
                 zeros(n + 1, sizeof(int64_t)),
                 zeros(3 * n - 2, sizeof(int32_t)),
                 zeros(3 * n - 2, sizeof(double)),
                 {0}};
    int64_t k = 0;
    for (int64_t i = 0; i < n; i++) {
        if (i > 0) c.indices[k] = (int32_t)(i - 1), c.values[k++] = flux(i - 1);
        c.indices[k] = (int32_t)i, c.values[k++] = 1000.0;
        if (i < n - 1) c.indices[k] = (int32_t)(i + 1), c.values[k++] = flux(i);
        c.indptr[i + 1] = k;
    }
    c.A = (ebm_csr_t){n, c.indptr, c.indices, c.values, EBM_VALUES_F64};
    return c;
}

static void chain_free(chain_t *c) { free(c->indptr), free(c->indices), free(c->values); }

static void test_diagonal_leaves_out_stays(void)
{
    chain_t c = chain_new(7);
    const double left[] = {1, 1, 1, 0, 1, 1, 1}, right[] = {1, 1, 1, 0, 1, 1, 1},
                 leak[] = {0, 0, 0.25, 0, 0, 0, 0};
    const ebm_flow_t whole = {&c.A, NULL, NULL}, cut = {&c.A, left, right};
    double diag[7];
    CHECK(ebm_flow_diagonal(&whole, NULL, 1, diag) == EBM_OK);
    for (int64_t i = 0; i < 7; i++)
        CHECK(diag[i] == (i > 0 ? flux(i - 1) : 0) + (i < 6 ? flux(i) : 0));
    CHECK(ebm_flow_diagonal(&cut, leak, 1, diag) == EBM_OK);
    CHECK(diag[2] == flux(1) + 0.25 && diag[3] == 0 && diag[4] == flux(4));
    chain_free(&c);
}

static void test_aggregates_partition_and_sum(void)
{
    const int64_t n = 1000;
    chain_t c = chain_new(n);
    const ebm_flow_t F = {&c.A, NULL, NULL};
    double *diag = zeros(n, sizeof *diag);
    int32_t *aggregate = zeros(n, sizeof *aggregate), *members = zeros(n, sizeof *members);
    int64_t n_coarse = 0;
    for (int64_t i = 0; i < n; i++) aggregate[i] = -1;
    CHECK(ebm_flow_diagonal(&F, NULL, 1, diag) == EBM_OK);
    CHECK(ebm_flow_pairs(&F, diag, 0, 400, &n_coarse, aggregate) == EBM_OK); /* in two calls */
    CHECK(ebm_flow_pairs(&F, diag, 400, n, &n_coarse, aggregate) == EBM_OK);
    CHECK(n_coarse <= n / 2);
    int64_t *start = zeros(n_coarse + 1, sizeof *start),
            *indptr = zeros(n_coarse + 1, sizeof *indptr);
    int64_t *again = zeros(n_coarse + 1, sizeof *again),
            *place = zeros(3 * n_coarse, sizeof *place);
    CHECK(ebm_flow_members(n, aggregate, n_coarse, start, members) == EBM_OK &&
          start[n_coarse] == n);
    for (int64_t e = 0; e < n_coarse; e++)
        CHECK(start[e] < start[e + 1] && aggregate[members[start[e]]] == e);
    CHECK(ebm_flow_coarse_count(&F, aggregate, n_coarse, start, members, 1, place, indptr) ==
          EBM_OK);
    CHECK(ebm_flow_coarse_count(&F, aggregate, n_coarse, start, members, 3, place, again) ==
          EBM_OK);
    for (int64_t e = 0; e <= n_coarse; e++) CHECK(indptr[e] == again[e]);
    int32_t *indices = zeros(indptr[n_coarse], sizeof *indices);
    double *values = zeros(indptr[n_coarse], sizeof *values), between = 0, kept = 0;
    CHECK(ebm_flow_coarse_fill(&F, aggregate, n_coarse, start, members, 3, place, indptr, indices,
                               values) == EBM_OK);
    for (int64_t i = 0; i < n - 1; i++)
        between += aggregate[i] == aggregate[i + 1] ? 0 : 2 * flux(i);
    for (int64_t e = 0; e < n_coarse; e++)
        for (int64_t k = indptr[e]; k < indptr[e + 1]; k++)
            CHECK(indices[k] != e && values[k] > 0), kept += values[k];
    CLOSE(kept, between, 1e-13);
    chain_free(&c);
    free(diag), free(aggregate), free(members), free(start), free(indptr), free(again), free(place),
        free(indices), free(values);
}

/* L x for the path, with a leak at both ends. */
static void laplace(int64_t n, const double *leak, const double *x, double *out)
{
    for (int64_t i = 0; i < n; i++) {
        out[i] = leak[i] * x[i];
        if (i > 0) out[i] += flux(i - 1) * (x[i] - x[i - 1]);
        if (i < n - 1) out[i] += flux(i) * (x[i] - x[i + 1]);
    }
}

static void test_elimination(void)
{
    const int64_t n = 9;
    chain_t c = chain_new(n);
    const ebm_flow_t F = {&c.A, NULL, NULL};
    double leak[9] = {1e-12, 0, 0, 0, 0, 0, 0, 0, 1e-12}, factor[81], r[9], x[9], back[9];
    double used[9];
    for (int64_t i = 0; i < n; i++) used[i] = leak[i], r[i] = 1.0 + (double)i;
    CHECK(ebm_flow_eliminate(&F, used, factor) == EBM_OK &&
          ebm_flow_solve(n, factor, r, x) == EBM_OK);
    laplace(n, leak, x, back);
    /* x is 1e13: differences hold 1e-3 */
    for (int64_t i = 0; i < n; i++) CHECK(x[i] > 0 && fabs(back[i] - r[i]) < 1e-2);
    /* what goes in leaks out: no digit is lost */
    CLOSE(leak[0] * x[0] + leak[8] * x[8], 45.0, 1e-14);
    double none[9] = {0};
    for (int64_t i = 0; i < n; i++) r[i] = (double)i - 4.0;
    CHECK(ebm_flow_eliminate(&F, none, factor) == EBM_OK &&
          ebm_flow_solve(n, factor, r, x) == EBM_OK && x[0] == 0);
    laplace(n, none, x, back);
    for (int64_t i = 0; i < n; i++) CLOSE(back[i], r[i], 1e-13);
    chain_free(&c);
}

/* Two levels by hand: cycles as a stationary iteration reduce the error of L x = r by a fixed
   factor. */
static void test_cycle_converges(void)
{
    const int64_t n = 96, half = 48;
    chain_t c = chain_new(n);
    const ebm_flow_t F = {&c.A, NULL, NULL};
    double diag[96], inverse[96], leak[96] = {0}, coarse_leak[48] = {0}, work[96], coarse_x[48],
                                  coarse_r[48], factor[48 * 48];
    int32_t aggregate[96], members[96], indices[2 * 47];
    int64_t start[49], indptr[49], place[48], n_coarse = 0;
    double values[2 * 47], coarse_diag[48], coarse_inverse[48];
    leak[5] = 0.5;
    for (int64_t i = 0; i < n; i++) aggregate[i] = -1;
    CHECK(ebm_flow_diagonal(&F, leak, 1, diag) == EBM_OK);
    for (int64_t i = 0; i < n; i++) inverse[i] = 1 / diag[i], aggregate[i] = (int32_t)(i / 2);
    n_coarse = half;
    CHECK(ebm_flow_members(n, aggregate, n_coarse, start, members) == EBM_OK);
    CHECK(ebm_flow_coarse_count(&F, aggregate, n_coarse, start, members, 1, place, indptr) ==
              EBM_OK &&
          indptr[half] == 2 * 47);
    CHECK(ebm_flow_coarse_fill(&F, aggregate, n_coarse, start, members, 1, place, indptr, indices,
                               values) == EBM_OK);
    const ebm_csr_t C = {half, indptr, indices, values, EBM_VALUES_F64};
    const ebm_flow_t coarse = {&C, NULL, NULL};
    coarse_leak[2] = 0.5;
    CHECK(ebm_flow_diagonal(&coarse, coarse_leak, 1, coarse_diag) == EBM_OK);
    for (int64_t e = 0; e < half; e++) coarse_inverse[e] = 1 / coarse_diag[e];
    CHECK(ebm_flow_eliminate(&coarse, coarse_leak, factor) == EBM_OK);
    ebm_multigrid_level_t levels[2] = {{.F = F,
                                        .diag = diag,
                                        .inverse = inverse,
                                        .n = n,
                                        .n_coarse = half,
                                        .aggregate = aggregate,
                                        .start = start,
                                        .members = members,
                                        .x = work,
                                        .scaled = work},
                                       {.F = coarse,
                                        .diag = coarse_diag,
                                        .inverse = coarse_inverse,
                                        .n = half,
                                        .factor = factor,
                                        .x = coarse_x,
                                        .r = coarse_r}};
    const ebm_multigrid_t mg = {2, levels};
    double x[96] = {0}, r[96], image[96], z[96], first = 0, size = 0;
    for (int round = 0; round < 200; round++) {
        laplace(n, leak, x, image);
        size = 0;
        for (int64_t i = 0; i < n; i++) r[i] = 1.0 - image[i], size += r[i] * r[i];
        if (round == 0) first = size;
        CHECK(ebm_multigrid_cycle(&mg, 2, r, z) == EBM_OK);
        for (int64_t i = 0; i < n; i++) x[i] += z[i];
    }
    CHECK(size < 1e-8 * first);
    const ebm_multigrid_t none = {0, levels};
    CHECK(ebm_multigrid_cycle(&none, 1, r, z) == EBM_ERR_ARGUMENT);
    chain_free(&c);
}

static void test_gram_and_step(void)
{
    const int64_t n = 5;
    chain_t c = chain_new(n);
    const ebm_flow_t F = {&c.A, NULL, NULL};
    const double pi[] = {0.1, 0.2, 0.3, 0.2, 0.2};
    double basis[20], energy[6], mass[6], mean[3], r[5], square;
    for (int64_t i = 0; i < n; i++)
        basis[4 * i] = 1e8 + (double)i, basis[4 * i + 1] = i == 2, basis[4 * i + 2] = 3.0,
                  basis[4 * i + 3] = 1.0;
    CHECK(ebm_lobpcg_gram(&F, pi, basis, 2, energy, mass, mean) == EBM_OK);
    CHECK(energy[0] == flux(0) + flux(1) + flux(2) + flux(3)); /* exact beside 1e16 */
    CHECK(energy[1] == flux(1) - flux(2) && energy[2] == 0 && energy[3] == flux(1) + flux(2) &&
          energy[5] == 0);
    CLOSE(mass[3], 0.3, 1e-15), CLOSE(mass[5], 9.0, 1e-15), CLOSE(mean[2], 3.0, 1e-15),
        CLOSE(mean[1], 0.3, 1e-15);
    CHECK(ebm_lobpcg_residual(&F, pi, basis, 0.0, 1, r, &square) == EBM_OK);
    CHECK(r[0] == -flux(0) && r[2] == flux(1) - flux(2));
    const double a[] = {2, 10, 1}, shift[] = {0.5, 0.25};
    CHECK(ebm_lobpcg_step(n, a, shift, 1, basis) == EBM_OK);
    CHECK(basis[2] == 2.75 && basis[4 * 2 + 2] == 12.75 && basis[0] == 2e8 + 2.5 &&
          basis[3] == 1.0);
    CHECK(ebm_lobpcg_put(n, 1, pi, 1, basis) == EBM_OK && basis[4 * 4 + 1] == 0.2);
    CHECK(ebm_lobpcg_put(n, 4, pi, 1, basis) == EBM_ERR_ARGUMENT);
    chain_free(&c);
}

int main(void)
{
    test_diagonal_leaves_out_stays();
    test_aggregates_partition_and_sum();
    test_elimination();
    test_cycle_converges();
    test_gram_and_step();
    return 0;
}
