#include "fastebm/linalg/multigrid.h"

#include <stddef.h>

#include "fastebm/base/parallel.h"

/* Damping of the Jacobi sweeps: D^-1 L has its spectrum in [0, 2], and 2/3 minimises the largest
   factor on its upper half. */
#define DAMPING (2.0 / 3.0)

/* sum_{y != x} A[x, y] z[y]: A[x, x] may be near one and is left out: its rounding would exceed the
   rest. */
EBM_INLINE double moved(const ebm_csr_t *A, ebm_value_type_t type, int64_t x, const double *z)
{
    double sum = 0.0;
    for (int64_t k = A->indptr[x]; k < A->indptr[x + 1]; k++) {
        const int32_t y = A->indices[k];
        const double a = type == EBM_VALUES_NONE  ? 1.0
                         : type == EBM_VALUES_F64 ? ((const double *)A->values)[k]
                                                  : (double)((const float *)A->values)[k];
        sum += y == x ? 0.0 : a * z[y];
    }
    return sum;
}

/* Calls body(type) with a compile-time value type. */
#define BY_TYPE(A, body)                              \
    switch ((A)->value_type) {                        \
    case EBM_VALUES_F64: body(EBM_VALUES_F64); break; \
    case EBM_VALUES_F32: body(EBM_VALUES_F32); break; \
    default: body(EBM_VALUES_NONE);                   \
    }

static inline double left_of(const ebm_flow_t *F, int64_t x) { return F->left ? F->left[x] : 1.0; }

/* x = DAMPING r / diag (+ coarse[aggregate]), and right * x for the product. */
static void start_level(const ebm_multigrid_level_t *level, const double *r, const double *coarse,
                        int num_threads)
{
    (void)num_threads;
    const double *inverse = level->inverse, *right = level->F.right;
    const int32_t *aggregate = level->aggregate;
    double *x = level->x, *scaled = level->scaled;
    const int64_t n = level->n;
#pragma omp parallel for num_threads(num_threads)                     \
    schedule(dynamic, EBM_BLOCK_STATES) if (n > 2 * EBM_BLOCK_STATES)
    for (int64_t i = 0; i < n; i++) {
        double value = DAMPING * r[i] * inverse[i];
        if (coarse && aggregate[i] >= 0) value += coarse[aggregate[i]];
        x[i] = value;
        if (right) scaled[i] = right[i] * value;
    }
}

/* out = the residual of the damped sweep, (1 - DAMPING) r + left A (right x). */
EBM_MULTIVERSION
static void residual_rows(const ebm_multigrid_level_t *level, const double *r, int64_t begin,
                          int64_t end, double *out)
{
    const double *z = level->F.right ? level->scaled : level->x;
#define RESIDUAL(type)                                                                      \
    for (int64_t i = begin; i < end; i++)                                                   \
    out[i] = (1.0 - DAMPING) * r[i] + left_of(&level->F, i) * moved(level->F.A, type, i, z)
    BY_TYPE(level->F.A, RESIDUAL)
#undef RESIDUAL
}

/* out[c] = the sum of the residual over aggregate c. A separate pass: rows in the order of the
   aggregates take twice the time. */
static void restrict_rows(const ebm_multigrid_level_t *level, const double *residual, int64_t begin,
                          int64_t end, double *out)
{
    for (int64_t c = begin; c < end; c++) {
        double sum = 0.0;
        for (int64_t m = level->start[c]; m < level->start[c + 1]; m++)
            sum += residual[level->members[m]];
        out[c] = sum;
    }
}

/* out = (1 - DAMPING) x + DAMPING (r + left A (right x)) / diag: the sweep after the correction,
   whose terms have the signs of x and r. */
EBM_MULTIVERSION
static void smooth_rows(const ebm_multigrid_level_t *level, const double *r, int64_t begin,
                        int64_t end, double *out)
{
    const double *x = level->x, *z = level->F.right ? level->scaled : level->x,
                 *inverse = level->inverse;
#define SMOOTH(type)                                                                               \
    for (int64_t i = begin; i < end; i++)                                                          \
        out[i] =                                                                                   \
            (1.0 - DAMPING) * x[i] +                                                               \
            DAMPING * inverse[i] * (r[i] + left_of(&level->F, i) * moved(level->F.A, type, i, z));
    BY_TYPE(level->F.A, SMOOTH)
#undef SMOOTH
}

/* out = L x on a coarse level (left and right are ones there). */
EBM_MULTIVERSION
static void laplace_rows(const ebm_multigrid_level_t *level, const double *x, int64_t begin,
                         int64_t end, double *out)
{
    for (int64_t i = begin; i < end; i++)
        out[i] = level->diag[i] * x[i] - moved(level->F.A, EBM_VALUES_F64, i, x);
}

/* out = L x, with_x = x . out, with_r = x . r, with_v = v . x (v may be NULL). */
static void laplace_dots(const ebm_multigrid_level_t *level, const double *x, const double *r,
                         const double *v, int num_threads, double *out, double *with_x,
                         double *with_r, double *with_v)
{
    (void)num_threads;
    double partial[3 * EBM_MAX_BLOCKS];
    const int64_t n = level->n, n_blocks = ebm_n_blocks(n);
#pragma omp parallel for num_threads(num_threads) schedule(dynamic) if (n_blocks > 1)
    for (int64_t b = 0; b < n_blocks; b++) {
        const int64_t begin = ebm_block_begin(n, n_blocks, b),
                      end = ebm_block_begin(n, n_blocks, b + 1);
        double sum_x = 0.0, sum_r = 0.0, sum_v = 0.0;
        laplace_rows(level, x, begin, end, out);
        for (int64_t i = begin; i < end; i++) {
            sum_x += x[i] * out[i];
            sum_r += x[i] * r[i];
            if (v) sum_v += x[i] * v[i];
        }
        partial[b] = sum_x;
        partial[EBM_MAX_BLOCKS + b] = sum_r;
        partial[2 * EBM_MAX_BLOCKS + b] = sum_v;
    }
    *with_x = ebm_sum_blocks(n_blocks, partial);
    *with_r = ebm_sum_blocks(n_blocks, partial + EBM_MAX_BLOCKS);
    *with_v = ebm_sum_blocks(n_blocks, partial + 2 * EBM_MAX_BLOCKS);
}

static void cycle(const ebm_multigrid_t *mg, int64_t l, int num_threads, const double *r,
                  double *x);

/* x ~ L^-1 r on coarse level l by two steps of flexible conjugate gradients; r is overwritten. */
static void k_cycle(const ebm_multigrid_t *mg, int64_t l, int num_threads, double *r, double *x)
{
    const ebm_multigrid_level_t *level = mg->levels + l;
    const int64_t n = level->n;
    if (level->n_coarse == 0) {
        ebm_flow_solve(level->n, level->factor, r, x);
        return;
    }
    double *c = level->c, *v = level->v, *d = level->d, *w = level->w, rho1, alpha1, unused;
    cycle(mg, l, num_threads, r, c);
    laplace_dots(level, c, r, NULL, num_threads, v, &rho1, &alpha1, &unused);
    const double first = rho1 > 0.0 ? alpha1 / rho1 : 0.0;
#pragma omp parallel for num_threads(num_threads)                     \
    schedule(dynamic, EBM_BLOCK_STATES) if (n > 2 * EBM_BLOCK_STATES)
    for (int64_t i = 0; i < n; i++) r[i] -= first * v[i];
    cycle(mg, l, num_threads, r, d);
    double beta, alpha2, gamma;
    laplace_dots(level, d, r, v, num_threads, w, &beta, &alpha2, &gamma);
    const double rho2 = rho1 > 0.0 ? beta - gamma * gamma / rho1 : 0.0;
    const double second = rho2 > 0.0 ? alpha2 / rho2 : 0.0;
    const double of_c = rho1 > 0.0 ? first - gamma * second / rho1 : 0.0;
#pragma omp parallel for num_threads(num_threads)                     \
    schedule(dynamic, EBM_BLOCK_STATES) if (n > 2 * EBM_BLOCK_STATES)
    for (int64_t i = 0; i < n; i++) x[i] = of_c * c[i] + second * d[i];
}

static void cycle(const ebm_multigrid_t *mg, int64_t l, int num_threads, const double *r, double *x)
{
    const ebm_multigrid_level_t *level = mg->levels + l, *below = level + 1;
    if (level->n_coarse == 0) {
        ebm_flow_solve(level->n, level->factor, r, x);
        return;
    }
    const int64_t n = level->n, n_blocks = ebm_n_blocks(n), n_coarse = level->n_coarse,
                  coarse_blocks = ebm_n_blocks(n_coarse);
    start_level(level, r, NULL, num_threads);
#pragma omp parallel for num_threads(num_threads) schedule(dynamic) if (n_blocks > 1)
    for (int64_t b = 0; b < n_blocks; b++) /* x holds the residual meanwhile */
        residual_rows(level, r, ebm_block_begin(n, n_blocks, b),
                      ebm_block_begin(n, n_blocks, b + 1), x);
#pragma omp parallel for num_threads(num_threads) schedule(dynamic) if (coarse_blocks > 1)
    for (int64_t b = 0; b < coarse_blocks; b++)
        restrict_rows(level, x, ebm_block_begin(n_coarse, coarse_blocks, b),
                      ebm_block_begin(n_coarse, coarse_blocks, b + 1), below->r);
    /* below->x is both work of the coarse cycles and, after them, the correction */
    k_cycle(mg, l + 1, num_threads, below->r, below->x);
    start_level(level, r, below->x, num_threads);
#pragma omp parallel for num_threads(num_threads) schedule(dynamic) if (n_blocks > 1)
    for (int64_t b = 0; b < n_blocks; b++)
        smooth_rows(level, r, ebm_block_begin(n, n_blocks, b), ebm_block_begin(n, n_blocks, b + 1),
                    x);
}

int ebm_multigrid_cycle(const ebm_multigrid_t *mg, int num_threads, const double *r, double *x)
{
    if (mg->n_levels < 1 || mg->levels[mg->n_levels - 1].n_coarse != 0) return EBM_ERR_ARGUMENT;
    cycle(mg, 0, num_threads, r, x);
    return EBM_OK;
}

static int precond_apply(void *ctx, int num_threads, const double *r, double *z)
{
    return ebm_multigrid_cycle(ctx, num_threads, r, z);
}

void ebm_multigrid_precond(ebm_multigrid_t *mg, ebm_precond_t *precond)
{
    precond->ctx = mg;
    precond->apply = precond_apply;
}
