/* Digits and steps of a lattice's states, inlined into its loops. Private to this folder. */
#ifndef FASTEBM_PATTERNS_LATTICE_AXES_H
#define FASTEBM_PATTERNS_LATTICE_AXES_H

#include "fastebm/base/parallel.h"
#include "fastebm/patterns/lattice.h"

EBM_INLINE int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

EBM_INLINE int64_t digit_of(const ebm_lattice_t *L, int64_t axis, int64_t state)
{
    return state / L->stride[axis] % L->length[axis];
}

EBM_INLINE int is_cube(const ebm_lattice_t *L) { return !L->is_cyclic && L->length[0] == 2; }

EBM_INLINE int64_t steps_along(const ebm_lattice_t *L, int64_t axis)
{
    return L->is_cyclic ? 2 : L->length[axis] - 1;
}

/* The number that the k-th step along an axis adds to a state with this digit. */
EBM_INLINE int64_t step_along(const ebm_lattice_t *L, int64_t axis, int64_t digit, int64_t k)
{
    const int64_t length = L->length[axis], stride = L->stride[axis];
    if (!L->is_cyclic) return (k + (k >= digit) - digit) * stride;
    if (k == 0) return digit > 0 ? -stride : (length - 1) * stride;
    return digit < length - 1 ? stride : -(length - 1) * stride;
}

/* Where the steps along an axis stop being the same as from `state`: rows state..end-1 share
   them. */
EBM_INLINE int64_t run_end(const ebm_lattice_t *L, int64_t axis, int64_t digit, int64_t state,
                           int64_t end)
{
    const int64_t length = L->length[axis], stride = L->stride[axis];
    const int64_t last = L->is_cyclic && digit > 0 && digit < length - 1 ? length - 2 : digit;
    return least(end, (state / stride - digit + last + 1) * stride);
}

#endif
