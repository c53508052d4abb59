/* Products with operators composed of a scaled operator S, which are never formed, on blocks of
   contiguous vectors. With S = D^(1/2) P D^(-1/2), D = diag(pi): S^T is P* symmetrised, S S^T the
   multiplicative reversibilisation P P* and (S + S^T) / 2 the additive one. */
#ifndef FASTEBM_LINALG_COMPOSED_H
#define FASTEBM_LINALG_COMPOSED_H

#include "fastebm/base/kernel.h"

typedef enum ebm_composed_kind {
    EBM_COMPOSED_RIGHT,          /* S */
    EBM_COMPOSED_LEFT,           /* S^T */
    EBM_COMPOSED_MULTIPLICATIVE, /* S S^T */
    EBM_COMPOSED_ADDITIVE        /* (S + S^T) / 2 */
} ebm_composed_kind_t;

/* y = op x; x and y are (width, n_states), each vector contiguous, and distinct. scratch: n_states
   * width doubles, twice as many for EBM_COMPOSED_MULTIPLICATIVE. All but EBM_COMPOSED_RIGHT need
   the kernel's transpose. */
int ebm_composed_apply(const ebm_scaled_t *S, ebm_composed_kind_t kind, int num_threads,
                       int64_t width, const double *x, double *scratch, double *y);

#endif
