/* Random walks: alias tables that draw a transition from one random word, and walkers that use the `step` of any kernel. */
#ifndef EBM_WALK_H
#define EBM_WALK_H

#include "csr.h"

/* One of the d equally likely cells of a row (Walker 1977): `target` with probability threshold / 2^64, else `alias`.
   A cell that always keeps its target has alias == target. */
typedef struct ebm_alias_cell {
    uint64_t threshold;
    int32_t target;
    int32_t alias;
} ebm_alias_cell_t;

typedef struct ebm_alias {
    int64_t n_states;
    const int64_t *indptr; /* (n_states + 1,) */
    const ebm_alias_cell_t *cells;
} ebm_alias_t;

/* Offsets of the rows' cells, (n_states + 1,): one for each stored entry, one more for staying where shift[x] > 0.
   shift may be NULL. */
int ebm_alias_count(const ebm_csr_t *A, const double *shift, int64_t *indptr);

/* The cells of rows begin..end-1 of diag(row) A diag(col) + diag(shift); row, col and shift may be NULL for ones, ones
   and zeros. Each row is normalised by its own sum. A probability keeps the accuracy of a double down to 2^-64 of a cell
   (2^-64 / d of its row); less is drawn as never, and so is an entry of weight zero. Nothing absent is ever drawn.
   A row whose weights have no finite positive sum, and a negative weight, are errors. */
int ebm_alias_build(const ebm_csr_t *A, const double *row, const double *col, const double *shift, int num_threads,
                    int64_t begin, int64_t end, const int64_t *indptr, ebm_alias_cell_t *cells);

/* The kernel that walks on the table: n_states, ctx and step; the rest is NULL. The smallest probability that one word
   can draw is 2^-64 a step. */
void ebm_alias_kernel(const ebm_alias_t *table, ebm_kernel_t *kernel);

/* Run every walker w with hit_time[w] < 0 from its state after t_begin steps until it stands on a target state or has
   made t_end steps. tau counts from 0: with t_begin == 0 a walker that starts on the target has hit time 0. target_bits is
   a bit set, state x at bit x % 64 of word x / 64. The outcome depends on key, first_walker + w and the starts alone: not on
   threads, batches, or how a range of steps or of walkers is split into calls. An error leaves walkers at various steps. */
int ebm_walk_hit(const ebm_kernel_t *kernel, const uint64_t key[2], const uint64_t *target_bits, int num_threads,
                 int64_t n_walkers, int64_t first_walker, int64_t t_begin, int64_t t_end, int64_t *states, int64_t *hit_time);

/* The same walks, recorded: the state of walker w after t steps goes to paths[w * stride + t], t_begin < t <= t_end, and
   the last one to states[w]. paths holds int32_t where is_int32 is set (n_states < 2^31), else int64_t. */
int ebm_walk_paths(const ebm_kernel_t *kernel, const uint64_t key[2], int num_threads, int64_t n_walkers,
                   int64_t first_walker, int64_t t_begin, int64_t t_end, int64_t stride, int is_int32, int64_t *states,
                   void *paths);

#endif
