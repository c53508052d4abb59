/* The pair graph, Newton's method on it, random rows, the bootstrap's replicates and cycles, on
   counts small enough to check by hand. */
#include "check.h"
#include "fastebm/counts/balance_expected.h"
#include "fastebm/counts/balance_walk.h"
#include "fastebm/counts/cycle.h"
#include "fastebm/counts/pair_graph.h"
#include "fastebm/counts/pair_newton.h"
#include "fastebm/counts/pair_probe.h"
#include "fastebm/counts/posterior.h"
#include "fastebm/counts/resample.h"

/* The counts of a ring of three with a loop: n(0,1) = 6, n(1,0) = 4 and so on around the
   ring; n(2,2) = 5. */
static const int64_t indptr[] = {0, 2, 4, 7};
static const int32_t indices[] = {1, 2, 0, 2, 0, 1, 2};
static const double values[] = {6, 4, 4, 6, 6, 4, 5};
static const int64_t t_indptr[] = {0, 2, 4, 7};
static const double t_values[] = {4, 6, 6, 4, 4, 6, 5};

typedef struct ring {
    int64_t rows[4], mirror[6];
    int32_t columns[6];
    double forward[6], backward[6];
    ebm_pairgraph_t graph;
} ring_t;

static void make_ring(ring_t *ring)
{
    const ebm_csr_t A = {3, indptr, indices, values, EBM_VALUES_F64},
                    T = {3, t_indptr, indices, t_values, EBM_VALUES_F64};
    int64_t work[3];
    CHECK(ebm_pairgraph_count(&A, &T, ring->rows) == EBM_OK && ring->rows[3] == 6);
    CHECK(ebm_pairgraph_fill(&A, &T, ring->rows, work, ring->columns, ring->forward, ring->backward,
                             ring->mirror) == EBM_OK);
    for (int k = 0; k < 6; k++)
        CHECK(ring->backward[k] == ring->forward[ring->mirror[k]] &&
              ring->mirror[ring->mirror[k]] == k);
    ring->graph = (ebm_pairgraph_t){3, ring->rows, ring->columns, ring->forward, ring->backward};
}

static ebm_pair_newton_t potential_of(const ebm_pairgraph_t *graph, ebm_pair_newton_kind_t kind,
                                      double *vectors, double *weight)
{
    const int64_t n = graph->n_states;
    return (ebm_pair_newton_t){.graph = *graph,
                               .kind = kind,
                               .tol = 1e-12,
                               .max_newton = 50,
                               .v = vectors,
                               .gradient = vectors + n,
                               .diagonal = vectors + 2 * n,
                               .step = vectors + 3 * n,
                               .residual = vectors + 4 * n,
                               .direction = vectors + 5 * n,
                               .product = vectors + 6 * n,
                               .weight = weight};
}

/* On a tree every fit is the log ratio itself: here log(3 / 2) from each state to its two
   children. */
static void test_tree(ebm_pair_newton_kind_t kind, int guess)
{
    const int64_t n = 9000; /* two blocks */
    int64_t *rows = zeros(n + 1, sizeof *rows);
    int32_t *columns = zeros(2 * n - 2, sizeof *columns);
    double *forward = zeros(2 * n - 2, sizeof *forward),
           *backward = zeros(2 * n - 2, sizeof *backward);
    double *vectors = zeros(7 * n, sizeof *vectors), *weight = zeros(2 * n - 2, sizeof *weight);
    int64_t k = 0;
    for (int64_t x = 0; x < n; x++) {
        if (x > 0) columns[k] = (int32_t)((x - 1) / 2), forward[k] = 2, backward[k++] = 3;
        for (int64_t child = 2 * x + 1; child <= 2 * x + 2 && child < n; child++)
            columns[k] = (int32_t)child, forward[k] = 3, backward[k++] = 2;
        rows[x + 1] = k;
    }
    const ebm_pairgraph_t graph = {n, rows, columns, forward, backward};
    ebm_pair_newton_t p = potential_of(&graph, kind, vectors, weight);
    p.guess = guess;
    int calls = 0;
    while (p.phase != EBM_PAIR_NEWTON_DONE)
        CHECK(ebm_pair_newton_run(&p, 100, 1 + calls++ % 2) == EBM_OK && calls < 1000);
    CHECK(p.n_newton < p.max_newton);
    for (int64_t x = 1; x < n; x++) CLOSE(p.v[(x - 1) / 2] - p.v[x], log(1.5), 1e-9);
    free(rows), free(columns), free(forward), free(backward), free(vectors), free(weight);
}

static void test_ring_and_expected(void)
{
    ring_t ring;
    make_ring(&ring);
    double vectors[21] = {0}, weight[6], fitted[6], slope[6], flow[6], g[3];
    ebm_pair_newton_t p = potential_of(&ring.graph, EBM_PAIR_NEWTON_LOGISTIC, vectors, weight);
    CHECK(ebm_pair_newton_run(&p, 100, 1) == EBM_OK && p.phase == EBM_PAIR_NEWTON_DONE);
    CHECK(ebm_balance_expected(&ring.graph, NULL, p.v, fitted) == EBM_OK);
    for (int k = 0; k < 6; k++) CLOSE(fitted[k], 5, 1e-12);
    const int32_t apart[] = {0, 1, 2};
    CHECK(ebm_balance_expected(&ring.graph, apart, p.v, fitted) == EBM_OK);
    CHECK(fitted[0] == 6 && fitted[1] == 4);

    /* the probe's covariance is right on average, and its sum zero every time */
    const double total[] = {10, 10, 15}, scale[] = {1, 1, 1};
    const uint64_t key[] = {1, 2};
    CHECK(ebm_pair_probe_slopes(&p, 1, slope) == EBM_OK);
    double square = 0, two[3];
    for (int probe = 0; probe < 4000; probe++) {
        CHECK(ebm_pair_probe_draw(&ring.graph, ring.mirror, slope, total, scale, key, probe, 1,
                                  flow, g) == EBM_OK);
        CHECK(ebm_pair_probe_draw(&ring.graph, ring.mirror, slope, total, scale, key, probe, 2,
                                  flow, two) == EBM_OK &&
              !memcmp(g, two, sizeof g));
        CLOSE(g[0] + g[1] + g[2], 0, 1e-12);
        square += g[0] * g[0] / 4000;
    }
    /* K' = -1/2 everywhere: row 0 contributes (10 - 100 / 10) / 4 = 0, row 1 4 (1 - 0.4) / 4 and
       row 2 6 (1 - 6 / 15) / 4 */
    CHECK(fabs(square - (0.6 + 0.9)) < 0.15);
}

static void test_random_rows(void)
{
    const uint64_t key[] = {3, 4};
    const int64_t rows[] = {0, 3, 3, 5};
    const double weights[] = {1, 0, 3, 2, 2}, total[] = {400, 0, 1e9}, mass[] = {8, 1, 4};
    double out[5], again[5];
    CHECK(ebm_resample_rows(3, rows, weights, NULL, total, key, 0, 1, out) == EBM_OK);
    CHECK(out[0] + out[2] == 400 && out[1] == 0 && out[3] + out[4] == 1e9 &&
          fabs(out[0] - 100) < 60 && fabs(out[3] - 5e8) < 1e6);
    CHECK(ebm_resample_rows(3, rows, weights, NULL, total, key, 0, 2, again) == EBM_OK &&
          !memcmp(out, again, sizeof out));
    CHECK(ebm_resample_rows(3, rows, weights, mass, total, key, 0, 1, out) == EBM_OK &&
          out[0] + out[2] < 400 && out[2] > 100);
    for (double a = 1; a < 300; a += 7)
        for (double j = 0; j <= a; j += 3)
            CLOSE(ebm_log_falling(a, j), lgamma(a + 1) - lgamma(a - j + 1), 1e-9);
    CLOSE(ebm_log_falling(1e12, 1), log(1e12), 1e-12);
    ebm_stream_t stream = ebm_stream_of(key, 0, 0);
    CHECK(ebm_resample_binomial(&stream, 10, 0) == 0 &&
          ebm_resample_binomial(&stream, 10, 1) == 10 &&
          ebm_resample_binomial(&stream, 0, 0.5) == 0);
    for (int i = 0; i < 1000; i++) {
        const double u = ebm_stream_uniform(&stream), k = ebm_resample_binomial(&stream, 1000, 0.7);
        CHECK(u > 0 && u < 1 && k >= 0 && k <= 1000 && k == floor(k));
    }
}

/* Two chains of Gibbs steps on the ring: symmetric flows, row sums, the same bits for two threads;
   and Dirichlet rows. */
static void test_posterior(void)
{
    ring_t ring;
    make_ring(&ring);
    const uint64_t key[] = {7, 8};
    const double stay[] = {0, 0, 5}, total[] = {10, 10, 15};
    const int64_t cluster[] = {0, 2}, place[] = {0, 1, 2};
    const int32_t order[] = {0, 1, 2};
    double flow[2][12], stay_flow[2][6], sum[2][6], work[18];
    for (int run = 0; run < 2; run++) {
        for (int i = 0; i < 12; i++) flow[run][i] = 10;
        for (int i = 0; i < 6; i++) stay_flow[run][i] = i % 3 == 2 ? 10 : 0;
        ebm_posterior_t state = {.counts = ring.graph,
                                 .mirror = ring.mirror,
                                 .stay = stay,
                                 .total = total,
                                 .n_clusters = 1,
                                 .cluster = cluster,
                                 .order = order,
                                 .place = place,
                                 .n_chains = 2,
                                 .flow = flow[run],
                                 .stay_flow = stay_flow[run],
                                 .sum = sum[run],
                                 .work = work};
        for (int sweep = 0; sweep < 50; sweep++) {
            CHECK(ebm_posterior_rescale(&state, run + 1) == EBM_OK);
            CHECK(ebm_posterior_flows(&state, key, sweep, 0, 3, run + 1) == EBM_OK);
            CHECK(ebm_posterior_clusters(&state, key, sweep, 0, 1, run + 1) == EBM_OK);
        }
    }
    CHECK(!memcmp(flow[0], flow[1], sizeof flow[0]));
    CHECK(!memcmp(stay_flow[0], stay_flow[1], sizeof stay_flow[0]));
    CHECK(flow[0][0] != flow[0][6] && stay_flow[0][0] == 0);
    for (int chain = 0; chain < 2; chain++)
        for (int x = 0; x < 3; x++) {
            double row = stay_flow[0][3 * chain + x];
            for (int64_t k = ring.rows[x]; k < ring.rows[x + 1]; k++) {
                row += flow[0][6 * chain + k];
                CHECK(flow[0][6 * chain + k] > 0 &&
                      flow[0][6 * chain + k] == flow[0][6 * chain + ring.mirror[k]]);
            }
            CLOSE(sum[0][3 * chain + x], row, 1e-12);
        }
    const double weight[] = {0.01, 2, 300, 5, 5};
    const int64_t rows[] = {0, 3, 5};
    double out[5];
    CHECK(ebm_posterior_rows(2, rows, weight, key, 0, 1, out) == EBM_OK);
    CLOSE(out[0] + out[1] + out[2], 1, 1e-12);
    CLOSE(out[3] + out[4], 1, 1e-12);
    CHECK(out[0] > 0 && out[2] > 0.9);
}

/* The ring of three with n(x, x + 1) = 6 and n(x + 1, x) = 4 everywhere: the tables with its sums
   are n(x, x + 1) = 5 + z, with weights C(10, 5 + z)^3 for rows, and for a trajectory these times
   a^2 + a b + b^2, the spanning trees of a = 5 + z and b = 5 - z. */
static void test_walk(void)
{
    ring_t ring;
    make_ring(&ring);
    enum { TABLES = 4000 };
    const double expected[] = {5, 5, 5, 5, 5, 5}, ends[] = {0, 0, 0};
    /* rows: 0 -> 1, 2; 1 -> 0, 2; 2 -> 0, 1; the root is 0 */
    const int64_t up[] = {-1, 2, 4}, chords[] = {3}, start_range[] = {0, 0};
    const int32_t depth[] = {0, 1, 1}, labels[] = {0, 0, 0};
    const uint64_t key[] = {5, 6};
    double *tables[2];
    for (int with_trees = 0; with_trees < 2; with_trees++) {
        const ebm_balance_walk_t walk = {.counts = ring.graph,
                                         .mirror = ring.mirror,
                                         .expected = expected,
                                         .up = up,
                                         .depth = depth,
                                         .n_chords = 1,
                                         .chords = chords,
                                         .ends = with_trees ? ends : NULL,
                                         .n_classes = 1,
                                         .labels = labels,
                                         .start_range = start_range,
                                         .start_sum = NULL};
        for (int slots = 1; slots <= 2; slots++) {
            double *totals = zeros(slots * 3, sizeof *totals);
            int64_t *place = zeros(slots * ebm_balance_walk_place(&walk), sizeof *place);
            double *out = tables[slots - 1] = zeros(TABLES * 6, sizeof *out);
            for (int r = 0; r < TABLES; r++)
                memcpy(out + r * 6, ring.graph.forward, 6 * sizeof *out);
            for (int leg = 0; leg < 2; leg++)
                CHECK(ebm_balance_walk_run(&walk, 20, key, leg, 7, TABLES, slots, totals, place,
                                           out) == EBM_OK);
            free(totals), free(place);
        }
        CHECK(!memcmp(tables[0], tables[1], TABLES * 6 * sizeof **tables));
        double weight = 0, square = 0, found = 0;
        for (int z = -5; z <= 5; z++) {
            const double a = 5 + z, b = 5 - z,
                         ways = exp(lgamma(11) - lgamma(a + 1) - lgamma(b + 1));
            const double w = ways * ways * ways * (with_trees ? a * a + a * b + b * b : 1);
            weight += w, square += w * z * z;
        }
        for (int r = 0; r < TABLES; r++) {
            const double *n = tables[0] + r * 6, z = n[0] - 5;
            CHECK(n[0] == 5 + z && n[1] == 5 - z && n[2] == 5 - z && n[3] == 5 + z &&
                  n[4] == 5 + z && n[5] == 5 - z);
            found += z * z / TABLES;
        }
        CLOSE(found, square / weight, 0.1); /* five standard errors */
        free(tables[0]), free(tables[1]);
    }
}

static void test_cycles(void)
{
    /* a square 0 1 2 3 with the diagonal 0 2: two triangles; without it, one cycle of four */
    const int64_t rows[] = {0, 3, 5, 8, 10};
    const int32_t columns[] = {1, 2, 3, 0, 2, 0, 1, 3, 0, 2};
    double ratio[] = {1, 0.5, -2, -1, 3, -0.5, -3, 4, 2, -4};
    const double variance[] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
    int32_t queue[4], parent[4], depth[4];
    ebm_cycle_t best[4];
    ebm_cycle_totals_t totals = {0, 0, 0.0};
    int64_t n_best = 0;
    CHECK(ebm_cycle_forest(4, rows, columns, ratio, queue, parent, depth) == EBM_OK &&
          parent[2] == 0 && depth[3] == 1);
    for (int64_t x = 0; x < 4; x++)
        CHECK(ebm_cycle_rank(4, rows, columns, ratio, variance, parent, depth, x, x + 1, 4, best,
                             &n_best, &totals) == EBM_OK);
    CHECK(n_best == 2 && totals.n_triangles == 2 && totals.n_longer == 0);
    CLOSE(best[0].affinity, 0.5 + 4 + 2, 1e-15);
    CLOSE(best[1].affinity, 1 + 3 - 0.5, 1e-15);
    CLOSE(best[0].score, 6.5 / sqrt(3), 1e-12);
    CLOSE(totals.triangle_square, (6.5 * 6.5 + 3.5 * 3.5) / 3, 1e-12);

    ratio[1] = ratio[5] = NAN;
    n_best = 0, totals = (ebm_cycle_totals_t){0, 0, 0.0};
    CHECK(ebm_cycle_forest(4, rows, columns, ratio, queue, parent, depth) == EBM_OK &&
          depth[2] == 2);
    CHECK(ebm_cycle_rank(4, rows, columns, ratio, NULL, parent, depth, 0, 4, 1, best, &n_best,
                         &totals) == EBM_OK);
    CHECK(n_best == 1 && totals.n_triangles == 0 && totals.n_longer == 1 && best[0].length == 4);
    CLOSE(best[0].score, 1 + 3 + 4 + 2, 1e-12);
    CHECK(ebm_cycle_rank(4, rows, columns, ratio, NULL, parent, depth, 0, 5, 1, best, &n_best,
                         &totals) == EBM_ERR_ARGUMENT);
}

int main(void)
{
    test_tree(EBM_PAIR_NEWTON_LOGISTIC, 1);
    test_tree(EBM_PAIR_NEWTON_LOGISTIC, 0);
    test_tree(EBM_PAIR_NEWTON_EXPONENTIAL, 1);
    test_tree(EBM_PAIR_NEWTON_SQUARES, 0);
    test_ring_and_expected();
    test_random_rows();
    test_posterior();
    test_walk();
    test_cycles();
    return 0;
}
