/* The three-term Lanczos recurrence on the symmetrisation S of a reversible chain P = diag(row) A
   diag(col) + diag(shift), with the known top eigenvector sqrt(pi) deflated in every step. It keeps
   two vectors and no basis: without reorthogonalisation converged Ritz values appear several times,
   but none is spurious (Paige 1972).

   It runs in the coordinates w = col * f, f the function that P acts on, because w is what A is
   applied to: then w <- (row * col) * (A w), the constant function is `top` = col, and S, sqrt(pi)
   and a scaled copy of the vector are never formed: a step reads one scaling instead of two. The
   inner product of these coordinates is sum N w w' with N = pi / col^2; N = ratio / square below.
   With A symmetric, pi is col / row up to a factor and the ratio a constant, which `top_scale`
   includes: a step moves 72 bytes a state in addition to A's. */
#ifndef FASTEBM_LINALG_LANCZOS_H
#define FASTEBM_LINALG_LANCZOS_H

#include "fastebm/base/kernel.h"

typedef struct ebm_lanczos {
    const ebm_kernel_t *kernel;
    const double *square;   /* (n_states,) row * col; NULL for ones */
    const double *ratio;    /* (n_states,) pi * row / col; NULL for a constant */
    const double *shift;    /* (n_states,) NULL for zeros */
    const double *top;      /* (n_states,) col; NULL for ones */
    double top_scale;       /* top_scale * top has norm one */
    double *w;              /* (n_states,) the current vector, before its division by `norm` */
    double *w_prev;         /* (n_states,) the one before it, likewise */
    double norm, norm_prev; /* their norms */
    double mean, mean_prev; /* their components along top */
} ebm_lanczos_t;

/* Starts from any w: removes its component along top, sets norm and mean, clears w_prev. */
int ebm_lanczos_start(ebm_lanczos_t *state, int num_threads);

/* n_steps steps. alpha[j], beta[j]: the diagonal entry of step j and the norm after it. Stops early
   where beta[j] is zero to rounding (an invariant subspace); *n_done is the number made. combine
   (n_steps,) and ritz (n_states,): in addition ritz += combine[j] w_j / |w_j| for the vectors of
   these steps (the second pass, which forms a Ritz vector); both may be NULL. w and w_prev are
   swapped. */
int ebm_lanczos_expand(ebm_lanczos_t *state, int64_t n_steps, const double *combine,
                       int num_threads, double *ritz, double *alpha, double *beta, int64_t *n_done);

#endif
