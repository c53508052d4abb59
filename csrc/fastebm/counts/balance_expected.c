#include "fastebm/counts/balance_expected.h"

#include <math.h>
#include <stddef.h>

static inline double expected_share(double d)
{
    const double e = exp(-fabs(d));
    return (d >= 0.0 ? 1.0 : e) / (1.0 + e);
}

int ebm_balance_expected(const ebm_pairgraph_t *counts, const int32_t *labels, const double *v,
                         double *expected)
{
    for (int64_t x = 0; x < counts->n_states; x++)
        for (int64_t k = counts->indptr[x]; k < counts->indptr[x + 1]; k++) {
            const int64_t y = counts->indices[k];
            const double n = counts->forward[k], both = n + counts->backward[k];
            const int is_fitted = both > 0.0 && (!labels || labels[x] == labels[y]);
            expected[k] = is_fitted ? both * expected_share(v[x] - v[y]) : n;
        }
    return EBM_OK;
}
