/* The weighted pairs of states that a matrix of counts or probabilities defines.

   Stored matrices only: counts are a stored matrix. */
#ifndef FASTEBM_COUNTS_PAIR_GRAPH_H
#define FASTEBM_COUNTS_PAIR_GRAPH_H

#include "fastebm/patterns/csr.h"

/* Each unordered pair of distinct states is stored twice, in the rows of both. */
typedef struct ebm_pairgraph {
    int64_t n_states;
    const int64_t *indptr;  /* (n_states + 1,) */
    const int32_t *indices; /* (nnz,) ascending within a row */
    const double *forward;  /* (nnz,) w(x, y), x the row */
    const double *backward; /* (nnz,) w(y, x) */
} ebm_pairgraph_t;

/* The pairs of a stored matrix and its transpose, without the diagonal: first the row lengths, then
   the entries; mirror[k] is the position of the entry (y, x) of entry k = (x, y). work:
   (n_states,). */
int ebm_pairgraph_count(const ebm_csr_t *A, const ebm_csr_t *T, int64_t *indptr);
int ebm_pairgraph_fill(const ebm_csr_t *A, const ebm_csr_t *T, const int64_t *indptr, int64_t *work,
                       int32_t *indices, double *forward, double *backward, int64_t *mirror);

#endif
