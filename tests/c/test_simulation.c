/* Walkers against a naive walk: hitting times, recorded paths, watched walks, errors. */
#include "random_chain.h"
#include "fastebm/simulation/walk.h"

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
    int64_t *states = take(N_WALKERS, sizeof(int64_t));
    int64_t *wide = take(N_WALKERS * stride, sizeof(int64_t));
    int32_t *narrow = take(N_WALKERS * stride, sizeof(int32_t));
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
        /* a walker that has arrived is not examined */
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
    test_walkers();
    test_even_rows();
    test_walk_errors();
    return 0;
}
