#include "fastebm/patterns/components.h"

#include "fastebm/base/parallel.h"

/* One thread may change the forest while another reads it: a stale parent is still an ancestor, as
   trees are only merged. */
static inline int32_t load(const int32_t *parent, int32_t x)
{
    return __atomic_load_n(parent + x, __ATOMIC_RELAXED);
}

/* The larger of two roots becomes a child of the smaller one. */
static inline void unite(int32_t *parent, int32_t x, int32_t y)
{
    int32_t a = load(parent, x), b = load(parent, y);
    while (a != b) {
        const int32_t high = a > b ? a : b, low = a > b ? b : a;
        int32_t above = load(parent, high);
        if (above == low) return;
        if (above == high && __atomic_compare_exchange_n(parent + high, &above, low, 0,
                                                         __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            return;
        a = load(parent, load(parent, high));
        b = load(parent, low);
    }
}

int ebm_components_unite(const ebm_csr_t *A, int64_t begin, int64_t end, int64_t first,
                         int64_t last, int32_t skip, int num_threads, int32_t *parent)
{
    (void)num_threads;
#pragma omp parallel for num_threads(num_threads)           \
    schedule(dynamic, EBM_TILE) if (end - begin > EBM_TILE)
    for (int64_t x = begin; x < end; x++) {
        if (skip >= 0 && load(parent, (int32_t)x) == skip) continue;
        const int64_t start = A->indptr[x],
                      stop = start + last < A->indptr[x + 1] ? start + last : A->indptr[x + 1];
        for (int64_t k = start + first; k < stop; k++) unite(parent, (int32_t)x, A->indices[k]);
    }
    return EBM_OK;
}

int ebm_components_flatten(int64_t begin, int64_t end, int num_threads, int32_t *parent)
{
    (void)num_threads;
#pragma omp parallel for num_threads(num_threads)           \
    schedule(dynamic, EBM_TILE) if (end - begin > EBM_TILE)
    for (int64_t x = begin; x < end; x++) {
        int32_t root = load(parent, (int32_t)x);
        for (int32_t above = load(parent, root); above != root; above = load(parent, root))
            root = above;
        __atomic_store_n(parent + x, root, __ATOMIC_RELAXED);
    }
    return EBM_OK;
}

int ebm_components_loops(const ebm_csr_t *A, int64_t begin, int64_t end, const int32_t *label,
                         uint8_t *looped)
{
    for (int64_t x = begin; x < end; x++) {
        if (looped[label[x]]) continue;
        int64_t low = A->indptr[x], high = A->indptr[x + 1];
        while (low < high) {
            const int64_t middle = low + (high - low) / 2;
            if (A->indices[middle] < x) low = middle + 1;
            else high = middle;
        }
        if (low < A->indptr[x + 1] && A->indices[low] == x) looped[label[x]] = 1;
    }
    return EBM_OK;
}
