/* Orthogonalisation and restart of a basis of a few dozen vectors. V is (m, n), each vector
   contiguous: an iteration with full orthogonalisation reads the basis several times a step, and
   contiguous vectors stream at full memory bandwidth whatever their number. Block products of
   kernels need (n, width); composed.h changes the layout in the pass that applies the inner
   scaling. */
#ifndef FASTEBM_LINALG_BASIS_H
#define FASTEBM_LINALG_BASIS_H

#include <stdint.h>

#include "fastebm/base/status.h"

/* H = V W^T, (m, w) row-major; V is (m, n), W (w, n). partial: ebm_n_blocks(n) * m * w doubles of
   work space. EBM_ERR_BREAKDOWN where a product is not finite. */
int ebm_basis_project(int64_t n, int64_t m, int64_t w, const double *V, const double *W,
                      int num_threads, double *partial, double *H);

/* W -= C^T V with C (m, w), and in the same pass H = V W^T of the new W: the components along V
   that are left. W does not overlap V. */
int ebm_basis_remove(int64_t n, int64_t m, int64_t w, const double *V, const double *C,
                     int num_threads, double *W, double *partial, double *H);

/* The first k vectors become Q^T V, Q (m, k) row-major, k <= m, on the states begin..end-1 only, so
   that the restart of a long basis can be several calls. */
int ebm_basis_rotate(int64_t n, int64_t begin, int64_t end, int64_t m, int64_t k, const double *Q,
                     int num_threads, double *V);

#endif
