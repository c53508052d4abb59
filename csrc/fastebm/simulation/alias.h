/* Alias tables: a transition of a stored chain from one random word, in constant time. Tables do
   not depend on a target.

   Stored matrices only: a table has a cell for each entry. */
#ifndef FASTEBM_SIMULATION_ALIAS_H
#define FASTEBM_SIMULATION_ALIAS_H

#include "fastebm/patterns/csr.h"

/* One of the d equally likely cells of a row (Walker 1977): `target` with probability threshold /
   2^64, else `alias`. A cell that always keeps its target has alias == target. */
typedef struct ebm_alias_cell {
    uint64_t threshold;
    int32_t target;
    int32_t alias;
} ebm_alias_cell_t;

typedef struct ebm_alias {
    int64_t n_states;
    int64_t degree; /* of every row; 0 where they differ: then offsets are read */
    /* (n_states + 1,) offsets where they fit, or NULL; not read where degree > 0 */
    const uint32_t *narrow;
    const int64_t *indptr;         /* (n_states + 1,) offsets, read where both of the above are 0 */
    const ebm_alias_cell_t *cells; /* NULL: the entries of each row are equally likely */
    const int32_t *targets;        /* read where cells is NULL */
} ebm_alias_t;

/* Offsets of the rows' cells, (n_states + 1,): one for each stored entry, one more for holding
   where shift[x] > 0; and the degree that all rows have, 0 where they differ. Where that takes no
   more memory than the offsets of the rows would, all rows get the cells of the longest: an empty
   cell is as good as an entry of weight zero. shift may be NULL. */
int ebm_alias_count(const ebm_csr_t *A, const double *shift, int64_t *indptr, int64_t *even_degree);

/* The cells of rows begin..end-1 of diag(row) A diag(col) + diag(shift); row, col and shift may be
   NULL for ones, ones and zeros. Each row is normalised by its own sum. A probability keeps the
   accuracy of a double down to 2^-64 of a cell (2^-64 / d of its row); smaller ones, entries of
   weight zero and absent transitions are never drawn. A row whose weights have no finite positive
   sum, and a negative weight, are errors. */
int ebm_alias_build(const ebm_csr_t *A, const double *row, const double *col, const double *shift,
                    int num_threads, int64_t begin, int64_t end, const int64_t *indptr,
                    ebm_alias_cell_t *cells);

/* The kernel that walks on the table: n_states, ctx, step and prefetch; the rest is NULL. The
   smallest probability that one word can draw is 2^-64 a step. */
void ebm_alias_kernel(const ebm_alias_t *table, ebm_kernel_t *kernel);

#endif
