/* What the C tests share: assertions that name their place, memory whose ends the sanitizer sees,
   and pseudo-random numbers. The tests of a folder of csrc/fastebm are test_<folder>.c and
   test_<folder>_<part>.c. To build and run all of them under sanitizers: bash tests/c/run. */
#ifndef EBM_TEST_CHECK_H
#define EBM_TEST_CHECK_H

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fastebm/base/random.h"
#include "fastebm/base/status.h"
#include "fastebm/patterns/csr.h"

static inline void fail(const char *file, const char *function, int line, const char *text)
{
    fprintf(stderr, "%s:%d: %s: failed: %s\n", file, line, function, text);
    exit(1);
}

static inline void close_to(const char *file, const char *function, int line, const char *text,
                            double a, double b, double tolerance)
{
    if (fabs(a - b) <= tolerance * (1.0 + fabs(b))) return;
    fprintf(stderr, "%s:%d: %s: %s = %.17g, expected %.17g\n", file, line, function, text, a, b);
    exit(1);
}

#define CHECK(condition) ((condition) ? (void)0 : fail(__FILE__, __func__, __LINE__, #condition))
#define CLOSE(a, b, tolerance) close_to(__FILE__, __func__, __LINE__, #a, a, b, tolerance)

/* A number in (0, 1) that depends on i alone. */
static inline double noise(int64_t i)
{
    const uint64_t key[2] = {1, 2}, counter[4] = {(uint64_t)i, 0, 0, 0};
    uint64_t out[4];
    ebm_philox_block(key, counter, out);
    return ((double)(out[0] >> 11) + 0.5) * 0x1p-53;
}

#define LENGTH(array) (int64_t)(sizeof(array) / sizeof(array)[0])

/* Allocated to the byte, so that the sanitizer sees one step beyond. */
static inline void *take(int64_t count, size_t size)
{
    void *memory = malloc(count > 0 ? (size_t)count * size : 1);
    CHECK(memory);
    return memory;
}

static inline void *zeros(int64_t count, size_t size)
{
    void *memory = calloc(count > 0 ? (size_t)count : 1, size);
    CHECK(memory);
    return memory;
}

static inline double *doubles(int64_t n, double value)
{
    double *x = take(n, sizeof *x);
    for (int64_t i = 0; i < n; i++) x[i] = value;
    return x;
}

static inline ebm_csr_t csr(int64_t n, const int64_t *indptr, const int32_t *indices,
                            const void *values, ebm_value_type_t type)
{
    const ebm_csr_t A = {n, indptr, indices, values, type};
    return A;
}

/* In two calls of two threads each. */
static inline void transpose(const ebm_csr_t *A, int64_t *t_indptr, int32_t *t_indices,
                             void *t_values)
{
    const int64_t n = A->n_states, ranges[3] = {0, n / 3, n};
    memset(t_indptr, 0, (size_t)(n + 1) * sizeof *t_indptr);
    for (int r = 0; r < 2; r++)
        CHECK(ebm_csr_transpose_count(A, ranges[r], ranges[r + 1], 2, t_indptr) == EBM_OK);
    CHECK(ebm_csr_transpose_place(n, t_indptr) == EBM_OK);
    for (int r = 0; r < 2; r++)
        CHECK(ebm_csr_transpose_fill(A, ranges[r], ranges[r + 1], 2, t_indptr, t_indices,
                                     t_values) == EBM_OK);
}

#endif
