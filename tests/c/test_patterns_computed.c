/* Computed kernels and what enumerating their rows gives: lattices against a naive list of steps, a
   rule written in C, its faults, searches and walkers. */
#include "check.h"
#include "fastebm/patterns/lattice.h"
#include "fastebm/patterns/rows.h"
#include "fastebm/patterns/rule.h"
#include "fastebm/patterns/scaled.h"

static int ascending(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

/* --- lattices --------------------------------------------------------------------------------- */

/* The row of x, digit by digit, sorted. */
static int64_t naive_row(const ebm_lattice_t *L, int64_t x, int64_t *out)
{
    int64_t n = 0, stride = 1;
    for (int64_t a = 0; a < L->n_axes; a++) {
        const int64_t length = L->length[a], digit = x / stride % length, base = x - digit * stride;
        if (L->is_cyclic) {
            out[n++] = base + (digit + 1) % length * stride;
            out[n++] = base + (digit + length - 1) % length * stride;
        }
        for (int64_t d = 0; d < length && !L->is_cyclic; d++)
            if (d != digit) out[n++] = base + d * stride;
        stride *= length;
    }
    if (L->self_loop) out[n++] = x;
    qsort(out, (size_t)n, sizeof *out, ascending);
    return n;
}

/* Products, differences, rows and steps of rows begin..end-1, into memory of just that size. */
static void check_range(const ebm_lattice_t *L, const ebm_kernel_t *kernel, int64_t begin,
                        int64_t end, int64_t width, const double *x, const double *whole)
{
    const int64_t n = end - begin, degree = L->degree;
    double *y = take(n * width, sizeof *y), *col = take(L->n_states, sizeof *col);
    int64_t *indptr = take(n + 1, sizeof *indptr), *indices = take(n * degree, sizeof *indices),
            *row = take(degree, sizeof *row);
    for (int64_t i = 0; i < L->n_states; i++) col[i] = noise(-i);
    CHECK(kernel->apply(kernel->ctx, begin, end, width, x, y) == EBM_OK);
    /* bits do not depend on the range */
    CHECK(!memcmp(y, whole + begin * width, (size_t)(n * width) * sizeof *y));
    CHECK(kernel->rows(kernel->ctx, begin, end, indptr, indices, NULL) == EBM_OK);
    for (int64_t i = begin; i < end; i++) {
        CHECK(naive_row(L, i, row) == degree &&
              indptr[i + 1 - begin] - indptr[i - begin] == degree);
        for (int64_t k = 0; k < degree; k++) CHECK(row[k] == indices[indptr[i - begin] + k]);
        for (int64_t j = 0; j < width; j++) {
            double sum = 0.0;
            for (int64_t k = 0; k < degree; k++) sum += x[row[k] * width + j];
            CLOSE(y[(i - begin) * width + j], sum, 1e-13);
        }
    }
    for (int power = 1; power <= 2 && width == 1; power++)
        for (int with_col = 0; with_col < 2; with_col++) {
            CHECK(kernel->difference(kernel->ctx, begin, end, power, with_col ? col : NULL, x, y) ==
                  EBM_OK);
            for (int64_t i = begin; i < end; i++) {
                double sum = 0.0;
                const int64_t n_row = naive_row(L, i, row);
                for (int64_t k = 0; k < n_row; k++)
                    sum += (with_col ? col[row[k]] : 1.0) * pow(x[i] - x[row[k]], power);
                CLOSE(y[i - begin], sum, 1e-13);
            }
        }
    free(y), free(col), free(indptr), free(indices), free(row);
}

/* Words at the middle of each of `degree` equal parts reach each entry of the row once. */
static void check_steps(const ebm_lattice_t *L, const ebm_kernel_t *kernel, int64_t x)
{
    int64_t *row = take(L->degree, sizeof *row), *states = take(L->degree, sizeof *states);
    uint64_t *bits = take(L->degree, sizeof *bits);
    for (int64_t k = 0; k < L->degree; k++) {
        bits[k] = (uint64_t)(((double)k + 0.5) / (double)L->degree * 0x1p64);
        states[k] = x;
    }
    CHECK(kernel->step(kernel->ctx, L->degree, bits, states) == EBM_OK);
    qsort(states, (size_t)L->degree, sizeof *states, ascending);
    naive_row(L, x, row);
    CHECK(!memcmp(row, states, (size_t)L->degree * sizeof *row));
    free(row), free(states), free(bits);
}

static void check_lattice(int64_t n_axes, const int64_t *lengths, int is_cyclic, int self_loop)
{
    ebm_lattice_t L;
    ebm_kernel_t kernel;
    CHECK(ebm_lattice_start(n_axes, lengths, is_cyclic, self_loop, &L) == EBM_OK);
    ebm_lattice_kernel(&L, &kernel);
    const int64_t n = L.n_states, widths[] = {1, 3, 8, 41};
    CHECK(kernel.n_states == n && kernel.apply == kernel.apply_t && kernel.max_degree == L.degree &&
          kernel.all_ones);
    for (int w = 0; w < 4; w++) {
        const int64_t width = widths[w];
        double *x = take(n * width, sizeof *x), *whole = take(n * width, sizeof *whole);
        for (int64_t i = 0; i < n * width; i++) x[i] = noise(i) - 0.5;
        CHECK(kernel.apply(&L, 0, n, width, x, whole) == EBM_OK);
        const int64_t cuts[] = {0, n / 5, n / 3, n / 2 + 1 < n ? n / 2 + 1 : n, n};
        for (int c = 0; c < 4; c++)
            if (cuts[c] < cuts[c + 1])
                check_range(&L, &kernel, cuts[c], cuts[c + 1], width, x, whole);
        check_range(&L, &kernel, n - 1, n, width, x, whole);
        free(x), free(whole);
    }
    for (int64_t x = 0; x < n; x += 1 + n / 7) check_steps(&L, &kernel, x);
}

static void test_lattices(void)
{
    const int64_t twos[8] = {2, 2, 2, 2, 2, 2, 2, 2}, threes[5] = {3, 3, 3, 3, 3},
                  fives[3] = {5, 5, 5}, large[2] = {40, 40};
    const int64_t torus[3] = {7, 4, 5}, flat[5] = {1, 2, 6, 1, 2}, wide[2] = {103, 3}, one[1] = {1};
    for (int loop = 0; loop < 2; loop++) {
        for (int64_t m = 1; m <= 8; m++) check_lattice(m, twos, 0, loop);
        check_lattice(5, threes, 0, loop);
        check_lattice(3, fives, 0, loop);
        check_lattice(2, large, 0, loop);
        check_lattice(3, torus, 1, loop);
        check_lattice(5, flat, 1, loop);
        check_lattice(2, wide, 1, loop);
        check_lattice(1, one, 1, loop);
    }
    const int64_t mixed[2] = {3, 4}, zero[1] = {0}, huge[2] = {INT64_C(1) << 40, INT64_C(1) << 40};
    ebm_lattice_t L;
    CHECK(ebm_lattice_start(2, mixed, 0, 0, &L) == EBM_ERR_ARGUMENT);
    CHECK(ebm_lattice_start(1, one, 0, 0, &L) == EBM_ERR_ARGUMENT);
    CHECK(ebm_lattice_start(1, zero, 1, 0, &L) == EBM_ERR_ARGUMENT);
    CHECK(ebm_lattice_start(2, huge, 1, 0, &L) == EBM_ERR_ARGUMENT);
    CHECK(ebm_lattice_start(0, twos, 0, 0, &L) == EBM_ERR_ARGUMENT);
    CHECK(ebm_lattice_start(EBM_LATTICE_MAX_AXES + 1, twos, 0, 0, &L) == EBM_ERR_ARGUMENT);
}

/* --- a rule ----------------------------------------------------------------------------------- */

#define N 1000

typedef struct rule_data {
    /* row bad_state has this degree, and target in place 0 */
    int64_t max_degree, bad_state, degree, target;
    double weight;
} rule_data_t;

/* x -> x + 1 with weight 2, x -> x - 1 with weight 1, on a line, the larger state first; an edge of
   weight zero. */
static void line(int64_t begin, int64_t end, const void *data, int64_t *degree, int64_t *states,
                 double *weights)
{
    const rule_data_t *d = data;
    for (int64_t x = begin; x < end;
         x++, degree++, states += d->max_degree, weights += d->max_degree) {
        int64_t n = 0;
        if (x < N - 1) states[n] = x + 1, weights[n++] = 2.0;
        states[n] = (x + 500) % N, weights[n++] = 0.0;
        if (x > 0) states[n] = x - 1, weights[n++] = 1.0;
        *degree = n;
        if (x != d->bad_state) continue;
        *degree = d->degree;
        states[0] = d->target;
        weights[0] = d->weight;
    }
}

static ebm_rule_t rule_of(const rule_data_t *data)
{
    const ebm_rule_t rule = {N, data->max_degree, line, NULL, data};
    return rule;
}

static void test_rule(void)
{
    const rule_data_t data = {5, -1, 0, 0, 0.0};
    const ebm_rule_t rule = rule_of(&data);
    ebm_kernel_t kernel;
    ebm_rule_facts_t facts;
    CHECK(ebm_rule_kernel(&rule, &kernel) == EBM_OK && !kernel.apply_t && !kernel.step);
    double *sums = take(N, sizeof *sums), *x = take(3 * N, sizeof *x), *y = take(3 * N, sizeof *y);
    CHECK(ebm_rule_inspect(&rule, 2, 0, 0, N, sums, &facts) == EBM_OK);
    CHECK(facts.nnz == 2 * N - 2 && facts.least == 1.0 && facts.largest == 2.0 &&
          facts.state == -1);
    CHECK(sums[0] == 2.0 && sums[1] == 3.0 && sums[N - 1] == 1.0);
    for (int64_t i = 0; i < 3 * N; i++) x[i] = noise(i);
    CHECK(kernel.apply(&rule, 3, N, 3, x, y) == EBM_OK);
    for (int64_t i = 3; i < N; i++)
        for (int64_t j = 0; j < 3; j++)
            CLOSE(y[(i - 3) * 3 + j],
                  x[(i - 1) * 3 + j] + (i < N - 1 ? 2.0 * x[(i + 1) * 3 + j] : 0.0), 1e-14);
    CHECK(kernel.difference(&rule, 1, N - 1, 2, x, x, y) == EBM_OK);
    for (int64_t i = 1; i < N - 1; i++)
        CLOSE(y[i - 1],
              x[i - 1] * pow(x[i] - x[i - 1], 2) + 2.0 * x[i + 1] * pow(x[i] - x[i + 1], 2), 1e-14);
    int64_t indptr[4], indices[15];
    double values[15];
    CHECK(kernel.rows(&rule, 0, 3, indptr, indices, values) == EBM_OK);
    CHECK(indptr[1] == 1 && indptr[2] == 3 && indptr[3] == 5);
    CHECK(indices[0] == 1 && indices[1] == 0 && indices[2] == 2 && indices[3] == 1 &&
          indices[4] == 3);
    CHECK(values[0] == 2.0 && values[1] == 1.0 && values[2] == 2.0);
    const ebm_rule_t long_rows = {N, EBM_RULE_MAX_DEGREE + 1, line, NULL, &data};
    CHECK(ebm_rule_kernel(&long_rows, &kernel) == EBM_ERR_UNSUPPORTED);
    free(sums), free(x), free(y);
}

static void check_fault(rule_data_t data, int expected, int64_t entry)
{
    const ebm_rule_t rule = rule_of(&data);
    ebm_kernel_t kernel;
    ebm_rule_facts_t facts;
    double *x = take(N, sizeof *x), *y = take(N, sizeof *y);
    int64_t indptr[N + 1];
    for (int64_t i = 0; i < N; i++) x[i] = 1.0;
    CHECK(ebm_rule_kernel(&rule, &kernel) == EBM_OK);
    for (int threads = 1; threads <= 4; threads++) {
        CHECK(ebm_rule_inspect(&rule, threads, 0, 0, N, y, &facts) == expected);
        CHECK(facts.state == data.bad_state && facts.entry == entry && facts.degree == data.degree);
    }
    if (expected != EBM_ERR_EMPTY_ROW) {
        CHECK(kernel.apply(&rule, 0, N, 1, x, y) == expected);
        CHECK(kernel.difference(&rule, 0, N, 1, NULL, x, y) == expected);
        CHECK(kernel.rows(&rule, 0, N, indptr, NULL, NULL) == expected);
    } else {
        CHECK(ebm_rule_inspect(&rule, 1, 1, 0, N, y, &facts) == EBM_OK && y[data.bad_state] == 0.0);
    }
    free(x), free(y);
}

static void test_rule_faults(void)
{
    for (int64_t bad = 0; bad < N; bad += 333) {
        check_fault((rule_data_t){4, bad, -1, 0, 1.0}, EBM_ERR_RULE_REFUSED, -1);
        check_fault((rule_data_t){4, bad, -2, 0, 1.0}, EBM_ERR_RULE_RAISED, -1);
        check_fault((rule_data_t){4, bad, 5, 0, 1.0}, EBM_ERR_RULE_DEGREE, -1);
        check_fault((rule_data_t){4, bad, INT64_MIN, 0, 1.0}, EBM_ERR_RULE_DEGREE, -1);
        check_fault((rule_data_t){4, bad, 1, N, 1.0}, EBM_ERR_INDEX, 0);
        check_fault((rule_data_t){4, bad, 1, -1, 1.0}, EBM_ERR_INDEX, 0);
        check_fault((rule_data_t){4, bad, 1, 0, NAN}, EBM_ERR_NONFINITE, 0);
        check_fault((rule_data_t){4, bad, 1, 0, -1.0}, EBM_ERR_NEGATIVE, 0);
        check_fault((rule_data_t){4, bad, 0, 0, 1.0}, EBM_ERR_EMPTY_ROW, -1);
        check_fault((rule_data_t){4, bad, 1, 0, 0.0}, EBM_ERR_EMPTY_ROW, -1);
    }
}

/* --- what rows give --------------------------------------------------------------------------- */

static void test_searches(void)
{
    const rule_data_t data = {5, -1, 0, 0, 0.0};
    const ebm_rule_t rule = rule_of(&data);
    ebm_kernel_t kernel;
    CHECK(ebm_rule_kernel(&rule, &kernel) == EBM_OK);
    /* however often the search is continued */
    for (int64_t n_rows = 1; n_rows <= 2 * N; n_rows = n_rows * 7 + 3) {
        int64_t *queue = take(N, sizeof *queue), row[10], level[N], period[N], size[N],
                n_classes = 0;
        int32_t labels[N];
        uint8_t reached[N] = {0}, avoid[N] = {0};
        double w[N], row_values[10], mismatch = 0.0;
        int done = 0;
        ebm_rows_search_t search = {.kernel = &kernel, .queue = queue, .row = row};
        reached[10] = 1, avoid[5] = 1, avoid[700] = 1;
        while (!done) CHECK(ebm_rows_reach(&search, n_rows, avoid, reached, &done) == EBM_OK);
        for (int64_t i = 0; i < N; i++) CHECK(reached[i] == (i > 5 && i < 700));

        done = 0;
        search = (ebm_rows_search_t){.kernel = &kernel, .queue = queue, .row = row};
        for (int64_t i = 0; i < N; i++) labels[i] = -1;
        while (!done)
            CHECK(ebm_rows_classes(&search, n_rows, level, labels, &n_classes, period, size,
                                   &done) == EBM_OK);
        CHECK(n_classes == 1 && period[0] == 2 && size[0] == N && labels[N - 1] == 0);

        done = 0;
        search = (ebm_rows_search_t){.kernel = &kernel, .queue = queue, .row = row};
        for (int64_t i = 0; i < N; i++) w[i] = NAN;
        while (!done)
            CHECK(ebm_rows_potential(&search, n_rows, row_values, w, &mismatch, &done) == EBM_OK);
        CHECK(mismatch <= 1e-12);
        for (int64_t i = 0; i < N; i++) CLOSE(w[i], (double)i * log(2.0), 1e-13);
        free(queue);
    }
}

static void test_stored_copy(void)
{
    const rule_data_t data = {5, -1, 0, 0, 0.0};
    const ebm_rule_t rule = rule_of(&data);
    ebm_kernel_t kernel;
    CHECK(ebm_rule_kernel(&rule, &kernel) == EBM_OK);
    const int64_t states[3] = {N - 1, 0, 4};
    int64_t indptr[4] = {0}, *work = take(2 * 5, sizeof *work);
    int32_t indices[4];
    double values[4];
    CHECK(ebm_rows_count(&kernel, states, 2, 0, 3, indptr + 1) == EBM_OK);
    CHECK(indptr[1] == 1 && indptr[2] == 1 && indptr[3] == 2);
    indptr[2] += indptr[1], indptr[3] += indptr[2];
    CHECK(ebm_rows_fill(&kernel, states, 2, 0, 3, indptr, work, indices, values) == EBM_OK);
    CHECK(indices[0] == N - 2 && indices[1] == 1 && indices[2] == 3 && indices[3] == 5);
    CHECK(values[0] == 1.0 && values[1] == 2.0 && values[2] == 1.0 && values[3] == 2.0);
    indptr[1] = 0;
    CHECK(ebm_rows_fill(&kernel, states, 1, 0, 1, indptr, work, indices, values) == EBM_ERR_INDPTR);
    free(work);
}

/* From the first word to the last, and about the border between two transitions. */
static void test_walkers(void)
{
    const int64_t lengths[2] = {3, 5};
    ebm_lattice_t L;
    ebm_kernel_t kernel, walker;
    CHECK(ebm_lattice_start(2, lengths, 1, 0, &L) == EBM_OK);
    ebm_lattice_kernel(&L, &kernel);
    double row[15], col[15], shift[15];
    for (int i = 0; i < 15; i++) row[i] = 0.25, col[i] = 0.0, shift[i] = 0.0;
    col[1] = 3.0, col[2] = 1.0; /* from 0: 1, 2, 3, 12, so only the first two, 3 : 1 */
    const ebm_scaled_t tilted = {&kernel, row, col, NULL}, tilted_lazy = {&kernel, row, col, shift},
                       lazy = {&kernel, row, NULL, shift};
    ebm_rows_walker(&tilted, &walker);
    const uint64_t border = UINT64_C(3) << 62,
                   bits[5] = {0, border - 2048, border, UINT64_MAX, UINT64_MAX - 4096};
    int64_t states[5] = {0, 0, 0, 0, 0};
    CHECK(walker.step(walker.ctx, 5, bits, states) == EBM_OK);
    CHECK(states[0] == 1 && states[1] == 1 && states[2] == 2 && states[3] == 2 && states[4] == 2);
    states[0] = 7; /* no neighbour of it can be reached */
    CHECK(walker.step(walker.ctx, 1, bits, states) == EBM_ERR_EMPTY_ROW);
    shift[0] = 1.0; /* against 3/4 + 1/4: it holds half of the time, the rest as before */
    ebm_rows_walker(&tilted_lazy, &walker);
    const uint64_t halves[3] = {(UINT64_C(1) << 63) - 2048, UINT64_C(1) << 63, UINT64_MAX};
    states[0] = states[1] = states[2] = 0;
    CHECK(walker.step(walker.ctx, 3, halves, states) == EBM_OK && states[0] == 0 &&
          states[1] == 1 && states[2] == 2);
    shift[0] = 0.5;
    ebm_rows_walker(&lazy, &walker);
    states[0] = states[1] = states[2] = 0;
    CHECK(walker.step(walker.ctx, 3, halves, states) == EBM_OK);
    /* the first and the last of the steps */
    CHECK(states[0] == 0 && states[1] == 2 && states[2] == 3);
    const int64_t complete[1] = {EBM_ROWS_WALK_DEGREE + 2};
    CHECK(ebm_lattice_start(1, complete, 0, 0, &L) == EBM_OK);
    ebm_lattice_kernel(&L, &kernel);
    ebm_rows_walker(&tilted, &walker);
    CHECK(!walker.step);
}

int main(void)
{
    test_lattices();
    test_rule();
    test_rule_faults();
    test_searches();
    test_stored_copy();
    test_walkers();
    return 0;
}
