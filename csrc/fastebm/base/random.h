/* Philox4x64-10, a counter-based generator (Salmon, Moraes, Dror & Shaw, SC 2011): a block of four
   words is a pure function of (key, counter), so that a walker's random numbers depend on its
   number and step alone: results do not depend on threads, batches or on where a run was
   interrupted, and no trajectory need be stored, as it can be walked again.

   NumPy's bit generator Philox is the same function. It increments its 256-bit counter (word 0
   least significant) before the first block: Philox(key=key, counter=c) begins with the block of
   counter c + 1, words in order. */
#ifndef FASTEBM_BASE_RANDOM_H
#define FASTEBM_BASE_RANDOM_H

#include <stdint.h>

#include "fastebm/base/attributes.h"

/* The 128-bit product of a and b: its low word, and its high word in `high`. */
EBM_INLINE uint64_t ebm_multiply_wide(uint64_t a, uint64_t b, uint64_t *high)
{
#if defined(__SIZEOF_INT128__) && !defined(EBM_NO_INT128)
    __extension__ typedef unsigned __int128 wide_t;
    const wide_t product = (wide_t)a * b;
    *high = (uint64_t)(product >> 64);
    return (uint64_t)product;
#else
    const uint64_t a_low = a & 0xffffffffu, a_high = a >> 32, b_low = b & 0xffffffffu,
                   b_high = b >> 32;
    const uint64_t low = a_low * b_low, cross = a_high * b_low + (low >> 32),
                   middle = a_low * b_high + (cross & 0xffffffffu);
    *high = a_high * b_high + (cross >> 32) + (middle >> 32);
    return (middle << 32) | (low & 0xffffffffu);
#endif
}

EBM_INLINE void ebm_philox_block(const uint64_t key[2], const uint64_t counter[4], uint64_t out[4])
{
    uint64_t k0 = key[0], k1 = key[1], c0 = counter[0], c1 = counter[1], c2 = counter[2],
             c3 = counter[3];
    for (int round = 0; round < 10; round++) {
        uint64_t high0, high2;
        const uint64_t low0 = ebm_multiply_wide(0xD2E7470EE14C6C93u, c0, &high0);
        const uint64_t low2 = ebm_multiply_wide(0xCA5A826395121157u, c2, &high2);
        c0 = high2 ^ c1 ^ k0;
        c1 = low2;
        c2 = high0 ^ c3 ^ k1;
        c3 = low0;
        k0 += 0x9E3779B97F4A7C15u; /* golden ratio */
        k1 += 0xBB67AE8584CAA73Bu; /* sqrt(3) - 1 */
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

/* One block for each of n walkers: words[k * stride + i] is what walker walkers[i] uses at its step
   4 blocks[i] + k, k = 0..3. The counter is (walker, block, 0, 0); all others are free for other
   streams of the same key. */
void ebm_philox_walkers(const uint64_t key[2], int64_t n, const int64_t *walkers,
                        const int64_t *blocks, int64_t stride, uint64_t *words);

#endif
