#include "fastebm/counts/pair_graph.h"

#include "fastebm/patterns/pairs.h"

int ebm_pairgraph_count(const ebm_csr_t *A, const ebm_csr_t *T, int64_t *indptr)
{
    indptr[0] = 0;
    for (int64_t x = 0; x < A->n_states; x++) {
        ebm_pairs_t pair = ebm_pairs_of(A, T, x);
        int64_t degree = 0;
        while (ebm_pairs_next(&pair)) degree += pair.other != x;
        indptr[x + 1] = indptr[x] + degree;
    }
    return EBM_OK;
}

int ebm_pairgraph_fill(const ebm_csr_t *A, const ebm_csr_t *T, const int64_t *indptr, int64_t *work,
                       int32_t *indices, double *forward, double *backward, int64_t *mirror)
{
    for (int64_t x = 0; x < A->n_states; x++) {
        ebm_pairs_t pair = ebm_pairs_of(A, T, x);
        int64_t k = indptr[x];
        work[x] = k;
        while (ebm_pairs_next(&pair)) {
            if (pair.other == x) continue;
            indices[k] = pair.other;
            forward[k] = pair.forward;
            backward[k++] = pair.backward;
        }
    }
    /* rows ascend, so the entries of column y come in the order of row y */
    for (int64_t x = 0; x < A->n_states; x++)
        for (int64_t k = indptr[x]; k < indptr[x + 1]; k++) mirror[k] = work[indices[k]]++;
    return EBM_OK;
}
