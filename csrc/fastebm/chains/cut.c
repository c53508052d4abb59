#include "fastebm/chains/cut.h"

#include <stddef.h>

#include "fastebm/base/parallel.h"

int ebm_cut_steps(const ebm_csr_t *A, const double *col, const int32_t *rank, int64_t begin,
                  int64_t end, int num_threads, double *step)
{
    (void)num_threads;
#pragma omp parallel for num_threads(num_threads)           \
    schedule(dynamic, EBM_TILE) if (end - begin > EBM_TILE)
    for (int64_t x = begin; x < end; x++) {
        double later = 0.0, earlier = 0.0;
        for (int64_t k = A->indptr[x]; k < A->indptr[x + 1]; k++) {
            const int32_t y = A->indices[k];
            const double a = ebm_csr_value(A, k) * (col ? col[y] : 1.0);
            if (rank[y] > rank[x]) later += a;
            if (rank[y] < rank[x]) earlier += a;
        }
        step[x] = later - earlier;
    }
    return EBM_OK;
}
