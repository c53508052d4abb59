#include "fastebm/simulation/alias.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "fastebm/base/parallel.h"
#include "fastebm/base/random.h"

/* Weights become fixed-point numbers in units of 2^-64 of a cell whose sum over the row is exactly
   d cells. The sweep is then exact and cannot run out of donors, which is what makes floating-point
   versions draw absent transitions. Until settle_cells has treated it, a cell holds the weight of
   its target: the whole part in ~alias (so alias < 0), the rest in `threshold`. */

int ebm_alias_count(const ebm_csr_t *A, const double *shift, int64_t *indptr, int64_t *even_degree)
{
    const int64_t n = A->n_states;
    int64_t most = 0;
    indptr[0] = 0;
    for (int64_t x = 0; x < n; x++) {
        const int64_t degree = A->indptr[x + 1] - A->indptr[x] + (shift && shift[x] > 0.0);
        /* the whole part of a weight must fit ~alias */
        if (degree > INT32_MAX) return EBM_ERR_UNSUPPORTED;
        if (degree < 1) return EBM_ERR_EMPTY_ROW;
        if (degree > most) most = degree;
        indptr[x + 1] = indptr[x] + degree;
    }
    /* empty cells of 16 bytes against an offset of 4 for each row */
    const int even = (n * most - indptr[n]) * 4 <= n;
    for (int64_t x = 0; x < n && even; x++) indptr[x + 1] = (x + 1) * most;
    *even_degree = even ? most : 0;
    return EBM_OK;
}

/* Write targets and floating-point weights (their bits in `threshold`); the sum is compensated, for
   an error in it is multiplied by d below. */
static int row_weights(const ebm_csr_t *A, const double *row, const double *col, double stay,
                       int64_t x, int64_t degree, ebm_alias_cell_t *cells, double *sum,
                       int64_t *heaviest)
{
    const int64_t n_moves = A->indptr[x + 1] - A->indptr[x];
    double total = 0.0, lost = 0.0, most = -1.0;
    for (int64_t k = 0; k < degree; k++) {
        double weight = k == n_moves ? stay : 0.0;
        cells[k].target = (int32_t)x;
        if (k < n_moves) {
            const int64_t entry = A->indptr[x] + k;
            const int32_t y = A->indices[entry];
            weight = (row ? row[x] : 1.0) * (ebm_csr_value(A, entry) * (col ? col[y] : 1.0));
            cells[k].target = y;
        }
        if (weight < 0.0) return EBM_ERR_NEGATIVE;
        if (weight > most) most = weight, *heaviest = k;
        memcpy(&cells[k].threshold, &weight, sizeof weight);
        const double term = weight - lost, next = total + term;
        lost = (next - total) - term;
        total = next;
    }
    *sum = total;
    return !isfinite(total) ? EBM_ERR_NONFINITE : total > 0.0 ? EBM_OK : EBM_ERR_EMPTY_ROW;
}

/* Replace weights by fixed-point weights; the rounding remainder of the d cells, at most 2^-20 of
   one, is added to the heaviest. */
static int fix_weights(double sum, int64_t degree, int64_t heaviest, ebm_alias_cell_t *cells)
{
    const double scale = (double)degree / sum;
    if (!isfinite(scale)) return EBM_ERR_NONFINITE;
    int64_t whole_left = degree;
    uint64_t rest_left = 0;
    for (int64_t k = 0; k < degree; k++) {
        double weight;
        memcpy(&weight, &cells[k].threshold, sizeof weight);
        weight *= scale;
        const int32_t whole = (int32_t)weight;
        const uint64_t rest = (uint64_t)((weight - whole) * 0x1p64);
        whole_left -= whole + (rest_left < rest);
        rest_left -= rest;
        cells[k].threshold = rest;
        cells[k].alias = ~whole;
    }
    ebm_alias_cell_t *cell = &cells[heaviest];
    cell->threshold += rest_left;
    cell->alias = ~(int32_t)(~cell->alias + whole_left + (cell->threshold < rest_left));
    return EBM_OK;
}

/* Fill every cell that lacks weight from a donor. Only the current donor's weight changes, so it
   lives in two variables and the sweep needs no memory (Huebschle-Schneider & Sanders 2022). */
static void settle_cells(int64_t degree, ebm_alias_cell_t *cells)
{
    int64_t lacking = 0, donor = 0;
    while (cells[donor].alias == ~0) donor++;
    int64_t whole = ~cells[donor].alias;
    uint64_t rest = cells[donor].threshold;
    for (;;) {
        int64_t receiver = donor;
        uint64_t kept = rest;
        if (whole > 0) {
            while (lacking < degree && cells[lacking].alias != ~0) lacking++;
            if (lacking == degree) break;
            receiver = lacking;
            kept = cells[lacking].threshold;
        } else {
            /* the donor has less than one cell left: it becomes a receiver; as the sum is exact,
               there is another */
            do donor++;
            while (cells[donor].alias >= ~0);
            whole = ~cells[donor].alias;
            rest = cells[donor].threshold;
        }
        cells[receiver].threshold = kept;
        cells[receiver].alias = cells[donor].target;
        rest += kept;
        whole -= rest >= kept;
    }
    for (int64_t k = 0; k < degree; k++) /* exactly one cell of its own weight */
        if (cells[k].alias < 0) cells[k].alias = cells[k].target;
}

int ebm_alias_build(const ebm_csr_t *A, const double *row, const double *col, const double *shift,
                    int num_threads, int64_t begin, int64_t end, const int64_t *indptr,
                    ebm_alias_cell_t *cells)
{
    if (begin < 0 || begin > end || end > A->n_states || num_threads < 1) return EBM_ERR_ARGUMENT;
    int status = EBM_OK;
#ifdef _OPENMP
#pragma omp parallel for num_threads(num_threads) schedule(dynamic, 256) \
    reduction(max : status) if (end - begin > 256)
#endif
    for (int64_t x = begin; x < end; x++) {
        ebm_alias_cell_t *own = cells + indptr[x];
        const int64_t degree = indptr[x + 1] - indptr[x];
        const double stay = shift ? shift[x] : 0.0;
        double sum = 0.0;
        int64_t heaviest = 0;
        int failed = !(stay >= 0.0)
                         ? EBM_ERR_NEGATIVE
                         : row_weights(A, row, col, stay, x, degree, own, &sum, &heaviest);
        if (!failed) failed = fix_weights(sum, degree, heaviest, own);
        if (!failed) settle_cells(degree, own);
        if (failed > status) status = failed;
    }
    return status;
}

/* --- steps ------------------------------------------------------------------------------------ */

/* Where the rows' cells begin. Equal degrees need no offsets, which is 1.6 times as fast on 1e6
   states (benchmarks: walk); offsets of 32 bits are 1.08 times as fast as of 64. */
typedef enum rows { ROWS_EVEN, ROWS_NARROW, ROWS_WIDE } rows_t;

EBM_INLINE void row_of(const ebm_alias_t *table, rows_t rows, int64_t state, int64_t *begin,
                       int64_t *degree)
{
    switch (rows) {
    case ROWS_EVEN:
        *begin = state * table->degree;
        *degree = table->degree;
        break;
    case ROWS_NARROW:
        *begin = table->narrow[state];
        *degree = table->narrow[state + 1] - *begin;
        break;
    default: *begin = table->indptr[state]; *degree = table->indptr[state + 1] - *begin;
    }
}

/* The cell that a word chooses in the row of a state; the remainder of the word, as a fraction of
   the cell, decides between target and alias. */
EBM_INLINE int64_t choose(const ebm_alias_t *table, rows_t rows, int64_t state, uint64_t bits,
                          uint64_t *remainder)
{
    int64_t begin, degree;
    uint64_t index;
    row_of(table, rows, state, &begin, &degree);
    *remainder = ebm_multiply_wide(bits, (uint64_t)degree, &index);
    return begin + (int64_t)index;
}

EBM_INLINE void step_all(const ebm_alias_t *table, rows_t rows, int64_t n_walkers,
                         const uint64_t *bits, int64_t *states)
{
    for (int64_t i = 0; i < n_walkers; i++) {
        uint64_t remainder;
        const int64_t at = choose(table, rows, states[i], bits[i], &remainder);
        if (table->cells) {
            const ebm_alias_cell_t *cell = table->cells + at;
            /* a mask: a branch would be mispredicted every other time */
            const int32_t keep = -(int32_t)(remainder < cell->threshold);
            states[i] = (cell->target & keep) | (cell->alias & ~keep);
        } else {
            states[i] = table->targets[at];
        }
        if (rows == ROWS_NARROW) EBM_PREFETCH(table->narrow + states[i]);
        if (rows == ROWS_WIDE) EBM_PREFETCH(table->indptr + states[i]);
    }
}

EBM_INLINE void prefetch_all(const ebm_alias_t *table, rows_t rows, int64_t n_walkers,
                             const uint64_t *bits, const int64_t *states)
{
    for (int64_t i = 0; i < n_walkers; i++) {
        uint64_t remainder;
        const int64_t at = choose(table, rows, states[i], bits[i], &remainder);
        if (table->cells) EBM_PREFETCH(table->cells + at);
        else EBM_PREFETCH(table->targets + at);
    }
}

static int alias_step(const void *ctx, int64_t n_walkers, const uint64_t *bits, int64_t *states)
{
    const ebm_alias_t *table = ctx;
    if (table->degree) step_all(table, ROWS_EVEN, n_walkers, bits, states);
    else if (table->narrow) step_all(table, ROWS_NARROW, n_walkers, bits, states);
    else step_all(table, ROWS_WIDE, n_walkers, bits, states);
    return EBM_OK;
}

static void alias_prefetch(const void *ctx, int64_t n_walkers, const uint64_t *bits,
                           const int64_t *states)
{
    const ebm_alias_t *table = ctx;
    if (table->degree) prefetch_all(table, ROWS_EVEN, n_walkers, bits, states);
    else if (table->narrow) prefetch_all(table, ROWS_NARROW, n_walkers, bits, states);
    else prefetch_all(table, ROWS_WIDE, n_walkers, bits, states);
}

void ebm_alias_kernel(const ebm_alias_t *table, ebm_kernel_t *kernel)
{
    *kernel = (ebm_kernel_t){
        .n_states = table->n_states, .ctx = table, .step = alias_step, .prefetch = alias_prefetch};
}
