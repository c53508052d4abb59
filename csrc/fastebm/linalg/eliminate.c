#include "fastebm/linalg/eliminate.h"

#include <fenv.h>
#include <stddef.h>
#include <string.h>

#include "fastebm/patterns/pairs.h"
#include "fastebm/base/parallel.h"

/* Pivots that are eliminated together before the rest of the front is touched: their rows stay in
   the second-level cache. Torus 512 of benchmarks/cases.py, 1e9 operations a second on one core:
   7.4 with 16, 10.6 with 32, 6.0 with 64 (noisy); a dense chain of 3000 states 10.5, 11.1, 11.4. */
#define PANEL 32
/* Columns of a front that are updated at a time, and rows a thread takes at a time. */
#define STRIP 256
#define CHUNK 32
/* Fronts whose update costs fewer operations than this are left to one thread. */
#define SMALL_UPDATE 1e7

/* --- rates ------------------------------------------------------------------------------------ */

int ebm_rates_count(const ebm_csr_t *A, const ebm_csr_t *T, const int32_t *number, int64_t *indptr)
{
    indptr[0] = 0;
    for (int64_t x = 0; x < A->n_states; x++) {
        if (number[x] < 0) continue;
        int64_t count = 0;
        ebm_pairs_t pair = ebm_pairs_of(A, T, x);
        while (ebm_pairs_next(&pair)) count += pair.other != x && number[pair.other] >= 0;
        indptr[number[x] + 1] = indptr[number[x]] + count;
    }
    return EBM_OK;
}

int ebm_rates_fill(const ebm_csr_t *A, const ebm_csr_t *T, const double *row, const double *col,
                   const int32_t *number, int64_t n_groups, int num_threads, const int64_t *indptr,
                   int32_t *indices, double *out_rate, double *in_rate, double *leak)
{
    (void)num_threads;
#pragma omp parallel for num_threads(num_threads)                  \
    schedule(static, EBM_TILE) if (A->n_states > EBM_BLOCK_STATES)
    for (int64_t x = 0; x < A->n_states; x++) {
        const int64_t i = number[x];
        if (i < 0) continue;
        int64_t e = indptr[i];
        double *leaks = leak + i * n_groups;
        for (int64_t g = 0; g < n_groups; g++) leaks[g] = 0.0;
        ebm_pairs_t pair = ebm_pairs_of(A, T, x);
        while (ebm_pairs_next(&pair)) {
            const int32_t y = pair.other;
            if (y == x) continue;
            const double away = pair.forward * (row ? row[x] : 1.0) * (col ? col[y] : 1.0);
            if (number[y] < 0) {
                leaks[-1 - number[y]] += away;
                continue;
            }
            indices[e] = number[y];
            out_rate[e] = away;
            in_rate[e++] = pair.backward * (row ? row[y] : 1.0) * (col ? col[x] : 1.0);
        }
    }
    return EBM_OK;
}

/* --- one front: the states of a supernode and those next to it, as a dense (size, size) block - */

/* front[i, p1:] += sum over the panel of front[i, k] front[k, p1:] for the rows i of a range. */
EBM_MULTIVERSION
static void update_rows(double *front, int64_t size, int64_t p0, int64_t p1, int64_t begin,
                        int64_t end)
{
    for (int64_t left = p1; left < size; left += STRIP) {
        const int64_t width = left + STRIP < size ? STRIP : size - left;
        for (int64_t i = begin; i < end; i++) {
            const double *l = front + i * size;
            double *restrict y = front + i * size + left;
            int64_t k = p0;
            for (; k + 4 <= p1; k += 4) {
                const double *restrict u = front + k * size + left;
                const double *restrict v = u + size, *restrict w = v + size, *restrict x = w + size;
                const double a = l[k], b = l[k + 1], c = l[k + 2], d = l[k + 3];
#pragma omp simd
                for (int64_t j = 0; j < width; j++)
                    y[j] += (a * u[j] + b * v[j]) + (c * w[j] + d * x[j]);
            }
            for (; k < p1; k++) {
                const double *restrict u = front + k * size + left;
                const double a = l[k];
#pragma omp simd
                for (int64_t j = 0; j < width; j++) y[j] += a * u[j];
            }
        }
    }
}

/* sum of non-negative numbers with an error of two half-ulps (Kahan) */
static double compensated_sum(double start, const double *x, int64_t n)
{
    double sum = start, lost = 0.0;
    for (int64_t i = 0; i < n; i++) {
        const double term = x[i] - lost, next = sum + term;
        lost = (next - sum) - term;
        sum = next;
    }
    return sum;
}

/* Eliminates the pivots p0 .. p1 - 1 of the front within themselves: their rows, their columns, and
   the leaks. */
static int eliminate_panel(ebm_eliminate_t *E, double *front, int64_t size, int64_t p0, int64_t p1)
{
    const int64_t s = E->supernode, first = E->first[s], width = E->first[s + 1] - first;
    const int32_t *rows = E->rows + E->row_begin[s];
    double above[PANEL];
    for (int64_t k = p0; k < p1; k++) {
        double *row = front + k * size;
        for (int64_t j = p0; j < k; j++) {
            const double l = row[j], *restrict u = front + j * size;
            for (int64_t c = k + 1; c < size; c++) row[c] += l * u[c];
            above[j - p0] = u[k];
        }
        const double leak = E->leak[first + k],
                     exit_rate = compensated_sum(leak, row + k + 1, size - k - 1);
        if (!(exit_rate > 0.0)) return EBM_ERR_BREAKDOWN;
        E->exit_rate[first + k] = exit_rate;
        /* the row becomes probabilities, which cannot overflow */
        for (int64_t c = k + 1; c < size; c++) row[c] /= exit_rate;
        const double share = leak / exit_rate;
        for (int64_t i = k + 1; i < size; i++) {
            double *other = front + i * size, value = other[k];
            for (int64_t j = p0; j < k; j++) value += other[j] * above[j - p0];
            other[k] = value;
            if (share > 0.0) E->leak[i < width ? first + i : rows[i - width]] += value * share;
        }
        row[k] = 1.0; /* the diagonal is not used; 1 is not an underflow */
    }
    return EBM_OK;
}

/* The rows below supernode s, their places in its front, and the front itself from the rates and
   the children's updates on the stack. */
static void assemble(ebm_eliminate_t *E)
{
    const int64_t s = E->supernode, first = E->first[s], last = E->first[s + 1],
                  width = last - first;
    const int64_t size = width + E->height[s];
    int32_t *rows = E->rows + E->row_begin[s];
    int64_t n_rows = 0;
    double *front = E->stack + E->top;
    memset(front, 0, (size_t)(size * size) * sizeof(double));
    for (int64_t k = first; k < last; k++) E->local[k] = k - first;
    for (int64_t k = first; k < last; k++)
        for (int64_t e = E->indptr[E->order[k]]; e < E->indptr[E->order[k] + 1]; e++) {
            const int64_t j = E->place[E->indices[e]];
            if (j < first) continue; /* eliminated already: its update carries the rate */
            if (E->local[j] < 0) {
                rows[n_rows] = (int32_t)j;
                E->local[j] = width + n_rows++;
            }
            front[(k - first) * size + E->local[j]] += E->out_rate[e];
            if (j >= last) front[E->local[j] * size + k - first] += E->in_rate[e];
        }
    double *update = front;
    for (; E->n_waiting > 0 && E->parent[E->waiting[E->n_waiting - 1]] == s; E->n_waiting--) {
        const int64_t child = E->waiting[E->n_waiting - 1], height = E->height[child];
        const int32_t *below = E->rows + E->row_begin[child];
        update -= height * height;
        for (int64_t a = 0; a < height; a++)
            if (E->local[below[a]] < 0) {
                rows[n_rows] = below[a];
                E->local[below[a]] = width + n_rows++;
            }
        for (int64_t a = 0; a < height; a++) {
            double *to = front + E->local[below[a]] * size;
            for (int64_t b = 0; b < height; b++) to[E->local[below[b]]] += update[a * height + b];
        }
    }
    E->base = update - E->stack;
    for (int64_t k = first; k < last; k++) E->local[k] = -1;
    for (int64_t a = 0; a < n_rows; a++) E->local[rows[a]] = -1;
}

/* Stores the factor of a finished front and moves its update to the place of its children's. */
static void finish(ebm_eliminate_t *E)
{
    const int64_t s = E->supernode, width = E->first[s + 1] - E->first[s], height = E->height[s],
                  size = width + height;
    const double *front = E->stack + E->top;
    double *factor = E->factor + E->factor_begin[s];
    memcpy(factor, front, (size_t)(width * size) * sizeof(double));
    factor += width * size;
    for (int64_t a = 0; a < height; a++)
        memcpy(factor + a * width, front + (width + a) * size, (size_t)width * sizeof(double));
    double *to = E->stack + E->base;
    for (int64_t a = 0; a < height; a++)
        memmove(to + a * height, front + (width + a) * size + width,
                (size_t)height * sizeof(double));
    E->top = E->base + height * height; /* no root has rows below it */
    if (E->parent[s] >= 0) E->waiting[E->n_waiting++] = s;
    E->supernode++;
    E->pivot = 0;
}

/* --- the elimination -------------------------------------------------------------------------- */

int ebm_eliminate_start(ebm_eliminate_t *E)
{
    E->n_waiting = E->top = E->base = E->supernode = E->pivot = 0;
    E->underflow = 0;
    E->row_begin[0] = E->factor_begin[0] = 0;
    for (int64_t s = 0; s < E->n_supernodes; s++) {
        const int64_t width = E->first[s + 1] - E->first[s];
        E->row_begin[s + 1] = E->row_begin[s] + E->height[s];
        E->factor_begin[s + 1] = E->factor_begin[s] + width * (width + 2 * E->height[s]);
    }
    for (int64_t k = 0; k < E->n; k++) E->place[E->order[k]] = k, E->local[k] = -1;
    return EBM_OK;
}

int ebm_eliminate_expand(ebm_eliminate_t *E, double n_flops, int num_threads)
{
    (void)num_threads;
    double done = 0.0;
    int status = EBM_OK, underflow = 0;
    feclearexcept(FE_UNDERFLOW);
    while (status == EBM_OK && done < n_flops && E->supernode < E->n_supernodes) {
        const int64_t s = E->supernode, width = E->first[s + 1] - E->first[s],
                      size = width + E->height[s];
        double *front = E->stack + E->top;
        if (E->pivot == 0) assemble(E);
        const int64_t p0 = E->pivot, p1 = p0 + PANEL < width ? p0 + PANEL : width, rest = size - p1;
        status = eliminate_panel(E, front, size, p0, p1);
        const double cost = 2.0 * (double)(p1 - p0) * (double)rest * (double)rest;
        if (cost < SMALL_UPDATE || num_threads == 1) {
            update_rows(front, size, p0, p1, p1, size);
        } else {
#pragma omp parallel for num_threads(num_threads) schedule(dynamic) reduction(max : underflow)
            for (int64_t begin = p1; begin < size; begin += CHUNK) {
                feclearexcept(FE_UNDERFLOW);
                update_rows(front, size, p0, p1, begin,
                            begin + CHUNK < size ? begin + CHUNK : size);
                if (fetestexcept(FE_UNDERFLOW)) underflow = 1;
            }
        }
        done += cost + (double)(size * size);
        E->pivot = p1;
        if (p1 == width) finish(E);
    }
    if (underflow || fetestexcept(FE_UNDERFLOW)) E->underflow = 1;
    return status;
}

int ebm_eliminate_solve(const ebm_eliminate_t *E, int64_t width, const double *b, double *work,
                        double *x)
{
    for (int64_t k = 0; k < E->n; k++)
        for (int64_t v = 0; v < width; v++) work[k * width + v] = b[E->order[k] * width + v];
    for (int64_t s = 0; s < E->n_supernodes; s++) {
        const int64_t first = E->first[s], n_columns = E->first[s + 1] - first,
                      height = E->height[s], size = n_columns + height;
        const double *upper = E->factor + E->factor_begin[s], *lower = upper + n_columns * size;
        const int32_t *rows = E->rows + E->row_begin[s];
        for (int64_t k = 0; k < n_columns; k++)
            for (int64_t v = 0; v < width; v++) {
                const double x_k = work[(first + k) * width + v] /= E->exit_rate[first + k];
                for (int64_t i = k + 1; i < n_columns; i++)
                    work[(first + i) * width + v] += upper[i * size + k] * x_k;
            }
        for (int64_t a = 0; a < height; a++)
            for (int64_t k = 0; k < n_columns; k++)
                for (int64_t v = 0; v < width; v++)
                    work[rows[a] * width + v] +=
                        lower[a * n_columns + k] * work[(first + k) * width + v];
    }
    for (int64_t s = E->n_supernodes - 1; s >= 0; s--) {
        const int64_t first = E->first[s], n_columns = E->first[s + 1] - first,
                      size = n_columns + E->height[s];
        const double *upper = E->factor + E->factor_begin[s];
        const int32_t *rows = E->rows + E->row_begin[s];
        for (int64_t k = n_columns - 1; k >= 0; k--)
            for (int64_t v = 0; v < width; v++) {
                double sum = work[(first + k) * width + v];
                for (int64_t j = k + 1; j < n_columns; j++)
                    sum += upper[k * size + j] * work[(first + j) * width + v];
                for (int64_t a = 0; a < E->height[s]; a++)
                    sum += upper[k * size + n_columns + a] * work[rows[a] * width + v];
                work[(first + k) * width + v] = sum;
            }
    }
    for (int64_t k = 0; k < E->n; k++)
        for (int64_t v = 0; v < width; v++) x[E->order[k] * width + v] = work[k * width + v];
    return EBM_OK;
}

int ebm_eliminate_solve_left(const ebm_eliminate_t *E, const double *b, const int32_t *b_exponent,
                             ebm_wide_t *work, double *x, int32_t *x_exponent)
{
    for (int64_t k = 0; k < E->n; k++)
        work[k] = ebm_wide_of(b[E->order[k]], b_exponent[E->order[k]]);
    for (int64_t s = 0; s < E->n_supernodes; s++) {
        const int64_t first = E->first[s], n_columns = E->first[s + 1] - first,
                      size = n_columns + E->height[s];
        const double *upper = E->factor + E->factor_begin[s];
        const int32_t *rows = E->rows + E->row_begin[s];
        for (int64_t k = 0; k < n_columns; k++) {
            const ebm_wide_t x_k = work[first + k];
            if (x_k.value == 0.0) continue;
            for (int64_t j = k + 1; j < size; j++) {
                ebm_wide_t *to = work + (j < n_columns ? first + j : rows[j - n_columns]);
                *to = ebm_wide_sum(*to, ebm_wide_times(x_k, upper[k * size + j]));
            }
        }
    }
    for (int64_t s = E->n_supernodes - 1; s >= 0; s--) {
        const int64_t first = E->first[s], n_columns = E->first[s + 1] - first,
                      size = n_columns + E->height[s];
        const double *upper = E->factor + E->factor_begin[s], *lower = upper + n_columns * size;
        const int32_t *rows = E->rows + E->row_begin[s];
        for (int64_t k = n_columns - 1; k >= 0; k--) {
            ebm_wide_t sum = work[first + k];
            for (int64_t i = k + 1; i < n_columns; i++)
                sum = ebm_wide_sum(sum, ebm_wide_times(work[first + i], upper[i * size + k]));
            for (int64_t a = 0; a < E->height[s]; a++)
                sum = ebm_wide_sum(sum, ebm_wide_times(work[rows[a]], lower[a * n_columns + k]));
            work[first + k] = ebm_wide_over(sum, E->exit_rate[first + k]);
        }
    }
    for (int64_t k = 0; k < E->n; k++)
        x[E->order[k]] = work[k].value, x_exponent[E->order[k]] = work[k].exponent;
    return EBM_OK;
}
