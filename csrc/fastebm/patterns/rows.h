/* Computed patterns (lattices, rules) are enumerated row by row and not stored: graph searches in
   O(n_states) memory, walkers, and a stored copy for what reads all entries several times. Every
   kernel here offers `rows`. Detailed balance is found by searching the entry (y, x) in row y,
   which evaluates each row once for each neighbour but needs no transpose. */
#ifndef FASTEBM_PATTERNS_ROWS_H
#define FASTEBM_PATTERNS_ROWS_H

#include "fastebm/base/kernel.h"

/* The lengths of rows states[begin..end-1] (states NULL: of rows begin..end-1). degree: (end -
   begin,). */
int ebm_rows_count(const ebm_kernel_t *kernel, const int64_t *states, int num_threads,
                   int64_t begin, int64_t end, int64_t *degree);

/* Their entries, those of the i-th row at indptr[i] of indices and values (NULL: not needed);
   n_states < 2^31. work: (num_threads, max_degree). */
int ebm_rows_fill(const ebm_kernel_t *kernel, const int64_t *states, int num_threads, int64_t begin,
                  int64_t end, const int64_t *indptr, int64_t *work, int32_t *indices,
                  double *values);

/* The state of a resumable breadth-first search; all fields zero but kernel, queue (n_states,) and
   row (max_degree,). Each call takes at most n_rows states from the queue; *done is set when the
   search is complete. */
typedef struct ebm_rows_search {
    const ebm_kernel_t *kernel;
    int64_t *queue, *row;
    int64_t root, head, tail;
} ebm_rows_search_t;

/* Marks all that is reachable along the rows from the states with reached[i] != 0 at the first
   call, never entering a state with avoid[i] != 0 (NULL: none). */
int ebm_rows_reach(ebm_rows_search_t *search, int64_t n_rows, const uint8_t *avoid,
                   uint8_t *reached, int *done);

/* Communicating classes where every edge has its reverse edge, or where there is one class: the
   trees of a breadth-first forest. labels, level (n_states,), labels at first -1; *n_classes at
   first 0. period and size (n_states,), for each class: the greatest common divisor of the class's
   cycle lengths (Denardo 1977), 0 without a cycle, and its number of states. */
int ebm_rows_classes(ebm_rows_search_t *search, int64_t n_rows, int64_t *level, int32_t *labels,
                     int64_t *n_classes, int64_t *period, int64_t *size, int *done);

/* w with A[x, y] exp(w[x]) = A[y, x] exp(w[y]), as ebm_graph_potential_expand finds it, but without
   a transpose: the entry (y, x) is searched in row y. w (n_states,) at first NaN, *mismatch 0.
   search->row and row_values: (2, max_degree) here. */
int ebm_rows_potential(ebm_rows_search_t *search, int64_t n_rows, double *row_values, double *w,
                       double *mismatch, int *done);

/* Longest row that a walker enumerates. */
#define EBM_ROWS_WALK_DEGREE 2048

/* The kernel that walks on diag(row) A diag(col) + diag(shift), whose rows sum to one, without
   tables: n_states, ctx (M) and step, which is NULL where rows are too long. Without col, a walker
   holds with probability shift[x] and else makes a step of A's own `step`, where it has one;
   otherwise the row's cumulative weights are compared with the word. A transition of weight zero is
   never drawn; probabilities have an error of 2^-53, the smallest that can be drawn. */
void ebm_rows_walker(const ebm_scaled_t *M, ebm_kernel_t *kernel);

#endif
