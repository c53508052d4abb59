/* Elimination orders of sparse symmetric patterns, and their fill: the cost of an elimination is
   known before any arithmetic, so it can compete with iteration. A pattern is symmetric, without
   diagonal and without repeated indices: row i is indices[indptr[i]:indptr[i + 1]]. */
#ifndef FASTEBM_LINALG_MIN_DEGREE_H
#define FASTEBM_LINALG_MIN_DEGREE_H

#include <stdint.h>

#include "fastebm/base/status.h"

/* Approximate minimum degree on the quotient graph (Amestoy, Davis & Duff 1996), resumable. All
   arrays but `lists` are (n + 1,). */
typedef struct ebm_mindeg {
    int64_t n, size, free, mark, seen, n_done, n_pivots, least, widest;
    int64_t n_visited; /* entries of lists that were updated so far: the work done */
    int32_t *lists;    /* (size,), size >= nnz + n + 1 */
    int64_t *start;    /* of each list; -1 once absorbed */
    int64_t *length;   /* of each list */
    int64_t *elements; /* how many of a state's list, in front, are elements */
    /* states in a supervariable; 0 once absorbed; negative while in the pivot's clique */
    int64_t *weight;
    /* of a state: bound of its external degree; of an element: weight of its clique */
    int64_t *degree;
    /* of an element: mark + weight of its clique outside the pivot's; 0 once absorbed */
    int64_t *outside;
    int64_t *head, *next, *last; /* states by degree, doubly linked */
    int64_t *bucket, *seen_by;   /* states by hash, and the marks of list comparison */
    /* the state that a state was merged into, -1 for none; the pivots in order */
    int64_t *merged, *pivots;
} ebm_mindeg_t;
#define EBM_MINDEG_ARRAYS                                                                 \
    13 /* the int64 arrays, one after the other from `work` (EBM_MINDEG_ARRAYS, n + 1) */
int ebm_mindeg_start(ebm_mindeg_t *state, int64_t n, const int64_t *indptr, const int32_t *indices,
                     int64_t size, int32_t *lists, int64_t *work);
/* At most n_pivots more pivots; done when n_done is n. */
int ebm_mindeg_expand(ebm_mindeg_t *state, int64_t n_pivots);
/* order[k] is the k-th state to be eliminated. The struct cannot be continued afterwards: its
   arrays are reused. */
int ebm_mindeg_order(ebm_mindeg_t *state, int32_t *order);

/* The supernodes of the elimination in `order`, which becomes an equivalent postorder: supernode s
   holds the columns first[s] .. first[s + 1] - 1, which have the same `height[s]` rows below them;
   parent[s] receives its update, -1 at a root. first, height, parent: (n + 1,); work: (5, n + 1).
   Counting stops where the factors exceed `limit` entries: then n_entries is more than `limit` and
   the other fields are not set. */
typedef struct ebm_fill {
    int64_t n_supernodes;
    int64_t n_entries; /* below the diagonal of one triangular factor */
    int64_t n_rows;    /* sum of the heights */
    int64_t n_factor;  /* doubles of both factors: width (width + 2 height) a supernode */
    int64_t n_stack;   /* doubles of work space: the fronts alive at one time */
    double n_flops;    /* of an elimination with both factors */
} ebm_fill_t;
int ebm_mindeg_supernodes(int64_t n, const int64_t *indptr, const int32_t *indices, int64_t limit,
                          int64_t *work, int32_t *order, int64_t *first, int64_t *height,
                          int64_t *parent, ebm_fill_t *fill);

#endif
