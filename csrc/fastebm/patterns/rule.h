/* A kernel whose rows a user's compiled rule computes. The rule is not trusted: every degree, state
   and weight is checked in every product, so that a user's mistake names a state and never reads
   another row's memory. */
#ifndef FASTEBM_PATTERNS_RULE_H
#define FASTEBM_PATTERNS_RULE_H

#include "fastebm/base/kernel.h"

/* Longest row of a rule: its buffers, 16 bytes an entry, live on the stack of each thread. */
#define EBM_RULE_MAX_DEGREE 8192

/* Rows begin..end-1: row i writes degree[i - begin] states and weights from place (i - begin) *
   max_degree of the two arrays. A degree of -1: the rule returned -1; -2: it raised an exception.
   Rows after one of these need not be written. */
typedef void (*ebm_rule_rows_t)(int64_t begin, int64_t end, const void *data, int64_t *degree,
                                int64_t *states, double *weights);

typedef struct ebm_rule {
    int64_t n_states, max_degree;
    ebm_rule_rows_t outgoing;
    /* the rows of the transpose; `outgoing` where A is symmetric; NULL: no left products */
    ebm_rule_rows_t incoming;
    const void *data; /* passed to the rule */
} ebm_rule_t;

/* The result of one inspection of all rows. */
typedef struct ebm_rule_facts {
    int64_t nnz;           /* entries of positive weight */
    double least, largest; /* of the positive weights */
    int64_t state;         /* the first state whose row is faulty, or -1 */
    int64_t degree, entry; /* its degree, and the number of the faulty entry or -1 */
    int64_t target;        /* that entry */
    double weight;
} ebm_rule_facts_t;

/* Checks rows begin..end-1; row_sum (end - begin,). Returns the fault of the first faulty state; a
   row without a positive weight is a fault unless allow_empty is set. */
int ebm_rule_inspect(const ebm_rule_t *rule, int num_threads, int allow_empty, int64_t begin,
                     int64_t end, double *row_sum, ebm_rule_facts_t *facts);

/* EBM_ERR_UNSUPPORTED: max_degree above EBM_RULE_MAX_DEGREE. */
int ebm_rule_kernel(const ebm_rule_t *rule, ebm_kernel_t *kernel);

#endif
