/* Potentials from weighted directed pairs: minimise over v the convex function

       f(v) = sum_{x, y} w(x, y) K(v(x) - v(y)),      K convex and decreasing,

   by Newton's method, each step solved by conjugate gradients on the graph Laplacian of weights w
   K''. Special cases:
   - w = n(x, y) counts, K = log(1 + e^-d) is the dual of the reversible maximum likelihood: the
     stationarity condition of v(x) = log(n(x) / x(x)), x(x) the symmetric measure of Bowman et al.
     2009, is the gradient of f;
   - w = T(x, y) = n(x, y) / n(x) is the least action of arXiv 2512.10047;
   - w = wins of x over y is the Bradley-Terry model (1952), v the scores.

   The minimum is attained iff every connected component is strongly connected (Ford 1957), and is
   then unique up to a constant in each. A step needs no value of f, whose differences near the
   minimum are rounding: the third derivative of K is at most its second, which bounds how far a
   step may go (Sun & Tran-Dinh 2019). */
#ifndef FASTEBM_COUNTS_PAIR_NEWTON_H
#define FASTEBM_COUNTS_PAIR_NEWTON_H

#include "fastebm/counts/pair_graph.h"

typedef enum ebm_pair_newton_kind {
    /* Weighted least squares on gradients: each pair contributes (log(w(x, y) / w(y, x)) - d)^2 /
       (2 (1 / w(x, y) + 1 / w(y, x))); one-way pairs are left out. */
    EBM_PAIR_NEWTON_SQUARES,
    EBM_PAIR_NEWTON_LOGISTIC,    /* K = log(1 + e^-d) */
    EBM_PAIR_NEWTON_EXPONENTIAL, /* K = e^(-d / 2) */
    /* The same iteration, but not a potential: Lagrange multipliers q = v > 0 of the reversible
       likelihood with a known law. Minimises sum_x law(x) q(x) - stay(x) log q(x) - sum_{x < y}
       (w(x, y) + w(y, x)) log(q(x) + q(y)); then x(x, y) = (w(x, y) + w(y, x)) / (q(x) + q(y)) are
       the symmetric flows with row sums law(x), stay(x) / q(x) of it on the diagonal. */
    EBM_PAIR_NEWTON_MULTIPLIER
} ebm_pair_newton_kind_t;

typedef enum ebm_pair_newton_phase {
    EBM_PAIR_NEWTON_START,
    EBM_PAIR_NEWTON_SOLVE,
    EBM_PAIR_NEWTON_DONE
} ebm_pair_newton_phase_t;

typedef struct ebm_pair_newton {
    ebm_pairgraph_t graph;
    ebm_pair_newton_kind_t kind;
    double tol; /* done when no component of a Newton step exceeds it */
    int64_t max_newton;
    double *v; /* (n_states,) the iterate; the caller's start */
    double *gradient, *diagonal, *step, *residual, *direction, *product; /* (n_states,) each */
    double *weight;           /* (nnz,) w(x, y) K''(d) + w(y, x) K''(-d) */
    const double *law, *stay; /* (n_states,) of the multipliers, positive; else NULL */
    /* the state of the iteration, zero at the start */
    ebm_pair_newton_phase_t phase;
    /* nonzero: start from a least-squares step instead of from the caller's v */
    int guess;
    int64_t n_newton, n_products;
    int64_t cg_steps; /* of the current solve */
    /* squared residual of the solve in the norm of the diagonal: current, at the start, and of
       rounding */
    double rho, rho_start, rho_floor;
    double step_size; /* max |step| of the last Newton step */
    double imbalance; /* max_x |gradient(x)| / sum_y (w(x, y) |K'(d)| + w(y, x) |K'(-d)|) */
} ebm_pair_newton_t;

/* At most max_products more products with the Laplacian; state->phase tells whether it is done. */
int ebm_pair_newton_run(ebm_pair_newton_t *state, int64_t max_products, int num_threads);

/* x = H^+ b for the Laplacian H of `state->weight` at the solution: state->residual holds b;
   state->step receives x. */
int ebm_pair_newton_solve(ebm_pair_newton_t *state, double tol, int64_t max_products,
                          int num_threads);

#endif
