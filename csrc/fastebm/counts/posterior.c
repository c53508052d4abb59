#include "fastebm/counts/posterior.h"

#include <float.h>
#include <math.h>

#include "fastebm/base/parallel.h"
#include "fastebm/counts/resample.h"

#define TWO_PI 6.283185307179586
/* The tangents of the envelope touch so many standard deviations from the mode. */
#define TOUCH 1.2
#define MAX_NEWTON 200
#define MAX_TRIES 1000
/* The other part of a row sum is summed again where it is smaller than this share of it. */
#define CANCELS 1e-6

/* a t - sum c log(1 + w (e^t - 1)) */
typedef struct scale {
    double a;
    int64_t n;
    const double *c;
    double *w;
} scale_t;

static double scale_value(const scale_t *s, double t)
{
    const double rise = expm1(t);
    double value = s->a * t;
    for (int64_t k = 0; k < s->n; k++) value -= s->c[k] * log1p(s->w[k] * rise);
    return value;
}

static double scale_slope(const scale_t *s, double t, double *curvature)
{
    const double rise = expm1(t), factor = exp(t);
    double slope = s->a;
    *curvature = 0.0;
    for (int64_t k = 0; k < s->n; k++) {
        const double share = s->w[k] * factor / (1.0 + s->w[k] * rise);
        slope -= s->c[k] * share;
        *curvature += s->c[k] * share * (1.0 - share);
    }
    return slope;
}

static int has_both_tails(const scale_t *s)
{
    double left = s->a, right = s->a;
    for (int64_t k = 0; k < s->n; k++) {
        right -= s->c[k];
        if (s->w[k] >= 1.0) left -= s->c[k];
    }
    return left > 0.0 && right < 0.0;
}

static double scale_mode(const scale_t *s)
{
    double low = -HUGE_VAL, high = HUGE_VAL, t = 0.0;
    for (int i = 0; i < MAX_NEWTON; i++) {
        double curvature;
        const double slope = scale_slope(s, t, &curvature);
        double step = curvature > 0.0 ? slope / curvature : slope > 0.0 ? 2.0 : -2.0;
        if (slope > 0.0) low = t;
        else high = t;
        if (fabs(step) * sqrt(curvature) < 1e-6 && fabs(step) < 1.0) return t + step;
        step = step > 2.0 ? 2.0 : step < -2.0 ? -2.0 : step;
        const double next = t + step;
        t = next <= low || next >= high ? 0.5 * (low + high) : next;
    }
    return t;
}

/* A random t; 0 where the density has no maximum, because the scale is free. The weights are
   changed. */
static double draw_scale(scale_t *s, ebm_stream_t *stream)
{
    if (!has_both_tails(s)) return 0.0;
    const double mode = scale_mode(s), rise = expm1(mode), factor = exp(mode);
    if (!(fabs(mode) < 600.0)) return 0.0;
    for (int64_t k = 0; k < s->n; k++) s->w[k] *= factor / (1.0 + s->w[k] * rise);
    double curvature, ignored;
    scale_slope(s, 0.0, &curvature);
    if (!(curvature > 0.0)) return 0.0;
    const double touch = TOUCH / sqrt(curvature);
    const double left_slope = scale_slope(s, -touch, &ignored),
                 right_slope = scale_slope(s, touch, &ignored);
    const double left_value = scale_value(s, -touch), right_value = scale_value(s, touch);
    if (!(left_slope > 0.0) || !(right_slope < 0.0)) return 0.0;
    /* where the tangents reach the maximum, 0 */
    const double left = -touch - left_value / left_slope,
                 right = touch - right_value / right_slope;
    const double left_area = 1.0 / left_slope, right_area = -1.0 / right_slope;
    for (int i = 0; i < MAX_TRIES; i++) {
        const double u = ebm_stream_uniform(stream) * (left_area + right - left + right_area);
        const double v = ebm_stream_uniform(stream);
        double t = left + u - left_area, envelope = 0.0;
        if (u < left_area) {
            envelope = log(v);
            t = left + envelope / left_slope;
        } else if (u > left_area + right - left) {
            envelope = log(v);
            t = right + envelope / right_slope;
        }
        if (log(ebm_stream_uniform(stream)) + envelope <= scale_value(s, t)) return mode + t;
    }
    return 0.0;
}

/* The sum of row x of a chain without the entry `left_out` (-1: without the diagonal). */
static double rest_of(const ebm_posterior_t *state, const double *flow, const double *stay,
                      const double *sum, int64_t x, int64_t left_out)
{
    const double own = left_out < 0 ? stay[x] : flow[left_out];
    if (sum[x] - own > CANCELS * sum[x]) return sum[x] - own;
    double rest = left_out < 0 ? 0.0 : stay[x];
    for (int64_t k = state->counts.indptr[x]; k < state->counts.indptr[x + 1]; k++)
        if (k != left_out) rest += flow[k];
    return rest;
}

int ebm_posterior_rescale(ebm_posterior_t *state, int num_threads)
{
    (void)num_threads;
    const int64_t n = state->counts.n_states, nnz = state->counts.indptr[n];
#pragma omp parallel for num_threads(num_threads) schedule(dynamic)
    for (int64_t chain = 0; chain < state->n_chains; chain++) {
        double *flow = state->flow + chain * nnz, *stay = state->stay_flow + chain * n;
        double *sum = state->sum + chain * n, total = 0.0;
        for (int64_t x = 0; x < n; x++) {
            total += stay[x];
            for (int64_t k = state->counts.indptr[x]; k < state->counts.indptr[x + 1]; k++)
                total += flow[k];
        }
        for (int64_t x = 0; x < n; x++) {
            sum[x] = stay[x] /= total;
            for (int64_t k = state->counts.indptr[x]; k < state->counts.indptr[x + 1]; k++)
                sum[x] += flow[k] /= total;
        }
    }
    return EBM_OK;
}

/* One Gibbs step of the flow k = (x, y), or of staying in x (k < 0). */
static void flow_step(const ebm_posterior_t *state, double *flow, double *stay, double *sum,
                      int64_t x, int64_t k, ebm_stream_t *stream)
{
    const int64_t y = k < 0 ? x : state->counts.indices[k], back = k < 0 ? -1 : state->mirror[k];
    const double old = k < 0 ? stay[x] : flow[k];
    const double rest[] = {rest_of(state, flow, stay, sum, x, k),
                           rest_of(state, flow, stay, sum, y, back)};
    const double c[] = {state->total[x], state->total[y]};
    double w[] = {old / (old + rest[0]), old / (old + rest[1])};
    scale_t s = {k < 0 ? state->stay[x] : state->counts.forward[k] + state->counts.backward[k],
                 k < 0 ? 1 : 2, c, w};
    const double new = old * exp(draw_scale(&s, stream));
    if (!(new > DBL_MIN)) return; /* a flow that vanished could not come back */
    sum[x] = rest[0] + new;
    sum[y] = rest[1] + new;
    if (k < 0) stay[x] = new;
    else flow[k] = flow[back] = new;
}

int ebm_posterior_flows(ebm_posterior_t *state, const uint64_t key[2], int64_t sweep, int64_t begin,
                        int64_t end, int num_threads)
{
    (void)num_threads;
    const int64_t n = state->counts.n_states, nnz = state->counts.indptr[n];
#pragma omp parallel for num_threads(num_threads) schedule(dynamic)
    for (int64_t chain = 0; chain < state->n_chains; chain++) {
        double *flow = state->flow + chain * nnz, *stay = state->stay_flow + chain * n,
               *sum = state->sum + chain * n;
        const int64_t replicate = sweep * state->n_chains + chain;
        for (int64_t x = begin; x < end; x++) {
            if (state->stay[x] > 0.0) {
                ebm_stream_t stream = ebm_stream_of(key, nnz + x, replicate);
                flow_step(state, flow, stay, sum, x, -1, &stream);
            }
            for (int64_t k = state->counts.indptr[x]; k < state->counts.indptr[x + 1]; k++) {
                if (state->counts.indices[k] < x) continue;
                ebm_stream_t stream = ebm_stream_of(key, k, replicate);
                flow_step(state, flow, stay, sum, x, k, &stream);
            }
        }
    }
    return EBM_OK;
}

static void cluster_step(const ebm_posterior_t *state, const int64_t range[2], double *flow,
                         double *stay, double *sum, double *work, ebm_stream_t *stream)
{
    const int64_t n = state->counts.n_states, size = range[1] - range[0];
    double *c = work, *w = work + n, *inside = work + 2 * n, a = 0.0;
    for (int64_t i = 0; i < size; i++) {
        const int64_t x = state->order[range[0] + i];
        double outside = 0.0;
        inside[i] = stay[x];
        a += state->stay[x];
        for (int64_t k = state->counts.indptr[x]; k < state->counts.indptr[x + 1]; k++) {
            const int64_t at = state->place[state->counts.indices[k]];
            if (at >= range[0] && at < range[1]) {
                inside[i] += flow[k];
                a += state->counts.forward[k];
            } else outside += flow[k];
        }
        c[i] = state->total[x];
        w[i] = inside[i] / (inside[i] + outside);
        sum[x] = outside; /* completed below */
    }
    scale_t s = {a, size, c, w};
    const double factor = exp(draw_scale(&s, stream));
    for (int64_t i = 0; i < size; i++) {
        const int64_t x = state->order[range[0] + i];
        stay[x] *= factor;
        sum[x] += inside[i] * factor;
        for (int64_t k = state->counts.indptr[x]; k < state->counts.indptr[x + 1]; k++) {
            const int64_t at = state->place[state->counts.indices[k]];
            if (at >= range[0] && at < range[1]) flow[k] *= factor; /* its mirror by its own row */
        }
    }
}

int ebm_posterior_clusters(ebm_posterior_t *state, const uint64_t key[2], int64_t sweep,
                           int64_t begin, int64_t end, int num_threads)
{
    (void)num_threads;
    const int64_t n = state->counts.n_states, nnz = state->counts.indptr[n];
#pragma omp parallel for num_threads(num_threads) schedule(dynamic)
    for (int64_t chain = 0; chain < state->n_chains; chain++)
        for (int64_t i = begin; i < end; i++) {
            ebm_stream_t stream =
                ebm_stream_of(key, nnz + n + i, sweep * state->n_chains + chain);
            cluster_step(state, state->cluster + 2 * i, state->flow + chain * nnz,
                         state->stay_flow + chain * n, state->sum + chain * n,
                         state->work + chain * 3 * n, &stream);
        }
    return EBM_OK;
}

static double draw_normal(ebm_stream_t *stream)
{
    const double u = ebm_stream_uniform(stream), v = ebm_stream_uniform(stream);
    return sqrt(-2.0 * log(u)) * cos(TWO_PI * v);
}

/* The logarithm of a gamma variate of shape a (Marsaglia & Tsang 2000), which does not underflow
   where a is small. */
static double draw_log_gamma(ebm_stream_t *stream, double a)
{
    const double boost = a < 1.0 ? log(ebm_stream_uniform(stream)) / a : 0.0;
    const double d = (a < 1.0 ? a + 1.0 : a) - 1.0 / 3.0, c = 1.0 / sqrt(9.0 * d);
    for (;;) {
        const double z = draw_normal(stream), root = 1.0 + c * z;
        if (root <= 0.0) continue;
        const double v = root * root * root;
        if (log(ebm_stream_uniform(stream)) < 0.5 * z * z + d * (1.0 - v + log(v)))
            return log(d * v) + boost;
    }
}

int ebm_posterior_rows(int64_t n_rows, const int64_t *indptr, const double *weight,
                       const uint64_t key[2], int64_t replicate, int num_threads, double *out)
{
    (void)num_threads;
#pragma omp parallel for num_threads(num_threads) schedule(static) if (n_rows > EBM_BLOCK_STATES)
    for (int64_t x = 0; x < n_rows; x++) {
        ebm_stream_t stream = ebm_stream_of(key, x, replicate);
        double largest = -HUGE_VAL, total = 0.0;
        for (int64_t k = indptr[x]; k < indptr[x + 1]; k++) {
            out[k] = draw_log_gamma(&stream, weight[k]);
            if (out[k] > largest) largest = out[k];
        }
        for (int64_t k = indptr[x]; k < indptr[x + 1]; k++) total += out[k] = exp(out[k] - largest);
        for (int64_t k = indptr[x]; k < indptr[x + 1]; k++) out[k] = fmax(out[k] / total, DBL_MIN);
    }
    return EBM_OK;
}
