/* Divergences of Bernoulli laws. */
#include "check.h"
#include "fastebm/rlvr/bernoulli.h"

#define SAME(a, b) CHECK(fabs((a) - (b)) <= 1e-14 * fabs(b))

static ebm_numbers_t one(const double *x) { return (ebm_numbers_t){x, 0}; }

static double kl(double p, double p0, int logit)
{
    double out;
    CHECK(ebm_bernoulli_divergence(1, logit, 1, one(&p), one(&p0), one(NULL), &out) == EBM_OK);
    return out;
}

static double gap(double p, double p0, double beta, int logit)
{
    double out;
    CHECK(ebm_bernoulli_divergence(1, logit, 1, one(&p), one(&p0), one(&beta), &out) == EBM_OK);
    return out;
}

static void test_values(void)
{
    SAME(kl(0.5, 0.2, 0), 0.5 * log(2.5) + 0.5 * log(0.625));
    SAME(kl(1.0, 0.2, 0), -log(0.2));
    SAME(kl(0.0, 0.2, 0), -log(0.8));
    SAME(kl(0.0, -1.0, 1), 0.5 * log(0.5 * (1 + exp(1.0))) + 0.5 * log(0.5 * (1 + exp(-1.0))));
    CHECK(kl(0.3, 0.3, 0) == 0.0 && kl(0.0, 0.0, 0) == 0.0 && kl(1.0, 1.0, 0) == 0.0 &&
          kl(-INFINITY, -INFINITY, 1) == 0.0);
    CHECK(isinf(kl(0.3, 0.0, 0)) && isinf(kl(0.3, 1.0, 0)) && isinf(kl(3.0, INFINITY, 1)) &&
          isinf(kl(2000.0, INFINITY, 1)));
    SAME(kl(0.5 + 0x1p-40, 0.5, 0), 2.0 * 0x1p-80); /* no cancellation: 2 d^2 */
    SAME(gap(1.0, 0.2, 0.5, 0), 0.5 * log(1.0 + 4.0 * exp(-2.0)));
    SAME(gap(0.25, 0.4, 0.0, 0), 0.75); /* without regularisation: 1 - p */
    SAME(gap(0.25, 5e-324, 0.0, 0), 0.75);
    CHECK(gap(0.4, 0.4, INFINITY, 0) == 0.0 && isinf(gap(0.3, 0.4, INFINITY, 0)));
}

static void test_reach(void)
{
    const double x0[] = {-3.0, 0.0, 5.0, INFINITY, 0.5, -800.0},
                 budget[] = {0.7, 1e-9, 1e-4, 1.0, 0.0, 300.0};
    double shift[6];
    CHECK(ebm_bernoulli_reach(6, 2, (ebm_numbers_t){x0, 1}, (ebm_numbers_t){budget, 1}, shift) ==
          EBM_OK);
    for (int i = 0; i < 6; i++) {
        if (i == 3 || i == 4) CHECK(shift[i] == 0.0);
        /* the sum is rounded */
        else CHECK(fabs(kl(x0[i] + shift[i], x0[i], 1) - budget[i]) <= 1e-6 * budget[i]);
    }
    const double far = 9.0;
    CHECK(ebm_bernoulli_reach(1, 1, one(x0), one(&far), shift) == EBM_OK && isinf(shift[0]));
}

static void test_threads(void)
{
    enum { N = 10001 };
    double *p = malloc(N * sizeof *p), *p0 = malloc(N * sizeof *p), *a = malloc(N * sizeof *p),
           *b = malloc(N * sizeof *p);
    CHECK(p && p0 && a && b);
    for (int i = 0; i < N; i++) {
        p[i] = (double)i / (N - 1);
        p0[i] = (double)((i * 7919) % N) / (N - 1);
    }
    const double beta = 0.3;
    const ebm_numbers_t x = {p, 1}, y = {p0, 1};
    CHECK(ebm_bernoulli_divergence(N, 0, 1, x, y, one(&beta), a) == EBM_OK);
    CHECK(ebm_bernoulli_divergence(N, 0, 3, x, y, one(&beta), b) == EBM_OK);
    CHECK(!memcmp(a, b, N * sizeof *a));
    for (int i = 0; i < N; i++) CHECK(a[i] >= 0.0);
    free(p), free(p0), free(a), free(b);
}

int main(void)
{
    test_values();
    test_reach();
    test_threads();
    return 0;
}
