/* Short cycles and how far each is from Kolmogorov's criterion: the sum of `ratio` along it,
   ratio(x, y) = -ratio(y, x) a log ratio of forward and backward. Candidates are all triangles, and
   the cycles that each further edge closes with a breadth-first forest (a basis of the cycle space:
   their affinities determine all others). */
#ifndef FASTEBM_COUNTS_CYCLE_H
#define FASTEBM_COUNTS_CYCLE_H

#include <stdint.h>

#include "fastebm/base/status.h"

#define EBM_CYCLE_LONGEST 64 /* states of a cycle that is kept; longer ones are counted only */

typedef struct ebm_cycle {
    /* |affinity| / sqrt(variance), or |affinity| where no variances are given */
    double affinity, variance, score;
    int64_t length;
    int32_t states[EBM_CYCLE_LONGEST];
} ebm_cycle_t;

typedef struct ebm_cycle_totals {
    int64_t n_triangles, n_longer; /* longer: the cycles of the forest other than triangles */
    double triangle_square;        /* sum of the triangles' squared scores */
} ebm_cycle_totals_t;

/* ratio, variance (or NULL): entries of a symmetric pattern (indptr, indices ascending); an edge
   with a NaN ratio is part of no cycle. The forest: parent (a root is its own) and depth,
   (n_states,) each; queue (n_states,) is scratch. */
int ebm_cycle_forest(int64_t n_states, const int64_t *indptr, const int32_t *indices,
                     const double *ratio, int32_t *queue, int32_t *parent, int32_t *depth);

/* Examines the edges whose smaller state is in begin .. end - 1, after those of earlier calls:
   keeps the n_keep cycles of the highest scores in `best`, best first, n_best of them, and counts
   all in `totals`. */
int ebm_cycle_rank(int64_t n_states, const int64_t *indptr, const int32_t *indices,
                   const double *ratio, const double *variance, const int32_t *parent,
                   const int32_t *depth, int64_t begin, int64_t end, int64_t n_keep,
                   ebm_cycle_t *best, int64_t *n_best, ebm_cycle_totals_t *totals);

#endif
