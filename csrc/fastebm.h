/* The public C interface of fastebm: numerical analysis of large sparse Markov chains. C11, no
   Python, no globals, no input or output; the caller owns all memory; functions return an
   ebm_status_t and write outputs last.

   Every chain of fastebm is an operator

       P = diag(row) A diag(col) + diag(shift)

   with a sparse pattern A, shared by all chains that are scalings of it. The types, each explained
   in the header that declares it:

   ebm_kernel_t    A alone, as functions: products of ranges of rows, sums of differences, steps of
                   walkers, rows (fastebm/base/kernel.h). NULL where a pattern does not offer one.
   ebm_scaled_t    A with row, col and shift: the operator P (fastebm/base/kernel.h).
   ebm_csr_t       a stored A: compressed sparse rows, float64, float32 or no values; read an entry
                   with ebm_csr_value, which is inline (fastebm/patterns/csr.h).
   ebm_csr_pair_t  the same with its transpose, the context of the stored kernel.
   ebm_status_t    0 for success, else the number of an error (fastebm/base/status.h).

   How an extension module calls the functions. Those that are inline work as they are:

   ebm_philox_block(key, counter, out)  four 64-bit words of Philox4x64-10, a pure function of key
                   (2 words) and counter (4 words) (fastebm/base/random.h);
   ebm_multiply_wide(a, b, &high)       the 128-bit product of two words (fastebm/base/random.h);
   ebm_csr_value(A, k)                  entry k of a stored matrix (fastebm/patterns/csr.h).

   The others are compiled into the extension module fastebm._core.core, whose symbols are not
   linked against. Four functions are offered as pointers: in Cython by `cimport fastebm.core`
   (fastebm/core.pxd), in C as capsules of fastebm.core.__pyx_capi__, named by their signatures:

   chain_operator(chain, left, &transposed)  the ebm_scaled_t of a MarkovChain's products P x, or
                   x P with `left`; valid as long as the chain lives; needs the GIL;
   operator_apply(P, transposed, num_threads, width, x, scratch, y)  y = P x or P^T x for a block of
                   `width` vectors, row-major: ebm_scaled_apply (fastebm/patterns/scaled.h);
   philox(key, counter, out)            ebm_philox_block;
   status_text(status)                  ebm_status_text, the text of an error.

   A program that compiles the sources itself (csrc/ of the source distribution, -Icsrc) may call
   every function that these headers declare, and include the others of fastebm/... . */
#ifndef FASTEBM_H
#define FASTEBM_H

#include "fastebm/base/kernel.h"
#include "fastebm/base/random.h"
#include "fastebm/base/status.h"
#include "fastebm/patterns/csr.h"
#include "fastebm/patterns/scaled.h"

#endif
