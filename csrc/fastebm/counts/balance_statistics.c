#include "fastebm/counts/balance_statistics.h"

#include <math.h>
#include <stddef.h>

#include "fastebm/patterns/graph.h"
#include "fastebm/counts/pair_newton.h"
#include "fastebm/counts/resample.h"

/* Tolerance of a replicate's fit: both statistics are stationary at the fit, so an error of 1e-6 in
   v changes them by 1e-12 of the counts. */
#define REPLICATE_TOL 1e-6
#define REPLICATE_MAX_NEWTON 100

static inline double expected_share(double d)
{
    const double e = exp(-fabs(d));
    return (d >= 0.0 ? 1.0 : e) / (1.0 + e);
}

int ebm_balance_statistics(const ebm_pairgraph_t *counts, const int32_t *labels, const double *v,
                           double *fitted, double *likelihood_ratio, double *score)
{
    double lr = 0.0, square = 0.0;
    for (int64_t x = 0; x < counts->n_states; x++) {
        double row_lr = 0.0, row_square = 0.0;
        for (int64_t k = counts->indptr[x]; k < counts->indptr[x + 1]; k++) {
            const int64_t y = counts->indices[k];
            const double n = counts->forward[k], back = counts->backward[k], both = n + back;
            double m = n;
            if (both > 0.0 && (!labels || labels[x] == labels[y])) {
                m = both * expected_share(v[x] - v[y]);
                const double other = both * expected_share(v[y] - v[x]), off = n - m;
                if (n > 0.0) row_lr += n * log(n / m);
                /* both directions are off by the same */
                if (y > x) row_square += off * off * (1.0 / m + 1.0 / other);
            }
            if (fitted) fitted[k] = m;
        }
        lr += row_lr;
        square += row_square;
    }
    *likelihood_ratio = lr > 0.0 ? 2.0 * lr : 0.0;
    *score = square;
    return EBM_OK;
}

int64_t ebm_balance_work(int64_t n_states, int64_t nnz) { return 7 * n_states + 3 * nnz; }

int64_t ebm_balance_work_index(int64_t n_states, int64_t nnz)
{
    /* indptr and next: int64; three of Tarjan's arrays, labels and the indices: int32 */
    return 2 * n_states + 1 + (4 * n_states + nnz + 1) / 2;
}

/* The classes of the positive counts, and every count between classes set to zero. */
static void keep_within_classes(const ebm_pairgraph_t *pattern, double *forward, double *backward,
                                int64_t *work, int32_t **labels)
{
    const int64_t n = pattern->n_states;
    int64_t *indptr = work, *next = indptr + n + 1;
    int32_t *tarjan = (int32_t *)(next + n), *indices = tarjan + 4 * n;
    *labels = tarjan + 3 * n;
    indptr[0] = 0;
    for (int64_t x = 0; x < n; x++) {
        int64_t to = indptr[x];
        for (int64_t k = pattern->indptr[x]; k < pattern->indptr[x + 1]; k++)
            if (forward[k] > 0.0) indices[to++] = pattern->indices[k];
        indptr[x + 1] = to;
    }
    const ebm_csr_t positive = {n, indptr, indices, NULL, EBM_VALUES_NONE};
    ebm_graph_components_t search = {.A = &positive,
                                     .labels = *labels,
                                     .low = tarjan,
                                     .open = tarjan + n,
                                     .parent = tarjan + 2 * n,
                                     .next = next};
    for (int64_t x = 0; x < n; x++) (*labels)[x] = -1;
    for (int done = 0; !done;) ebm_graph_components_expand(&search, n + indptr[n], &done);
    if (search.n_classes == 1) return;
    for (int64_t x = 0; x < n; x++)
        for (int64_t k = pattern->indptr[x]; k < pattern->indptr[x + 1]; k++)
            if ((*labels)[x] != (*labels)[pattern->indices[k]]) forward[k] = backward[k] = 0.0;
}

static int one_replicate(const ebm_pairgraph_t *pattern, const int64_t *mirror,
                         const double *expected, const double *total, const double *v,
                         const uint64_t key[2], int64_t replicate, double *work,
                         int64_t *work_index, double *likelihood_ratio, double *score,
                         double *deviation)
{
    const int64_t n = pattern->n_states, nnz = pattern->indptr[n];
    double *forward = work + 7 * n, *backward = forward + nnz, *weight = backward + nnz;
    int32_t *labels;
    ebm_resample_rows(n, pattern->indptr, expected, total, total, key, replicate, 1, forward);
    for (int64_t k = 0; k < nnz; k++) backward[k] = forward[mirror[k]];
    keep_within_classes(pattern, forward, backward, work_index, &labels);

    ebm_pair_newton_t fit = {
        .graph = {n, pattern->indptr, pattern->indices, forward, backward},
        .kind = EBM_PAIR_NEWTON_LOGISTIC,
        .tol = REPLICATE_TOL,
        .max_newton = REPLICATE_MAX_NEWTON,
        .v = work,
        .gradient = work + n,
        .diagonal = work + 2 * n,
        .step = work + 3 * n,
        .residual = work + 4 * n,
        .direction = work + 5 * n,
        .product = work + 6 * n,
        .weight = weight,
    };
    for (int64_t x = 0; x < n; x++) fit.v[x] = v[x];
    const int status = ebm_pair_newton_run(&fit, INT64_MAX / 2, 1);
    if (status != EBM_OK || fit.n_newton >= REPLICATE_MAX_NEWTON) {
        *likelihood_ratio = *score = NAN;
        return EBM_OK;
    }
    double *fitted = weight; /* the weights are not needed any more */
    ebm_balance_statistics(&fit.graph, labels, fit.v, fitted, likelihood_ratio, score);
    if (deviation)
        for (int64_t k = 0; k < nnz; k++) deviation[k] = forward[k] - fitted[k];
    return EBM_OK;
}

int ebm_balance_bootstrap(const ebm_pairgraph_t *pattern, const int64_t *mirror,
                          const double *expected, const double *total, const double *v,
                          const uint64_t key[2], int64_t first, int64_t n_replicates, int n_slots,
                          double *work, int64_t *work_index, double *likelihood_ratio,
                          double *score, double *deviation)
{
    const int64_t n = pattern->n_states, nnz = pattern->indptr[n];
    const int64_t per_slot = ebm_balance_work(n, nnz),
                  index_per_slot = ebm_balance_work_index(n, nnz);
    /* replicate r belongs to slot r modulo n_slots: no outcome depends on which */
#pragma omp parallel for num_threads(n_slots) schedule(static, 1) if (n_slots > 1)
    for (int slot = 0; slot < n_slots; slot++)
        for (int64_t r = slot; r < n_replicates; r += n_slots)
            one_replicate(pattern, mirror, expected, total, v, key, first + r,
                          work + slot * per_slot, work_index + slot * index_per_slot,
                          likelihood_ratio + r, score + r, deviation ? deviation + r * nnz : NULL);
    return EBM_OK;
}
