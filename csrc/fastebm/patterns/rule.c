#include "fastebm/patterns/rule.h"

#include <float.h>
#include <math.h>
#include <stddef.h>

#include "fastebm/base/parallel.h"

/* Entries of the rows that one call of the rule computes: 16 KiB, which are read back from the
   first-level cache. The product of the hypercube's rule, 4 to 20 bits, takes the same time to 2 %
   from 128 to 8192 entries. */
#define BATCH_ENTRIES 1024
#define BATCH_ROWS 128

typedef struct batch {
    int64_t stride, begin, end;
    int64_t degree[BATCH_ROWS], states[EBM_RULE_MAX_DEGREE];
    double weights[EBM_RULE_MAX_DEGREE];
} batch_t;

static int row_fault(const ebm_rule_t *rule, const batch_t *batch, int64_t i, int64_t *entry)
{
    const int64_t degree = batch->degree[i - batch->begin],
                  *states = batch->states + (i - batch->begin) * batch->stride;
    const double *weights = batch->weights + (i - batch->begin) * batch->stride;
    *entry = -1;
    if (degree == -1) return EBM_ERR_RULE_REFUSED;
    if (degree == -2) return EBM_ERR_RULE_RAISED;
    if (degree < 0 || degree > rule->max_degree) return EBM_ERR_RULE_DEGREE;
    for (int64_t k = 0; k < degree; k++) {
        *entry = k;
        if (states[k] < 0 || states[k] >= rule->n_states) return EBM_ERR_INDEX;
        if (!isfinite(weights[k])) return EBM_ERR_NONFINITE;
        if (weights[k] < 0.0) return EBM_ERR_NEGATIVE;
    }
    return EBM_OK;
}

/* Whether a whole batch is valid, without branches: it nearly always is, and every product
   checks. */
EBM_MULTIVERSION
static int all_fine(int64_t n_states, int64_t max_degree, const batch_t *batch)
{
    int64_t faults = 0;
    for (int64_t i = 0; i < batch->end - batch->begin; i++) {
        const int64_t degree = batch->degree[i], *states = batch->states + i * batch->stride;
        const double *weights = batch->weights + i * batch->stride;
        if (degree < 0 || degree > max_degree) return 0;
        for (int64_t k = 0; k < degree; k++)
            faults |= (states[k] < 0) | (states[k] >= n_states) | !(weights[k] >= 0.0) |
                      !(weights[k] <= DBL_MAX);
    }
    return faults == 0;
}

/* The next rows from `begin`, as many as fit the batch, all of them checked up to the first
   fault. */
static int next_batch(const ebm_rule_t *rule, ebm_rule_rows_t rows, int64_t begin, int64_t end,
                      batch_t *batch)
{
    int64_t n = rule->max_degree > BATCH_ENTRIES / BATCH_ROWS ? BATCH_ENTRIES / rule->max_degree
                                                              : BATCH_ROWS,
            entry;
    if (n < 1) n = 1;
    batch->stride = rule->max_degree;
    batch->begin = begin;
    batch->end = end - begin < n ? end : begin + n;
    /* a rule that returns without writing a degree has failed */
    for (int64_t i = begin; i < batch->end; i++) batch->degree[i - begin] = -2;
    rows(begin, batch->end, rule->data, batch->degree, batch->states, batch->weights);
    int status = EBM_OK;
    if (!all_fine(rule->n_states, rule->max_degree, batch))
        for (int64_t i = begin; i < batch->end && !status; i++)
            status = row_fault(rule, batch, i, &entry);
    return status;
}

static int product(const ebm_rule_t *rule, ebm_rule_rows_t rows, int64_t begin, int64_t end,
                   int64_t width, const double *x, double *y)
{
    batch_t batch;
    for (int64_t from = begin; from < end; from = batch.end) {
        const int status = next_batch(rule, rows, from, end, &batch);
        if (status) return status;
        for (int64_t i = from; i < batch.end; i++) {
            const int64_t place = (i - from) * batch.stride, last = place + batch.degree[i - from];
            for (int64_t j = 0; j < width; j++) {
                double sum = 0.0;
                for (int64_t k = place; k < last; k++)
                    sum += batch.weights[k] * x[batch.states[k] * width + j];
                y[(i - begin) * width + j] = sum;
            }
        }
    }
    return EBM_OK;
}

static int rule_apply(const void *ctx, int64_t begin, int64_t end, int64_t width, const double *x,
                      double *y)
{
    return product(ctx, ((const ebm_rule_t *)ctx)->outgoing, begin, end, width, x, y);
}

static int rule_apply_t(const void *ctx, int64_t begin, int64_t end, int64_t width, const double *x,
                        double *y)
{
    return product(ctx, ((const ebm_rule_t *)ctx)->incoming, begin, end, width, x, y);
}

static int rule_difference(const void *ctx, int64_t begin, int64_t end, int power,
                           const double *col, const double *x, double *y)
{
    const ebm_rule_t *rule = ctx;
    batch_t batch;
    for (int64_t from = begin; from < end; from = batch.end) {
        const int status = next_batch(rule, rule->outgoing, from, end, &batch);
        if (status) return status;
        for (int64_t i = from; i < batch.end; i++) {
            const int64_t place = (i - from) * batch.stride, last = place + batch.degree[i - from];
            double sum = 0.0;
            for (int64_t k = place; k < last; k++) {
                const int64_t j = batch.states[k];
                const double d = x[i] - x[j], w = batch.weights[k] * (col ? col[j] : 1.0);
                sum += power == 2 ? w * d * d : w * d;
            }
            y[i - begin] = sum;
        }
    }
    return EBM_OK;
}

/* Heap sort by state, weights along: rows are short, but their length is the user's. */
static void sift(int64_t at, int64_t n, int64_t *states, double *weights)
{
    for (int64_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && states[child + 1] > states[child]) child++;
        if (states[at] >= states[child]) return;
        const int64_t state = states[at];
        const double weight = weights[at];
        states[at] = states[child], weights[at] = weights[child];
        states[child] = state, weights[child] = weight;
    }
}

static void sort_row(int64_t n, int64_t *states, double *weights)
{
    for (int64_t k = n / 2 - 1; k >= 0; k--) sift(k, n, states, weights);
    for (int64_t k = n - 1; k > 0; k--) {
        const int64_t state = states[k];
        const double weight = weights[k];
        states[k] = states[0], weights[k] = weights[0];
        states[0] = state, weights[0] = weight;
        sift(0, k, states, weights);
    }
}

/* Entries of weight zero are no edges and are left out. */
static int rule_rows(const void *ctx, int64_t begin, int64_t end, int64_t *indptr, int64_t *indices,
                     double *values)
{
    const ebm_rule_t *rule = ctx;
    batch_t batch;
    indptr[0] = 0;
    for (int64_t from = begin; from < end; from = batch.end) {
        const int status = next_batch(rule, rule->outgoing, from, end, &batch);
        if (status) return status;
        for (int64_t i = from; i < batch.end; i++) {
            int64_t *states = batch.states + (i - from) * batch.stride, n = 0,
                    at = indptr[i - begin];
            double *weights = batch.weights + (i - from) * batch.stride;
            for (int64_t k = 0; k < batch.degree[i - from]; k++)
                if (weights[k] > 0.0) states[n] = states[k], weights[n++] = weights[k];
            indptr[i + 1 - begin] = at + n;
            if (!indices) continue;
            sort_row(n, states, weights);
            for (int64_t k = 0; k < n; k++) indices[at + k] = states[k];
            for (int64_t k = 0; k < n && values; k++) values[at + k] = weights[k];
        }
    }
    return EBM_OK;
}

int ebm_rule_kernel(const ebm_rule_t *rule, ebm_kernel_t *kernel)
{
    if (rule->max_degree < 1 || rule->max_degree > EBM_RULE_MAX_DEGREE) return EBM_ERR_UNSUPPORTED;
    *kernel = (ebm_kernel_t){
        .n_states = rule->n_states,
        .ctx = rule,
        .apply = rule_apply,
        .apply_t = rule->incoming ? rule_apply_t : NULL,
        .difference = rule_difference,
        .rows = rule_rows,
        .max_degree = rule->max_degree,
    };
    return EBM_OK;
}

/* --- inspection ------------------------------------------------------------------------------- */

typedef struct seen {
    int64_t nnz;
    double least, largest;
} seen_t;

/* Stops at the first faulty row and stores its number in *fault (n_states if there is none). */
static void inspect_rows(const ebm_rule_t *rule, int allow_empty, int64_t begin, int64_t end,
                         double *row_sum, seen_t *seen, int64_t *fault)
{
    batch_t batch;
    int64_t entry;
    *fault = rule->n_states;
    for (int64_t from = begin; from < end; from = batch.end) {
        (void)next_batch(rule, rule->outgoing, from, end, &batch);
        for (int64_t i = from; i < batch.end; i++) {
            double sum = 0.0;
            const int fine = !row_fault(rule, &batch, i, &entry);
            if (fine)
                for (int64_t k = 0; k < batch.degree[i - from]; k++) {
                    const double weight = batch.weights[(i - from) * batch.stride + k];
                    if (!(weight > 0.0)) continue;
                    sum += weight;
                    seen->nnz++;
                    if (weight < seen->least) seen->least = weight;
                    if (weight > seen->largest) seen->largest = weight;
                }
            if (!fine || !isfinite(sum) || (sum == 0.0 && !allow_empty)) {
                *fault = i;
                return;
            }
            row_sum[i] = sum;
        }
    }
}

static int describe(const ebm_rule_t *rule, int64_t state, ebm_rule_facts_t *facts)
{
    batch_t batch;
    (void)next_batch(rule, rule->outgoing, state, state + 1, &batch);
    const int status = row_fault(rule, &batch, state, &facts->entry);
    facts->state = state;
    facts->degree = batch.degree[0];
    if (status == EBM_OK) { /* each entry is valid, their sum is not */
        double sum = 0.0;
        for (int64_t k = 0; k < batch.degree[0]; k++) sum += batch.weights[k];
        facts->entry = -1;
        return sum > 0.0 ? EBM_ERR_NONFINITE : EBM_ERR_EMPTY_ROW;
    }
    if (facts->entry >= 0)
        facts->target = batch.states[facts->entry], facts->weight = batch.weights[facts->entry];
    return status;
}

int ebm_rule_inspect(const ebm_rule_t *rule, int num_threads, int allow_empty, int64_t begin,
                     int64_t end, double *row_sum, ebm_rule_facts_t *facts)
{
    (void)num_threads;
    const int64_t n_blocks = ebm_n_blocks(end - begin);
    int64_t nnz = 0, first = rule->n_states;
    double least = INFINITY, largest = 0.0;
#pragma omp parallel for num_threads(num_threads) schedule(dynamic) reduction(+ : nnz) \
    reduction(min : least, first) reduction(max : largest) if (n_blocks > 1)
    for (int64_t b = 0; b < n_blocks; b++) {
        seen_t seen = {0, INFINITY, 0.0};
        int64_t fault;
        inspect_rows(rule, allow_empty, begin + ebm_block_begin(end - begin, n_blocks, b),
                     begin + ebm_block_begin(end - begin, n_blocks, b + 1), row_sum - begin, &seen,
                     &fault);
        nnz += seen.nnz;
        if (seen.least < least) least = seen.least;
        if (seen.largest > largest) largest = seen.largest;
        if (fault < first) first = fault;
    }
    *facts = (ebm_rule_facts_t){
        .nnz = nnz, .least = least, .largest = largest, .state = -1, .degree = -1, .entry = -1};
    return first < rule->n_states ? describe(rule, first, facts) : EBM_OK;
}
