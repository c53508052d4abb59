#include "fastebm/rlvr/bernoulli.h"

#include <float.h>
#include <math.h>
#include <stddef.h>

#include "fastebm/base/parallel.h"

/* beta = 0 is replaced by this: results equal the limit up to rounding, without a product 0 *
   inf. */
#define COLDEST 1e-100

EBM_INLINE double log_sigmoid(double x) { return x < 0.0 ? x - log1p(exp(x)) : -log1p(exp(-x)); }

/* p and 1 - p of a logit. */
EBM_INLINE void sigmoid(double x, double *p, double *wrong)
{
    const double small = exp(-fabs(x)), large = 1.0 / (1.0 + small);
    *p = x < 0.0 ? small * large : large;
    *wrong = x < 0.0 ? large : small * large;
}

/* (atanh(s) - s) / s^3 = sum_k z^k / (2 k + 3), z = s^2 <= 1/9: the truncation error is below
   2^-53. Even and odd terms apart, to hide latency. */
EBM_INLINE double atanh_rest(double z)
{
    static const double c[] = {1.0 / 3,  1.0 / 5,  1.0 / 7,  1.0 / 9,  1.0 / 11, 1.0 / 13,
                               1.0 / 15, 1.0 / 17, 1.0 / 19, 1.0 / 21, 1.0 / 23, 1.0 / 25,
                               1.0 / 27, 1.0 / 29, 1.0 / 31, 1.0 / 33};
    const double w = z * z;
    double even = c[14], odd = c[15];
    for (int k = 12; k >= 0; k -= 2) {
        even = even * w + c[k];
        odd = odd * w + c[k + 1];
    }
    return even + z * odd;
}

/* Probabilities a and b of an event under two distributions; their logarithms are needed where a /
   b is out of range. gap = a - b. */
typedef struct share {
    double a, b, gap;
} share_t;

/* a log(a / b) - (a - b) >= 0; over an event and its complement these sum to the divergence. With s
   = gap / (a + b) it is gap s (1 + s (1 + s) (atanh(s) - s) / s^3), without cancellation; beyond
   |s| = 1/3 the definition itself cancels little. */
EBM_INLINE int is_near(share_t h) { return 3.0 * fabs(h.gap) <= 2.0 * h.b + h.gap; }

EBM_INLINE double near_half(share_t h)
{
    if (h.gap == 0.0) return 0.0;
    const double s = h.gap / (2.0 * h.b + h.gap);
    return h.gap * s * (1.0 + s * (1.0 + s) * atanh_rest(s * s));
}

/* log_a and log_b are expensive: expressions that are evaluated where they are needed. */
#define HALF(h, log_a, log_b)                                                        \
    (is_near(h)                             ? near_half(h)                           \
     : (h).a == 0.0                         ? -(h).gap                               \
     : (h).a >= DBL_MIN && (h).b >= DBL_MIN ? (h).a * log((h).a / (h).b) - (h).gap   \
                                            : (h).a * ((log_a) - (log_b)) - (h).gap)

/* KL of p from p0 tilted by shift >= 0, in probabilities. */
EBM_INLINE double divergence(double p, double p0, double shift)
{
    const double wrong = 1.0 - p, wrong0 = 1.0 - p0;
    double q = p0, not_q = wrong0, gap = p - p0;
#define LOG_ODDS (log(p0) - log1p(-p0) + shift)
    if (shift > 0.0) {
        if (shift < 1400.0) {
            /* p0 : 1 - p0 times the odds factor; the common scale 2^1000 keeps subnormal p0 and
               exp(-shift) in range. */
            const double root = exp(-shift / 2.0), scale = 0x1p1000;
            const double right = p0 * scale, left = wrong0 * root * scale * root,
                         sum = right + left;
            q = right / sum;
            not_q = left / sum;
        } else {
            q = p0 > 0.0 ? 1.0 : 0.0; /* for the smallest double too, to exp(-655) */
            not_q = p0 > 0.0 ? exp(-LOG_ODDS) : 1.0;
        }
        /* Computed where the subtracted numbers are smallest: from p0 for a weak tilt, else between
           the complements if q is nearly 1. */
        gap = shift < 1.0 ? (p - p0) + wrong0 * q * expm1(-shift) : q > 0.5 ? not_q - wrong : p - q;
    }
    const share_t right = {p, q, gap}, left = {wrong, not_q, -gap};
    return HALF(right, log(p), log_sigmoid(LOG_ODDS)) +
           HALF(left, log(wrong), log_sigmoid(-LOG_ODDS));
#undef LOG_ODDS
}

/* The same in logits, of x from y = x + rise; the rise is taken as given, for it may be far below
   an ulp of y. */
EBM_INLINE double divergence_of_logits(double x, double y, double rise)
{
    double p, wrong, q, not_q;
    if (isinf(x) && x == y) return 0.0;
    sigmoid(x, &p, &wrong);
    sigmoid(y, &q, &not_q);
    /* p - q: by the odds where they are near, else between the smaller ones, whose ratio is e or
       more or which lie beyond 1/2. */
    const double gap = fabs(rise) < 1.0 ? (rise < 0.0 ? -p * not_q : q * wrong) * expm1(-fabs(rise))
                       : x > 0.0 && y > 0.0 ? not_q - wrong
                                            : p - q;
    const share_t right = {p, q, gap}, left = {wrong, not_q, -gap};
    return HALF(right, log_sigmoid(x), log_sigmoid(y)) +
           HALF(left, log_sigmoid(-x), log_sigmoid(-y));
}

EBM_INLINE double number(ebm_numbers_t numbers, int64_t i) { return numbers.x[i * numbers.step]; }

int ebm_bernoulli_divergence(int64_t n, int logit, int num_threads, ebm_numbers_t p,
                             ebm_numbers_t p0, ebm_numbers_t beta, double *out)
{
    (void)num_threads;
#pragma omp parallel for num_threads(num_threads) schedule(static) if (n > EBM_BLOCK_STATES)
    for (int64_t i = 0; i < n; i++) {
        const double a = number(p, i), b = number(p0, i),
                     scale = beta.x ? fmax(number(beta, i), COLDEST) : 1.0;
        const double shift = beta.x ? 1.0 / scale : 0.0;
        const double kl = !logit ? divergence(a, b, shift)
                          : isinf(b) && a != b
                              ? INFINITY
                              : divergence_of_logits(a, b + shift, (b - a) + shift);
        out[i] = kl == 0.0 ? 0.0 : scale * kl;
    }
    return EBM_OK;
}

/* Halley's iteration on the logarithm of the divergence, which is increasing in the shift and
   nearly linear where p0 is small; a step that leaves the bracket, and every eighth step, is a
   bisection. The variance of a bit is at most 1/4, so kl <= s^2 / 8; and once s exp(-x - s) is
   below rounding, kl is -log p0. */
static double reach(double x, double kl)
{
    double low = sqrt(8.0 * kl) * (1.0 - 1e-14), high = fmax(-x, 0.0) + 100.0, shift = low;
    for (int step = 1; step < 300; step++) {
        double p, wrong;
        const double spent = divergence_of_logits(x + shift, x, -shift), value = log(spent / kl);
        sigmoid(x + shift, &p, &wrong);
        if (value <= 0.0) low = shift;
        else high = shift;
        const double variance = p * wrong, slope = shift * variance / spent;
        const double bend = (1.0 + shift * (wrong - p)) * variance / spent - slope * slope;
        const double next = shift - value / (slope - 0.5 * value * bend / slope);
        const int inside = low <= next && next <= high;
        /* convergence is cubic: the next step would be rounding */
        const int last = inside && fabs(next - shift) <= 1e-7 * shift;
        shift = last || (inside && step % 8) ? next : 0.5 * (low + high);
        if (last || high - low <= 4e-16 * shift) break;
    }
    return shift;
}

int ebm_bernoulli_reach(int64_t n, int num_threads, ebm_numbers_t x0, ebm_numbers_t kl, double *out)
{
    (void)num_threads;
#pragma omp parallel for num_threads(num_threads)         \
    schedule(dynamic, EBM_TILE) if (n > EBM_BLOCK_STATES)
    for (int64_t i = 0; i < n; i++) {
        const double x = number(x0, i), budget = number(kl, i);
        out[i] = isinf(x) || budget == 0.0   ? 0.0
                 : budget >= -log_sigmoid(x) ? INFINITY
                                             : reach(x, budget);
    }
    return EBM_OK;
}
