#include "fastebm/simulation/walk.h"

#include <stddef.h>

#include "fastebm/base/parallel.h"
#include "fastebm/base/random.h"

/* A thread steps BATCHES batches in turn: while one is stepped, the cells of the others are being
   prefetched, and also while random words are generated. More walkers in flight than a core has
   outstanding misses stall it. Measured by `walk` of benchmarks, 1e6 states: 4 x 16 is 1.6 times as
   fast as one batch of 32 on equal degrees; a Philox in AVX-512 was slower than the scalar one, as
   both threads of a core share its vector units. */
#define BATCH 16
#define BATCHES 4

/* Fewer steps than this, half a millisecond, are left to one thread: waking others takes as long on
   a busy machine. */
#define TEAM_STEPS 65536

typedef struct walk {
    const ebm_kernel_t *kernel;
    const uint64_t *key;
    const uint64_t *target_bits;
    const ebm_watch_t *watch; /* NULL: no statistics */
    const int64_t *streams;   /* NULL: first_walker + w */
    int64_t n_walkers, first_walker, t_begin, t_end, claim;
    int64_t *states, *hit_time;
} walk_t;

/* Walkers that step together. All are at the same step modulo 4, so that one array of words serves
   a round. */
typedef struct batch {
    int64_t size, round;
    int64_t state[BATCH];
    int64_t walker[BATCH];  /* index within the call */
    int64_t entered[BATCH]; /* the round in which it made its first step */
    uint64_t words[4][BATCH];
} batch_t;

/* The walkers next..stop-1 that a thread has claimed from the cursor that all share. */
typedef struct claim {
    int64_t *cursor;
    int64_t next, stop;
} claim_t;

static inline uint64_t on_target(const uint64_t *target_bits, int64_t state)
{
    return target_bits[state >> 6] >> (state & 63) & 1;
}

static int walk_check(const ebm_kernel_t *kernel, int num_threads, int64_t n_walkers,
                      int64_t first_walker, int64_t t_begin, int64_t t_end)
{
    if (!kernel->step) return EBM_ERR_UNSUPPORTED;
    return num_threads < 1 || n_walkers < 0 || first_walker < 0 || t_begin < 0 || t_end < t_begin
               ? EBM_ERR_ARGUMENT
               : EBM_OK;
}

/* Walkers that a thread claims at a time: few, so that threads finish together. */
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
static void draw_words(const walk_t *walk, int64_t from, batch_t *batch)
{
    int64_t streams[BATCH], blocks[BATCH];
    for (int64_t i = from; i < batch->size; i++) {
        streams[i] =
            walk->streams ? walk->streams[batch->walker[i]] : walk->first_walker + batch->walker[i];
        blocks[i] = (walk->t_begin + batch->round - batch->entered[i]) >> 2;
    }
    ebm_philox_walkers(walk->key, batch->size - from, streams + from, blocks + from, BATCH,
                       batch->words[0] + from);
}

/* Fill a batch from the walkers that no thread has claimed. */
static int refill(const walk_t *walk, claim_t *claim, batch_t *batch)
{
    while (batch->size < BATCH) {
        if (claim->next == claim->stop) {
#ifdef _OPENMP
#pragma omp atomic capture
#endif
            {
                claim->next = *claim->cursor;
                *claim->cursor += walk->claim;
            }
            if (claim->next > walk->n_walkers) claim->next = walk->n_walkers;
            claim->stop = claim->next + walk->claim < walk->n_walkers ? claim->next + walk->claim
                                                                      : walk->n_walkers;
            if (claim->next == claim->stop) break;
        }
        const int64_t w = claim->next++, state = walk->states[w];
        if (walk->hit_time[w] >= 0) continue;
        if (state < 0 || state >= walk->kernel->n_states) return EBM_ERR_STATE;
        if (!walk->watch && walk->t_begin == 0 && on_target(walk->target_bits, state)) {
            walk->hit_time[w] = 0;
        } else if (walk->t_begin < walk->t_end) {
            batch->state[batch->size] = state;
            batch->walker[batch->size] = w;
            batch->entered[batch->size++] = batch->round;
        }
    }
    return EBM_OK;
}

static inline int word_of(const walk_t *walk, const batch_t *batch)
{
    return (int)((walk->t_begin + batch->round) & 3);
}

/* Prepare a batch for its next step: walkers enter at every fourth round, when a new block of words
   is due, and leave at any. */
static int prepare(const walk_t *walk, claim_t *claim, batch_t *batch)
{
    if (batch->size == 0) batch->round = (batch->round + 3) & ~(int64_t)3;
    int64_t without_words = word_of(walk, batch) == 0 ? 0 : batch->size;
    if ((batch->round & 3) == 0) {
        const int status = refill(walk, claim, batch);
        if (status) return status;
    }
    if (without_words < batch->size) draw_words(walk, without_words, batch);
    if (walk->kernel->prefetch && batch->size)
        walk->kernel->prefetch(walk->kernel->ctx, batch->size, batch->words[word_of(walk, batch)],
                               batch->state);
    return EBM_OK;
}

/* Update the statistics of the walkers; 1 if one of them exceeds its level. */
static uint64_t update_statistics(const ebm_watch_t *watch, const batch_t *batch)
{
    uint64_t above = 0;
    for (int64_t i = 0; i < batch->size && watch->score; i++) {
        const int64_t w = batch->walker[i];
        const double score = watch->score[batch->state[i]];
        if (score > watch->best[w]) watch->best[w] = score;
        above |= (uint64_t)(score > watch->level[w]);
    }
    for (int64_t i = 0; i < batch->size && watch->weight; i++)
        watch->sum[batch->walker[i]] += watch->weight[batch->state[i]];
    return above;
}

/* Take the walkers that arrived or made their last step out of the batch. */
static void retire(const walk_t *walk, batch_t *batch)
{
    const ebm_watch_t *watch = walk->watch;
    for (int64_t i = batch->size - 1; i >= 0; i--) {
        const int64_t state = batch->state[i], w = batch->walker[i],
                      t = walk->t_begin + batch->round + 1 - batch->entered[i];
        const int arrived = on_target(walk->target_bits, state) ||
                            (watch && watch->score && watch->score[state] > watch->level[w]);
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

static int advance(const walk_t *walk, batch_t *batch)
{
    const int status = walk->kernel->step(walk->kernel->ctx, batch->size,
                                          batch->words[word_of(walk, batch)], batch->state);
    if (status) return status;
    uint64_t any = walk->watch ? update_statistics(walk->watch, batch) : 0;
    /* it entered at a round after which it has made its last step */
    const int64_t last = batch->round + 1 - (walk->t_end - walk->t_begin);
    for (int64_t i = 0; i < batch->size; i++)
        any |=
            on_target(walk->target_bits, batch->state[i]) | (uint64_t)(batch->entered[i] == last);
    if (any) retire(walk, batch);
    batch->round++;
    return EBM_OK;
}

/* One thread's work. A batch is prepared one turn after it was stepped, when its prefetched memory
   has arrived. */
static int run_walkers(const walk_t *walk, int64_t *cursor)
{
    claim_t claim = {cursor, 0, 0};
    batch_t batches[BATCHES];
    int64_t idle = 0; /* turns in a row that found an empty batch */
    for (int b = 0; b < BATCHES; b++) batches[b].size = batches[b].round = 0;
    for (int64_t turn = 0; idle <= BATCHES; turn++) {
        batch_t *ready = &batches[turn % BATCHES],
                *waiting = &batches[(turn + BATCHES - 1) % BATCHES];
        idle = ready->size ? 0 : idle + 1;
        int status = ready->size ? advance(walk, ready) : EBM_OK;
        if (!status) status = prepare(walk, &claim, waiting);
        if (status) return status;
    }
    return EBM_OK;
}

static int run_team(const walk_t *walk, int num_threads)
{
    int status = EBM_OK;
    int64_t cursor = 0, walking = 0;
    for (int64_t w = 0; w < walk->n_walkers; w++) walking += walk->hit_time[w] < 0;
    const int team = team_size(num_threads, walking, walk->t_end - walk->t_begin);
    (void)team;
#ifdef _OPENMP
#pragma omp parallel num_threads(team) reduction(max : status)
#endif
    status = run_walkers(walk, &cursor);
    return status;
}

int ebm_walk_hit(const ebm_kernel_t *kernel, const uint64_t key[2], const uint64_t *target_bits,
                 int num_threads, int64_t n_walkers, int64_t first_walker, int64_t t_begin,
                 int64_t t_end, int64_t *states, int64_t *hit_time)
{
    const int status = walk_check(kernel, num_threads, n_walkers, first_walker, t_begin, t_end);
    if (status) return status;
    const walk_t walk = {
        kernel,    key,          target_bits, NULL,  NULL,
        n_walkers, first_walker, t_begin,     t_end, claim_size(n_walkers, num_threads, BATCH),
        states,    hit_time};
    return run_team(&walk, num_threads);
}

int ebm_walk_watch(const ebm_kernel_t *kernel, const uint64_t key[2], const uint64_t *target_bits,
                   const ebm_watch_t *watch, int num_threads, int64_t n_walkers,
                   const int64_t *streams, int64_t t_begin, int64_t t_end, int64_t *states,
                   int64_t *stop_time)
{
    const int status = walk_check(kernel, num_threads, n_walkers, 0, t_begin, t_end);
    if (status) return status;
    for (int64_t w = 0; w < n_walkers; w++)
        if (streams[w] < 0) return EBM_ERR_ARGUMENT;
    const walk_t walk = {
        kernel,    key,      target_bits, watch, streams,
        n_walkers, 0,        t_begin,     t_end, claim_size(n_walkers, num_threads, BATCH),
        states,    stop_time};
    return run_team(&walk, num_threads);
}

typedef struct record {
    int64_t stride;
    int is_int32;
    void *paths;
} record_t;

static void note(const record_t *record, int64_t first, int64_t t, int64_t n, const int64_t *states)
{
    for (int64_t i = 0; i < n; i++) {
        const int64_t at = (first + i) * record->stride + t;
        if (record->is_int32) ((int32_t *)record->paths)[at] = (int32_t)states[i];
        else ((int64_t *)record->paths)[at] = states[i];
    }
}

/* Walkers begin..end-1, at most BATCHES batches, from t_begin to t_end. */
static int record_group(const walk_t *walk, const record_t *record, int64_t begin, int64_t end)
{
    const ebm_kernel_t *kernel = walk->kernel;
    batch_t batches[BATCHES];
    for (int64_t t = walk->t_begin; t <= walk->t_end; t++) {
        for (int64_t b = 0; begin + b * BATCH < end; b++) {
            const int64_t first = begin + b * BATCH;
            int64_t *states = walk->states + first;
            batch_t *batch = &batches[b];
            if (t == walk->t_begin) {
                batch->size = end - first < BATCH ? end - first : BATCH;
                for (int64_t i = 0; i < batch->size; i++)
                    batch->walker[i] = first + i, batch->entered[i] = 0;
            } else { /* the step that the last turn prepared */
                const int status =
                    kernel->step(kernel->ctx, batch->size, batch->words[(t - 1) & 3], states);
                if (status) return status;
                note(record, first, t, batch->size, states);
            }
            if (t == walk->t_end) continue;
            batch->round = t - walk->t_begin;
            if (t == walk->t_begin || (t & 3) == 0) draw_words(walk, 0, batch);
            if (kernel->prefetch)
                kernel->prefetch(kernel->ctx, batch->size, batch->words[t & 3], states);
        }
    }
    return EBM_OK;
}

int ebm_walk_paths(const ebm_kernel_t *kernel, const uint64_t key[2], int num_threads,
                   int64_t n_walkers, int64_t first_walker, int64_t t_begin, int64_t t_end,
                   int64_t stride, int is_int32, int64_t *states, void *paths)
{
    int status = walk_check(kernel, num_threads, n_walkers, first_walker, t_begin, t_end);
    if (status) return status;
    for (int64_t w = 0; w < n_walkers; w++)
        if (states[w] < 0 || states[w] >= kernel->n_states) return EBM_ERR_STATE;
    const walk_t walk = {kernel,       key,
                         NULL,         NULL,
                         NULL,         n_walkers,
                         first_walker, t_begin,
                         t_end,        claim_size(n_walkers, num_threads, BATCH * BATCHES),
                         states,       NULL};
    const record_t record = {stride, is_int32, paths};
    const int team = team_size(num_threads, n_walkers, t_end - t_begin);
    (void)team;
#ifdef _OPENMP
#pragma omp parallel for num_threads(team) schedule(dynamic) reduction(max : status)
#endif
    for (int64_t begin = 0; begin < n_walkers; begin += walk.claim) {
        const int failed =
            record_group(&walk, &record, begin,
                         begin + walk.claim < n_walkers ? begin + walk.claim : n_walkers);
        if (failed > status) status = failed;
    }
    return status;
}
