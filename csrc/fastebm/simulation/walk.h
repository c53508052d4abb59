/* Walkers that use the `step` of any kernel. A walker's randomness is its stream of Philox words:
   word t % 4 of block t / 4 makes step t + 1. So the outcome depends on key, streams and starts
   only: not on threads, batches, or on how steps and walkers are split into calls. */
#ifndef FASTEBM_SIMULATION_WALK_H
#define FASTEBM_SIMULATION_WALK_H

#include "fastebm/base/kernel.h"

/* Run every walker w with hit_time[w] < 0 from its state after t_begin steps until it is at a
   target state or has made t_end steps. tau counts from 0: with t_begin == 0 a walker that starts
   on the target has hit time 0. target_bits is a bit set, state x at bit x % 64 of word x / 64.
   Walker w uses stream first_walker + w. An error leaves walkers at various steps. */
int ebm_walk_hit(const ebm_kernel_t *kernel, const uint64_t key[2], const uint64_t *target_bits,
                 int num_threads, int64_t n_walkers, int64_t first_walker, int64_t t_begin,
                 int64_t t_end, int64_t *states, int64_t *hit_time);

/* Statistics of a path over the states of steps 1, 2, ...: its highest score, at which a walker
   stops as soon as it exceeds the walker's level, and the sum of a weight. */
typedef struct ebm_watch {
    /* (n_states,), or NULL: no score, level and best are not read */
    const double *score;
    const double *level;  /* (n_walkers,) */
    double *best;         /* (n_walkers,) the highest score so far, updated */
    const double *weight; /* (n_states,), or NULL: nothing is summed */
    double *sum;          /* (n_walkers,) added to */
} ebm_watch_t;

/* The same walks with these statistics; walker w uses stream streams[w] >= 0. The start is not
   examined: a walker that starts on the target, or above its level, steps first. */
int ebm_walk_watch(const ebm_kernel_t *kernel, const uint64_t key[2], const uint64_t *target_bits,
                   const ebm_watch_t *watch, int num_threads, int64_t n_walkers,
                   const int64_t *streams, int64_t t_begin, int64_t t_end, int64_t *states,
                   int64_t *stop_time);

/* Recorded walks: the state of walker w after t steps is written to paths[w * stride + t], t_begin
   < t <= t_end, and the last one to states[w]. paths holds int32_t where is_int32 is set (n_states
   < 2^31), else int64_t. */
int ebm_walk_paths(const ebm_kernel_t *kernel, const uint64_t key[2], int num_threads,
                   int64_t n_walkers, int64_t first_walker, int64_t t_begin, int64_t t_end,
                   int64_t stride, int is_int32, int64_t *states, void *paths);

#endif
