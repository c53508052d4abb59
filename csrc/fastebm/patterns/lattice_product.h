/* Products with a lattice, `apply` of its kernel: contiguous streams in place of column indices. */
#ifndef FASTEBM_PATTERNS_LATTICE_PRODUCT_H
#define FASTEBM_PATTERNS_LATTICE_PRODUCT_H

#include "fastebm/patterns/lattice.h"

/* y = A[begin:end, :] x for the ebm_lattice_t `ctx`. A row's terms are added in one order however
   the rows are cut into ranges and whatever the width, so the sums have the same bits. */
int ebm_lattice_product(const void *ctx, int64_t begin, int64_t end, int64_t width, const double *x,
                        double *y);

#endif
