/* Threads and sums with the same bits for any number of threads: the work is cut into blocks that
   depend on n alone; a sum is taken within each block first, then over the blocks in order. Blocks
   are scheduled dynamically: with one half each, a pass would wait for the slower of two cores, and
   on virtual machines one may be several times slower than the other. */
#ifndef FASTEBM_BASE_PARALLEL_H
#define FASTEBM_BASE_PARALLEL_H

#include <stdint.h>

#include "fastebm/base/attributes.h"
#include "fastebm/base/tuning.h"

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

/* Chunk size of a dynamic schedule where neighbouring blocks read the same numbers: as large as
   possible, with at least eight chunks a thread. */
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
