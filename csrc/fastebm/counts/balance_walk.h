/* Random tables of counts from their exact law under detailed balance, given what the law of a
   reversible chain does not determine.

   With P(x, y) = w(x, y) / w(x), w symmetric, the likelihood of counts n depends on the sums
   n(x, y) + n(y, x) and the row totals alone. So given these the law of n is free of parameters:

       independent rows    prod 1 / n(x, y)!
       trajectories        prod 1 / n(x, y)!  times the number of spanning trees directed to a root,
                           an arc (x, y) with multiplicity n(x, y); a hub follows the last states of
                           the trajectories and leads to the first ones (Whittle 1955; van
                           Aardenne-Ehrenfest & de Bruijn 1951)

   The second is exact for one trajectory, and for several that end at random.

   Tables with the same sums differ by integer circulations. The walk changes n along simple cycles:
   n(x, y) - j and n(y, x) + j on each arc. It is a random scan of moves, each of them reversible:

   - a loop of n itself: arcs are drawn in proportion to n until a state comes again, and the loop
     is reversed, j = 1. The probabilities of this proposal and of its reverse have the inverse
     ratio of those of the tables, so it is always accepted. Tables with the same sums differ by a
     sum of such loops, so the walk reaches all of them.
   - the cycle that a random chord closes with a spanning forest, any j, by the rule of Metropolis
     and Hastings.
   - for trajectories, the tree is a variable of its own, uniform given n, drawn anew (Wilson 1996).
     The moves above change the arcs that are not in the tree, `spare`.

   Besag & Clifford (1989): with the data as the start, a walk to a hub and independent walks from
   there give tables that are exchangeable with the data, however few moves are made. Few moves
   cost power, never size. */
#ifndef FASTEBM_COUNTS_BALANCE_WALK_H
#define FASTEBM_COUNTS_BALANCE_WALK_H

#include "fastebm/counts/pair_graph.h"

typedef struct ebm_balance_walk {
    ebm_pairgraph_t counts; /* the data; pairs within strongly connected components only */
    const int64_t *mirror;
    const double *expected; /* (nnz,) reversible fit */
    const int64_t *up;      /* (n,) entry (x, parent of x) of a spanning forest; -1: a root */
    const int32_t *depth;   /* (n,) */
    int64_t n_chords;
    const int64_t *chords; /* (n_chords,) entries outside the forest, one for each pair */
    /* NULL: independent rows. Else (n,): the trajectories that end or leave the class at x */
    const double *ends;
    int64_t n_classes;          /* strongly connected components that have such ends, if any */
    const int32_t *labels;      /* (n,) the class of a state */
    const int64_t *start_range; /* (n_classes + 1,) a class's range of `starts` */
    const int64_t *starts;      /* the states where trajectories start, or enter a class */
    const double *start_sum;    /* how many do so there and in the class's `starts` before */
} ebm_balance_walk_t;

/* Walks n_moves moves from each of the tables (n_tables, nnz), in place, table r with the random
   numbers of (key, leg, first + r). A walk of several legs may be cut between them. n_slots
   threads, each with n doubles of spare_total and ebm_balance_walk_place of place as scratch. */
int64_t ebm_balance_walk_place(const ebm_balance_walk_t *walk);
int ebm_balance_walk_run(const ebm_balance_walk_t *walk, int64_t n_moves, const uint64_t key[2],
                         int64_t leg, int64_t first, int64_t n_tables, int n_slots,
                         double *spare_total, int64_t *place, double *tables);

/* The steps that a tree of the table costs (table is changed); max_steps + 1 if more, as it
   does where the counts lead rarely from one part of the states to another. */
int64_t ebm_balance_walk_tree_steps(const ebm_balance_walk_t *walk, const uint64_t key[2],
                                    int64_t max_steps, double *spare_total, int64_t *place,
                                    double *table);

#endif
