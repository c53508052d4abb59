#include "fastebm/linalg/cg.h"

#include <math.h>

#include "fastebm/base/parallel.h"
#include "fastebm/base/vec.h"

static int jacobi_apply(void *ctx, int num_threads, const double *r, double *z)
{
    (void)num_threads;
    const ebm_jacobi_t *jacobi = ctx;
    const double *diagonal = jacobi->diagonal;
    const int64_t n = jacobi->n_states;
#pragma omp parallel for num_threads(num_threads)                 \
    schedule(dynamic, EBM_BLOCK_STATES) if (n > EBM_BLOCK_STATES)
    for (int64_t i = 0; i < n; i++) z[i] = diagonal[i] > 0.0 ? r[i] / diagonal[i] : 0.0;
    return EBM_OK;
}

void ebm_jacobi_precond(ebm_jacobi_t *jacobi, ebm_precond_t *precond)
{
    precond->ctx = jacobi;
    precond->apply = jacobi_apply;
}

/* q = (D - F) p, and p . q. */
static int product_pass(ebm_cg_t *cg, int num_threads, double *dot)
{
    (void)num_threads;
    double partial[EBM_MAX_BLOCKS];
    const ebm_scaled_t *F = cg->F;
    const ebm_kernel_t *kernel = F->kernel;
    const double *p = cg->p;
    double *q = cg->q;
    const int64_t n = kernel->n_states, n_blocks = ebm_n_blocks(n);
    int status = EBM_OK;
#pragma omp parallel for num_threads(num_threads) schedule(dynamic) \
    reduction(max : status) if (n_blocks > 1)
    for (int64_t b = 0; b < n_blocks; b++) {
        double sum = 0.0;
        const int64_t end = ebm_block_begin(n, n_blocks, b + 1);
        for (int64_t begin = ebm_block_begin(n, n_blocks, b); begin < end; begin += EBM_TILE) {
            const int64_t stop = begin + EBM_TILE < end ? begin + EBM_TILE : end;
            const int failed =
                kernel->difference(kernel->ctx, begin, stop, 1, F->col, p, q + begin);
            if (failed > status) status = failed;
            for (int64_t i = begin; i < stop; i++) {
                if (F->row) q[i] *= F->row[i];
                sum += p[i] * q[i];
            }
        }
        partial[b] = sum;
    }
    *dot = ebm_sum_blocks(n_blocks, partial);
    return status;
}

/* x += a p, r -= a q, and max |r / w|. */
static double move(ebm_cg_t *cg, double a, int num_threads)
{
    (void)num_threads;
    const double *p = cg->p, *q = cg->q, *w = cg->weight;
    double *x = cg->x, *r = cg->r, worst = 0.0;
    const int64_t n = cg->F->kernel->n_states;
#pragma omp parallel for num_threads(num_threads) schedule(dynamic, EBM_BLOCK_STATES) \
    reduction(max : worst) if (n > EBM_BLOCK_STATES)
    for (int64_t i = 0; i < n; i++) {
        x[i] += a * p[i];
        r[i] -= a * q[i];
        const double size = w[i] > 0.0 ? fabs(r[i]) / w[i] : 0.0;
        if (size > worst) worst = size;
    }
    return worst;
}

/* r . z and q . z. */
static void inner_products(const ebm_cg_t *cg, int num_threads, double *rz, double *qz)
{
    (void)num_threads;
    double with_r[EBM_MAX_BLOCKS], with_q[EBM_MAX_BLOCKS];
    const double *r = cg->r, *q = cg->q, *z = cg->z;
    const int64_t n = cg->F->kernel->n_states, n_blocks = ebm_n_blocks(n);
#pragma omp parallel for num_threads(num_threads) schedule(dynamic) if (n_blocks > 1)
    for (int64_t b = 0; b < n_blocks; b++) {
        double sum_r = 0.0, sum_q = 0.0;
        for (int64_t i = ebm_block_begin(n, n_blocks, b); i < ebm_block_begin(n, n_blocks, b + 1);
             i++) {
            sum_r += r[i] * z[i];
            sum_q += q[i] * z[i];
        }
        with_r[b] = sum_r;
        with_q[b] = sum_q;
    }
    *rz = ebm_sum_blocks(n_blocks, with_r);
    *qz = ebm_sum_blocks(n_blocks, with_q);
}

/* p = z + ratio p. */
static void turn(ebm_cg_t *cg, double ratio, int num_threads)
{
    (void)num_threads;
    const double *z = cg->z;
    double *p = cg->p;
    const int64_t n = cg->F->kernel->n_states;
#pragma omp parallel for num_threads(num_threads)                 \
    schedule(dynamic, EBM_BLOCK_STATES) if (n > EBM_BLOCK_STATES)
    for (int64_t i = 0; i < n; i++) p[i] = z[i] + ratio * p[i];
}

int ebm_cg_start(ebm_cg_t *cg, int num_threads)
{
    double unused;
    const int64_t n = cg->F->kernel->n_states;
    if (!cg->F->kernel->difference) return EBM_ERR_UNSUPPORTED;
    for (int64_t i = 0; i < n; i++) cg->x[i] = cg->p[i] = cg->q[i] = 0.0;
    cg->worst = move(cg, 0.0, num_threads);
    const int status = cg->precond->apply(cg->precond->ctx, num_threads, cg->r, cg->z);
    if (status != EBM_OK) return status;
    inner_products(cg, num_threads, &cg->energy, &unused);
    turn(cg, 0.0, num_threads);
    return isfinite(cg->energy) ? EBM_OK : EBM_ERR_BREAKDOWN;
}

int ebm_cg_expand(ebm_cg_t *cg, int64_t n_steps, double target, double least, int num_threads,
                  int64_t *n_done)
{
    *n_done = 0;
    while (*n_done < n_steps && cg->worst > target && cg->energy > least) {
        double dot, rz, qz;
        int status = product_pass(cg, num_threads, &dot);
        if (status != EBM_OK) return status;
        /* by rounding p (D - F) p is not positive: no further progress */
        if (!(dot > 0.0)) break;
        const double a = cg->energy / dot;
        cg->worst = move(cg, a, num_threads);
        status = cg->precond->apply(cg->precond->ctx, num_threads, cg->r, cg->z);
        if (status != EBM_OK) return status;
        inner_products(cg, num_threads, &rz, &qz);
        if (!isfinite(rz)) return EBM_ERR_BREAKDOWN;
        /* flexible: z . (r - r_before) = -a z . q in place of z . r, so that B may be symmetric to
           rounding only */
        turn(cg, -a * qz / cg->energy, num_threads);
        cg->energy = rz;
        (*n_done)++;
    }
    return EBM_OK;
}
