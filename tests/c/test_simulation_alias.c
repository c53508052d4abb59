/* Alias tables: every row's probabilities, in any order of weights, and errors. */
#include "random_chain.h"

/* Sum the cells of each row by target and compare with the weights: to rounding, and exactly zero
   where absent. */
static void check_table(const chain_t *c)
{
    const int64_t n = c->csr.n_states;
    double *drawn = take(n, sizeof(double)), *weight = take(n, sizeof(double));
    for (int64_t x = 0; x < n; x++) {
        double sum = 0.0;
        const int64_t degree = c->offsets[x + 1] - c->offsets[x];
        for (int64_t y = 0; y < n; y++) drawn[y] = weight[y] = 0.0;
        for (int64_t k = c->indptr[x]; k < c->indptr[x + 1]; k++) {
            const double w = c->row[x] * c->values[k] * c->col[c->indices[k]];
            weight[c->indices[k]] += w;
            sum += w;
        }
        if (c->shift) weight[x] += c->shift[x], sum += c->shift[x];
        for (int64_t k = c->offsets[x]; k < c->offsets[x + 1]; k++) {
            const ebm_alias_cell_t cell = c->cells[k];
            CHECK(cell.target >= 0 && cell.target < n && cell.alias >= 0 && cell.alias < n);
            const double keep = cell.alias == cell.target ? 1.0 : (double)cell.threshold * 0x1p-64;
            drawn[cell.target] += keep / (double)degree;
            drawn[cell.alias] += (1.0 - keep) / (double)degree;
        }
        for (int64_t y = 0; y < n; y++) {
            if (weight[y] == 0.0) CHECK(drawn[y] == 0.0);
            CHECK(fabs(drawn[y] - weight[y] / sum) < 1e-14);
        }
    }
    free(drawn), free(weight);
}

static void test_alias_exact(void)
{
    for (int repeat = 0; repeat < 40; repeat++) {
        chain_t c = random_chain(60, 1 + repeat, repeat % 4 * 60.0, repeat % 2);
        tabulate(&c, 1 + repeat % 3);
        check_table(&c);
        release(&c);
    }
}

/* Weights 1, 1e-130, 0 and 2^-60: relative accuracy far below the rounding of the largest, and
   never what is absent. */
static void test_alias_orders(void)
{
    int64_t indptr[] = {0, 4, 5, 6, 7}, offsets[5], degree;
    int32_t indices[] = {0, 1, 2, 3, 1, 2, 3};
    double values[] = {1.0, 1e-130, 0.0, 0x1p-60, 1e-300, 2.5, 1e300};
    ebm_csr_t csr = {4, indptr, indices, values, EBM_VALUES_F64};
    ebm_alias_cell_t cells[7];
    CHECK(ebm_alias_count(&csr, NULL, offsets, &degree) == EBM_OK && degree == 0);
    CHECK(ebm_alias_build(&csr, NULL, NULL, NULL, 1, 0, 4, offsets, cells) == EBM_OK);
    CHECK(cells[0].target == 0 && cells[0].alias == 0);
    for (int k = 1; k < 4; k++) CHECK(cells[k].target == k && cells[k].alias == 0);
    CHECK(cells[1].threshold == 0 && cells[2].threshold == 0 && cells[3].threshold == 64);
    for (int k = 4; k < 7; k++) CHECK(cells[k].target == k - 3 && cells[k].alias == k - 3);

    ebm_alias_t table = {.n_states = 4, .indptr = offsets, .cells = cells};
    ebm_kernel_t kernel;
    ebm_alias_kernel(&table, &kernel);
    CHECK(kernel.n_states == 4 && !kernel.apply && !kernel.apply_t && !kernel.difference);
    /* the ends of each cell: word 2^62 k is the first of cell k of four */
    const uint64_t cell = 1ULL << 62;
    const uint64_t bits[] = {0,        cell,          cell - 1,      2 * cell,
                             3 * cell, 3 * cell + 15, 3 * cell + 16, UINT64_MAX};
    const int64_t expected[] = {0, 0, 0, 0, 3, 3, 0, 0};
    int64_t states[8] = {0};
    CHECK(kernel.step(kernel.ctx, 8, bits, states) == EBM_OK);
    CHECK(memcmp(states, expected, sizeof states) == 0);
}

static void test_alias_errors(void)
{
    int64_t indptr[] = {0, 1, 2}, offsets[3], degree;
    int32_t indices[] = {1, 0};
    double values[] = {1.0, 0.0}, shift[] = {0.0, 0.0};
    ebm_csr_t csr = {2, indptr, indices, values, EBM_VALUES_F64};
    ebm_alias_cell_t cells[4];
    const double bad[] = {0.0, -1.0, NAN, INFINITY, 1e-320};
    const int expected[] = {EBM_ERR_EMPTY_ROW, EBM_ERR_NEGATIVE, EBM_ERR_NONFINITE,
                            EBM_ERR_NONFINITE, EBM_ERR_NONFINITE};
    for (int i = 0; i < 5; i++) {
        values[1] = bad[i];
        CHECK(ebm_alias_count(&csr, shift, offsets, &degree) == EBM_OK && degree == 1);
        CHECK(ebm_alias_build(&csr, NULL, NULL, shift, 2, 0, 2, offsets, cells) == expected[i]);
    }
    shift[1] = 0.25; /* a row may consist of staying alone */
    values[1] = 0.0;
    CHECK(ebm_alias_count(&csr, shift, offsets, &degree) == EBM_OK && offsets[2] == 3 &&
          degree == 0);
    CHECK(ebm_alias_build(&csr, NULL, NULL, shift, 1, 0, 2, offsets, cells) == EBM_OK);
    CHECK(cells[1].target == 0 && cells[1].threshold == 0 && cells[1].alias == 1 &&
          cells[2].alias == 1);
    shift[0] = -0.5;
    CHECK(ebm_alias_build(&csr, NULL, NULL, shift, 1, 0, 2, offsets, cells) == EBM_ERR_NEGATIVE);
    CHECK(ebm_alias_build(&csr, NULL, NULL, shift, 1, 1, 3, offsets, cells) == EBM_ERR_ARGUMENT);
}

int main(void)
{
    test_alias_exact();
    test_alias_orders();
    test_alias_errors();
    return 0;
}
