/* Operators made of a scaled operator S that are applied and never formed, on blocks of contiguous vectors. With
   S = D^(1/2) P D^(-1/2), D = diag(pi): S^T is P* symmetrised, S S^T the multiplicative reversibilisation P P* and
   (S + S^T) / 2 the additive one. */
#ifndef EBM_COMPOSE_H
#define EBM_COMPOSE_H

#include "kernel.h"

typedef enum ebm_compose_kind {
    EBM_COMPOSE_RIGHT, /* S */
    EBM_COMPOSE_LEFT,  /* S^T */
    EBM_COMPOSE_FOLD,  /* S S^T */
    EBM_COMPOSE_MEAN   /* (S + S^T) / 2 */
} ebm_compose_kind_t;

/* y = op x; x and y are (width, n_states), each vector contiguous, and distinct. scratch: n_states * width doubles, twice as
   many for EBM_COMPOSE_FOLD. All but EBM_COMPOSE_RIGHT need the kernel's transpose. */
int ebm_compose_apply(const ebm_scaled_t *S, ebm_compose_kind_t kind, int num_threads, int64_t width, const double *x,
                      double *scratch, double *y);

#endif
