/* Vectors, statuses and Philox. */
#include "check.h"
#include "fastebm/base/random.h"
#include "fastebm/base/vec.h"

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

int main(void)
{
    test_vectors();
    test_statuses();
    test_philox();
    return 0;
}
