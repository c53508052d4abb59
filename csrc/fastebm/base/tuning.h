/* The constants that several sources share. A constant of one source is defined there, with the
   measurement that set it. */
#ifndef FASTEBM_BASE_TUNING_H
#define FASTEBM_BASE_TUNING_H

/* Rows that one indirect kernel call produces: the results (8 KiB) are still in the first-level
   cache when the fused vector pass reads them back. benchmarks/test_bench_spectral.py, insensitive
   between 256 and 4096. */
#define EBM_TILE 1024

/* Sums are taken over at most this many fixed ranges of states and added in order: the same bits
   for any number of threads. More than the threads of current machines, few enough for partial
   sums on the stack. */
#define EBM_MAX_BLOCKS 512

/* A range holds at least this many states, so that small chains are one range and start no
   thread. */
#define EBM_BLOCK_STATES 4096

#endif
