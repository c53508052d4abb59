#include "fastebm/chains/lump.h"

#include <stddef.h>

int ebm_lump_order(const int32_t *labels, int64_t begin, int64_t end, int64_t *place,
                   int32_t *order)
{
    for (int64_t x = begin; x < end; x++) order[place[labels[x]]++] = (int32_t)x;
    return EBM_OK;
}

/* The state at `position` reaches B for the first time: those of its set between the last one that
   did and this one do not. */
static void enter(ebm_lump_t *lump, int32_t B, int64_t position)
{
    if (lump->last[B] < lump->start) {
        lump->touched[lump->n_touched++] = B;
        lump->high[B] = -1.0;
        lump->low[B] = 2.0;
        lump->flow[B] = 0.0;
        lump->last[B] = (int32_t)(lump->start - 1);
    }
    if (lump->last[B] < position - 1 && lump->low[B] > 0.0) {
        lump->low[B] = 0.0;
        lump->low_at[B] = lump->order[position - 1];
    }
    lump->last[B] = (int32_t)position;
    lump->probability[B] = 0.0;
}

static void state(ebm_lump_t *lump, int64_t position)
{
    const ebm_csr_t *A = lump->A;
    const int32_t x = lump->order[position];
    int64_t n_row = 0;
    if (lump->shift && lump->shift[x] != 0.0) {
        enter(lump, lump->labels[x], position);
        lump->row_touched[n_row++] = lump->labels[x];
    }
    for (int64_t k = A->indptr[x]; k < A->indptr[x + 1]; k++) {
        const int32_t y = A->indices[k], B = lump->labels[y];
        if (lump->last[B] != position) {
            enter(lump, B, position);
            lump->row_touched[n_row++] = B;
        }
        lump->probability[B] += ebm_csr_value(A, k) * (lump->col ? lump->col[y] : 1.0);
    }
    for (int64_t i = 0; i < n_row; i++) {
        const int32_t B = lump->row_touched[i];
        double p = lump->probability[B] * (lump->row ? lump->row[x] : 1.0);
        if (lump->shift && B == lump->labels[x]) p += lump->shift[x];
        if (p > lump->high[B]) lump->high[B] = p, lump->high_at[B] = x;
        if (p < lump->low[B]) lump->low[B] = p, lump->low_at[B] = x;
        if (lump->weight) lump->flow[B] += lump->weight[x] * p;
    }
}

int ebm_lump_judge(ebm_lump_t *lump)
{
    for (int64_t i = 0; i < lump->n_touched; i++) {
        const int32_t B = lump->touched[i];
        const int is_missed = lump->last[B] < lump->at - 1 && lump->low[B] > 0.0;
        const double defect = lump->high[B] - (is_missed ? 0.0 : lump->low[B]);
        if (defect > lump->defect) {
            lump->defect = defect;
            lump->x = lump->high_at[B];
            lump->y = is_missed ? lump->order[lump->at - 1] : lump->low_at[B];
            lump->into = B;
        }
    }
    return EBM_OK;
}

int ebm_lump_expand(ebm_lump_t *lump, int64_t n_entries, int *done)
{
    const int64_t n = lump->A->n_states;
    for (int64_t seen = 0; lump->at < n && seen < n_entries;) {
        const int32_t x = lump->order[lump->at], set = lump->labels[x];
        state(lump, lump->at++);
        seen += 1 + lump->A->indptr[x + 1] - lump->A->indptr[x];
        if (lump->at < n && lump->labels[lump->order[lump->at]] == set) continue;
        ebm_lump_judge(lump);
        if (lump->weight) {
            lump->degree[set] = lump->n_touched;
            for (int64_t i = 0; i < lump->n_touched; i++, lump->n_out++) {
                lump->out_into[lump->n_out] = lump->touched[i];
                lump->out_flow[lump->n_out] = lump->flow[lump->touched[i]];
            }
        }
        lump->start = lump->at;
        lump->n_touched = 0;
        /* the next set may reach all */
        if (lump->weight && lump->capacity - lump->n_out < lump->n_sets) break;
    }
    *done = lump->at == n;
    return EBM_OK;
}
