#include "fastebm/counts/pair_newton.h"

#include <math.h>

#include "fastebm/base/parallel.h"
#include "fastebm/counts/pair_terms.h"

/* A one-way pair has no finite log ratio; for the starting guess this share of its weight is added
   in the opposite direction. */
#define GUESS_SHARE 0.01
/* The first Newton steps are solved to one digit only, later ones to as many as the last step had
   (inexact Newton; convergence stays superlinear: Dembo, Eisenstat & Steihaug 1982). */
#define FORCING_LOOSE 0.1
#define FORCING_TIGHT 1e-10
/* A component of the gradient below this share of the size of its terms is rounding (an ulp is
   2.2e-16). A solve stops there: the Laplacian is singular, and the part of the rounding that is
   constant over a component cannot be solved for. */
#define ROUNDING 1e-15
/* The largest stretch of a pair by a full step that is longer than the proven one. Where curvatures
   are nearly zero, f may fall along steps of 1e4, from where no step leads back. */
#define BOLD 32.0
/* A direction whose energy is below this share of its square in the diagonal's norm is constant up
   to rounding: the remaining residual is in the null space. */
#define FLAT 1e-14

/* --- passes over ranges of states, summed in fixed order -------------------------------------- */

typedef double (*range_pass_t)(ebm_pair_newton_t *s, double factor, int64_t begin, int64_t end);

/* The sum, or (largest) the maximum, of `pass` over fixed ranges. A small problem is one range and
   starts no threads. */
static double over_states(ebm_pair_newton_t *s, range_pass_t pass, double factor, int largest,
                          int num_threads)
{
    (void)num_threads;
    const int64_t n = s->graph.n_states, n_blocks = ebm_n_blocks(n);
    double partial[EBM_MAX_BLOCKS];
    if (n_blocks == 1) return pass(s, factor, 0, n);
#pragma omp parallel for num_threads(num_threads) schedule(dynamic)
    for (int64_t b = 0; b < n_blocks; b++)
        partial[b] =
            pass(s, factor, ebm_block_begin(n, n_blocks, b), ebm_block_begin(n, n_blocks, b + 1));
    if (!largest) return ebm_sum_blocks(n_blocks, partial);
    double top = partial[0];
    for (int64_t b = 1; b < n_blocks; b++) /* NaN is the largest of all */
        if (partial[b] > top || isnan(partial[b])) top = partial[b];
    return top;
}

/* The same for the multipliers; the diagonal's own curvature stay / q^2 is part of `diagonal`. */
static double multiplier_pass(ebm_pair_newton_t *s, double factor, int64_t begin, int64_t end)
{
    (void)factor;
    const ebm_pairgraph_t *graph = &s->graph;
    double worst = 0.0;
    for (int64_t x = begin; x < end; x++) {
        const double own = s->stay[x] / s->v[x];
        double flow = own, diagonal = own / s->v[x];
        for (int64_t k = graph->indptr[x]; k < graph->indptr[x + 1]; k++) {
            const double sum = s->v[x] + s->v[graph->indices[k]],
                         pair = (graph->forward[k] + graph->backward[k]) / sum;
            s->weight[k] = pair / sum;
            flow += pair;
            diagonal += s->weight[k];
        }
        s->gradient[x] = s->law[x] - flow;
        s->diagonal[x] = diagonal;
        s->product[x] = s->law[x] + flow;
        const double imbalance = fabs(s->gradient[x]) / s->law[x];
        if (imbalance > worst || isnan(imbalance)) worst = imbalance;
    }
    return worst;
}

/* product = H direction and its energy, for the multipliers: sums where a Laplacian has
   differences, and a diagonal. */
static double multiplier_product_pass(ebm_pair_newton_t *s, double factor, int64_t begin,
                                      int64_t end)
{
    (void)factor;
    const ebm_pairgraph_t *graph = &s->graph;
    const double *d = s->direction;
    double energy = 0.0;
    for (int64_t x = begin; x < end; x++) {
        const double own = s->stay[x] / (s->v[x] * s->v[x]) * d[x];
        double sum = own;
        for (int64_t k = graph->indptr[x]; k < graph->indptr[x + 1]; k++)
            sum += s->weight[k] * (d[x] + d[graph->indices[k]]);
        s->product[x] = sum;
        energy += sum * d[x];
    }
    return energy;
}

/* The largest relative change that the step makes to a q(x) or to a q(x) + q(y). */
static double multiplier_stretch_pass(ebm_pair_newton_t *s, double factor, int64_t begin,
                                      int64_t end)
{
    (void)factor;
    const ebm_pairgraph_t *graph = &s->graph;
    double top = 0.0;
    for (int64_t x = begin; x < end; x++) {
        const double own = fabs(s->step[x] / s->v[x]);
        if (own > top) top = own;
        for (int64_t k = graph->indptr[x]; k < graph->indptr[x + 1]; k++) {
            const int64_t y = graph->indices[k];
            const double stretch = fabs((s->step[x] + s->step[y]) / (s->v[x] + s->v[y]));
            if (stretch > top) top = stretch;
        }
    }
    return top;
}

/* Gradient, weights and diagonal at v; the largest imbalance. factor != 0: those of the
   least-squares guess. */
static double evaluate_pass(ebm_pair_newton_t *s, double factor, int64_t begin, int64_t end)
{
    const ebm_pairgraph_t *graph = &s->graph;
    const ebm_pair_newton_kind_t kind = factor != 0.0 ? EBM_PAIR_NEWTON_SQUARES : s->kind;
    double worst = 0.0;
    for (int64_t x = begin; x < end; x++) {
        double gradient = 0.0, diagonal = 0.0, size = 0.0;
        for (int64_t k = graph->indptr[x]; k < graph->indptr[x + 1]; k++) {
            double w = graph->forward[k], back = graph->backward[k], g, h, terms;
            if (factor != 0.0 && (w == 0.0 || back == 0.0)) {
                const double share = GUESS_SHARE * (w + back);
                w += share;
                back += share;
            }
            pair_terms(kind, w, back, s->v[x] - s->v[graph->indices[k]], &g, &h, &terms);
            s->weight[k] = h;
            gradient += g;
            diagonal += h;
            size += terms;
        }
        s->gradient[x] = gradient;
        s->diagonal[x] = diagonal;
        s->product[x] = size; /* for floor_pass, before the solve overwrites it */
        const double imbalance = size > 0.0 ? fabs(gradient) / size : 0.0;
        if (imbalance > worst || isnan(imbalance)) worst = imbalance;
    }
    return worst;
}

/* Rounding's squared residual in the norm of rho. */
static double floor_pass(ebm_pair_newton_t *s, double factor, int64_t begin, int64_t end)
{
    double square = 0.0;
    for (int64_t x = begin; x < end; x++)
        if (s->diagonal[x] > 0.0)
            square += factor * factor * s->product[x] * s->product[x] / s->diagonal[x];
    return square;
}

/* step = 0, residual = -gradient (factor 1) or as it is (factor 0), direction = residual /
   diagonal; their product. */
static double start_pass(ebm_pair_newton_t *s, double factor, int64_t begin, int64_t end)
{
    double rho = 0.0;
    for (int64_t x = begin; x < end; x++) {
        s->step[x] = 0.0;
        if (factor != 0.0) s->residual[x] = -s->gradient[x];
        s->direction[x] = s->diagonal[x] > 0.0 ? s->residual[x] / s->diagonal[x] : 0.0;
        rho += s->residual[x] * s->direction[x];
    }
    return rho;
}

/* product = H direction as sums of differences, so that nothing cancels where the direction is
   flat. */
static double product_pass(ebm_pair_newton_t *s, double factor, int64_t begin, int64_t end)
{
    (void)factor;
    const ebm_pairgraph_t *graph = &s->graph;
    const double *d = s->direction;
    double energy = 0.0;
    for (int64_t x = begin; x < end; x++) {
        double sum = 0.0, square = 0.0;
        for (int64_t k = graph->indptr[x]; k < graph->indptr[x + 1]; k++) {
            const double difference = d[x] - d[graph->indices[k]], flow = s->weight[k] * difference;
            sum += flow;
            square += flow * difference;
        }
        s->product[x] = sum;
        energy += 0.5 * square;
    }
    return energy;
}

static double square_pass(ebm_pair_newton_t *s, double factor, int64_t begin, int64_t end)
{
    (void)factor;
    double square = 0.0;
    for (int64_t x = begin; x < end; x++)
        square += s->diagonal[x] * s->direction[x] * s->direction[x];
    return square;
}

static double move_pass(ebm_pair_newton_t *s, double factor, int64_t begin, int64_t end)
{
    double rho = 0.0;
    for (int64_t x = begin; x < end; x++) {
        s->step[x] += factor * s->direction[x];
        s->residual[x] -= factor * s->product[x];
        if (s->diagonal[x] > 0.0) rho += s->residual[x] * s->residual[x] / s->diagonal[x];
    }
    return rho;
}

static double direction_pass(ebm_pair_newton_t *s, double factor, int64_t begin, int64_t end)
{
    for (int64_t x = begin; x < end; x++)
        s->direction[x] = (s->diagonal[x] > 0.0 ? s->residual[x] / s->diagonal[x] : 0.0) +
                          factor * s->direction[x];
    return 0.0;
}

static double shift_pass(ebm_pair_newton_t *s, double factor, int64_t begin, int64_t end)
{
    double top = 0.0;
    for (int64_t x = begin; x < end; x++) {
        s->v[x] += factor * s->step[x];
        const double size = fabs(factor * s->step[x]);
        if (size > top || isnan(size)) top = size;
    }
    return top;
}

static double slope_pass(ebm_pair_newton_t *s, double factor, int64_t begin, int64_t end)
{
    (void)factor;
    double slope = 0.0;
    for (int64_t x = begin; x < end; x++) slope += s->gradient[x] * s->step[x];
    return slope;
}

/* The largest difference of the step along a pair that has weight. */
static double stretch_pass(ebm_pair_newton_t *s, double factor, int64_t begin, int64_t end)
{
    (void)factor;
    const ebm_pairgraph_t *graph = &s->graph;
    double top = 0.0;
    for (int64_t x = begin; x < end; x++)
        for (int64_t k = graph->indptr[x]; k < graph->indptr[x + 1]; k++) {
            const double stretch = fabs(s->step[x] - s->step[graph->indices[k]]);
            if (stretch > top && graph->forward[k] + graph->backward[k] > 0.0) top = stretch;
        }
    return top;
}

/* --- the iteration ---------------------------------------------------------------------------- */

static void cg_start(ebm_pair_newton_t *s, double from_gradient, int num_threads)
{
    s->rho_floor =
        from_gradient != 0.0 ? over_states(s, floor_pass, ROUNDING, 0, num_threads) : 0.0;
    s->rho = s->rho_start = over_states(s, start_pass, from_gradient, 0, num_threads);
    s->cg_steps = 0;
}

/* One step; returns 0 when only rounding is left. */
static int cg_step(ebm_pair_newton_t *s, int num_threads)
{
    const range_pass_t product =
        s->kind == EBM_PAIR_NEWTON_MULTIPLIER ? multiplier_product_pass : product_pass;
    const double energy = over_states(s, product, 0.0, 0, num_threads);
    s->n_products++;
    s->cg_steps++;
    if (!(energy > FLAT * over_states(s, square_pass, 0.0, 0, num_threads))) return 0;
    const double before = s->rho;
    s->rho = over_states(s, move_pass, before / energy, 0, num_threads);
    over_states(s, direction_pass, s->rho / before, 0, num_threads);
    return 1;
}

/* v += t step with a t that lowers f, found without a value of f (whose differences are below
   rounding near the minimum): K''' is at most K'' in size, hence along a step that stretches no
   pair by more than delta, f''(t) <= f''(0) e^(delta t) (Sun & Tran-Dinh 2019): t = 1 lowers f
   where delta <= 1, log(1 + delta) / delta always does. t = 1 does too wherever f still falls
   there. */
static void advance(ebm_pair_newton_t *s, int is_quadratic, int num_threads)
{
    const double stretch = over_states(s, stretch_pass, 0.0, 1, num_threads);
    s->step_size = over_states(s, shift_pass, 1.0, 1, num_threads);
    s->imbalance = over_states(s, evaluate_pass, 0.0, 1, num_threads);
    if (is_quadratic || stretch <= 1.0 ||
        (stretch <= BOLD && over_states(s, slope_pass, 0.0, 0, num_threads) <= 0.0))
        return;
    const double t = log1p(stretch) / stretch;
    over_states(s, shift_pass, t - 1.0, 1, num_threads);
    s->step_size *= t;
    s->imbalance = over_states(s, evaluate_pass, 0.0, 1, num_threads);
}

/* The same for the multipliers: terms -log(a + t b) are self-concordant, f''(t) <= f''(0) / (1 -
   rho t)^2 with rho the largest |b / a|, so that t = 1 lowers f where rho <= 2/3 and t = 1 / (1 +
   rho) always does and keeps every q positive. */
static void advance_multipliers(ebm_pair_newton_t *s, int num_threads)
{
    const double rho = over_states(s, multiplier_stretch_pass, 0.0, 1, num_threads),
                 t = rho <= 2.0 / 3.0 ? 1.0 : 1.0 / (1.0 + rho);
    s->step_size = t * rho;
    over_states(s, shift_pass, t, 1, num_threads);
    s->imbalance = over_states(s, multiplier_pass, 0.0, 1, num_threads);
}

int ebm_pair_newton_run(ebm_pair_newton_t *s, int64_t max_products, int num_threads)
{
    const int64_t stop = s->n_products + max_products, cg_limit = 2 * s->graph.n_states + 100;
    if (s->phase == EBM_PAIR_NEWTON_START) {
        s->imbalance =
            over_states(s, s->kind == EBM_PAIR_NEWTON_MULTIPLIER ? multiplier_pass : evaluate_pass,
                        s->guess, 1, num_threads);
        s->step_size = INFINITY;
        cg_start(s, 1.0, num_threads);
        s->phase = EBM_PAIR_NEWTON_SOLVE;
    }
    while (s->phase == EBM_PAIR_NEWTON_SOLVE) {
        const int is_squares = s->kind == EBM_PAIR_NEWTON_SQUARES;
        double forcing = s->step_size < FORCING_LOOSE ? s->step_size : FORCING_LOOSE;
        if (is_squares || forcing < FORCING_TIGHT) forcing = FORCING_TIGHT;
        double target = forcing * forcing * s->rho_start;
        if (target < s->rho_floor) target = s->rho_floor;
        while (s->rho > target && s->cg_steps < cg_limit) {
            if (s->n_products >= stop) return EBM_OK;
            if (!cg_step(s, num_threads)) break;
        }
        if (!isfinite(s->rho)) return EBM_ERR_BREAKDOWN;
        if (s->cg_steps == 0) { /* the gradient is rounding */
            if (isinf(s->step_size)) s->step_size = 0.0;
            s->phase = EBM_PAIR_NEWTON_DONE;
            return EBM_OK;
        }
        if (s->kind == EBM_PAIR_NEWTON_MULTIPLIER) advance_multipliers(s, num_threads);
        else advance(s, is_squares || (s->guess && s->n_newton == 0), num_threads);
        if (isnan(s->imbalance)) return EBM_ERR_BREAKDOWN;
        s->n_newton++;
        if (s->step_size <= s->tol || s->n_newton >= s->max_newton) s->phase = EBM_PAIR_NEWTON_DONE;
        cg_start(s, 1.0, num_threads);
    }
    return EBM_OK;
}

int ebm_pair_newton_solve(ebm_pair_newton_t *s, double tol, int64_t max_products, int num_threads)
{
    cg_start(s, 0.0, num_threads);
    for (int64_t i = 0; i < max_products && s->rho > tol * tol * s->rho_start; i++)
        if (!cg_step(s, num_threads)) break;
    return isfinite(s->rho) ? EBM_OK : EBM_ERR_BREAKDOWN;
}
