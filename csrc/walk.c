#include "walk.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "parallel.h"
#include "random.h"

/* Walkers that a thread keeps in flight, so that each one's memory misses hide behind the others'. */
#define BATCH 32

/* Fewer steps than this, half a millisecond, are one thread's work: waking others takes as long on a busy machine. */
#define TEAM_STEPS 65536

/* --- alias tables ----------------------------------------------------------------------------------------------------
   Weights become fixed-point numbers in units of 2^-64 of a cell whose sum over the row is exactly d cells. The sweep is
   then exact and cannot run out of donors, which is what makes floating-point versions draw absent transitions.
   Until it is settled, a cell holds the weight of its target: the whole part in ~alias (so alias < 0), the rest in
   `threshold`. */

int ebm_alias_count(const ebm_csr_t *A, const double *shift, int64_t *indptr)
{
    indptr[0] = 0;
    for (int64_t x = 0; x < A->n_states; x++) {
        const int64_t degree = A->indptr[x + 1] - A->indptr[x] + (shift && shift[x] > 0.0);
        if (degree > INT32_MAX) return EBM_ERR_UNSUPPORTED; /* the whole part of a weight must fit ~alias */
        indptr[x + 1] = indptr[x] + degree;
    }
    return EBM_OK;
}

/* Write targets and floating-point weights (their bits in `threshold`); the sum is compensated, for an error in it is
   multiplied by d below. */
static int row_weights(const ebm_csr_t *A, const double *row, const double *col, double stay, int64_t x, int64_t degree,
                       ebm_alias_cell_t *cells, double *sum, int64_t *heaviest)
{
    const int64_t n_moves = A->indptr[x + 1] - A->indptr[x];
    double total = 0.0, lost = 0.0, most = -1.0;
    for (int64_t k = 0; k < degree; k++) {
        double weight = stay;
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

/* Replace weights by fixed-point weights; what rounding left of d cells, at most 2^-20 of one, goes to the heaviest. */
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

/* Fill every cell that lacks weight from a donor. Only the current donor's weight changes, so it lives in two variables
   and the sweep needs no memory (Huebschle-Schneider & Sanders 2022). */
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
        } else { /* the donor gave more than it could spare: it lacks now, and exactness of the sum grants another */
            do donor++; while (cells[donor].alias >= ~0);
            whole = ~cells[donor].alias;
            rest = cells[donor].threshold;
        }
        cells[receiver].threshold = kept;
        cells[receiver].alias = cells[donor].target;
        rest += kept;
        whole -= rest >= kept;
    }
    for (int64_t k = 0; k < degree; k++)
        if (cells[k].alias < 0) cells[k].alias = cells[k].target; /* exactly one cell of its own weight */
}

int ebm_alias_build(const ebm_csr_t *A, const double *row, const double *col, const double *shift, int num_threads,
                    int64_t begin, int64_t end, const int64_t *indptr, ebm_alias_cell_t *cells)
{
    if (begin < 0 || begin > end || end > A->n_states || num_threads < 1) return EBM_ERR_ARGUMENT;
    int status = EBM_OK;
#ifdef _OPENMP
#pragma omp parallel for num_threads(num_threads) schedule(dynamic, 256) reduction(max : status) if (end - begin > 256)
#endif
    for (int64_t x = begin; x < end; x++) {
        ebm_alias_cell_t *own = cells + indptr[x];
        const int64_t degree = indptr[x + 1] - indptr[x];
        const double stay = shift ? shift[x] : 0.0;
        double sum = 0.0;
        int64_t heaviest = 0;
        int failed = !(stay >= 0.0) ? EBM_ERR_NEGATIVE : row_weights(A, row, col, stay, x, degree, own, &sum, &heaviest);
        if (!failed) failed = fix_weights(sum, degree, heaviest, own);
        if (!failed) settle_cells(degree, own);
        if (failed > status) status = failed;
    }
    return status;
}

/* In two passes, so that the misses of all walkers are in flight together: the cells here, the next row's offsets after
   the choice. */
static int alias_step(const void *ctx, int64_t n_walkers, const uint64_t *bits, int64_t *states)
{
    const ebm_alias_t *table = ctx;
    const ebm_alias_cell_t *cells[BATCH];
    uint64_t remainder[BATCH];
    for (int64_t begin = 0; begin < n_walkers; begin += BATCH) {
        const int64_t n = n_walkers - begin < BATCH ? n_walkers - begin : BATCH;
        for (int64_t i = 0; i < n; i++) {
            const int64_t *offset = table->indptr + states[begin + i];
            uint64_t index;
            remainder[i] = ebm_multiply_wide(bits[begin + i], (uint64_t)(offset[1] - offset[0]), &index);
            cells[i] = table->cells + offset[0] + index;
            EBM_PREFETCH(cells[i]);
        }
        for (int64_t i = 0; i < n; i++) {
            /* a mask, not a branch that is mispredicted every other time */
            const int32_t keep = -(int32_t)(remainder[i] < cells[i]->threshold);
            const int64_t next = (cells[i]->target & keep) | (cells[i]->alias & ~keep);
            states[begin + i] = next;
            EBM_PREFETCH(table->indptr + next);
        }
    }
    return EBM_OK;
}

void ebm_alias_kernel(const ebm_alias_t *table, ebm_kernel_t *kernel)
{
    *kernel = (ebm_kernel_t){.n_states = table->n_states, .ctx = table, .step = alias_step};
}

/* --- walkers -------------------------------------------------------------------------------------------------------- */

typedef struct walk {
    const ebm_kernel_t *kernel;
    const uint64_t *key;
    const uint64_t *target_bits;
    int64_t n_walkers, first_walker, t_begin, t_end, claim;
    int64_t *states, *hit_time;
} walk_t;

/* The walkers that one thread has in flight. All are at the same step modulo 4, so that one array of words serves a round. */
typedef struct batch {
    int64_t size;
    int64_t state[BATCH];
    int64_t walker[BATCH]; /* index within the call */
    int64_t entered[BATCH]; /* the round in which it made its first step */
    uint64_t words[4][BATCH];
} batch_t;

static inline uint64_t on_target(const uint64_t *target_bits, int64_t state)
{
    return target_bits[state >> 6] >> (state & 63) & 1;
}

static int walk_check(const ebm_kernel_t *kernel, int num_threads, int64_t n_walkers, int64_t first_walker, int64_t t_begin,
                      int64_t t_end)
{
    if (!kernel->step) return EBM_ERR_UNSUPPORTED;
    return num_threads < 1 || n_walkers < 0 || first_walker < 0 || t_begin < 0 || t_end < t_begin ? EBM_ERR_ARGUMENT : EBM_OK;
}

/* A thread's share of walkers at a time: small enough to end together. */
static int64_t claim_size(int64_t n_walkers, int num_threads, int64_t most)
{
    const int64_t share = n_walkers / num_threads;
    return share < 1 ? 1 : share > most ? most : share;
}

static int team_size(int num_threads, int64_t n_walkers, int64_t n_steps)
{
    return n_walkers > 1 && n_steps > TEAM_STEPS / n_walkers ? num_threads : 1;
}

/* The words of the current block for slots from..size-1. */
static void draw_words(const walk_t *walk, int64_t round, int64_t from, batch_t *batch)
{
    int64_t walkers[BATCH], blocks[BATCH];
    for (int64_t i = from; i < batch->size; i++) {
        walkers[i] = walk->first_walker + batch->walker[i];
        blocks[i] = (walk->t_begin + round - batch->entered[i]) >> 2;
    }
    ebm_philox_walkers(walk->key, batch->size - from, walkers + from, blocks + from, BATCH, batch->words[0] + from);
}

/* Fill the batch from the walkers that no thread has claimed; *next..*stop are claimed by this one. */
static int refill(const walk_t *walk, int64_t round, int64_t *cursor, int64_t *next, int64_t *stop, batch_t *batch)
{
    while (batch->size < BATCH) {
        if (*next == *stop) {
#ifdef _OPENMP
#pragma omp atomic capture
#endif
            { *next = *cursor; *cursor += walk->claim; }
            if (*next > walk->n_walkers) *next = walk->n_walkers;
            *stop = *next + walk->claim < walk->n_walkers ? *next + walk->claim : walk->n_walkers;
            if (*next == *stop) break;
        }
        const int64_t w = (*next)++, state = walk->states[w];
        if (walk->hit_time[w] >= 0) continue;
        if (state < 0 || state >= walk->kernel->n_states) return EBM_ERR_STATE;
        if (walk->t_begin == 0 && on_target(walk->target_bits, state)) {
            walk->hit_time[w] = 0;
        } else if (walk->t_begin < walk->t_end) {
            batch->state[batch->size] = state;
            batch->walker[batch->size] = w;
            batch->entered[batch->size++] = round;
        }
    }
    return EBM_OK;
}

/* Take the walkers that arrived or made their last step out of the batch. */
static void retire(const walk_t *walk, int64_t round, batch_t *batch)
{
    for (int64_t i = batch->size - 1; i >= 0; i--) {
        const int64_t state = batch->state[i], w = batch->walker[i], t = walk->t_begin + round + 1 - batch->entered[i];
        const int arrived = (int)on_target(walk->target_bits, state);
        if (!arrived && t < walk->t_end) continue;
        walk->states[w] = state;
        if (arrived) walk->hit_time[w] = t;
        const int64_t last = --batch->size;
        batch->state[i] = batch->state[last];
        batch->walker[i] = batch->walker[last];
        batch->entered[i] = batch->entered[last];
        for (int k = 0; k < 4; k++) batch->words[k][i] = batch->words[k][last];
    }
}

/* One thread's work: walkers enter every fourth round, where their first word is due, and leave in any. */
static int run_walkers(const walk_t *walk, int64_t *cursor)
{
    const ebm_kernel_t *kernel = walk->kernel;
    const int64_t n_rounds = walk->t_end - walk->t_begin;
    int64_t next = 0, stop = 0;
    batch_t batch;
    batch.size = 0;
    for (int64_t round = 0;; round++) {
        const int word = (int)((walk->t_begin + round) & 3);
        int64_t without_words = word == 0 ? 0 : batch.size;
        if ((round & 3) == 0) {
            const int status = refill(walk, round, cursor, &next, &stop, &batch);
            if (status) return status;
            if (batch.size == 0) return EBM_OK;
        }
        if (without_words < batch.size) draw_words(walk, round, without_words, &batch);
        const int status = kernel->step(kernel->ctx, batch.size, batch.words[word], batch.state);
        if (status) return status;
        uint64_t any = 0;
        for (int64_t i = 0; i < batch.size; i++)
            any |= on_target(walk->target_bits, batch.state[i]) | (uint64_t)(round + 1 - batch.entered[i] == n_rounds);
        if (any) retire(walk, round, &batch);
    }
}

int ebm_walk_hit(const ebm_kernel_t *kernel, const uint64_t key[2], const uint64_t *target_bits, int num_threads,
                 int64_t n_walkers, int64_t first_walker, int64_t t_begin, int64_t t_end, int64_t *states, int64_t *hit_time)
{
    int status = walk_check(kernel, num_threads, n_walkers, first_walker, t_begin, t_end);
    if (status) return status;
    const walk_t walk = {kernel, key, target_bits, n_walkers, first_walker, t_begin, t_end,
                         claim_size(n_walkers, num_threads, BATCH / 2), states, hit_time};
    const int team = team_size(num_threads, n_walkers, t_end - t_begin);
    int64_t cursor = 0;
    (void)team;
#ifdef _OPENMP
#pragma omp parallel num_threads(team) reduction(max : status)
#endif
    status = run_walkers(&walk, &cursor);
    return status;
}

int ebm_walk_paths(const ebm_kernel_t *kernel, const uint64_t key[2], int num_threads, int64_t n_walkers,
                   int64_t first_walker, int64_t t_begin, int64_t t_end, int64_t stride, int is_int32, int64_t *states,
                   void *paths)
{
    int status = walk_check(kernel, num_threads, n_walkers, first_walker, t_begin, t_end);
    if (status) return status;
    for (int64_t w = 0; w < n_walkers; w++)
        if (states[w] < 0 || states[w] >= kernel->n_states) return EBM_ERR_STATE;
    const walk_t walk = {kernel, key, NULL, n_walkers, first_walker, t_begin, t_end,
                         claim_size(n_walkers, num_threads, BATCH), states, NULL};
    const int team = team_size(num_threads, n_walkers, t_end - t_begin);
    (void)team;
#ifdef _OPENMP
#pragma omp parallel for num_threads(team) schedule(dynamic) reduction(max : status)
#endif
    for (int64_t begin = 0; begin < n_walkers; begin += walk.claim) {
        int failed = EBM_OK;
        batch_t batch;
        batch.size = n_walkers - begin < walk.claim ? n_walkers - begin : walk.claim;
        for (int64_t i = 0; i < batch.size; i++) batch.walker[i] = begin + i, batch.entered[i] = 0;
        for (int64_t t = t_begin; t < t_end && failed == EBM_OK; t++) {
            if (t == t_begin || (t & 3) == 0) draw_words(&walk, t - t_begin, 0, &batch);
            failed = kernel->step(kernel->ctx, batch.size, batch.words[t & 3], states + begin);
            for (int64_t i = 0; i < batch.size; i++) {
                const int64_t at = (begin + i) * stride + t + 1;
                if (is_int32) ((int32_t *)paths)[at] = (int32_t)states[begin + i];
                else ((int64_t *)paths)[at] = states[begin + i];
            }
        }
        if (failed > status) status = failed;
    }
    return status;
}
