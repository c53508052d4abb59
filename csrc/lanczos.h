/* The three-term Lanczos recurrence on a symmetric scaled operator S with one known eigenvector deflated: five vectors,
   no basis. Paige (1972): without reorthogonalisation copies of converged Ritz values appear, none of them false. */
#ifndef EBM_LANCZOS_H
#define EBM_LANCZOS_H

#include "kernel.h"

typedef struct ebm_lanczos {
    const ebm_scaled_t *S;
    const double *deflate; /* (n_states,) unit eigenvector kept out of the recurrence: sqrt(pi) */
    double *v;             /* (n_states,) the current vector, before its division by `norm` */
    double *v_prev;        /* (n_states,) the one before it, of norm one */
    double *scaled_v;      /* (n_states,) col * v, the operand of the product; NULL where S->col is NULL */
    double norm;           /* |v| */
} ebm_lanczos_t;

/* From any v: removes the deflated direction, sets scaled_v and norm, clears v_prev. */
int ebm_lanczos_start(ebm_lanczos_t *state, int num_threads);

/* n_steps steps. alpha[j], beta[j]: the diagonal entry of step j and the norm after it. Stops early where beta[j] is
   zero to rounding (an invariant subspace); *n_done tells. combine (n_steps,) with ritz (n_states,): besides,
   ritz += combine[j] v_j for the vectors of these steps (the second pass that forms a Ritz vector); both may be NULL. */
int ebm_lanczos_expand(ebm_lanczos_t *state, int64_t n_steps, const double *combine, int num_threads, double *ritz,
                       double *alpha, double *beta, int64_t *n_done);

#endif
