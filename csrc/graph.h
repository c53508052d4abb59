/* Questions that only the stored pattern answers: communicating classes, periods, reachability, and the potential that
   makes the stored entries symmetric. Every stored entry is positive, so an entry is an edge. */
#ifndef EBM_GRAPH_H
#define EBM_GRAPH_H

#include "csr.h"

/* Strongly connected components (Tarjan 1972, iterative). Classes are numbered in reverse topological order: every edge
   leads to a class of the same or a lower number, so class 0 is closed. work32: (3, n_states), work64: (n_states,). */
int ebm_graph_components(const ebm_csr_t *A, int32_t *work32, int64_t *work64, int32_t *labels, int64_t *n_classes);

/* closed[c] = no edge leaves class c; period[c] = greatest common divisor of its cycle lengths, 0 where it has no cycle;
   size[c] = its number of states. work: (2, n_states). */
int ebm_graph_classes(const ebm_csr_t *A, const int32_t *labels, int64_t n_classes, int32_t *work, uint8_t *closed,
                      int64_t *period, int64_t *size);

/* Breadth-first search along the rows of A from all states with reached[i] != 0, never entering a state with
   avoid[i] != 0 (avoid may be NULL); marks what it reaches. work: (n_states,). */
int ebm_graph_reach(const ebm_csr_t *A, const uint8_t *avoid, int32_t *work, uint8_t *reached);

/* w with A[x, y] exp(w[x]) = A[y, x] exp(w[y]) along a breadth-first spanning forest, w = 0 at each root, and the largest
   mismatch |log(A[x, y] / A[y, x]) - (w[y] - w[x])| over all edges: zero up to rounding iff the chain and all its scalings
   satisfy detailed balance (Kolmogorov's criterion). An edge without its reverse gives an infinite mismatch and ends the
   search. T is the transpose of A. work: (n_states,). */
int ebm_graph_potential(const ebm_csr_t *A, const ebm_csr_t *T, int32_t *work, double *w, double *mismatch);

#endif
