/* Kullback-Leibler divergences of Bernoulli distributions to a few ulp, also where they nearly
   agree, and near 0 and 1. A distribution is given by its probability or (logit) by log(p / (1 -
   p)) in [-inf, inf]. Elementwise: results do not depend on the number of threads.

   Of the closed forms for verifiable rewards only divergences are in C: a series in s = (a - b) /
   (a + b), of which SciPy has a general 2F1 at 4e6 a second only, and branches, which NumPy
   evaluates on both sides. The others need one or two exponentials and logarithms, and NumPy is
   fast enough (benchmarks/rlvr_rates.py). */
#ifndef FASTEBM_RLVR_BERNOULLI_H
#define FASTEBM_RLVR_BERNOULLI_H

#include <stdint.h>

#include "fastebm/base/status.h"

/* n numbers, or (step 0) one number for all. */
typedef struct ebm_numbers {
    const double *x;
    int64_t step; /* 1 or 0 */
} ebm_numbers_t;

/* out[i] = beta[i] KL(p[i] || p*), logit p* = logit p0[i] + 1 / beta[i]; beta.x NULL: KL(p[i] ||
   p0[i]). beta in [0, inf]; infinite where p0 is 0 or 1 and p is not. */
int ebm_bernoulli_divergence(int64_t n, int logit, int num_threads, ebm_numbers_t p,
                             ebm_numbers_t p0, ebm_numbers_t beta, double *out);

/* out[i] = the s >= 0 with KL(x0[i] + s || x0[i]) = kl[i] in logits; inf from kl = -log p0 on, 0
   where x0 is infinite. */
int ebm_bernoulli_reach(int64_t n, int num_threads, ebm_numbers_t x0, ebm_numbers_t kl,
                        double *out);

#endif
