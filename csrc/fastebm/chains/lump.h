/* How far a partition of the states is from strong lumpability: P(x, B), the probability of a step
   into set B, should be the same for all states x of a set. One pass in an order in which the
   states of a set are adjacent: it needs one number for each set that is reached, nothing is
   sorted, and the defect of the states seen so far is a lower bound, so an interrupted pass has a
   result.

   Stored matrices only: a row is summed by the sets of its columns. The struct is the state of a
   pass between two calls. */
#ifndef FASTEBM_CHAINS_LUMP_H
#define FASTEBM_CHAINS_LUMP_H

#include "fastebm/patterns/csr.h"

typedef struct ebm_lump {
    const ebm_csr_t *A;
    /* (n_states,) each: P = diag(row) A diag(col) + diag(shift); NULL: ones, ones, zeros */
    const double *row, *col, *shift;
    const int32_t *labels; /* (n_states,) the set of each state */
    const int32_t *order;  /* (n_states,) states by set, see ebm_lump_order */
    /* (n_states,) the weight of each state in the flow of its set; NULL: flows are not needed */
    const double *weight;
    /* (n_sets,) each, of the current set: P(x, B) of one state, its extremes and the states that
       attain them, the position in the order of the last state that reached B (-1 at first), the
       flow, the sets reached. */
    double *probability, *high, *low, *flow;
    int32_t *high_at, *low_at, *last, *touched, *row_touched;
    /* start, at: positions of the first and of the next state */
    int64_t n_sets, start, at, n_touched;
    /* The flow of each finished set: degree[set] entries, appended to these, which the caller
       empties (n_out = 0) between two calls. A call ends where one more set might not fit; capacity
       >= n_sets. */
    int64_t *degree;
    int32_t *out_into;
    double *out_flow;
    int64_t capacity, n_out;
    /* The largest |P(x, B) - P(y, B)| so far and x, y and B that attain it; x = y = B = -1 where it
       is zero. */
    double defect;
    int32_t x, y, into;
} ebm_lump_t;

/* Counting sort: called for ranges of states that cover all in ascending order; place[set] is at
   first the number of states in lower sets. */
int ebm_lump_order(const int32_t *labels, int64_t begin, int64_t end, int64_t *place,
                   int32_t *order);

/* Processes about n_entries entries (at least one row) and sets `done` at the end. Scalars but
   n_sets and capacity begin at zero, x, y and into at -1. Sequential. */
int ebm_lump_expand(ebm_lump_t *lump, int64_t n_entries, int *done);

/* Includes the states of the current set in the defect: for a caller that stops in the middle of a
   set. */
int ebm_lump_judge(ebm_lump_t *lump);

#endif
