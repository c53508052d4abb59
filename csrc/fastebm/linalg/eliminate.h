/* Subtraction-free elimination of states (Grassmann, Taksar & Heyman 1985; O'Cinneide 1993), sparse
   and multifrontal (Duff & Reid 1983): state k is eliminated by a[i, j] += a[i, k] (a[k, j] /
   e[k]), where e[k], the exit rate of k, is the sum of the rates out of k and never 1 - a[k, k].
   Sums, products and quotients of non-negative numbers only, so that every entry of a solution of M
   x = b >= 0, M = I - P_BB, is right to a relative error however close to singular M is: the answer
   is a ratio of sums of products with one factor a row (matrix-tree theorem), hence a relative
   error of eps in the entries of m rows moves it by at most 2 m eps, and eliminating k rounds the
   rows of the states next to k, six half-ulps each.

   Stored matrices only: the rates of a set are read from the rows of A and of its transpose. */
#ifndef FASTEBM_LINALG_ELIMINATE_H
#define FASTEBM_LINALG_ELIMINATE_H

#include "fastebm/base/wide.h"
#include "fastebm/patterns/csr.h"
#include "fastebm/linalg/min_degree.h"

/* The rates between the states of a set B and out of it. number[x]: the place of x in B, or -1 - g
   where x lies outside, in group g < n_groups. First the row lengths of the union of A's and its
   transpose T's pattern within B (indptr (n_B + 1,)), then its entries: out_rate P[x, y] and
   in_rate P[y, x] of each neighbour y, and leak (n_B, n_groups): the probability of a step from x
   into each group. row, col NULL for ones. */
int ebm_rates_count(const ebm_csr_t *A, const ebm_csr_t *T, const int32_t *number, int64_t *indptr);
int ebm_rates_fill(const ebm_csr_t *A, const ebm_csr_t *T, const double *row, const double *col,
                   const int32_t *number, int64_t n_groups, int num_threads, const int64_t *indptr,
                   int32_t *indices, double *out_rate, double *in_rate, double *leak);

typedef struct ebm_eliminate {
    int64_t n, n_supernodes;
    const int64_t *indptr; /* (n + 1,) the rates as above */
    const int32_t *indices;
    const double *out_rate, *in_rate;
    const int32_t *order; /* (n,) and the supernodes of ebm_mindeg_supernodes */
    const int64_t *first, *height, *parent;
    int64_t *place;   /* (n,) the column of each state */
    int64_t *local;   /* (n,) scratch: the place of a column in the front at work */
    int64_t *waiting; /* (n_supernodes,) the supernodes whose updates are on the stack */
    int64_t *row_begin, *factor_begin; /* (n_supernodes + 1,) */
    int32_t *rows;  /* (fill.n_rows,) the rows below each supernode, as columns */
    double *factor; /* (fill.n_factor,) each supernode's rows, then the block below its columns */
    double *exit_rate; /* (n,) e of each column, its exit rate */
    double *leak;      /* (n,) in: the rate of each column out of the set */
    double *stack;     /* (fill.n_stack,) */
    /* the position of the elimination; base: start of the updates that the current front has
       assembled */
    int64_t n_waiting, top, base, supernode, pivot;
    int underflow; /* whether a product underflowed */
} ebm_eliminate_t;

int ebm_eliminate_start(ebm_eliminate_t *state);

/* Continues for about n_flops operations; done when supernode is n_supernodes. EBM_ERR_BREAKDOWN:
   the exit rate of a state is zero. */
int ebm_eliminate_expand(ebm_eliminate_t *state, double n_flops, int num_threads);

/* x = M^-1 b for a block (n, width) of right-hand sides in the order of the states; x may be b.
   work: (n, width). */
int ebm_eliminate_solve(const ebm_eliminate_t *state, int64_t width, const double *b, double *work,
                        double *x);

/* x^T = b^T M^-1 for one b >= 0 in the order of the states, as wide numbers: the entries of a
   stationary law may lie beyond the range of a double. Sums, products and quotients of non-negative
   numbers only: each of the stored entries is used twice, with three half-ulps a use. work:
   (n,). */
int ebm_eliminate_solve_left(const ebm_eliminate_t *state, const double *b,
                             const int32_t *b_exponent, ebm_wide_t *work, double *x,
                             int32_t *x_exponent);

#endif
