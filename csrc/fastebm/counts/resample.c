#include "fastebm/counts/resample.h"

#include <math.h>
#include <stddef.h>

#include "fastebm/base/parallel.h"
#include "fastebm/base/random.h"

/* Below this many expected successes inversion takes at most 10 iterations on average; above it
   BTRS is valid (Hoermann 1993). */
#define INVERSION_BELOW 10.0

ebm_stream_t ebm_stream_of(const uint64_t key[2], int64_t row, int64_t replicate)
{
    const ebm_stream_t stream = {{key[0], key[1]}, (uint64_t)row, (uint64_t)replicate, 0, {0}};
    return stream;
}

double ebm_stream_uniform(ebm_stream_t *s)
{
    if (s->next % 4 == 0) {
        const uint64_t counter[4] = {s->next / 4, s->row, s->replicate, 1};
        ebm_philox_block(s->key, counter, s->block);
    }
    return ((double)(s->block[s->next++ % 4] >> 11) + 0.5) * 0x1p-53;
}

static double by_inversion(ebm_stream_t *stream, double n, double p)
{
    const double odds = p / (1.0 - p);
    double u = ebm_stream_uniform(stream), term = exp(n * log1p(-p)), k = 0.0;
    while (u > term && k < n) {
        u -= term;
        k += 1.0;
        term *= odds * (n - k + 1.0) / k;
        if (term == 0.0) break; /* the tail beyond is below rounding */
    }
    return k;
}

/* log(k!) minus Stirling's formula without its correction. */
static double stirling_tail(double k)
{
    static const double exact[] = {0.08106146679532726, 0.04134069595540929, 0.02767792568499834,
                                   0.02079067210376509, 0.01664469118982119, 0.01387612882307075,
                                   0.01189670994589177, 0.01041126526197209, 0.009255462182712733,
                                   0.008330563433362871};
    if (k < 10.0) return exact[(int)k];
    const double x = 1.0 / (k + 1.0), square = x * x;
    return (1.0 / 12 - (1.0 / 360 - square / 1260) * square) * x;
}

double ebm_log_falling(double a, double j)
{
    const double rest = a - j + 1.0; /* Stirling's terms as differences, which do not cancel */
    return (rest - 0.5) * log1p(j / rest) + j * (log(a + 1.0) - 1.0) + stirling_tail(a) -
           stirling_tail(a - j);
}

static double by_rejection(ebm_stream_t *stream, double n, double p)
{
    const double spread = sqrt(n * p * (1.0 - p)), odds = p / (1.0 - p),
                 mode = floor((n + 1.0) * p);
    const double b = 1.15 + 2.53 * spread, a = -0.0873 + 0.0248 * b + 0.01 * p,
                 centre = n * p + 0.5;
    const double v_fast = 0.92 - 4.2 / b, alpha = (2.83 + 5.1 / b) * spread;
    for (;;) {
        const double u = ebm_stream_uniform(stream) - 0.5;
        double v = ebm_stream_uniform(stream);
        const double us = 0.5 - fabs(u), k = floor((2.0 * a / us + b) * u + centre);
        if (k < 0.0 || k > n) continue;
        if (us >= 0.07 && v <= v_fast) return k;
        v = log(v * alpha / (a / (us * us) + b));
        const double bound = (mode + 0.5) * log((mode + 1.0) / (odds * (n - mode + 1.0))) +
                             (n + 1.0) * log((n - mode + 1.0) / (n - k + 1.0)) +
                             (k + 0.5) * log(odds * (n - k + 1.0) / (k + 1.0)) +
                             stirling_tail(mode) + stirling_tail(n - mode) - stirling_tail(k) -
                             stirling_tail(n - k);
        if (v <= bound) return k;
    }
}

double ebm_resample_binomial(ebm_stream_t *stream, double n, double p)
{
    if (!(n > 0.0) || !(p > 0.0)) return 0.0;
    if (p >= 1.0) return n;
    if (p > 0.5) return n - ebm_resample_binomial(stream, n, 1.0 - p);
    return n * p < INVERSION_BELOW ? by_inversion(stream, n, p) : by_rejection(stream, n, p);
}

int ebm_resample_rows(int64_t n_rows, const int64_t *indptr, const double *weight,
                      const double *mass, const double *total, const uint64_t key[2],
                      int64_t replicate, int num_threads, double *out)
{
    (void)num_threads;
#pragma omp parallel for num_threads(num_threads) schedule(static) if (n_rows > EBM_BLOCK_STATES)
    for (int64_t x = 0; x < n_rows; x++) {
        ebm_stream_t stream = ebm_stream_of(key, x, replicate);
        double left = total[x], rest = 0.0;
        if (mass) rest = mass[x];
        else
            for (int64_t k = indptr[x]; k < indptr[x + 1]; k++) rest += weight[k];
        for (int64_t k = indptr[x]; k < indptr[x + 1]; k++) {
            /* rounding in `rest` must not drop a draw */
            const int takes_all = (!mass && k + 1 == indptr[x + 1]) || rest <= weight[k];
            out[k] = weight[k] > 0.0
                         ? ebm_resample_binomial(&stream, left, takes_all ? 1.0 : weight[k] / rest)
                         : 0.0;
            left -= out[k];
            rest -= weight[k];
        }
    }
    return EBM_OK;
}
