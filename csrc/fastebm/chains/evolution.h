/* The law mu of a chain on its way to the stationary pi, as the deviation of its density, g = mu /
   pi - 1. As P* 1 = 1, g itself evolves by g <- P* g: nothing is subtracted, so the distances keep
   their digits near equilibrium. */
#ifndef FASTEBM_CHAINS_EVOLUTION_H
#define FASTEBM_CHAINS_EVOLUTION_H

#include "fastebm/base/kernel.h"

/* What a step works on: h = unit g, coordinates in which the operator needs no inner scaling, so
   that one pass over the rows reads a block, writes the next one and measures it:  next = scale (A
   h) + shift h. */
typedef struct ebm_evolution {
    const ebm_kernel_t *kernel;
    const double *scale; /* NULL: ones */
    const double *shift; /* NULL: zeros */
    const double *unit;  /* NULL: ones */
    const double *root;  /* sqrt(pi) */
} ebm_evolution_t;

#define EBM_EVOLUTION_WIDTH 16

/* What is measured of each column: sum pi g, which is 0 but for rounding; total variation 1/2 sum
   pi |g|; Kullback-Leibler divergence sum pi ((1 + g) log(1 + g) - g); chi-square sum pi g^2;
   separation max(-g). */
enum {
    EBM_EVOLUTION_MEAN,
    EBM_EVOLUTION_TV,
    EBM_EVOLUTION_KL,
    EBM_EVOLUTION_CHI2,
    EBM_EVOLUTION_SEPARATION,
    EBM_EVOLUTION_KINDS
};

/* Blocks [first, last) of the ebm_n_blocks(n_states) ranges of rows: one step from h to next, both
   (n_states, width), width <= EBM_EVOLUTION_WIDTH, and the sums of each block in partial (n_blocks,
   EBM_EVOLUTION_KINDS, width); only the mean where `measured` is 0. mean (width,) is what the last
   step found: it is taken out of the next, as rounding along constants would not decay. h NULL:
   next is measured as it is. */
int ebm_evolution_step(const ebm_evolution_t *E, int64_t width, int64_t first, int64_t last,
                       int measured, int num_threads, const double *mean, const double *h,
                       double *next, double *partial);

/* total (EBM_EVOLUTION_KINDS, width) of the sums of all blocks, in their order. */
int ebm_evolution_total(int64_t n_blocks, int64_t width, const double *partial, double *total);

#endif
