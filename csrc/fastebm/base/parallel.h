/* Threads and deterministic sums: the work is cut into ranges that depend on n alone; what is
   summed is summed within a range first, then over the ranges in order. Ranges go to whichever
   thread is free: shared by halves, a pass would wait for the slower processor, and on virtual
   machines one may be several times slower than another. */
#ifndef FASTEBM_BASE_PARALLEL_H
#define FASTEBM_BASE_PARALLEL_H

#include <stdint.h>

#include "fastebm/base/tuning.h"

/* target_clones on the row-range functions: one binary runs everywhere and uses the widest vectors
   it finds. Empty where it is not available (clang, musl) and under sanitizers, which crash on its
   resolvers. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__gnu_linux__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) &&                           \
    !defined(EBM_NO_MULTIVERSION)
#define EBM_MULTIVERSION __attribute__((target_clones("default", "avx2", "avx512f")))
#else
#define EBM_MULTIVERSION
#endif

#if defined(__GNUC__)
#define EBM_INLINE static inline __attribute__((always_inline))
#define EBM_PREFETCH(address) __builtin_prefetch(address)
#else
#define EBM_INLINE static inline
#define EBM_PREFETCH(address) ((void)0)
#endif

static inline int64_t ebm_n_blocks(int64_t n)
{
    int64_t blocks = n / EBM_BLOCK_STATES;
    return blocks < 1 ? 1 : blocks > EBM_MAX_BLOCKS ? EBM_MAX_BLOCKS : blocks;
}

/* First element of block b of n_blocks; block n_blocks begins at n. n < 2^54, so the product
   fits. */
static inline int64_t ebm_block_begin(int64_t n, int64_t n_blocks, int64_t b)
{
    return n * b / n_blocks;
}

/* Ranges that a thread takes at a time where neighbours ask for the same numbers: many, but eight
   portions a thread. */
static inline int64_t ebm_portion(int64_t n_blocks, int num_threads)
{
    const int64_t portion = n_blocks / (8 * (int64_t)num_threads);
    return portion < 1 ? 1 : portion;
}

static inline double ebm_sum_blocks(int64_t n_blocks, const double *partial)
{
    double sum = 0.0;
    for (int64_t b = 0; b < n_blocks; b++) sum += partial[b];
    return sum;
}

#endif
