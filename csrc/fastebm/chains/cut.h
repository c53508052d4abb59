/* Sweep cuts: what each state adds to the flow across the cut when it joins the states of lower
   rank. The running sum subtracts, so it only ranks the cuts: one whose flow is far below the
   largest is lost in its rounding. The flow of the cut that is chosen is computed anew as the
   Dirichlet form of its indicator, a sum of non-negative terms.

   Stored matrices only: each row is compared with its columns' ranks, and `difference` of a kernel
   weighs by the sizes of differences, not by their signs. */
#ifndef FASTEBM_CHAINS_CUT_H
#define FASTEBM_CHAINS_CUT_H

#include "fastebm/patterns/csr.h"

/* step[x] = sum_y A[x, y] col[y] sign(rank[y] - rank[x]) for rows [begin, end); col NULL for ones,
   rank (n_states,) a permutation. Where the flow pi[x] row[x] A[x, y] col[y] is symmetric, the
   running sum of pi[x] row[x] step[x] in the order of the ranks is the flow across each cut. step
   is (n_states,). */
int ebm_cut_steps(const ebm_csr_t *A, const double *col, const int32_t *rank, int64_t begin,
                  int64_t end, int num_threads, double *step);

#endif
