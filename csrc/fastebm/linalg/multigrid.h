/* Aggregation multigrid for L = D - F, F[x, y] = left[x] A[x, y] right[y] (y != x) symmetric and
   non-negative, D = diag(row sums of F, plus a non-negative leak): the Dirichlet form of a
   reversible chain (F its probability flux), or I - P_BB of its part outside a target (leak: the
   flux into the target). An aggregated chain is a chain again: F of pairs of states is a sum of F,
   so every level is made of sums of non-negative numbers and keeps the relative accuracy of the
   smallest flux, however metastable. Smoothed aggregation, as in PyAMG, does not have this
   property.

   Coarsening by pairwise aggregation along the strongest flux (Notay, ETNA 2010), one damped Jacobi
   sweep before and after, and on each coarse level two steps of flexible conjugate gradients (the
   K-cycle; Notay & Vassilevski 2008). */
#ifndef FASTEBM_LINALG_MULTIGRID_H
#define FASTEBM_LINALG_MULTIGRID_H

#include "fastebm/linalg/dirichlet_flow.h"
#include "fastebm/linalg/cg.h"

typedef struct ebm_multigrid_level {
    ebm_flow_t F;
    const double *diag;        /* (n,); NULL on the finest level */
    const double *inverse;     /* (n,) 1 / diag, 0 where diag is 0 */
    int64_t n, n_coarse;       /* n_coarse == 0: the coarsest, solved by `factor` */
    const int32_t *aggregate;  /* (n,) */
    const int64_t *start;      /* (n_coarse + 1,) */
    const int32_t *members;    /* (n,) */
    const double *factor;      /* (n, n) */
    double *x, *scaled;        /* (n,) work; scaled may be x where F.right is NULL */
    double *r, *c, *v, *d, *w; /* (n,) work of the K-cycle; NULL on the finest level */
} ebm_multigrid_level_t;

typedef struct ebm_multigrid {
    int64_t n_levels;
    ebm_multigrid_level_t *levels; /* finest first */
} ebm_multigrid_t;

/* x ~ L^-1 r by one cycle; x and r distinct. Where L is singular (no leak) x is determined up to a
   constant. */
int ebm_multigrid_cycle(const ebm_multigrid_t *mg, int num_threads, const double *r, double *x);

/* The cycle as a preconditioner: mg is its context. */
void ebm_multigrid_precond(ebm_multigrid_t *mg, ebm_precond_t *precond);

#endif
