/* Random chains given counts. Rows without detailed balance are Dirichlet. Reversible chains are
   symmetric flows X with density prod_{x <= y} X[x, y]^(n(x, y) + n(y, x) - 1) / prod_x X[x]^n(x)
   (n(x, x) - 1 on the diagonal), which are drawn by Gibbs steps (Trendelkamp-Schroer, Wu, Paul &
   Noe 2015).

   A Gibbs step multiplies some flows by e^t: one flow, or all flows inside of a set of states,
   without which sets that exchange few counts would hardly move against each other. The density of
   t, exp(a t - sum_x n(x) log(1 + w(x) (e^t - 1))) with w(x) the share of the moved flows in X[x],
   is log-concave, and t is drawn from it exactly, by rejection. */
#ifndef FASTEBM_COUNTS_POSTERIOR_H
#define FASTEBM_COUNTS_POSTERIOR_H

#include "fastebm/counts/pair_graph.h"

typedef struct ebm_posterior {
    ebm_pairgraph_t counts;
    const int64_t *mirror;      /* (nnz,) position of (y, x) */
    const double *stay, *total; /* (n_states,) n(x, x) and row sums of all counts */
    int64_t n_clusters;
    const int64_t *cluster; /* (n_clusters, 2): members order[begin..end) of each */
    const int32_t *order;   /* (n_states,) states, clusters contiguous */
    const int64_t *place;   /* (n_states,) of a state in `order` */
    int64_t n_chains;
    double *flow;      /* (n_chains, nnz), symmetric */
    double *stay_flow; /* (n_chains, n_states) */
    double *sum;       /* (n_chains, n_states), row sums */
    double *work;      /* (n_chains, 3 n_states) */
} ebm_posterior_t;

/* Scale the flows of each chain to the sum 1, and sum the rows anew. */
int ebm_posterior_rescale(ebm_posterior_t *state, int num_threads);

/* Gibbs steps of every chain: of the flows in the rows [begin, end), each pair once, and of the
   clusters [begin, end). They depend on (key, sweep, chain) and the flows alone. */
int ebm_posterior_flows(ebm_posterior_t *state, const uint64_t key[2], int64_t sweep, int64_t begin,
                        int64_t end, int num_threads);
int ebm_posterior_clusters(ebm_posterior_t *state, const uint64_t key[2], int64_t sweep,
                           int64_t begin, int64_t end, int num_threads);

/* out[k], k in row x: a Dirichlet row with parameters weight[k] > 0; the smallest normal double at
   least, so that no transition vanishes. */
int ebm_posterior_rows(int64_t n_rows, const int64_t *indptr, const double *weight,
                       const uint64_t key[2], int64_t replicate, int num_threads, double *out);

#endif
