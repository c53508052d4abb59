/* Sweep cuts and lumpability, against all pairs of states. */
#include "check.h"
#include "fastebm/chains/cut.h"
#include "fastebm/chains/lump.h"

/* A number below `bound` that depends on i alone. */
static int64_t number(int64_t i, int64_t bound)
{
    const uint64_t key[2] = {5, 6}, counter[4] = {(uint64_t)i, 0, 0, 0};
    uint64_t out[4];
    ebm_philox_block(key, counter, out);
    return (int64_t)(out[0] >> 33) % bound;
}

/* n states with up to four entries each, an empty row among them, repeated indices allowed. */
static ebm_csr_t make(int64_t n, ebm_value_type_t type)
{
    int64_t *indptr = take(n + 1, sizeof *indptr), nnz = 0;
    int32_t *indices = take(4 * n, sizeof *indices);
    double *values = take(4 * n, sizeof *values);
    float *singles = take(4 * n, sizeof *singles);
    for (int64_t x = 0; x < n; x++) {
        indptr[x] = nnz;
        for (int64_t i = 0; x != n / 2 && i < 1 + number(x, 4); i++, nnz++) {
            indices[nnz] = (int32_t)number(7 * x + i + 1000, n);
            singles[nnz] = (float)(1 + number(nnz + 5000, 3)) / 8;
            values[nnz] = singles[nnz];
        }
    }
    indptr[n] = nnz;
    void *kept = type == EBM_VALUES_F32 ? (void *)singles : (void *)values;
    free(type == EBM_VALUES_F32 ? (void *)values : (void *)singles);
    return (ebm_csr_t){n, indptr, indices, type == EBM_VALUES_NONE ? (free(kept), NULL) : kept,
                       type};
}

static void release(ebm_csr_t *A)
{
    free((void *)A->indptr), free((void *)A->indices), free((void *)A->values);
}

static void test_cut(int64_t n, ebm_value_type_t type, int is_scaled)
{
    ebm_csr_t A = make(n, type);
    int32_t *rank = take(n, sizeof *rank);
    double *col = take(n, sizeof *col), *step = take(n, sizeof *step), *two = take(n, sizeof *two);
    for (int64_t x = 0; x < n; x++)
        rank[x] = (int32_t)(n - 1 - x), col[x] = 1.0 + (double)number(x, 5);
    for (int64_t x = n - 1; x > 0; x--) { /* a shuffle */
        const int64_t y = number(x + 9000, x + 1);
        const int32_t kept = rank[x];
        rank[x] = rank[y], rank[y] = kept;
    }
    CHECK(ebm_cut_steps(&A, is_scaled ? col : NULL, rank, 0, n, 1, step) == EBM_OK);
    CHECK(ebm_cut_steps(&A, is_scaled ? col : NULL, rank, 0, n / 3, 2, two) == EBM_OK);
    CHECK(ebm_cut_steps(&A, is_scaled ? col : NULL, rank, n / 3, n, 2, two) == EBM_OK);
    CHECK(!memcmp(step, two, (size_t)n * sizeof *step));
    for (int64_t x = 0; x < n; x++) {
        double wanted = 0.0;
        for (int64_t k = A.indptr[x]; k < A.indptr[x + 1]; k++) {
            const int32_t y = A.indices[k];
            const double a = ebm_csr_value(&A, k) * (is_scaled ? col[y] : 1.0);
            wanted += rank[y] > rank[x] ? a : rank[y] < rank[x] ? -a : 0.0;
        }
        CLOSE(step[x], wanted, 1e-14);
    }
    release(&A), free(rank), free(col), free(step), free(two);
}

/* P as a dense matrix of the probabilities of sets. */
static void naive(const ebm_csr_t *A, const double *row, const double *col, const double *shift,
                  const int32_t *labels, int64_t n_sets, double *into)
{
    memset(into, 0, (size_t)(A->n_states * n_sets) * sizeof *into);
    for (int64_t x = 0; x < A->n_states; x++) {
        for (int64_t k = A->indptr[x]; k < A->indptr[x + 1]; k++)
            into[x * n_sets + labels[A->indices[k]]] +=
                (row ? row[x] : 1.0) * ebm_csr_value(A, k) * (col ? col[A->indices[k]] : 1.0);
        if (shift) into[x * n_sets + labels[x]] += shift[x];
    }
}

static void test_lump(int64_t n, int64_t n_sets, ebm_value_type_t type, int is_scaled,
                      int64_t piece)
{
    ebm_csr_t A = make(n, type);
    int32_t *labels = take(n, sizeof *labels), *order = take(n, sizeof *order),
            *places = take(5 * n_sets, sizeof *places);
    int64_t *place = take(n_sets, sizeof *place), *degree = take(n_sets, sizeof *degree);
    double *numbers = take(4 * n_sets, sizeof *numbers), *scaling = take(3 * n, sizeof *scaling),
           *into = take(n * n_sets, sizeof *into);
    double *weight = take(n, sizeof *weight), *flow = take(n_sets * n_sets, sizeof *flow),
           *out_flow = take(n_sets, sizeof *out_flow);
    int32_t *out_into = take(n_sets, sizeof *out_into);
    memset(places, -1, (size_t)(5 * n_sets) * sizeof *places);
    memset(place, 0, (size_t)n_sets * sizeof *place);
    memset(flow, 0, (size_t)(n_sets * n_sets) * sizeof *flow);
    for (int64_t x = 0; x < n; x++)
        labels[x] = (int32_t)(x < n_sets ? x : number(x + 77, n_sets)),
        weight[x] = 1.0 + (double)number(x, 3);
    for (int64_t i = 0; i < 3 * n; i++) scaling[i] = (double)(1 + number(i + 333, 8)) / 8;
    for (int64_t x = 0; x < n; x++)
        for (int64_t set = labels[x] + 1; set < n_sets; set++) place[set]++;
    CHECK(ebm_lump_order(labels, 0, n / 2, place, order) == EBM_OK &&
          ebm_lump_order(labels, n / 2, n, place, order) == EBM_OK);
    for (int64_t i = 1; i < n; i++)
        CHECK(labels[order[i - 1]] < labels[order[i]] ||
              (labels[order[i - 1]] == labels[order[i]] && order[i - 1] < order[i]));
    ebm_lump_t lump = {.A = &A,
                       .labels = labels,
                       .order = order,
                       .weight = weight,
                       .probability = numbers,
                       .high = numbers + n_sets,
                       .low = numbers + 2 * n_sets,
                       .flow = numbers + 3 * n_sets,
                       .high_at = places,
                       .low_at = places + n_sets,
                       .last = places + 2 * n_sets,
                       .touched = places + 3 * n_sets,
                       .row_touched = places + 4 * n_sets,
                       .n_sets = n_sets,
                       .degree = degree,
                       .out_into = out_into,
                       .out_flow = out_flow,
                       .capacity = n_sets,
                       .x = -1,
                       .y = -1,
                       .into = -1};
    if (is_scaled) lump.row = scaling, lump.col = scaling + n, lump.shift = scaling + 2 * n;
    naive(&A, lump.row, lump.col, lump.shift, labels, n_sets, into);
    int64_t set = 0, within = 0;
    for (int done = 0; !done;) {
        CHECK(ebm_lump_expand(&lump, piece, &done) == EBM_OK);
        for (int64_t i = 0; i < lump.n_out; i++, within++) {
            while (within == degree[set]) set++, within = 0;
            flow[set * n_sets + out_into[i]] = out_flow[i];
        }
        lump.n_out = 0;
        if (!done && lump.at % 3 == 0) CHECK(ebm_lump_judge(&lump) == EBM_OK);
        double seen = 0.0; /* what was seen so far is never more than there is */
        for (int64_t a = 0; a < lump.at; a++)
            for (int64_t b = 0; b < lump.at; b++)
                for (int64_t B = 0; labels[order[a]] == labels[order[b]] && B < n_sets; B++)
                    seen = fmax(seen, into[order[a] * n_sets + B] - into[order[b] * n_sets + B]);
        CHECK(lump.defect <= seen + 1e-14);
        if (done) CLOSE(lump.defect, seen, 1e-14);
    }
    if (lump.defect > 0.0) {
        CHECK(labels[lump.x] == labels[lump.y]);
        CLOSE(into[lump.x * n_sets + lump.into] - into[lump.y * n_sets + lump.into], lump.defect,
              1e-14);
    }
    for (int64_t S = 0; S < n_sets; S++)
        for (int64_t B = 0; B < n_sets; B++) {
            double wanted = 0.0;
            for (int64_t x = 0; x < n; x++)
                if (labels[x] == S) wanted += weight[x] * into[x * n_sets + B];
            CLOSE(flow[S * n_sets + B], wanted, 1e-13);
        }
    release(&A), free(labels), free(order), free(places), free(place), free(degree), free(numbers),
        free(scaling), free(into), free(weight);
    free(flow), free(out_flow), free(out_into);
}

int main(void)
{
    for (ebm_value_type_t type = EBM_VALUES_NONE; type <= EBM_VALUES_F64; type++)
        for (int is_scaled = 0; is_scaled < 2; is_scaled++) {
            for (int64_t n = 1; n < 30; n += 4) test_cut(n, type, is_scaled);
            test_cut(9001, type, is_scaled); /* in several tiles */
            for (int64_t n = 1; n < 60; n += 7)
                for (int64_t n_sets = 1; n_sets <= n; n_sets += 5) {
                    test_lump(n, n_sets, type, is_scaled, 1);
                    test_lump(n, n_sets, type, is_scaled, 13);
                    test_lump(n, n_sets, type, is_scaled, INT64_MAX);
                }
        }
    return 0;
}
