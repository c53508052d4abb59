#include "fastebm/counts/cycle.h"

#include <math.h>
#include <stddef.h>

int ebm_cycle_forest(int64_t n_states, const int64_t *indptr, const int32_t *indices,
                     const double *ratio, int32_t *queue, int32_t *parent, int32_t *depth)
{
    for (int64_t x = 0; x < n_states; x++) depth[x] = -1;
    for (int64_t root = 0; root < n_states; root++) {
        if (depth[root] >= 0) continue;
        int64_t head = 0, tail = 0;
        depth[root] = 0;
        parent[root] = (int32_t)root;
        queue[tail++] = (int32_t)root;
        while (head < tail) {
            const int32_t x = queue[head++];
            for (int64_t k = indptr[x]; k < indptr[x + 1]; k++) {
                const int32_t y = indices[k];
                if (depth[y] >= 0 || isnan(ratio[k])) continue;
                depth[y] = depth[x] + 1;
                parent[y] = x;
                queue[tail++] = y;
            }
        }
    }
    return EBM_OK;
}

/* The entry (x, y); it is known to be there. */
static int64_t entry_of(const int64_t *indptr, const int32_t *indices, int32_t x, int32_t y)
{
    int64_t low = indptr[x], high = indptr[x + 1] - 1;
    while (low < high) {
        const int64_t middle = low + (high - low) / 2;
        if (indices[middle] < y) low = middle + 1;
        else high = middle;
    }
    return low;
}

/* Makes a place for a cycle of this score; NULL if n_keep better ones are known. */
static ebm_cycle_t *place_for(double score, int64_t n_keep, ebm_cycle_t *best, int64_t *n_best)
{
    if (n_keep == 0 || (*n_best == n_keep && !(score > best[n_keep - 1].score))) return NULL;
    int64_t at = *n_best < n_keep ? (*n_best)++ : n_keep - 1;
    for (; at > 0 && score > best[at - 1].score; at--) best[at] = best[at - 1];
    return best + at;
}

static double score_of(double affinity, double variance)
{
    return variance > 0.0 ? fabs(affinity) / sqrt(variance) : fabs(affinity);
}

int ebm_cycle_rank(int64_t n_states, const int64_t *indptr, const int32_t *indices,
                   const double *ratio, const double *variance, const int32_t *parent,
                   const int32_t *depth, int64_t begin, int64_t end, int64_t n_keep,
                   ebm_cycle_t *best, int64_t *n_best, ebm_cycle_totals_t *totals)
{
    if (begin < 0 || end > n_states) return EBM_ERR_ARGUMENT;
    for (int32_t x = (int32_t)begin; x < end; x++)
        for (int64_t k = indptr[x]; k < indptr[x + 1]; k++) {
            const int32_t y = indices[k];
            if (y <= x || isnan(ratio[k])) continue;

            /* triangles x < y < z: the two rows walked together */
            int64_t i = k + 1, j = indptr[y];
            while (i < indptr[x + 1] && j < indptr[y + 1]) {
                if (indices[i] != indices[j] || indices[j] <= y) {
                    if (indices[i] <= indices[j] && indices[j] > y) i++;
                    else j++;
                    continue;
                }
                if (!isnan(ratio[i]) && !isnan(ratio[j])) {
                    const double affinity = ratio[k] + ratio[j] - ratio[i];
                    const double spread = variance ? variance[k] + variance[j] + variance[i] : 0.0;
                    const double score = score_of(affinity, spread);
                    ebm_cycle_t *cycle = place_for(score, n_keep, best, n_best);
                    if (cycle)
                        *cycle = (ebm_cycle_t){affinity, spread, score, 3, {x, y, indices[i]}};
                    totals->n_triangles++;
                    totals->triangle_square += score * score;
                }
                i++;
                j++;
            }

            /* the cycle that (x, y) closes with the forest: from y up to the first common ancestor,
               down to x */
            if (parent[y] == x || parent[x] == y) continue;
            double affinity = ratio[k], spread = variance ? variance[k] : 0.0;
            int64_t length = 1;
            int32_t up = y, down = x;
            while (up != down) {
                const int from_y = depth[up] >= depth[down];
                const int32_t child = from_y ? up : down;
                const int64_t edge = entry_of(indptr, indices, child, parent[child]);
                affinity += from_y ? ratio[edge] : -ratio[edge];
                spread += variance ? variance[edge] : 0.0;
                length++;
                if (from_y) up = parent[up];
                else down = parent[down];
            }
            if (length <= 3) continue; /* counted as a triangle */
            totals->n_longer++;
            if (length > EBM_CYCLE_LONGEST) continue;
            const double score = score_of(affinity, spread);
            ebm_cycle_t *cycle = place_for(score, n_keep, best, n_best);
            if (!cycle) continue;
            *cycle = (ebm_cycle_t){affinity, spread, score, length, {x}};
            const int32_t top = up;
            int64_t at = 1;
            for (int32_t s = y; s != top; s = parent[s]) cycle->states[at++] = s;
            if (x != top) cycle->states[at] = top;
            /* from the ancestor down to x: filled from the end, x itself is first */
            at = length - 1;
            for (int32_t s = x; s != top && parent[s] != top; s = parent[s])
                cycle->states[at--] = parent[s];
        }
    return EBM_OK;
}
