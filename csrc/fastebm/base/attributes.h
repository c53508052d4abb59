/* Compiler extensions: inlining, prefetching, and functions compiled for several instruction
   sets. */
#ifndef FASTEBM_BASE_ATTRIBUTES_H
#define FASTEBM_BASE_ATTRIBUTES_H

#if defined(__GNUC__)
#define EBM_INLINE static inline __attribute__((always_inline))
#define EBM_PREFETCH(address) __builtin_prefetch(address)
#else
#define EBM_INLINE static inline
#define EBM_PREFETCH(address) ((void)0)
#endif

/* target_clones: the binary runs on any x86-64 and uses the widest vectors of the CPU it runs on.
   It belongs on the function that works on a range of rows, never on one with an OpenMP pragma: GCC
   compiles the outlined parallel region for the baseline. Empty where it is not available (clang,
   musl) and under sanitizers, which crash in its resolvers. EBM_FUSED is for functions that call
   fma: an instruction instead of a call into the C library, with the same bits. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__gnu_linux__) && \
    !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__) &&                           \
    !defined(EBM_NO_MULTIVERSION)
#define EBM_MULTIVERSION __attribute__((target_clones("default", "avx2", "avx512f")))
#define EBM_FUSED __attribute__((target_clones("default", "fma")))
#else
#define EBM_MULTIVERSION
#define EBM_FUSED
#endif

#endif
