/* The derivatives of the convex functions K of pair_newton.h, inlined into every pass. Private to
   this folder. */
#ifndef FASTEBM_COUNTS_PAIR_TERMS_H
#define FASTEBM_COUNTS_PAIR_TERMS_H

#include <math.h>

#include "fastebm/base/parallel.h"
#include "fastebm/counts/pair_newton.h"

/* The contribution of the pair (w, back) at the difference d: its slope g in d, its curvature h,
   and the size of g's terms. */
EBM_INLINE void pair_terms(ebm_pair_newton_kind_t kind, double w, double back, double d, double *g,
                           double *h, double *size)
{
    switch (kind) {
    case EBM_PAIR_NEWTON_LOGISTIC: {
        /* sigma(-|d|), sigma(|d|) */
        const double e = exp(-fabs(d)), small = e / (1.0 + e), large = 1.0 / (1.0 + e);
        const double down = w * (d >= 0.0 ? small : large), up = back * (d >= 0.0 ? large : small);
        *g = up - down;
        *h = (w + back) * small * large;
        *size = up + down;
        return;
    }
    case EBM_PAIR_NEWTON_EXPONENTIAL: {
        const double e = exp(-0.5 * d), down = 0.5 * w * e, up = 0.5 * back / e;
        *g = up - down;
        *h = 0.5 * (up + down);
        *size = up + down;
        return;
    }
    default: {
        *g = *h = *size = 0.0;
        if (w > 0.0 && back > 0.0) {
            const double ratio = log(w) - log(back);
            *h = 1.0 / (1.0 / w + 1.0 / back);
            *g = *h * (d - ratio);
            *size = *h * (fabs(d) + fabs(ratio));
        }
    }
    }
}

#endif
