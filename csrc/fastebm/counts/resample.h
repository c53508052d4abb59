/* Random counts by Philox: a row is a multinomial made of conditional binomials, so that a draw
   costs O(row length) whatever the counts, and depends on (key, replicate, row) alone. */
#ifndef FASTEBM_COUNTS_RESAMPLE_H
#define FASTEBM_COUNTS_RESAMPLE_H

#include <stdint.h>

#include "fastebm/base/status.h"

/* Uniform numbers of one row: the words of the blocks of counter (block, row, replicate, 1), in
   order. */
typedef struct ebm_stream {
    uint64_t key[2], row, replicate, next;
    uint64_t block[4];
} ebm_stream_t;

ebm_stream_t ebm_stream_of(const uint64_t key[2], int64_t row, int64_t replicate);
double ebm_stream_uniform(ebm_stream_t *stream); /* in (0, 1), 53 bits */

/* log(a! / (a - j)!) of whole numbers 0 <= j <= a. */
double ebm_log_falling(double a, double j);

/* A binomial count of n trials (an integer below 2^53) of probability p in [0, 1]. Inversion where
   n min(p, 1 - p) < 10, else transformed rejection (Hoermann 1993, algorithm BTRS). */
double ebm_resample_binomial(ebm_stream_t *stream, double n, double p);

/* Multinomial rows: out[k], k in row x, of total[x] draws with probabilities proportional to
   weight[k] (not negative); the rest of a row's `mass[x]` (NULL: the sum of its weights) is an
   outcome that is not stored, so a row of out may sum to less than total[x]. */
int ebm_resample_rows(int64_t n_rows, const int64_t *indptr, const double *weight,
                      const double *mass, const double *total, const uint64_t key[2],
                      int64_t replicate, int num_threads, double *out);

#endif
