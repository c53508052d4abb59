/* Random chains to walk on, which the tests of alias tables and of walkers share. */
#ifndef EBM_TEST_RANDOM_CHAIN_H
#define EBM_TEST_RANDOM_CHAIN_H

#include "check.h"
#include "fastebm/base/random.h"
#include "fastebm/simulation/alias.h"

typedef struct chain {
    ebm_csr_t csr;
    int64_t *indptr, *offsets;
    int32_t *indices;
    double *values, *row, *col, *shift;
    ebm_alias_cell_t *cells;
    ebm_alias_t table;
    ebm_kernel_t kernel;
} chain_t;

static const uint64_t test_key[2] = {20240229, 17};
static uint64_t n_drawn;

static inline uint64_t draw(void)
{
    const uint64_t key[2] = {99, 1}, counter[4] = {n_drawn++, 0, 0, 1};
    uint64_t out[4];
    ebm_philox_block(key, counter, out);
    return out[0];
}

static inline double uniform(void) { return (double)(draw() >> 11) * 0x1p-53; }

/* n rows of random degree 1..most with weights over `decades` orders of magnitude, about one in
   eight of them zero. */
static inline chain_t random_chain(int64_t n, int64_t most, double decades, int with_shift)
{
    chain_t c = {.indptr = take(n + 1, sizeof(int64_t)),
                 .offsets = take(n + 1, sizeof(int64_t)),
                 .row = take(n, sizeof(double)),
                 .col = take(n, sizeof(double)),
                 .shift = with_shift ? take(n, sizeof(double)) : NULL};
    c.indptr[0] = 0;
    for (int64_t x = 0; x < n; x++) {
        c.indptr[x + 1] = c.indptr[x] + 1 + (int64_t)(draw() % (uint64_t)most);
        c.row[x] = exp(20 * uniform() - 10);
        c.col[x] = pow(10, -decades * uniform() / 2);
        if (with_shift) c.shift[x] = draw() % 3 ? uniform() : 0.0;
    }
    const int64_t nnz = c.indptr[n];
    c.indices = take(nnz, sizeof(int32_t));
    c.values = take(nnz, sizeof(double));
    for (int64_t k = 0; k < nnz; k++) {
        c.indices[k] = (int32_t)(draw() % (uint64_t)n);
        c.values[k] = draw() % 8 ? pow(10, -decades * uniform() / 2) : 0.0;
    }
    for (int64_t x = 0; x < n; x++) c.values[c.indptr[x]] = 1.0; /* no row is empty */
    c.csr = (ebm_csr_t){n, c.indptr, c.indices, c.values, EBM_VALUES_F64};
    return c;
}

static inline void tabulate(chain_t *c, int num_threads)
{
    CHECK(ebm_alias_count(&c->csr, c->shift, c->offsets, &c->table.degree) == EBM_OK);
    c->cells = take(c->offsets[c->csr.n_states], sizeof(ebm_alias_cell_t));
    CHECK(ebm_alias_build(&c->csr, c->row, c->col, c->shift, num_threads, 0, c->csr.n_states,
                          c->offsets, c->cells) == EBM_OK);
    c->table.n_states = c->csr.n_states;
    c->table.indptr = c->offsets;
    c->table.cells = c->cells;
    ebm_alias_kernel(&c->table, &c->kernel);
}

static inline uint32_t *narrow_offsets(const chain_t *c)
{
    uint32_t *narrow = take(c->csr.n_states + 1, sizeof *narrow);
    for (int64_t x = 0; x <= c->csr.n_states; x++) narrow[x] = (uint32_t)c->offsets[x];
    return narrow;
}

static inline void release(chain_t *c)
{
    void *const owned[] = {c->indptr, c->offsets, c->indices, c->values,
                           c->row,    c->col,     c->shift,   c->cells};
    for (size_t k = 0; k < sizeof owned / sizeof owned[0]; k++) free(owned[k]);
}

#endif
