/* Questions that only the stored pattern answers: communicating classes, periods, reachability, and
   the potential that makes the stored entries symmetric. Every stored entry is positive, so an
   entry is an edge. */
#ifndef FASTEBM_PATTERNS_GRAPH_H
#define FASTEBM_PATTERNS_GRAPH_H

#include "fastebm/patterns/csr.h"

/* Searches are cut into calls, between which a caller may look around: a struct is one search
   between two calls. Each call looks at about n_entries entries (at a whole row at least) and sets
   `done` once nothing is left. Scalars begin at zero. */

/* Strongly connected components (Tarjan 1972, iterative). Classes are numbered in reverse
   topological order: every edge leads to a class of the same or a lower number, so class 0 is
   closed. */
typedef struct ebm_graph_components {
    const ebm_csr_t *A;
    int32_t *labels; /* (n_states,) -1 at first, the classes at last */
    /* (n_states,) each; open: Tarjan's stack of states without a class */
    int32_t *low, *open, *parent;
    int64_t *next; /* (n_states,) the next entry of each state to look at */
    int64_t root, n_open, clock, n_classes;
    int64_t at; /* 1 + the state that is looked at, 0 between two roots */
} ebm_graph_components_t;
int ebm_graph_components_expand(ebm_graph_components_t *search, int64_t n_entries, int *done);

/* A breadth-first search: states found, in order; those before `head` have been looked from. */
typedef struct ebm_graph_queue {
    int32_t *states;          /* (n_states,) */
    int64_t head, tail, root; /* root: the first state that may still begin a tree */
} ebm_graph_queue_t;

/* closed[c] = no edge leaves class c; period[c] = greatest common divisor of its cycle lengths, 0
   where it has no cycle; size[c] = its number of states. At first level (n_states,) is -1, closed
   1, period and size 0. */
int ebm_graph_classes_expand(const ebm_csr_t *A, const int32_t *labels, int64_t n_entries,
                             ebm_graph_queue_t *queue, int32_t *level, uint8_t *closed,
                             int64_t *period, int64_t *size, int *done);

/* All states with reached[i] != 0 and, along the rows of A, what they reach without entering a
   state with avoid[i] != 0 (avoid may be NULL) are marked in `reached`. */
int ebm_graph_reach_expand(const ebm_csr_t *A, const uint8_t *avoid, int64_t n_entries,
                           ebm_graph_queue_t *queue, uint8_t *reached, int *done);

/* w with A[x, y] exp(w[x]) = A[y, x] exp(w[y]) along a breadth-first spanning forest, w = 0 at each
   root. w (n_states,) is NaN at first. An edge without its reverse sets `one_way` and ends the
   search. T is the transpose of A. */
int ebm_graph_potential_expand(const ebm_csr_t *A, const ebm_csr_t *T, int64_t n_entries,
                               ebm_graph_queue_t *queue, double *w, int *one_way, int *done);

/* The largest mismatch |log(A[x, y] / A[y, x]) - (w[y] - w[x])| over the edges of rows [begin,
   end): zero up to rounding over all rows iff the chain and all its scalings satisfy detailed
   balance (Kolmogorov's criterion). Infinite for an edge without its reverse. */
int ebm_graph_mismatch(const ebm_csr_t *A, const ebm_csr_t *T, const double *w, int64_t begin,
                       int64_t end, int num_threads, double *mismatch);

#endif
