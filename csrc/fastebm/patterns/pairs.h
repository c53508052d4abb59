/* Walks row x of A and row x of its transpose together: for each neighbour y, the sums of the
   entries (x, y) and (y, x). Both rows ascend; a repeated edge is a run of equal indices.

   Stored matrices only: it reads the arrays of both. */
#ifndef FASTEBM_PATTERNS_PAIRS_H
#define FASTEBM_PATTERNS_PAIRS_H

#include "fastebm/patterns/csr.h"

typedef struct ebm_pairs {
    const ebm_csr_t *A, *T;
    int64_t a, a_end, t, t_end;
    int32_t other;            /* y */
    double forward, backward; /* A[x, y], A[y, x]; 0 where absent */
} ebm_pairs_t;

static inline ebm_pairs_t ebm_pairs_of(const ebm_csr_t *A, const ebm_csr_t *T, int64_t x)
{
    ebm_pairs_t p = {A, T,   A->indptr[x], A->indptr[x + 1], T->indptr[x], T->indptr[x + 1],
                     0, 0.0, 0.0};
    return p;
}

static inline int ebm_pairs_next(ebm_pairs_t *p)
{
    if (p->a >= p->a_end && p->t >= p->t_end) return 0;
    const int32_t from_a = p->a < p->a_end ? p->A->indices[p->a] : INT32_MAX;
    const int32_t from_t = p->t < p->t_end ? p->T->indices[p->t] : INT32_MAX;
    p->other = from_a < from_t ? from_a : from_t;
    p->forward = p->backward = 0.0;
    while (p->a < p->a_end && p->A->indices[p->a] == p->other)
        p->forward += ebm_csr_value(p->A, p->a++);
    while (p->t < p->t_end && p->T->indices[p->t] == p->other)
        p->backward += ebm_csr_value(p->T, p->t++);
    return 1;
}

#endif
