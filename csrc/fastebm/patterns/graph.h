/* Searches of the graph of a matrix: communicating classes, periods, reachability, and the
   potential that makes its entries symmetric. Every stored entry is positive, so an entry is an
   edge.

   Reversibility is a property of the pattern: if A[x, y] exp(w[x]) is symmetric then every scaling
   of A is reversible with log pi = w - log row + log col. So w is found once, and each tilt has its
   stationary distribution in closed form.

   Stored matrices only: searches keep their position within a row between calls (rows.h has those
   of computed patterns). */
#ifndef FASTEBM_PATTERNS_GRAPH_H
#define FASTEBM_PATTERNS_GRAPH_H

#include "fastebm/patterns/csr.h"

/* Searches are resumable: a struct is the state of one search between two calls. Each call examines
   about n_entries entries (at least one row) and sets `done` at the end. Scalars begin at zero. */

/* Strongly connected components (Tarjan 1972, iterative). Classes are numbered in reverse
   topological order: every edge leads to a class of the same or a lower number, so class 0 is
   closed. */
typedef struct ebm_graph_components {
    const ebm_csr_t *A;
    int32_t *labels; /* (n_states,) -1 at first, the class numbers at the end */
    /* (n_states,) each; open: Tarjan's stack of states without a class */
    int32_t *low, *open, *parent;
    int64_t *next; /* (n_states,) the next entry of each state to examine */
    int64_t root, n_open, clock, n_classes;
    int64_t at; /* 1 + the current state, 0 between two roots */
} ebm_graph_components_t;
int ebm_graph_components_expand(ebm_graph_components_t *search, int64_t n_entries, int *done);

/* The queue of a breadth-first search: the states found, in order; the rows of those before `head`
   have been examined. */
typedef struct ebm_graph_queue {
    int32_t *states;          /* (n_states,) */
    int64_t head, tail, root; /* root: the next candidate for a new tree */
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
