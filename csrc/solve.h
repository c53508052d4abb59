/* Conjugate gradients for (I - S) x = b, S a symmetric scaled operator with spectrum below one (S is P_BB symmetrised:
   its scalings are zero on the target). */
#ifndef EBM_SOLVE_H
#define EBM_SOLVE_H

#include "kernel.h"

typedef struct ebm_cg {
    const ebm_scaled_t *S;
    double *x;        /* (n_states,) the iterate */
    double *r;        /* (n_states,) the residual b - (I - S) x */
    double *p;        /* (n_states,) the search direction */
    double *q;        /* (n_states,) (I - S) p */
    double *scaled_p; /* (n_states,) col * p; NULL where S->col is NULL */
    double square;    /* |r|^2 */
} ebm_cg_t;

/* From x = 0 and r = b. */
int ebm_cg_start(ebm_cg_t *state, int num_threads);

/* At most n_steps steps, fewer where |r|^2 <= target; *n_done tells. */
int ebm_cg_expand(ebm_cg_t *state, int64_t n_steps, double target, int num_threads, int64_t *n_done);

#endif
