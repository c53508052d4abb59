/* The counts expected under a reversible fit v (pair_newton.h, EBM_PAIR_NEWTON_LOGISTIC): m(x, y) =
   (n(x, y) + n(y, x)) / (1 + exp(v(y) - v(x))). Each pair keeps its sum, each row its sum. */
#ifndef FASTEBM_COUNTS_BALANCE_EXPECTED_H
#define FASTEBM_COUNTS_BALANCE_EXPECTED_H

#include "fastebm/counts/pair_graph.h"

/* expected (nnz,): m of the pairs whose two states are in one class of labels (NULL: all), n of the
   others: these are one-way, fitted exactly in the limit and on no cycle. */
int ebm_balance_expected(const ebm_pairgraph_t *counts, const int32_t *labels, const double *v,
                         double *expected);

#endif
