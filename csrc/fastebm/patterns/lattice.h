/* Lattices, computed from the state number and never stored: products of cycles (the torus) or of
   complete graphs (the Hamming graph; the hypercube is the one on two letters). A state is a number
   in mixed radix, one digit an axis; A[x, y] counts the steps from x to y that change one digit, to
   a neighbour on the cycle or to any other value. A is symmetric.

   Sums over a fibre of the Hamming graph are the sum of the states below plus the sum of those
   above, not the whole minus the state itself: products of non-negative vectors stay non-negative,
   and whole fibres still take two additions a number. */
#ifndef FASTEBM_PATTERNS_LATTICE_H
#define FASTEBM_PATTERNS_LATTICE_H

#include "fastebm/base/kernel.h"

#define EBM_LATTICE_MAX_AXES 62 /* with at least two states an axis, more would overflow n_states */

typedef struct ebm_lattice {
    int64_t n_states, degree, n_axes;
    int is_cyclic; /* cycles, else complete graphs of one length */
    int self_loop; /* A also has ones on its diagonal */
    /* axis 0 has stride 1 */
    int64_t length[EBM_LATTICE_MAX_AXES], stride[EBM_LATTICE_MAX_AXES];
} ebm_lattice_t;

/* lengths (n_axes,), that of the fastest axis first. On a cycle of length 2 both steps lead to the
   same state and count twice, on one of length 1 to the state itself. EBM_ERR_ARGUMENT: a length
   below 1 (cycles) or 2, unequal lengths of complete graphs, too many axes or 2^62 states. */
int ebm_lattice_start(int64_t n_axes, const int64_t *lengths, int is_cyclic, int self_loop,
                      ebm_lattice_t *lattice);

/* A row's sums are taken in one order however rows are cut into ranges and whatever the width, so
   they have the same bits. `step` draws each of a row's entries with probability 1 / degree to
   within 2^-64. */
void ebm_lattice_kernel(const ebm_lattice_t *lattice, ebm_kernel_t *kernel);

#endif
