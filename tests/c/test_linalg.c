/* Conjugate gradients, residuals in twice the working precision, elimination orders, elimination
   and sweeps. */
#include "check.h"
#include "fastebm/linalg/cg.h"
#include "fastebm/linalg/eliminate.h"
#include "fastebm/linalg/min_degree.h"
#include "fastebm/linalg/residual.h"
#include "fastebm/linalg/sweep.h"

/* A birth-death chain on 0 .. n - 1: up and down with given probabilities, else it stays. */
typedef struct chain {
    int64_t n, indptr[4000];
    int32_t indices[12000];
    double values[12000], up[4000], down[4000];
    ebm_csr_t A, T;
    int64_t t_indptr[4000];
    int32_t t_indices[12000];
    double t_values[12000];
} chain_t;

static chain_t *chain_new(int64_t n, double up, double down)
{
    chain_t *c = take(1, sizeof *c);
    int64_t nnz = 0;
    c->n = n;
    for (int64_t i = 0; i < n; i++) {
        c->indptr[i] = nnz;
        c->up[i] = i < n - 1 ? up : 0, c->down[i] = i ? down : 0;
        const double row[] = {c->down[i], 1 - c->up[i] - c->down[i], c->up[i]};
        for (int j = 0; j < 3; j++)
            if (row[j] > 0) c->indices[nnz] = (int32_t)(i + j - 1), c->values[nnz++] = row[j];
    }
    c->indptr[n] = nnz;
    c->A = (ebm_csr_t){n, c->indptr, c->indices, c->values, EBM_VALUES_F64};
    c->T = (ebm_csr_t){n, c->t_indptr, c->t_indices, c->t_values, EBM_VALUES_F64};
    for (int64_t i = 0; i <= n; i++) c->t_indptr[i] = 0;
    CHECK(ebm_csr_transpose_count(&c->A, 0, n, 1, c->t_indptr) == EBM_OK &&
          ebm_csr_transpose_place(n, c->t_indptr) == EBM_OK);
    CHECK(ebm_csr_transpose_fill(&c->A, 0, n, 1, c->t_indptr, c->t_indices, c->t_values) == EBM_OK);
    return c;
}

/* Mean times to state 0: E_{i -> i-1} = (1 + up E_{i+1 -> i}) / down. */
static void chain_means(const chain_t *c, double *h)
{
    double step = 0;
    for (int64_t i = c->n - 1; i > 0; i--) h[i] = step = (1 + c->up[i] * step) / c->down[i];
    h[0] = 0;
    for (int64_t i = 1; i < c->n; i++) h[i] += h[i - 1];
}

/* --- conjugate gradients ---------------------------------------------------------------------- */

static void test_conjugate_gradients(void)
{
    const int64_t n = 60;
    chain_t *c = chain_new(n, 0.25, 0.25);
    const ebm_csr_pair_t pair = {&c->A, NULL};
    ebm_kernel_t kernel;
    ebm_csr_kernel(&pair, &kernel);
    double *w = doubles(n, 2), *x = doubles(n, NAN), *r = doubles(n, 2), *z = doubles(n, NAN),
           *p = doubles(n, NAN);
    double *q = doubles(n, NAN), *diagonal = doubles(n, 0), *h = doubles(n, 0);
    w[0] = r[0] = 0; /* the target */
    for (int64_t i = 1; i < n; i++) diagonal[i] = 2 * (c->up[i] + c->down[i]);
    const ebm_scaled_t F = {&kernel, w, NULL, NULL};
    ebm_jacobi_t jacobi = {n, diagonal};
    ebm_precond_t precond;
    ebm_jacobi_precond(&jacobi, &precond);
    ebm_cg_t cg = {&F, &precond, w, x, r, z, p, q, 0, 0};
    int64_t n_done;
    CHECK(ebm_cg_start(&cg, 1) == EBM_OK);
    CLOSE(cg.worst, 1, 1e-15);
    CHECK(ebm_cg_expand(&cg, 3, 0, 0, 1, &n_done) == EBM_OK && n_done == 3);
    CHECK(ebm_cg_expand(&cg, 1000, 1e-10, 0, 1, &n_done) == EBM_OK && n_done > 10 && n_done < 200 &&
          cg.worst <= 1e-10);
    chain_means(c, h);
    for (int64_t i = 0; i < n; i++) CLOSE(x[i], h[i], 1e-8);
    CHECK(x[0] == 0);
    CHECK(ebm_cg_expand(&cg, 10, 1, 0, 1, &n_done) == EBM_OK && n_done == 0);
    CHECK(ebm_cg_expand(&cg, 10, 0, cg.energy, 1, &n_done) == EBM_OK && n_done == 0);
    r[1] = INFINITY;
    CHECK(ebm_cg_start(&cg, 1) == EBM_ERR_BREAKDOWN);
    kernel.difference = NULL;
    CHECK(ebm_cg_start(&cg, 1) == EBM_ERR_UNSUPPORTED);
    free(c), free(w), free(x), free(r), free(z), free(p), free(q), free(diagonal), free(h);
}

/* --- residuals -------------------------------------------------------------------------------- */

/* A relative 1e-20 of h, far below an ulp, shows in the residual as it should: b - M (h + e) = -M e
   where M h = b. */
static void test_residual(void)
{
    const int64_t n = 5;
    chain_t *c = chain_new(n, 0.25, 0.25);
    uint8_t inside[] = {0, 1, 1, 1, 1};
    double hi[5], lo[5] = {0}, r[5], one[] = {1, 1, 1, 1, 1}, half[] = {0.5, 0.5, 0.5, 0.5, 0.5},
                  two[] = {2, 2, 2, 2, 2};
    chain_means(c, hi); /* small integers times 4: exact */
    CHECK(ebm_residual(&c->A, NULL, NULL, inside, hi, lo, one, 1, r) == EBM_OK);
    for (int64_t i = 0; i < n; i++) CHECK(r[i] == 0);
    lo[2] = 0x1p-60;
    CHECK(ebm_residual(&c->A, half, two, inside, hi, lo, one, 2, r) == EBM_OK);
    CHECK(r[0] == 0 && r[1] == 0.25 * lo[2] && r[2] == -0.5 * lo[2] && r[3] == 0.25 * lo[2] &&
          r[4] == 0);
    double step[] = {0, 1e-20, 0x1p-55, 1, -hi[4]};
    const double before = hi[3];
    CHECK(ebm_residual_add(n, 1, step, hi, lo) == EBM_OK);
    CHECK(lo[1] == 1e-20 && lo[2] == 0x1p-60 + 0x1p-55 && hi[3] == before + 1 && hi[4] == 0 &&
          lo[4] == 0);
    CHECK(ebm_residual_exit_rate(&c->A, half, NULL, 1, r) == EBM_OK);
    CHECK(r[0] == 0.125 && r[1] == 0.25 && r[4] == 0.125);
    free(c);
}

/* --- orders and elimination ------------------------------------------------------------------- */

typedef struct work {
    int64_t n, *indptr, *ints, *nodes, *state;
    int32_t *indices, *order, *lists, *rows;
    double *out, *in, *leak, *factor, *stack, *exit_rate, *leaving;
    ebm_fill_t fill;
    ebm_eliminate_t E;
} work_t;

/* The rates of a graph, ordered, with all that the elimination needs. */
static work_t *work_new(int64_t n, int64_t *indptr, int32_t *indices, double *out, double *in,
                        double *leak, int64_t pivots)
{
    work_t *w = take(1, sizeof *w);
    const int64_t size = indptr[n] + n + 1;
    *w = (work_t){.n = n, .indptr = indptr, .indices = indices, .out = out, .in = in, .leak = leak};
    w->lists = take(size, sizeof *w->lists), w->order = take(n, sizeof *w->order);
    w->ints = take(EBM_MINDEG_ARRAYS * (n + 1), sizeof *w->ints),
    w->nodes = take(3 * (n + 1), sizeof *w->nodes);
    ebm_mindeg_t Q;
    CHECK(ebm_mindeg_start(&Q, n, indptr, indices, size - 1, w->lists, w->ints) ==
          EBM_ERR_ARGUMENT);
    CHECK(ebm_mindeg_start(&Q, n, indptr, indices, size, w->lists, w->ints) == EBM_OK);
    CHECK(n < 3 || ebm_mindeg_order(&Q, w->order) == EBM_ERR_ARGUMENT);
    while (Q.n_done < n) CHECK(ebm_mindeg_expand(&Q, pivots) == EBM_OK);
    CHECK(ebm_mindeg_order(&Q, w->order) == EBM_OK);
    int64_t *first = w->nodes, *height = first + n + 1, *parent = height + n + 1;
    CHECK(ebm_mindeg_supernodes(n, indptr, indices, INT64_MAX, w->ints, w->order, first, height,
                                parent, &w->fill) == EBM_OK);
    char *seen = zeros(n, 1);
    for (int64_t k = 0; k < n; k++) CHECK(!seen[w->order[k]]++);
    free(seen);
    const int64_t m = w->fill.n_supernodes;
    w->state = take(2 * n + 3 * m + 2, sizeof *w->state),
    w->rows = take(w->fill.n_rows, sizeof *w->rows);
    w->factor = doubles(w->fill.n_factor, NAN), w->stack = doubles(w->fill.n_stack, NAN);
    w->exit_rate = doubles(n, NAN), w->leaving = doubles(n, NAN);
    for (int64_t k = 0; k < n; k++) w->leaving[k] = leak[w->order[k]];
    w->E = (ebm_eliminate_t){.n = n,
                             .n_supernodes = m,
                             .indptr = indptr,
                             .indices = indices,
                             .out_rate = out,
                             .in_rate = in,
                             .order = w->order,
                             .first = first,
                             .height = height,
                             .parent = parent,
                             .place = w->state,
                             .local = w->state + n,
                             .waiting = w->state + 2 * n,
                             .row_begin = w->state + 2 * n + m,
                             .factor_begin = w->state + 2 * n + 2 * m + 1,
                             .rows = w->rows,
                             .factor = w->factor,
                             .exit_rate = w->exit_rate,
                             .leak = w->leaving,
                             .stack = w->stack};
    CHECK(ebm_eliminate_start(&w->E) == EBM_OK);
    return w;
}

static void work_free(work_t *w)
{
    free(w->lists), free(w->order), free(w->ints), free(w->nodes), free(w->state), free(w->rows),
        free(w->factor);
    free(w->stack), free(w->exit_rate), free(w->leaving), free(w);
}

/* Hitting times of a birth-death chain that drifts away from its target, up to 1e18: right to
   rounding. */
static void test_birth_death(void)
{
    const int64_t n = 60;
    chain_t *c = chain_new(n, 0.66, 0.33);
    int32_t number[60], indices[200];
    int64_t indptr[61];
    double out[200], in[200], leak[59], *h = doubles(n, 0), x[59], b[59], work[59];
    for (int32_t i = 0; i < n; i++) number[i] = i - 1; /* state 0 is the target, group 0 */
    CHECK(ebm_rates_count(&c->A, &c->T, number, indptr) == EBM_OK && indptr[n - 1] == 2 * (n - 2));
    CHECK(ebm_rates_fill(&c->A, &c->T, NULL, NULL, number, 1, 1, indptr, indices, out, in, leak) ==
          EBM_OK);
    CHECK(leak[0] == 0.33 && leak[1] == 0);
    work_t *w = work_new(n - 1, indptr, indices, out, in, leak, 1);
    CHECK(w->fill.n_entries == n - 2); /* a path fills nothing */
    CHECK(ebm_eliminate_expand(&w->E, 1e9, 1) == EBM_OK && w->E.supernode == w->E.n_supernodes &&
          !w->E.underflow);
    for (int64_t i = 0; i < n - 1; i++) b[i] = 1;
    CHECK(ebm_eliminate_solve(&w->E, 1, b, work, x) == EBM_OK);
    chain_means(c, h);
    CHECK(h[n - 1] > 1e17 && h[n - 1] < 1e20);
    for (int64_t i = 1; i < n; i++) CHECK(fabs(x[i - 1] / h[i] - 1) < 1e-13);
    work_free(w);
    for (int64_t i = 0; i < n - 1; i++) leak[i] = 0; /* no state can exit */
    w = work_new(n - 1, indptr, indices, out, in, leak, 7);
    CHECK(ebm_eliminate_expand(&w->E, 1e9, 1) == EBM_ERR_BREAKDOWN);
    work_free(w);
    free(c), free(h);
}

/* The law of a birth-death chain, from 1 down to 2^-4400, by a left solve: right to rounding; its
   residual is zero, and that of a law with one wrong entry is the change of the flow there. */
static void test_left_solve_beyond_doubles(void)
{
    enum { N = 401 };
    const double up = 0x1p-12, down = 0.5;
    chain_t *c = chain_new(N, up, down);
    int32_t number[N], indices[3 * N], exponent[N] = {0}, b_exponent[N] = {0};
    int64_t indptr[N];
    double out[3 * N], in[3 * N], leak[N], b[N] = {up}, hi[N] = {1}, lo[N] = {0}, r[N], flow[N];
    ebm_wide_t work[N];
    for (int32_t i = 0; i < N; i++) number[i] = i - 1;
    CHECK(ebm_rates_count(&c->A, &c->T, number, indptr) == EBM_OK &&
          ebm_rates_fill(&c->A, &c->T, NULL, NULL, number, 1, 1, indptr, indices, out, in, leak) ==
              EBM_OK);
    work_t *w = work_new(N - 1, indptr, indices, out, in, leak, 9);
    CHECK(ebm_eliminate_expand(&w->E, 1e9, 1) == EBM_OK);
    CHECK(ebm_eliminate_solve_left(&w->E, b, b_exponent, work, hi + 1, exponent + 1) == EBM_OK);
    for (int i = 0; i < N; i++) CLOSE(ldexp(hi[i], 512 * exponent[i] + 11 * i), 1, 1e-15);
    CHECK(exponent[N - 1] < -7);
    CHECK(ebm_residual_balance(&c->A, &c->T, NULL, NULL, hi, lo, exponent, 1, r, flow) == EBM_OK);
    for (int i = 0; i < N; i++) CHECK(fabs(r[i]) <= 1e-14 * flow[i]);
    const double was = hi[200];
    lo[200] = 0x1p-60 * was; /* invisible in plain doubles */
    CHECK(ebm_residual_balance(&c->A, &c->T, NULL, NULL, hi, lo, exponent, 4, out, flow) == EBM_OK);
    CLOSE(out[200] - r[200], -0x1p-60 * was * (up + down), 1e-12);
    hi[200] = 2 * was, lo[200] = 0;
    CHECK(ebm_residual_balance(&c->A, &c->T, NULL, NULL, hi, lo, exponent, 4, r, flow) == EBM_OK);
    CLOSE(r[200], -was * (up + down), 1e-12);
    CLOSE(ldexp(r[199], 512 * (exponent[199] - exponent[200])), was * down, 1e-12);
    /* a flow in beyond the unit of a state: exact while a double holds it, then no number */
    hi[200] = was, exponent[200] = exponent[201] + 2;
    CHECK(ebm_residual_balance(&c->A, &c->T, NULL, NULL, hi, lo, exponent, 4, r, flow) == EBM_OK);
    CLOSE(r[201], ldexp(was * up, 1000) * 0x1p24, 1e-12);
    exponent[200] += 2;
    CHECK(ebm_residual_balance(&c->A, &c->T, NULL, NULL, hi, lo, exponent, 4, r, flow) == EBM_OK);
    CHECK(!(fabs(r[201]) < INFINITY));
    work_free(w);
    /* factors and right-hand sides near the ends of the range of a double */
    const ebm_wide_t tiny = ebm_wide_of(0x1p-1070, 0), huge = ebm_wide_over(tiny, 0x1p-1070);
    CHECK(tiny.value == 0x1p-46 && tiny.exponent == -2 && huge.value == 1 && huge.exponent == 0);
    const ebm_wide_t small = ebm_wide_times(tiny, 0x1p-1000), sum = ebm_wide_sum(small, tiny);
    CHECK(ldexp(small.value, 512 * (small.exponent + 4)) == 0x1p-22);
    CHECK(sum.value == tiny.value && sum.exponent == tiny.exponent);
    free(c);
}

/* A side x side grid with wrap-around and a leak at state 0, rates that differ by direction: M x =
   b is solved, in pieces and by any number of threads with the same bits. At side 90 the last
   fronts are shared among threads. */
static void test_grid(int64_t side)
{
    const int64_t n = side * side;
    int64_t *indptr = take(n + 1, sizeof *indptr), nnz = 0;
    int32_t *indices = take(4 * n, sizeof *indices);
    double *out = doubles(4 * n, 0), *in = doubles(4 * n, 0), *leak = doubles(n, 0),
           *b = doubles(2 * n, 1), *x = doubles(2 * n, 0);
    double *work = doubles(2 * n, NAN), *again = doubles(2 * n, 0);
    const double rate[] = {0.4, 0.1, 0.3, 0.2};
    leak[0] = 0.01;
    for (int64_t i = 0; i < n; i++) {
        const int64_t r = i / side, s = i % side;
        const int64_t to[] = {(r + 1) % side * side + s, (r + side - 1) % side * side + s,
                              r * side + (s + 1) % side, r * side + (s + side - 1) % side};
        indptr[i] = nnz;
        for (int j = 0; j < 4; j++)
            indices[nnz] = (int32_t)to[j], out[nnz] = rate[j], in[nnz++] = rate[j ^ 1];
        b[2 * i + 1] = i == n / 2;
    }
    indptr[n] = nnz;
    work_t *w = work_new(n, indptr, indices, out, in, leak, 10);
    CHECK(ebm_eliminate_expand(&w->E, 1e12, 1) == EBM_OK && w->E.supernode == w->E.n_supernodes);
    CHECK(ebm_eliminate_solve(&w->E, 2, b, work, x) == EBM_OK);
    for (int64_t i = 0; i < n; i++)
        for (int v = 0; v < 2; v++) {
            double r = leak[i] * x[2 * i + v];
            for (int64_t e = indptr[i]; e < indptr[i + 1]; e++)
                r += out[e] * (x[2 * i + v] - x[2 * indices[e] + v]);
            CHECK(fabs(r - b[2 * i + v]) < 1e-14 * x[2 * i] * 10);
        }
    int32_t *exponent = take(n, sizeof *exponent);
    ebm_wide_t *wide = take(n, sizeof *wide);
    memset(exponent, 0, (size_t)n * sizeof *exponent);
    double *left = doubles(n, 0), *ones = doubles(n, 1);
    CHECK(ebm_eliminate_solve_left(&w->E, ones, exponent, wide, left, exponent) == EBM_OK);
    for (int64_t i = 0; i < n; i++) {
        double r = leak[i] * left[i];
        for (int64_t e = indptr[i]; e < indptr[i + 1]; e++)
            r += out[e] * left[i] - in[e] * left[indices[e]];
        CHECK(exponent[i] == 0 && fabs(r - 1) < 1e-13 * left[0]);
    }
    free(exponent), free(wide), free(left), free(ones);
    /* the uniform law is stationary: the mean time at state 0 is the same as elsewhere */
    CLOSE(x[0], (double)n / 0.01, 1e-10);
    work_free(w);
    w = work_new(n, indptr, indices, out, in, leak, 10);
    while (w->E.supernode < w->E.n_supernodes) CHECK(ebm_eliminate_expand(&w->E, 1e5, 4) == EBM_OK);
    CHECK(ebm_eliminate_solve(&w->E, 2, b, work, again) == EBM_OK &&
          !memcmp(x, again, 2 * (size_t)n * sizeof *x));
    int64_t *nodes = take(3 * (n + 1), sizeof *nodes);
    ebm_fill_t fill;
    CHECK(ebm_mindeg_supernodes(n, indptr, indices, w->fill.n_entries - 1, w->ints, w->order, nodes,
                                nodes + n + 1, nodes + 2 * n + 2, &fill) == EBM_OK &&
          fill.n_entries >= w->fill.n_entries);
    work_free(w);
    free(nodes), free(indptr), free(indices), free(out), free(in), free(leak), free(b), free(x),
        free(work), free(again);
}

/* A star, whose leaves have equal lists, and isolated states. */
static void test_star(void)
{
    enum { LEAVES = 50, ALONE = 3, N = LEAVES + 1 + ALONE };
    int64_t indptr[N + 1];
    int32_t indices[2 * LEAVES];
    double out[2 * LEAVES], in[2 * LEAVES], leak[N], b[N], x[N], work[N];
    int64_t nnz = 0;
    for (int64_t i = 0; i < N; i++) {
        indptr[i] = nnz;
        leak[i] = i > LEAVES ? 0.5 : i == 0 ? 0.25 : 0, b[i] = 1;
        if (i == 0)
            for (int32_t j = 1; j <= LEAVES; j++)
                indices[nnz] = j, out[nnz] = 0.75 / LEAVES, in[nnz++] = 1;
        else if (i <= LEAVES) indices[nnz] = 0, out[nnz] = 1, in[nnz++] = 0.75 / LEAVES;
    }
    indptr[N] = nnz;
    work_t *w = work_new(N, indptr, indices, out, in, leak, 1000);
    CHECK(w->fill.n_entries == LEAVES);
    CHECK(ebm_eliminate_expand(&w->E, 1e9, 1) == EBM_OK &&
          ebm_eliminate_solve(&w->E, 1, b, work, x) == EBM_OK);
    CLOSE(x[0], 7, 1e-14); /* h = 1 + 3/4 (1 + h) */
    CLOSE(x[1], 8, 1e-14);
    CLOSE(x[N - 1], 2, 1e-14);
    work_free(w);
}

/* A sweep solves a chain without cycles, in any numbering and in pieces; a search is cut at every
   entry. */
static void test_sweep(void)
{
    enum { N = 60 };
    chain_t *c = chain_new(N, 0, 0.25); /* only down: 0 is the target */
    uint8_t inside[N];
    int32_t order[N - 1], parent[N];
    int64_t next[N];
    double x[N] = {0}, *b = doubles(N, 1), *leaving = doubles(N, 0.25);
    for (int64_t i = 0; i < N; i++) inside[i] = i > 0, parent[i] = -1;
    ebm_sweep_order_t search = {
        .A = &c->A, .inside = inside, .order = order, .parent = parent, .next = next};
    int done = 0;
    while (!done) CHECK(ebm_sweep_order_expand(&search, 1, &done) == EBM_OK);
    CHECK(search.n_found == N - 1);
    for (int64_t k = 0; k < N - 1; k += 7)
        CHECK(ebm_sweep_apply(&c->A, NULL, NULL, order, k, k + 7 < N - 1 ? k + 7 : N - 1, leaving,
                              b, x) == EBM_OK);
    for (int64_t i = 0; i < N; i++) CLOSE(x[i], 4.0 * (double)i, 1e-14);
    free(c), free(b), free(leaving);
}

int main(void)
{
    test_sweep();
    test_conjugate_gradients();
    test_residual();
    test_birth_death();
    test_left_solve_beyond_doubles();
    test_star();
    for (int64_t side = 3; side < 12; side++) test_grid(side);
    test_grid(90);
    return 0;
}
