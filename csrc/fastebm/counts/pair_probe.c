#include "fastebm/counts/pair_probe.h"

#include <math.h>

#include "fastebm/base/parallel.h"
#include "fastebm/base/random.h"
#include "fastebm/counts/pair_terms.h"

int ebm_pair_probe_slopes(const ebm_pair_newton_t *s, int num_threads, double *slope)
{
    (void)num_threads;
    const ebm_pairgraph_t *graph = &s->graph;
#pragma omp parallel for num_threads(num_threads)            \
    schedule(static) if (graph->n_states > EBM_BLOCK_STATES)
    for (int64_t x = 0; x < graph->n_states; x++)
        for (int64_t k = graph->indptr[x]; k < graph->indptr[x + 1]; k++) {
            const double w = graph->forward[k], back = graph->backward[k],
                         d = s->v[x] - s->v[graph->indices[k]];
            double g, h, size;
            if (s->kind == EBM_PAIR_NEWTON_SQUARES) {
                pair_terms(s->kind, w, back, d, &g, &h, &size);
                /* of h (d - log(w / back)): h depends on w, too */
                slope[k] = h > 0.0 ? (h / w) * (g / w - 1.0) : 0.0;
            } else {
                pair_terms(s->kind, 1.0, 0.0, d, &g, &h, &size);
                slope[k] = g;
            }
        }
    return EBM_OK;
}

int ebm_pair_probe_draw(const ebm_pairgraph_t *graph, const int64_t *mirror, const double *slope,
                        const double *total, const double *scale, const uint64_t key[2],
                        int64_t probe, int num_threads, double *flow, double *g)
{
    (void)num_threads;
    const int64_t n = graph->n_states;
#pragma omp parallel for num_threads(num_threads) schedule(static) if (n > EBM_BLOCK_STATES)
    for (int64_t x = 0; x < n; x++) { /* flow[k]: the coefficient of e_x - e_y */
        uint64_t block[4];
        int64_t drawn = 0;
        double staying = total[x], sum = 0.0;
        /* the last iteration is the diagonal entry */
        for (int64_t k = graph->indptr[x]; k <= graph->indptr[x + 1]; k++, drawn++) {
            if (drawn % 256 == 0) {
                const uint64_t counter[4] = {(uint64_t)(drawn / 256), (uint64_t)x, (uint64_t)probe,
                                             2};
                ebm_philox_block(key, counter, block);
            }
            const double sign = (block[drawn % 256 / 64] >> (drawn % 64)) & 1 ? 1.0 : -1.0;
            const double w = k < graph->indptr[x + 1] ? graph->forward[k]
                             : staying > 0.0          ? staying
                                                      : 0.0;
            const double term = sign * sqrt(scale[x] * w);
            sum += term;
            if (k == graph->indptr[x + 1]) break;
            staying -= w;
            flow[k] = term * slope[k];
        }
        for (int64_t k = graph->indptr[x]; k < graph->indptr[x + 1]; k++)
            flow[k] -= sum / total[x] * graph->forward[k] * slope[k];
    }
#pragma omp parallel for num_threads(num_threads) schedule(static) if (n > EBM_BLOCK_STATES)
    for (int64_t x = 0; x < n; x++) {
        double in = 0.0;
        for (int64_t k = graph->indptr[x]; k < graph->indptr[x + 1]; k++)
            in += flow[k] - flow[mirror[k]];
        g[x] = in;
    }
    return EBM_OK;
}
