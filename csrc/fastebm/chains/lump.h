/* A partition of the states against strong lumpability: P(x, B), the probability of stepping into
   set B, should be one number for all x of a set. One search between two calls, state by state in
   an order in which those of a set stand together. */
#ifndef FASTEBM_CHAINS_LUMP_H
#define FASTEBM_CHAINS_LUMP_H

#include "fastebm/patterns/csr.h"

typedef struct ebm_lump {
    const ebm_csr_t *A;
    /* (n_states,) each: P = diag(row) A diag(col) + diag(shift); NULL: ones, ones, zeros */
    const double *row, *col, *shift;
    const int32_t *labels; /* (n_states,) the set of each state */
    const int32_t *order;  /* (n_states,) states by set, see ebm_lump_order */
    /* (n_states,) of each state in the flow of its set; NULL: the flow is not wanted */
    const double *weight;
    /* (n_sets,) each, of the set that is looked at: P(x, B) of one state, its extremes with the
       states that have them, the position in the order of the last state that reached B (-1 at
       first), the flow, the sets reached. */
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
    /* The largest |P(x, B) - P(y, B)| yet and x, y and B that show it; x = y = B = -1 where there
       is none above zero. */
    double defect;
    int32_t x, y, into;
} ebm_lump_t;

/* Counting sort: called for ranges of states that cover all in ascending order; place[set] is at
   first the number of states in lower sets. */
int ebm_lump_order(const int32_t *labels, int64_t begin, int64_t end, int64_t *place,
                   int32_t *order);

/* Looks at about n_entries entries (at a whole row at least) and sets `done` once nothing is left.
   Scalars but n_sets and capacity begin at zero, x, y and into at -1. Sequential. */
int ebm_lump_expand(ebm_lump_t *lump, int64_t n_entries, int *done);

/* Counts what the states seen of a set show: for whoever ends the search within one. */
int ebm_lump_judge(ebm_lump_t *lump);

#endif
