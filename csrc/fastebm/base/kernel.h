/* The operator of every chain: a sparse pattern A, two diagonal scalings and a shift,

       P = diag(row) A diag(col) + diag(shift).

   Tilting a chain by a reward, its symmetrisation, its restriction to a set of states and lazy
   chains are other scalings and shifts of one A, which is stored once.

   ebm_kernel_t is A alone, and the only view that an algorithm has of a chain's pattern: stored
   matrices, lattices and compiled rules are the same to it. The functions work on ranges of rows
   and on batches of walkers: this amortises the indirect call, gives each thread its unit of work,
   and lets `step` prefetch. row, col and shift are not part of the kernel: algorithms scale x in a
   vector pass that they need anyway, and scaling inside the product would double its random
   reads. */
#ifndef FASTEBM_BASE_KERNEL_H
#define FASTEBM_BASE_KERNEL_H

#include <stdint.h>

#include "fastebm/base/status.h"

typedef struct ebm_kernel {
    int64_t n_states;
    const void *ctx;
    /* y = A[begin:end, :] x. x is (n_states, width), y is (end - begin, width), both row-major. */
    int (*apply)(const void *ctx, int64_t begin, int64_t end, int64_t width, const double *x,
                 double *y);
    /* The same with A transposed; NULL where the kernel has no transpose; equal to `apply` where A
       is symmetric. */
    int (*apply_t)(const void *ctx, int64_t begin, int64_t end, int64_t width, const double *x,
                   double *y);
    /* y[i - begin] = sum_j A[i, j] col[j] (x[i] - x[j])^power, power 1 or 2, col NULL for ones.
       `apply` cannot replace it: Dirichlet forms and residuals of hitting times are sums of
       differences, and in a metastable chain subtracting two products cancels every digit. */
    int (*difference)(const void *ctx, int64_t begin, int64_t end, int power, const double *col,
                      const double *x, double *y);
    /* One step of each walker, drawn from its row of A, one 64-bit random word a walker; NULL where
       the kernel does not offer steps. */
    int (*step)(const void *ctx, int64_t n_walkers, const uint64_t *bits, int64_t *states);
    /* The entries of rows begin..end-1 of a computed A, ascending within a row: row i has indptr[i
       + 1 - begin] - indptr[i - begin] of them, all positive, at most max_degree. indices NULL:
       only indptr; values NULL: not needed (never where all_ones is set: every value is 1). rows is
       NULL where A is stored. */
    int (*rows)(const void *ctx, int64_t begin, int64_t end, int64_t *indptr, int64_t *indices,
                double *values);
    int64_t max_degree;
    int all_ones;
    /* Prefetches what `step` will read for the same words and states; NULL where a step reads no
       memory. */
    void (*prefetch)(const void *ctx, int64_t n_walkers, const uint64_t *bits,
                     const int64_t *states);
} ebm_kernel_t;

/* A kernel with its scalings: an operator that an algorithm works on (P, its symmetrisation S, P
   without a target). */
typedef struct ebm_scaled {
    const ebm_kernel_t *kernel;
    const double *row;   /* NULL: ones */
    const double *col;   /* NULL: ones */
    const double *shift; /* NULL: zeros */
} ebm_scaled_t;

#endif
