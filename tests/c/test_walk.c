/* Philox, alias tables and walkers, without Python. Build and run under sanitizers: gcc -std=c11 -g
   -O1 -fsanitize=address,undefined -fopenmp -Icsrc csrc/alias.c csrc/random.c csrc/walk.c
   csrc/status.c \
       tests/c/test_walk.c -lm && ./a.out */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fastebm/simulation/alias.h"
#include "fastebm/base/random.h"
#include "fastebm/simulation/walk.h"

#define CHECK(condition)                                                                          \
    do {                                                                                          \
        if (!(condition)) {                                                                       \
            fprintf(stderr, "%s:%d: %s: failed: %s\n", __FILE__, __LINE__, __func__, #condition); \
            exit(1);                                                                              \
        }                                                                                         \
    } while (0)

static void *take(size_t n_bytes)
{
    void *memory = malloc(n_bytes ? n_bytes : 1);
    CHECK(memory);
    return memory;
}

/* Golden values: numpy.random.Philox(key=key, counter=counter - 1).random_raw(4). */
static void test_philox(void)
{
    static const struct {
        uint64_t key[2], counter[4], out[4];
    } golden[] = {
        {{0, 0},
         {0, 0, 0, 0},
         {0x16554d9eca36314c, 0xdb20fe9d672d0fdc, 0xd7e772cee186176b, 0x7e68b68aec7ba23b}},
        {{0x0123456789abcdef, 0xfedcba9876543210},
         {5, 7, 0, 0},
         {0x7e71d2cea5290aae, 0x8644e50c74672e75, 0x4d3cbd7232b2f4ef, 0x4c960cbbe35e1141}},
        {{UINT64_MAX, UINT64_MAX},
         {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX},
         {0x87b092c3013fe90b, 0x438c3c67be8d0224, 0x9cc7d7c69cd777b6, 0xa09caebf594f0ba0}},
    };
    for (size_t g = 0; g < sizeof golden / sizeof golden[0]; g++) {
        uint64_t out[4];
        ebm_philox_block(golden[g].key, golden[g].counter, out);
        CHECK(memcmp(out, golden[g].out, sizeof out) == 0);
    }
    const uint64_t key[2] = {3, 4};
    const int64_t walkers[3] = {0, 7, 1LL << 40}, blocks[3] = {0, 9, 1LL << 50};
    uint64_t words[4 * 5];
    ebm_philox_walkers(key, 3, walkers, blocks, 5, words);
    for (int i = 0; i < 3; i++) {
        const uint64_t counter[4] = {(uint64_t)walkers[i], (uint64_t)blocks[i], 0, 0};
        uint64_t out[4];
        ebm_philox_block(key, counter, out);
        for (int k = 0; k < 4; k++) CHECK(words[k * 5 + i] == out[k]);
    }
}

/* --- chains for the tests --------------------------------------------------------------------- */

typedef struct chain {
    ebm_csr_t csr;
    int64_t *indptr, *offsets;
    int32_t *indices;
    double *values, *row, *col, *shift;
    ebm_alias_cell_t *cells;
    ebm_alias_t table;
    ebm_kernel_t kernel;
} chain_t;

static const uint64_t test_key[2] = {20240229, 17};
static uint64_t n_drawn;

static uint64_t draw(void)
{
    const uint64_t key[2] = {99, 1}, counter[4] = {n_drawn++, 0, 0, 1};
    uint64_t out[4];
    ebm_philox_block(key, counter, out);
    return out[0];
}

static double uniform(void) { return (double)(draw() >> 11) * 0x1p-53; }

/* n rows of random degree 1..most with weights over `decades` orders of magnitude, about one in
   eight of them zero. */
static chain_t random_chain(int64_t n, int64_t most, double decades, int with_shift)
{
    chain_t c = {.indptr = take(sizeof(int64_t) * (size_t)(n + 1)),
                 .offsets = take(sizeof(int64_t) * (size_t)(n + 1)),
                 .row = take(sizeof(double) * (size_t)n),
                 .col = take(sizeof(double) * (size_t)n),
                 .shift = with_shift ? take(sizeof(double) * (size_t)n) : NULL};
    c.indptr[0] = 0;
    for (int64_t x = 0; x < n; x++) {
        c.indptr[x + 1] = c.indptr[x] + 1 + (int64_t)(draw() % (uint64_t)most);
        c.row[x] = exp(20 * uniform() - 10);
        c.col[x] = pow(10, -decades * uniform() / 2);
        if (with_shift) c.shift[x] = draw() % 3 ? uniform() : 0.0;
    }
    const int64_t nnz = c.indptr[n];
    c.indices = take(sizeof(int32_t) * (size_t)nnz);
    c.values = take(sizeof(double) * (size_t)nnz);
    for (int64_t k = 0; k < nnz; k++) {
        c.indices[k] = (int32_t)(draw() % (uint64_t)n);
        c.values[k] = draw() % 8 ? pow(10, -decades * uniform() / 2) : 0.0;
    }
    for (int64_t x = 0; x < n; x++) c.values[c.indptr[x]] = 1.0; /* no row is empty */
    c.csr = (ebm_csr_t){n, c.indptr, c.indices, c.values, EBM_VALUES_F64};
    return c;
}

static void tabulate(chain_t *c, int num_threads)
{
    CHECK(ebm_alias_count(&c->csr, c->shift, c->offsets, &c->table.degree) == EBM_OK);
    c->cells = take(sizeof(ebm_alias_cell_t) * (size_t)c->offsets[c->csr.n_states]);
    CHECK(ebm_alias_build(&c->csr, c->row, c->col, c->shift, num_threads, 0, c->csr.n_states,
                          c->offsets, c->cells) == EBM_OK);
    c->table.n_states = c->csr.n_states;
    c->table.indptr = c->offsets;
    c->table.cells = c->cells;
    ebm_alias_kernel(&c->table, &c->kernel);
}

static uint32_t *narrow_offsets(const chain_t *c)
{
    uint32_t *narrow = take(sizeof *narrow * (size_t)(c->csr.n_states + 1));
    for (int64_t x = 0; x <= c->csr.n_states; x++) narrow[x] = (uint32_t)c->offsets[x];
    return narrow;
}

static void release(chain_t *c)
{
    void *const owned[] = {c->indptr, c->offsets, c->indices, c->values,
                           c->row,    c->col,     c->shift,   c->cells};
    for (size_t k = 0; k < sizeof owned / sizeof owned[0]; k++) free(owned[k]);
}

/* --- alias tables ----------------------------------------------------------------------------- */

/* Sum the cells of each row by target and compare with the weights: to rounding, and exactly zero
   where absent. */
static void check_table(const chain_t *c)
{
    const int64_t n = c->csr.n_states;
    double *drawn = take(sizeof(double) * (size_t)n), *weight = take(sizeof(double) * (size_t)n);
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

/* --- walkers ---------------------------------------------------------------------------------- */

enum { N_STATES = 300, N_WALKERS = 5001, N_STEPS = 77 };

/* The definition, one walker at a time: the twin of both walk functions. */
static void walk_naively(const ebm_kernel_t *kernel, const uint64_t *target, int64_t first,
                         const int64_t *start, int64_t *states, int64_t *hit_time, int64_t *paths)
{
    for (int64_t w = 0; w < N_WALKERS; w++) {
        int64_t x = start[w];
        hit_time[w] = target[x >> 6] >> (x & 63) & 1 ? 0 : -1;
        states[w] = x;
        paths[w * (N_STEPS + 1)] = x;
        for (int64_t t = 0; t < N_STEPS; t++) {
            const uint64_t counter[4] = {(uint64_t)(first + w), (uint64_t)(t / 4), 0, 0};
            uint64_t words[4];
            ebm_philox_block(test_key, counter, words);
            CHECK(kernel->step(kernel->ctx, 1, &words[t % 4], &x) == EBM_OK);
            CHECK(x >= 0 && x < N_STATES);
            paths[w * (N_STEPS + 1) + t + 1] = x;
            if (hit_time[w] < 0) {
                states[w] = x;
                if (target[x >> 6] >> (x & 63) & 1) hit_time[w] = t + 1;
            }
        }
    }
}

static void check_hits(const ebm_kernel_t *kernel, const uint64_t *target, int64_t first,
                       const int64_t *start, const int64_t *expected_states,
                       const int64_t *expected_hits)
{
    static int64_t states[N_WALKERS], hits[N_WALKERS];
    const int64_t cuts[][4] = {{0, N_STEPS, N_STEPS, N_STEPS},
                               {0, 0, 3, N_STEPS},
                               {0, 1, 2, N_STEPS},
                               {0, 18, 71, N_STEPS}};
    for (int num_threads = 1; num_threads <= 4; num_threads++)
        for (int c = 0; c < 4; c++) {
            const int64_t middle = c * 1000; /* the range of walkers is split as well */
            memcpy(states, start, sizeof states);
            for (int64_t w = 0; w < N_WALKERS; w++) hits[w] = -1;
            for (int k = 0; k < 3; k++) {
                const int64_t begin = cuts[c][k], end = cuts[c][k + 1];
                CHECK(ebm_walk_hit(kernel, test_key, target, num_threads, middle, first, begin, end,
                                   states, hits) == EBM_OK);
                CHECK(ebm_walk_hit(kernel, test_key, target, num_threads, N_WALKERS - middle,
                                   first + middle, begin, end, states + middle,
                                   hits + middle) == EBM_OK);
            }
            CHECK(memcmp(states, expected_states, sizeof states) == 0);
            CHECK(memcmp(hits, expected_hits, sizeof hits) == 0);
        }
}

static void check_paths(const ebm_kernel_t *kernel, int64_t first, const int64_t *start,
                        const int64_t *expected)
{
    const int64_t stride = N_STEPS + 5,
                  cuts[][3] = {{0, N_STEPS, N_STEPS}, {0, 1, N_STEPS}, {0, 30, N_STEPS}};
    int64_t *states = take(sizeof(int64_t) * N_WALKERS);
    int64_t *wide = take(sizeof(int64_t) * (size_t)(N_WALKERS * stride));
    int32_t *narrow = take(sizeof(int32_t) * (size_t)(N_WALKERS * stride));
    for (int is_int32 = 0; is_int32 < 2; is_int32++)
        for (int c = 0; c < 3; c++) {
            void *paths = is_int32 ? (void *)narrow : (void *)wide;
            for (int64_t k = 0; k < N_WALKERS * stride; k++) wide[k] = narrow[k] = -7;
            memcpy(states, start, sizeof(int64_t) * N_WALKERS);
            for (int k = 0; k < 2; k++)
                CHECK(ebm_walk_paths(kernel, test_key, 1 + c, N_WALKERS, first, cuts[c][k],
                                     cuts[c][k + 1], stride, is_int32, states, paths) == EBM_OK);
            for (int64_t w = 0; w < N_WALKERS; w++)
                for (int64_t t = 0; t < stride; t++) {
                    const int64_t value = is_int32 ? narrow[w * stride + t] : wide[w * stride + t];
                    CHECK(value == (t == 0 || t > N_STEPS ? -7 : expected[w * (N_STEPS + 1) + t]));
                }
            for (int64_t w = 0; w < N_WALKERS; w++)
                CHECK(states[w] == expected[w * (N_STEPS + 1) + N_STEPS]);
        }
    free(states), free(wide), free(narrow);
}

/* Watched walks against the recorded ones: the highest score up to the stop, the sum of the
   weights, the first step on the target or above the level; cut into two calls. */
static void check_watch(const ebm_kernel_t *kernel, const uint64_t *target, const int64_t *start,
                        const int64_t *paths)
{
    static int64_t states[N_WALKERS], stops[N_WALKERS], streams[N_WALKERS];
    static double level[N_WALKERS], best[N_WALKERS], sum[N_WALKERS], score[N_STATES],
        weight[N_STATES];
    for (int x = 0; x < N_STATES; x++) score[x] = uniform(), weight[x] = uniform() - 0.5;
    for (int pass = 0; pass < 4; pass++) {
        const ebm_watch_t watch = {pass & 1 ? score : NULL, level, best, pass & 2 ? weight : NULL,
                                   sum};
        for (int64_t w = 0; w < N_WALKERS; w++) {
            /* walked backwards: walker w is the recorded walker streams[w] */
            streams[w] = N_WALKERS - 1 - w;
            states[w] = start[streams[w]], stops[w] = -1;
            level[w] = 0.9 + 0.1 * uniform(), best[w] = 0.3, sum[w] = 2.0;
        }
        for (int k = 0; k < 2; k++)
            CHECK(ebm_walk_watch(kernel, test_key, target, &watch, 1 + 2 * k, N_WALKERS, streams,
                                 k ? 30 : 0, k ? N_STEPS : 30, states, stops) == EBM_OK);
        for (int64_t w = 0; w < N_WALKERS; w++) {
            double highest = 0.3, total = 2.0;
            int64_t t = 0, x = start[streams[w]], stop = -1;
            while (stop < 0 && t < N_STEPS) {
                x = paths[streams[w] * (N_STEPS + 1) + ++t];
                if (pass & 1 && score[x] > highest) highest = score[x];
                if (pass & 2) total += weight[x];
                if (target[x >> 6] >> (x & 63) & 1 || (pass & 1 && score[x] > level[w])) stop = t;
            }
            CHECK(stops[w] == stop && states[w] == x && best[w] == highest && sum[w] == total);
        }
    }
}

static void test_walkers(void)
{
    static int64_t start[N_WALKERS], states[N_WALKERS], hits[N_WALKERS],
        paths[N_WALKERS * (N_STEPS + 1)];
    uint64_t target[N_STATES / 64 + 1] = {0};
    for (int x = 0; x < N_STATES; x += 29) target[x >> 6] |= 1ULL << (x & 63);
    for (int64_t w = 0; w < N_WALKERS; w++) start[w] = (int64_t)(draw() % N_STATES);
    for (int repeat = 0; repeat < 2; repeat++) {
        const int64_t first = repeat ? 1LL << 33 : 0;
        chain_t c = random_chain(N_STATES, 9, 3.0, repeat);
        tabulate(&c, 2);
        walk_naively(&c.kernel, target, first, start, states, hits, paths);
        check_hits(&c.kernel, target, first, start, states, hits);
        check_paths(&c.kernel, first, start, paths);
        if (first == 0) check_watch(&c.kernel, target, start, paths);
        c.table.narrow = narrow_offsets(&c); /* the same bits from offsets of half the width */
        check_hits(&c.kernel, target, first, start, states, hits);
        free((void *)c.table.narrow);
        release(&c);
    }
}

/* Rows of one degree, with a table and without: offsets or none, table or none, the same bits. */
static void test_even_rows(void)
{
    enum { D = 5 };
    static int64_t indptr[N_STATES + 1], offsets[N_STATES + 1], paths[4][70 * 40];
    static int32_t indices[N_STATES * D];
    static ebm_alias_cell_t cells[N_STATES * D];
    for (int64_t x = 0; x <= N_STATES; x++) indptr[x] = x * D;
    for (int k = 0; k < N_STATES * D; k++) indices[k] = (int32_t)(draw() % N_STATES);
    const ebm_csr_t csr = {N_STATES, indptr, indices, NULL, EBM_VALUES_NONE};
    ebm_alias_t table = {.n_states = N_STATES};
    CHECK(ebm_alias_count(&csr, NULL, offsets, &table.degree) == EBM_OK && table.degree == D);
    CHECK(ebm_alias_build(&csr, NULL, NULL, NULL, 1, 0, N_STATES, offsets, cells) == EBM_OK);
    for (int pass = 0; pass < 4; pass++) {
        int64_t states[70];
        ebm_kernel_t kernel;
        table.degree = pass & 1 ? D : 0;
        table.indptr = pass & 1 ? NULL : offsets;
        table.cells = pass & 2 ? cells : NULL;
        table.targets = pass & 2 ? NULL : indices;
        ebm_alias_kernel(&table, &kernel);
        for (int w = 0; w < 70; w++) states[w] = w;
        CHECK(ebm_walk_paths(&kernel, test_key, 1 + pass % 2, 70, 0, 0, 39, 40, 0, states,
                             paths[pass]) == EBM_OK);
        for (int w = 0; w < 70; w++) paths[pass][w * 40] = w;
        CHECK(memcmp(paths[pass], paths[0], sizeof paths[0]) == 0);
    }
    /* one entry short in five rows of two: an empty cell, which keeps nothing of its own state */
    int64_t nearly_indptr[] = {0, 2, 4, 5, 7, 9};
    const ebm_csr_t nearly = {5, nearly_indptr, indices, NULL, EBM_VALUES_NONE};
    CHECK(ebm_alias_count(&nearly, NULL, offsets, &table.degree) == EBM_OK && table.degree == 2 &&
          offsets[5] == 10);
    CHECK(ebm_alias_build(&nearly, NULL, NULL, NULL, 1, 0, 5, offsets, cells) == EBM_OK);
    CHECK(cells[4].target == indices[4] && cells[4].alias == indices[4]);
    CHECK(cells[5].target == 2 && cells[5].threshold == 0 && cells[5].alias == indices[4]);
    const ebm_csr_t empty_row = {2, (int64_t[]){0, 0, 1}, indices, NULL, EBM_VALUES_NONE};
    CHECK(ebm_alias_count(&empty_row, NULL, offsets, &table.degree) == EBM_ERR_EMPTY_ROW);
}

static int failing_step(const void *ctx, int64_t n_walkers, const uint64_t *bits, int64_t *states)
{
    (void)ctx, (void)n_walkers, (void)bits, (void)states;
    return EBM_ERR_NEGATIVE;
}

static void test_walk_errors(void)
{
    chain_t c = random_chain(10, 3, 1.0, 0);
    tabulate(&c, 1);
    const uint64_t target[1] = {0};
    const int64_t outside[] = {10, -1, INT64_MAX, INT64_MIN};
    int32_t paths[3 * 5];
    for (int i = 0; i < 4; i++) {
        int64_t states[3] = {0, 5, outside[i]}, hits[3] = {-1, -1, -1};
        CHECK(ebm_walk_hit(&c.kernel, test_key, target, 2, 3, 0, 0, 4, states, hits) ==
              EBM_ERR_STATE);
        CHECK(ebm_walk_paths(&c.kernel, test_key, 2, 3, 0, 0, 4, 5, 1, states, paths) ==
              EBM_ERR_STATE);
        /* one that has arrived is not looked at */
        states[0] = 0, states[1] = 5, hits[0] = hits[1] = -1, hits[2] = 8;
        CHECK(ebm_walk_hit(&c.kernel, test_key, target, 2, 3, 0, 0, 4, states, hits) == EBM_OK &&
              hits[2] == 8);
    }
    int64_t states[3] = {0, 5, 9}, hits[3] = {-1, -1, -1};
    CHECK(ebm_walk_hit(&c.kernel, test_key, target, 0, 3, 0, 0, 4, states, hits) ==
          EBM_ERR_ARGUMENT);
    CHECK(ebm_walk_hit(&c.kernel, test_key, target, 1, 3, -1, 0, 4, states, hits) ==
          EBM_ERR_ARGUMENT);
    CHECK(ebm_walk_hit(&c.kernel, test_key, target, 1, 3, 0, 5, 4, states, hits) ==
          EBM_ERR_ARGUMENT);
    CHECK(ebm_walk_hit(&c.kernel, test_key, target, 4, 0, 0, 0, 4, states, hits) == EBM_OK);
    CHECK(ebm_walk_paths(&c.kernel, test_key, 1, 3, 0, -1, 4, 5, 1, states, paths) ==
          EBM_ERR_ARGUMENT);
    const int64_t streams[3] = {0, 1, -1};
    CHECK(ebm_walk_watch(&c.kernel, test_key, target, &(ebm_watch_t){0}, 1, 3, streams, 0, 4,
                         states, hits) == EBM_ERR_ARGUMENT);
    c.kernel.step = failing_step;
    CHECK(ebm_walk_hit(&c.kernel, test_key, target, 2, 3, 0, 0, 4, states, hits) ==
          EBM_ERR_NEGATIVE);
    CHECK(ebm_walk_paths(&c.kernel, test_key, 2, 3, 0, 0, 4, 5, 1, states, paths) ==
          EBM_ERR_NEGATIVE);
    c.kernel.step = NULL;
    CHECK(ebm_walk_hit(&c.kernel, test_key, target, 1, 3, 0, 0, 4, states, hits) ==
          EBM_ERR_UNSUPPORTED);
    release(&c);
}

int main(void)
{
    test_philox();
    test_alias_exact();
    test_alias_orders();
    test_alias_errors();
    test_walkers();
    test_even_rows();
    test_walk_errors();
    puts("test_walk: all passed");
    return 0;
}
