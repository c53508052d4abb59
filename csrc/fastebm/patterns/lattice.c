#include "fastebm/patterns/lattice.h"

#include <stddef.h>

#include "fastebm/base/parallel.h"
#include "fastebm/base/random.h"
#include "fastebm/patterns/lattice_axes.h"
#include "fastebm/patterns/lattice_product.h"

int ebm_lattice_start(int64_t n_axes, const int64_t *lengths, int is_cyclic, int self_loop,
                      ebm_lattice_t *lattice)
{
    if (n_axes < 1 || n_axes > EBM_LATTICE_MAX_AXES) return EBM_ERR_ARGUMENT;
    ebm_lattice_t L = {.n_states = 1,
                       .degree = self_loop != 0,
                       .n_axes = n_axes,
                       .is_cyclic = is_cyclic,
                       .self_loop = self_loop};
    for (int64_t a = 0; a < n_axes; a++) {
        const int64_t length = lengths[a];
        if (length < (is_cyclic ? 1 : 2) || (!is_cyclic && length != lengths[0]))
            return EBM_ERR_ARGUMENT;
        if (L.n_states > (INT64_C(1) << 62) / length) return EBM_ERR_ARGUMENT;
        L.length[a] = length;
        L.stride[a] = L.n_states;
        L.n_states *= length;
        L.degree += is_cyclic ? 2 : length - 1;
    }
    *lattice = L;
    return EBM_OK;
}

EBM_INLINE void add_differences(int power, int64_t count, int64_t offset, const double *col,
                                const double *x, double *y)
{
    for (int64_t k = 0; k < count; k++) {
        const double d = x[k] - x[k + offset], w = col ? col[k + offset] * d : d;
        y[k] += power == 2 ? w * d : w;
    }
}

EBM_MULTIVERSION
static void differences(const ebm_lattice_t *L, int64_t begin, int64_t end, int power,
                        const double *col, const double *x, double *y)
{
    for (int64_t i = begin; i < end; i++) y[i - begin] = 0.0;
    for (int64_t axis = 0; axis < L->n_axes; axis++)
        for (int64_t i = begin, stop; i < end; i = stop) {
            const int64_t digit = digit_of(L, axis, i);
            stop = run_end(L, axis, digit, i, end);
            for (int64_t k = 0; k < steps_along(L, axis); k++) {
                const int64_t offset = step_along(L, axis, digit, k);
                if (power == 2)
                    add_differences(2, stop - i, offset, col ? col + i : NULL, x + i,
                                    y + (i - begin));
                else
                    add_differences(1, stop - i, offset, col ? col + i : NULL, x + i,
                                    y + (i - begin));
            }
        }
}

static int lattice_difference(const void *ctx, int64_t begin, int64_t end, int power,
                              const double *col, const double *x, double *y)
{
    differences(ctx, begin, end, power, col, x, y);
    return EBM_OK;
}

/* Steps along a slower axis are longer than all of a faster one: ascending rows are the steps down
   from the slowest axis to the fastest, then the self-loops, then the steps up from the fastest to
   the slowest. */
static int64_t row_of(const ebm_lattice_t *L, int64_t x, int64_t *out)
{
    int64_t n = 0;
    if (is_cube(L)) { /* no division: a walker enumerates a row at each step */
        for (int64_t b = L->n_axes - 1; b >= 0; b--)
            if (x >> b & 1) out[n++] = x ^ (INT64_C(1) << b);
        if (L->self_loop) out[n++] = x;
        for (int64_t b = 0; b < L->n_axes; b++)
            if (!(x >> b & 1)) out[n++] = x ^ (INT64_C(1) << b);
        return n;
    }
    for (int sign = -1; sign <= 1; sign++) {
        if (sign == 0 && L->self_loop) out[n++] = x;
        for (int64_t a = 0; a < L->n_axes; a++) {
            const int64_t axis = sign < 0 ? L->n_axes - 1 - a : a, digit = digit_of(L, axis, x),
                          steps = steps_along(L, axis);
            const int swapped =
                L->is_cyclic && step_along(L, axis, digit, 0) > step_along(L, axis, digit, 1);
            for (int64_t k = 0; k < steps; k++) {
                const int64_t step = step_along(L, axis, digit, swapped ? 1 - k : k);
                if ((step > 0) - (step < 0) == sign) out[n++] = x + step;
            }
        }
    }
    return n;
}

static int lattice_rows(const void *ctx, int64_t begin, int64_t end, int64_t *indptr,
                        int64_t *indices, double *values)
{
    const ebm_lattice_t *L = ctx;
    for (int64_t i = begin; i <= end; i++) indptr[i - begin] = (i - begin) * L->degree;
    for (int64_t i = begin; i < end && indices; i++) row_of(L, i, indices + indptr[i - begin]);
    for (int64_t k = 0; k < (end - begin) * L->degree && values; k++) values[k] = 1.0;
    return EBM_OK;
}

static int lattice_step(const void *ctx, int64_t n_walkers, const uint64_t *bits, int64_t *states)
{
    const ebm_lattice_t *L = ctx;
    const int64_t each = steps_along(L, 0);
    for (int64_t w = 0; w < n_walkers; w++) {
        uint64_t choice;
        ebm_multiply_wide(bits[w], (uint64_t)L->degree, &choice);
        const int64_t k = (int64_t)choice - (L->self_loop != 0), x = states[w];
        if (k < 0) continue;
        const int64_t axis = k / each;
        states[w] = x + step_along(L, axis, digit_of(L, axis, x), k % each);
    }
    return EBM_OK;
}

void ebm_lattice_kernel(const ebm_lattice_t *lattice, ebm_kernel_t *kernel)
{
    *kernel = (ebm_kernel_t){
        .n_states = lattice->n_states,
        .ctx = lattice,
        .apply = ebm_lattice_product,
        .apply_t = ebm_lattice_product,
        .difference = lattice_difference,
        .step = lattice_step,
        .rows = lattice_rows,
        .max_degree = lattice->degree,
        .all_ones = 1,
    };
}
