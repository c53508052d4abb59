/* The distribution mu of a chain on its way to the stationary pi, as the deviation of its density,
   g = mu / pi - 1. As P* 1 = 1, g itself evolves by g <- P* g: nothing is subtracted, so the
   distances keep their digits near equilibrium. What rounding adds along constants, the one mode
   that does not decay, is measured in each pass and removed in the next: distances of 1e-100 have
   all their digits. */
#ifndef FASTEBM_CHAINS_EVOLUTION_H
#define FASTEBM_CHAINS_EVOLUTION_H

#include "fastebm/base/kernel.h"

/* The operator of a step, in the coordinates h = unit g, in which it needs no inner scaling: next =
   scale (A h) + shift h. A step of a block of columns is one pass: product, scaling and distances
   of a tile of rows while it is in the cache, and no third block of vectors. Measured on the
   trigram model (2.1 million states, 16 starts): half of a step is the product's gathers, a quarter
   the logarithms. */
typedef struct ebm_evolution {
    const ebm_kernel_t *kernel;
    const double *scale; /* NULL: ones */
    const double *shift; /* NULL: zeros */
    const double *unit;  /* NULL: ones */
    const double *root;  /* sqrt(pi) */
} ebm_evolution_t;

#define EBM_EVOLUTION_WIDTH 16

/* The measures of each column: sum pi g, zero up to rounding; total variation 1/2 sum pi |g|;
   Kullback-Leibler divergence sum pi ((1 + g) log(1 + g) - g); chi-square sum pi g^2; separation
   max(-g). */
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
   EBM_EVOLUTION_KINDS, width); only the mean where `measured` is 0. mean (width,): sum pi g as the
   last step measured it, which is subtracted from the next. h NULL: `next` is measured as it is. */
int ebm_evolution_step(const ebm_evolution_t *E, int64_t width, int64_t first, int64_t last,
                       int measured, int num_threads, const double *mean, const double *h,
                       double *next, double *partial);

/* total (EBM_EVOLUTION_KINDS, width): the sums of all blocks, added in their order. */
int ebm_evolution_total(int64_t n_blocks, int64_t width, const double *partial, double *total);

#endif
