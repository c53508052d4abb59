/* Random vectors with the covariance of the gradient of pair_newton.h at its minimum: solved for
   with the same Laplacian they estimate the sandwich covariance of v without forming it. */
#ifndef FASTEBM_COUNTS_PAIR_PROBE_H
#define FASTEBM_COUNTS_PAIR_PROBE_H

#include "fastebm/counts/pair_newton.h"

/* slope[k] = what one unit of w(x, y) adds to the gradient along e_x - e_y, at v: K'(v(x) - v(y));
   least squares also weigh by w. */
int ebm_pair_probe_slopes(const ebm_pair_newton_t *state, int num_threads, double *slope);

/* A random vector g with the covariance of the gradient when row x of w is `scale(x)` times a
   multinomial of total(x) / scale(x) draws, total(x) = sum_y w(x, y) with the diagonal: g = sum_{x,
   y} sqrt(scale(x) w(x, y)) s(x, y) (slope(x, y) (e_x - e_y) - m_x / total(x)), m_x = sum_y w(x, y)
   slope(x, y) (e_x - e_y), s = +-1 by Philox (counter (block, x, probe, 2)). flow: (nnz,)
   scratch. */
int ebm_pair_probe_draw(const ebm_pairgraph_t *graph, const int64_t *mirror, const double *slope,
                        const double *total, const double *scale, const uint64_t key[2],
                        int64_t probe, int num_threads, double *flow, double *g);

#endif
