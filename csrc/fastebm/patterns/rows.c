#include "fastebm/patterns/rows.h"

#include <math.h>
#include <stddef.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#include "fastebm/base/parallel.h"

/* --- a stored copy ---------------------------------------------------------------------------- */

int ebm_rows_count(const ebm_kernel_t *kernel, const int64_t *states, int num_threads,
                   int64_t begin, int64_t end, int64_t *degree)
{
    (void)num_threads;
    int status = EBM_OK;
#pragma omp parallel for num_threads(num_threads) schedule(dynamic, 256) \
    reduction(max : status) if (end - begin > EBM_BLOCK_STATES)
    for (int64_t i = begin; i < end; i++) {
        const int64_t x = states ? states[i] : i;
        int64_t ends[2] = {0, 0};
        const int failed = kernel->rows(kernel->ctx, x, x + 1, ends, NULL, NULL);
        if (failed > status) status = failed;
        degree[i - begin] = ends[1];
    }
    return status;
}

int ebm_rows_fill(const ebm_kernel_t *kernel, const int64_t *states, int num_threads, int64_t begin,
                  int64_t end, const int64_t *indptr, int64_t *work, int32_t *indices,
                  double *values)
{
    (void)num_threads;
    int status = EBM_OK;
#pragma omp parallel for num_threads(num_threads) schedule(dynamic, 256) \
    reduction(max : status) if (end - begin > EBM_BLOCK_STATES)
    for (int64_t i = begin; i < end; i++) {
#ifdef _OPENMP
        int64_t *row = work + omp_get_thread_num() * kernel->max_degree;
#else
        int64_t *row = work;
#endif
        const int64_t x = states ? states[i] : i;
        int64_t ends[2];
        int failed = kernel->rows(kernel->ctx, x, x + 1, ends, NULL, NULL);
        /* the row differs from the one that was counted */
        if (!failed && ends[1] != indptr[i + 1] - indptr[i]) failed = EBM_ERR_INDPTR;
        if (!failed)
            failed =
                kernel->rows(kernel->ctx, x, x + 1, ends, row, values ? values + indptr[i] : NULL);
        if (failed > status) status = failed;
        for (int64_t k = 0; k < ends[1] && !failed; k++) indices[indptr[i] + k] = (int32_t)row[k];
    }
    return status;
}

/* --- graph searches --------------------------------------------------------------------------- */

static int next_row(ebm_rows_search_t *search, int64_t *x, int64_t *degree, double *values)
{
    int64_t ends[2];
    *x = search->queue[search->head++];
    const int status =
        search->kernel->rows(search->kernel->ctx, *x, *x + 1, ends, search->row, values);
    *degree = ends[1];
    return status;
}

int ebm_rows_reach(ebm_rows_search_t *search, int64_t n_rows, const uint8_t *avoid,
                   uint8_t *reached, int *done)
{
    const int64_t n = search->kernel->n_states, *row = search->row;
    for (; search->root < n; search->root++)
        if (reached[search->root]) search->queue[search->tail++] = search->root;
    for (; n_rows > 0 && search->head < search->tail; n_rows--) {
        int64_t x, degree;
        const int status = next_row(search, &x, &degree, NULL);
        if (status) return status;
        for (int64_t k = 0; k < degree; k++) {
            if (reached[row[k]] || (avoid && avoid[row[k]])) continue;
            reached[row[k]] = 1;
            search->queue[search->tail++] = row[k];
        }
    }
    *done = search->head == search->tail;
    return EBM_OK;
}

static int64_t gcd(int64_t a, int64_t b)
{
    while (b) {
        const int64_t r = a % b;
        a = b;
        b = r;
    }
    return a < 0 ? -a : a;
}

int ebm_rows_classes(ebm_rows_search_t *search, int64_t n_rows, int64_t *level, int32_t *labels,
                     int64_t *n_classes, int64_t *period, int64_t *size, int *done)
{
    const int64_t n = search->kernel->n_states, *row = search->row;
    for (; n_rows > 0; n_rows--) {
        if (search->head == search->tail) {
            while (search->root < n && labels[search->root] >= 0) search->root++;
            if (search->root == n) break;
            if (*n_classes > INT32_MAX) return EBM_ERR_UNSUPPORTED;
            labels[search->root] = (int32_t)*n_classes;
            level[search->root] = period[*n_classes] = size[*n_classes] = 0;
            search->queue[search->tail++] = search->root;
            (*n_classes)++;
        }
        const int64_t own = *n_classes - 1;
        int64_t x, degree;
        const int status = next_row(search, &x, &degree, NULL);
        if (status) return status;
        size[own]++;
        for (int64_t k = 0; k < degree; k++) {
            const int64_t y = row[k];
            if (labels[y] < 0) {
                labels[y] = (int32_t)own;
                level[y] = level[x] + 1;
                search->queue[search->tail++] = y;
            } else { /* every such edge closes a cycle modulo the period */
                period[own] = gcd(period[own], level[x] + 1 - level[y]);
            }
        }
    }
    *done = search->head == n;
    return EBM_OK;
}

/* The entries to `to` in an ascending row. */
static double entry_of(int64_t degree, const int64_t *row, const double *values, int64_t to)
{
    double sum = 0.0;
    for (int64_t k = 0; k < degree && row[k] <= to; k++)
        if (row[k] == to) sum += values[k];
    return sum;
}

/* The log of A[x, y] over A[y, x], y the k-th entry of row x; infinite if there is no entry (y,
   x). */
static int log_ratio(ebm_rows_search_t *search, int64_t x, int64_t k, int64_t degree,
                     double *row_values, double *ratio)
{
    const ebm_kernel_t *kernel = search->kernel;
    int64_t *back = search->row + kernel->max_degree, ends[2];
    double *back_values = row_values + kernel->max_degree;
    const int64_t y = search->row[k];
    const int status = kernel->rows(kernel->ctx, y, y + 1, ends, back, back_values);
    if (status) return status;
    const double forward = entry_of(degree, search->row, row_values, y),
                 backward = entry_of(ends[1], back, back_values, x);
    *ratio = backward == 0.0 ? INFINITY : forward == backward ? 0.0 : log(forward) - log(backward);
    return EBM_OK;
}

int ebm_rows_potential(ebm_rows_search_t *search, int64_t n_rows, double *row_values, double *w,
                       double *mismatch, int *done)
{
    const int64_t n = search->kernel->n_states, *row = search->row;
    for (; n_rows > 0 && isfinite(*mismatch); n_rows--) {
        if (search->head == search->tail) {
            while (search->root < n && !isnan(w[search->root])) search->root++;
            if (search->root == n) break;
            w[search->root] = 0.0;
            search->queue[search->tail++] = search->root;
        }
        int64_t x, degree;
        int status = next_row(search, &x, &degree, row_values);
        for (int64_t k = 0; k < degree && !status; k++) {
            double ratio;
            /* a repeated edge was summed at its first entry */
            if (k > 0 && row[k] == row[k - 1]) continue;
            status = log_ratio(search, x, k, degree, row_values, &ratio);
            if (status) break;
            if (isinf(ratio)) {
                *mismatch = INFINITY;
            } else if (isnan(w[row[k]])) {
                w[row[k]] = w[x] + ratio;
                search->queue[search->tail++] = row[k];
            } else if (fabs(ratio - (w[row[k]] - w[x])) > *mismatch) {
                *mismatch = fabs(ratio - (w[row[k]] - w[x]));
            }
        }
        if (status) return status;
    }
    *done = search->head == n || !isfinite(*mismatch);
    return EBM_OK;
}

/* --- walkers ---------------------------------------------------------------------------------- */

#define BATCH 32

/* Uniform in [0, 1), a multiple of 2^-53. */
EBM_INLINE double unit_of(uint64_t word) { return (double)(word >> 11) * 0x1p-53; }

/* Hold with probability shift[x], else pass the rescaled remainder of the word to the kernel's own
   step. */
static int step_or_hold(const ebm_scaled_t *M, int64_t n_walkers, const uint64_t *bits,
                        int64_t *states)
{
    const ebm_kernel_t *kernel = M->kernel;
    if (!M->shift) return kernel->step(kernel->ctx, n_walkers, bits, states);
    for (int64_t begin = 0; begin < n_walkers; begin += BATCH) {
        int64_t moving[BATCH], place[BATCH], n = 0;
        uint64_t words[BATCH];
        for (int64_t w = begin; w < n_walkers && w < begin + BATCH; w++) {
            const double u = unit_of(bits[w]), hold = M->shift[states[w]];
            if (u < hold) continue;
            const double left = hold > 0.0 ? (u - hold) / (1.0 - hold) : 0.0;
            /* (u - hold) / (1 - hold) may round to one */
            words[n] =
                hold > 0.0 ? (uint64_t)((left < 1.0 ? left : 1.0 - 0x1p-53) * 0x1p64) : bits[w];
            moving[n] = states[w];
            place[n++] = w;
        }
        const int status = kernel->step(kernel->ctx, n, words, moving);
        if (status) return status;
        for (int64_t k = 0; k < n; k++) states[place[k]] = moving[k];
    }
    return EBM_OK;
}

/* One step from *state by its row; weight holds A's entries and is overwritten. */
static int scan_row(const ebm_scaled_t *M, uint64_t word, int64_t degree, const int64_t *row,
                    double *weight, int64_t *state)
{
    const int64_t x = *state;
    const double own = M->row ? M->row[x] : 1.0, stay = M->shift ? M->shift[x] : 0.0;
    double total = stay;
    for (int64_t k = 0; k < degree; k++) {
        weight[k] =
            own * ((M->kernel->all_ones ? 1.0 : weight[k]) * (M->col ? M->col[row[k]] : 1.0));
        total += weight[k];
    }
    if (!isfinite(total)) return EBM_ERR_NONFINITE;
    if (!(total > 0.0)) return EBM_ERR_EMPTY_ROW;
    /* below total, as unit_of stays 2^-53 below one; the same sums in the same order reach total,
       so the scan ends within the row, and an entry of weight zero does not move the sum past the
       threshold */
    const double threshold = unit_of(word) * total;
    double sum = stay;
    int64_t k = 0;
    while (!(threshold < sum) && k < degree) sum += weight[k++];
    if (k > 0) *state = row[k - 1];
    return EBM_OK;
}

/* All rows are enumerated first, so that the cache misses of `col` overlap. */
static int walk_step(const void *ctx, int64_t n_walkers, const uint64_t *bits, int64_t *states)
{
    const ebm_scaled_t *M = ctx;
    const ebm_kernel_t *kernel = M->kernel;
    if (!M->col && kernel->step) return step_or_hold(M, n_walkers, bits, states);
    int64_t row[EBM_ROWS_WALK_DEGREE], ends[BATCH][2];
    double weight[EBM_ROWS_WALK_DEGREE];
    const int64_t stride = kernel->max_degree, fit = EBM_ROWS_WALK_DEGREE / stride,
                  size = fit < BATCH ? fit : BATCH;
    for (int64_t begin = 0; begin < n_walkers; begin += size) {
        const int64_t n = n_walkers - begin < size ? n_walkers - begin : size;
        int status = EBM_OK;
        for (int64_t w = 0; w < n && !status; w++) {
            const int64_t x = states[begin + w];
            int64_t *own = row + w * stride;
            status = kernel->rows(kernel->ctx, x, x + 1, ends[w], own,
                                  kernel->all_ones ? NULL : weight + w * stride);
            for (int64_t k = 0; k < ends[w][1] && !status && M->col; k++)
                EBM_PREFETCH(M->col + own[k]);
        }
        for (int64_t w = 0; w < n && !status; w++)
            status = scan_row(M, bits[begin + w], ends[w][1], row + w * stride, weight + w * stride,
                              states + begin + w);
        if (status) return status;
    }
    return EBM_OK;
}

void ebm_rows_walker(const ebm_scaled_t *M, ebm_kernel_t *kernel)
{
    const int offered = (!M->col && M->kernel->step) ||
                        (M->kernel->rows && M->kernel->max_degree <= EBM_ROWS_WALK_DEGREE);
    *kernel = (ebm_kernel_t){.n_states = M->kernel->n_states,
                             .ctx = M,
                             .step = offered ? walk_step : NULL};
}
