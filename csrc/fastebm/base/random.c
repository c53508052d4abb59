#include "fastebm/base/random.h"

void ebm_philox_walkers(const uint64_t key[2], int64_t n, const int64_t *walkers,
                        const int64_t *blocks, int64_t stride, uint64_t *words)
{
    for (int64_t i = 0; i < n; i++) {
        const uint64_t counter[4] = {(uint64_t)walkers[i], (uint64_t)blocks[i], 0, 0};
        uint64_t block[4];
        ebm_philox_block(key, counter, block);
        for (int k = 0; k < 4; k++) words[k * stride + i] = block[k];
    }
}
