/* Gauss-Seidel sweeps for M x = b, M = I - P_BB, the preconditioner of BiCGSTAB on chains without
   detailed balance. With M = T - U, T the diagonal and the transitions to states earlier in an
   order, one sweep is x = T^-1 b. In the order below T holds every transition between different
   communicating classes of P_BB: where no transition leads back, one sweep solves the system. T^-1
   and U have no negative entry, so that sweeps converge wherever M can be inverted (Varga 1962,
   theorem 3.13).

   Stored matrices only: a sweep reads and writes x row by row in its own order. */
#ifndef FASTEBM_LINALG_SWEEP_H
#define FASTEBM_LINALG_SWEEP_H

#include "fastebm/patterns/csr.h"

/* Depth-first postorder of B: a state comes after its successors, except those from which it can be
   reached. The state of a search between two calls; scalars begin at zero. */
typedef struct ebm_sweep_order {
    const ebm_csr_t *A;
    const uint8_t *inside; /* (n_states,) B */
    int32_t *order;        /* (size of B,) the states of B, the first n_found in place */
    int32_t *parent;       /* (n_states,) -1 at first */
    int64_t *next;         /* (n_states,) the next entry of each state to examine */
    int64_t root, n_found;
    int64_t at; /* 1 + the current state, 0 between two roots */
} ebm_sweep_order_t;
/* Examines about n_entries entries and sets `done` when all of B is in the order. */
int ebm_sweep_order_expand(ebm_sweep_order_t *search, int64_t n_entries, int *done);

/* x = T^-1 b for the positions [begin, end) of the order, whose states are not read before they are
   written: x is zero everywhere before the first call, and calls follow the order. exit_rate
   (n_states,): the diagonal of M, positive on B; row, col NULL for ones. Sequential. */
int ebm_sweep_apply(const ebm_csr_t *A, const double *row, const double *col, const int32_t *order,
                    int64_t begin, int64_t end, const double *exit_rate, const double *b,
                    double *x);

#endif
