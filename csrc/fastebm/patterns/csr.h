/* The stored kernel: compressed sparse rows, with values in double or single precision or none at
   all (every entry 1; a repeated edge is a repeated column index). Sums are always in double.

   Column indices are int32, hence fewer than 2^31 states: one vector of more would be 17 GB, and
   chains that large are lattices or rules, which store no indices. */
#ifndef FASTEBM_PATTERNS_CSR_H
#define FASTEBM_PATTERNS_CSR_H

#include "fastebm/base/kernel.h"

typedef enum ebm_value_type { EBM_VALUES_NONE, EBM_VALUES_F32, EBM_VALUES_F64 } ebm_value_type_t;

typedef struct ebm_csr {
    int64_t n_states;
    const int64_t *indptr;  /* (n_states + 1,) */
    const int32_t *indices; /* (nnz,), ascending within a row */
    const void *values;     /* (nnz,) of value_type, or NULL */
    ebm_value_type_t value_type;
} ebm_csr_t;

/* A stored matrix with its transpose, the context of the stored kernel. transpose == forward: A is
   symmetric. transpose == NULL: left products are not offered. */
typedef struct ebm_csr_pair {
    const ebm_csr_t *forward;
    const ebm_csr_t *transpose;
} ebm_csr_pair_t;

static inline double ebm_csr_value(const ebm_csr_t *A, int64_t k)
{
    switch (A->value_type) {
    case EBM_VALUES_F32: return ((const float *)A->values)[k];
    case EBM_VALUES_F64: return ((const double *)A->values)[k];
    default: return 1.0;
    }
}

void ebm_csr_kernel(const ebm_csr_pair_t *pair, ebm_kernel_t *kernel);

/* Validates rows [begin, end) of a user's matrix. The first fault is given by its row and entry
   (position in `indices`). Also returned: the sums of the rows in row_sum, and flags: whether each
   row's indices ascend, whether an entry is zero, whether all entries of each row are equal (then
   row_sum / degree is a row scaling and no value need be stored). Facts accumulate over calls, from
   EBM_CSR_FACTS_NONE. */
typedef struct ebm_csr_facts {
    int is_sorted, has_zeros, rows_uniform;
    int64_t row, entry;
} ebm_csr_facts_t;
#define EBM_CSR_FACTS_NONE ((ebm_csr_facts_t){1, 0, 1, -1, -1})
int ebm_csr_inspect(const ebm_csr_t *A, int64_t nnz, int64_t begin, int64_t end, int num_threads,
                    double *row_sum, ebm_csr_facts_t *facts);

/* Counting sort of the entries by column: `count` for ranges of rows that cover all, t_indptr
   (n_states + 1,) being zero at first; `place` once; `fill` for ranges of rows that cover all in
   ascending order. Output rows ascend. Each thread owns a range of columns and reads all entries,
   so nothing depends on the number of threads. t_values NULL where A has none. */
int ebm_csr_transpose_count(const ebm_csr_t *A, int64_t begin, int64_t end, int num_threads,
                            int64_t *t_indptr);
int ebm_csr_transpose_place(int64_t n_states, int64_t *t_indptr);
int ebm_csr_transpose_fill(const ebm_csr_t *A, int64_t begin, int64_t end, int num_threads,
                           int64_t *t_indptr, int32_t *t_indices, void *t_values);

#endif
