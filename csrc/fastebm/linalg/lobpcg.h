/* The step of LOBPCG (locally optimal conjugate gradients, Knyazev 2001) for the smallest non-zero
   eigenvalue of L f = gap diag(pi) f, in the Dirichlet form: energies are sums of squares of
   differences and have no cancellation, so gaps of 1e-18 keep their digits.

   basis (n, 4) holds, row by row, x (the iterate), w (the preconditioned residual), p (the last
   step) and right[x] of the flow: so a neighbour costs one cache line. */
#ifndef FASTEBM_LINALG_LOBPCG_H
#define FASTEBM_LINALG_LOBPCG_H

#include "fastebm/linalg/dirichlet_flow.h"

/* energy[k], mass[k], k = 0..5 for the pairs (x,x) (x,w) (x,p) (w,w) (w,p) (p,p): E(f, g) = 1/2 sum
   F (f(x) - f(y)) (g(x) - g(y)) without cancellation, and sum pi f g; mean[0..2] = sum pi f. */
int ebm_lobpcg_gram(const ebm_flow_t *F, const double *pi, const double *basis, int num_threads,
                    double *energy, double *mass, double *mean);

/* p <- a[1] w + a[2] p - shift[1], x <- a[0] x + p - shift[0]. */
int ebm_lobpcg_step(int64_t n, const double a[3], const double shift[2], int num_threads,
                    double *basis);

/* r[i] = sum_y F[i, y] (x[i] - x[y]) - gap pi[i] x[i], and *square = sum r^2 / pi where pi > 0. */
int ebm_lobpcg_residual(const ebm_flow_t *F, const double *pi, const double *basis, double gap,
                        int num_threads, double *r, double *square);

/* basis[:, column] = x. */
int ebm_lobpcg_put(int64_t n, int column, const double *x, int num_threads, double *basis);

#endif
