/* Distances between an evolving law mu and the stationary pi, from the density's deviation g = mu / pi - 1. As P* 1 = 1,
   g itself evolves by g <- P* g: nothing is subtracted, so the distances keep their digits near equilibrium. */
#ifndef EBM_EVOLVE_H
#define EBM_EVOLVE_H

#include <stdint.h>

#include "status.h"

/* For each of `width` columns of g (n_states, width) and weights pi: total variation 1/2 sum pi |g|, Kullback-Leibler
   divergence sum pi ((1 + g) log(1 + g) - g), chi-square sum pi g^2. width <= EBM_EVOLVE_WIDTH. */
#define EBM_EVOLVE_WIDTH 16
int ebm_evolve_distances(int64_t n, int64_t width, int num_threads, const double *pi, const double *g, double *tv,
                         double *kl, double *chi2);

#endif
