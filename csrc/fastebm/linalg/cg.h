/* Preconditioned conjugate gradients for the M-matrices of reversible chains,

       (D - F) x = b,    F[i, j] = w[i] P[i, j] symmetric,    D[i] = sum_{j != i} F[i, j],

   w a measure in detailed balance. Products are sums of differences, ((D - F) x)[i] = sum_j F[i, j]
   (x[i] - x[j]), so that neither the diagonal nor a nearly constant x cancels. Where F has rows of
   zeros (a target), x, r and z stay zero. */
#ifndef FASTEBM_LINALG_CG_H
#define FASTEBM_LINALG_CG_H

#include "fastebm/base/kernel.h"

/* Preconditioner: z = B r with B close to the inverse of D - F, linear, symmetric positive definite
   up to rounding (the conjugate gradients are flexible), the same bits for any number of threads. r
   is a residual in flux form (w times that of (I - P) x = b / w) and z a correction of x itself;
   both (n_states,). Where r is zero outside the set that is solved on, z must be zero there too. */
typedef struct ebm_precond {
    void *ctx;
    int (*apply)(void *ctx, int num_threads, const double *r, double *z);
} ebm_precond_t;

/* B = 1 / diagonal; entries of `diagonal` that are not positive give zero. */
typedef struct ebm_jacobi {
    int64_t n_states;
    const double *diagonal;
} ebm_jacobi_t;
void ebm_jacobi_precond(ebm_jacobi_t *jacobi, ebm_precond_t *precond);

typedef struct ebm_cg {
    /* the scaled operator; its shift cancels in D - F and is not used */
    const ebm_scaled_t *F;
    const ebm_precond_t *precond;
    const double *weight; /* (n_states,) w; zero outside the set that is solved on */
    double *x;            /* (n_states,) the iterate */
    double *r;            /* (n_states,) the residual b - (D - F) x */
    double *z, *p, *q;    /* (n_states,) B r, the search direction, (D - F) p */
    double energy;        /* r . z, about the square of the error's energy norm */
    double worst; /* max r / w where w > 0, in size: the residual of the unsymmetrised system */
} ebm_cg_t;

/* From x = 0 and r = b. */
int ebm_cg_start(ebm_cg_t *state, int num_threads);

/* At most n_steps steps of the flexible recurrence (Notay 2000), fewer where worst <= target or
   energy <= least; *n_done is the number made. */
int ebm_cg_expand(ebm_cg_t *state, int64_t n_steps, double target, double least, int num_threads,
                  int64_t *n_done);

#endif
