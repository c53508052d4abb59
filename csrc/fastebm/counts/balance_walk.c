#include "fastebm/counts/balance_walk.h"

#include <math.h>
#include <stddef.h>

#include "fastebm/counts/resample.h"

/* Steps around a chord are proposed from a logistic law of 1.2 times the standard deviation of the
   flow, so that its tails are heavier, and not narrower than lets one count move. */
#define SCALE 0.65
#define SMALLEST_SCALE 0.25
/* A new tree costs a few steps of a random walk a state, as other moves do. */
#define MOVES_PER_TREE 1.0

/* The share of loops among the moves, if all pairs have many counts and if all have few: they are
   always accepted, but they move single counts and cost the length of the rows they pass. */
#define LOOPS 0.125
#define LOOPS_IF_FEW 0.5
#define FEW 16.0

/* A longer product of ratios of counts costs more than logarithms, and could overflow. */
#define LONGEST_PRODUCT 16.0

/* Values of exit_of that are no entry. */
#define NO_EXIT (-1) /* a root */
#define TO_HUB (-2)  /* the end of a trajectory */

typedef struct walker {
    const ebm_balance_walk_t *walk;
    ebm_stream_t random;
    double *spare;              /* (nnz,) the counts, without the tree */
    double *spare_total;        /* (n,) row sums of spare */
    int64_t *exit_of, *visited; /* (n + n_classes,) each: states, then hubs */
    int64_t *position, *path;   /* (n,) each; position is -1 between moves */
} walker_t;

/* The simple cycle of a chord, as entries that lead around it. -> its length */
static int64_t cycle_of(const ebm_balance_walk_t *walk, int64_t chord, int64_t *path)
{
    const int32_t *indices = walk->counts.indices;
    int32_t down = indices[walk->mirror[chord]], up = indices[chord];
    int64_t length = 0;
    path[length++] = chord;
    while (up != down) {
        const int from_end = walk->depth[up] >= walk->depth[down];
        const int64_t k = walk->up[from_end ? up : down];
        path[length++] = from_end ? k : walk->mirror[k];
        if (from_end) up = indices[k];
        else down = indices[k];
    }
    return length;
}

int64_t ebm_balance_walk_place(const ebm_balance_walk_t *walk)
{
    return 4 * walk->counts.n_states + 2 * walk->n_classes;
}

static int64_t random_below(walker_t *w, int64_t n)
{
    const int64_t i = (int64_t)(ebm_stream_uniform(&w->random) * (double)n);
    return i < n ? i : n - 1;
}

/* An entry of row x in proportion to spare; TO_HUB with weight `ends`. */
static int64_t random_entry(walker_t *w, int64_t x, double ends)
{
    const ebm_pairgraph_t *g = &w->walk->counts;
    double left = ebm_stream_uniform(&w->random) * (w->spare_total[x] + ends) - ends;
    if (left < 0.0 || !(w->spare_total[x] > 0.0)) return TO_HUB;
    int64_t k = g->indptr[x];
    for (; k < g->indptr[x + 1]; k++)
        if ((left -= w->spare[k]) < 0.0) return k;
    for (k--; !(w->spare[k] > 0.0);) k--; /* rounding has left a rest */
    return k;
}

static void reverse(walker_t *w, const int64_t *cycle, int64_t length, double step)
{
    for (int64_t i = 0; i < length; i++) {
        w->spare[cycle[i]] -= step;
        w->spare[w->walk->mirror[cycle[i]]] += step;
    }
}

static void reverse_a_loop(walker_t *w)
{
    int64_t x = random_below(w, w->walk->counts.n_states), length = 0;
    while (w->position[x] < 0 && w->spare_total[x] > 0.0) {
        w->position[x] = length;
        w->visited[length] = x;
        w->path[length] = random_entry(w, x, 0.0);
        x = w->walk->counts.indices[w->path[length++]];
    }
    const int64_t first = w->position[x];
    for (int64_t i = 0; i < length; i++) w->position[w->visited[i]] = -1;
    if (first >= 0) reverse(w, w->path + first, length - first, 1.0);
}

/* log of out! back! / ((out - step)! (back + step)!), the ratio of the weights after and before. */
static double log_weight_ratio(double out, double back, double step)
{
    if (step > LONGEST_PRODUCT)
        return ebm_log_falling(out, step) - ebm_log_falling(back + step, step);
    double ratio = 1.0;
    for (double j = 0.0; j < step; j += 1.0) ratio *= (out - j) / (back + 1.0 + j);
    return log(ratio);
}

/* log of the probability that a logistic number of this scale rounds to d, up to a constant. */
static double log_rounded_logistic(double d, double scale)
{
    const double from = (fabs(d) - 0.5) / scale, to = (fabs(d) + 0.5) / scale;
    return -from - log1p(exp(-from)) - log1p(exp(-to));
}

/* Metropolis' and Hastings' rule along the cycle of a random chord. The proposal depends on the
   line of tables alone, not on where the present one is on it: its centre is the maximum of the
   line's Gaussian approximation at the fit. */
static void step_around_a_chord(walker_t *w)
{
    const ebm_balance_walk_t *walk = w->walk;
    const int64_t chord = walk->chords[random_below(w, walk->n_chords)];
    const int64_t length = cycle_of(walk, chord, w->path);
    double pull = 0.0, precision = 0.0;
    for (int64_t i = 0; i < length; i++) {
        const int64_t k = w->path[i], back = walk->mirror[k];
        const double p = 1.0 / walk->expected[k], q = 1.0 / walk->expected[back];
        pull += w->spare[k] * p - w->spare[back] * q;
        precision += p + q;
    }
    const double centre = pull / precision, u = ebm_stream_uniform(&w->random),
                 scale = fmax(SCALE / sqrt(precision), SMALLEST_SCALE),
                 flow = floor(centre + scale * log(u / (1.0 - u)) + 0.5), step = fabs(flow);
    if (!(step > 0.0)) return;
    if (flow < 0.0)
        for (int64_t i = 0; i < length; i++) w->path[i] = walk->mirror[w->path[i]];
    double log_ratio =
        log_rounded_logistic(centre, scale) - log_rounded_logistic(flow - centre, scale);
    for (int64_t i = 0; i < length; i++) {
        const double out = w->spare[w->path[i]], back = w->spare[walk->mirror[w->path[i]]];
        if (out < step) return;
        log_ratio += log_weight_ratio(out, back, step);
    }
    if (log_ratio >= 0.0 || log(ebm_stream_uniform(&w->random)) < log_ratio)
        reverse(w, w->path, length, step);
}

/* Where exit_of leads. */
static int64_t next_of(const walker_t *w, int64_t node)
{
    const int64_t n = w->walk->counts.n_states, exit_of = w->exit_of[node];
    if (node >= n) return exit_of;
    return exit_of == TO_HUB ? n + w->walk->labels[node] : w->walk->counts.indices[exit_of];
}

/* One step of a random walk on the multigraph of the counts and the hubs: a hub follows each state
   with the number of trajectories that end there, and leads to their starts. */
static int64_t step_from(walker_t *w, int64_t node)
{
    const ebm_balance_walk_t *walk = w->walk;
    const int64_t n = walk->counts.n_states;
    if (node >= n) {
        int64_t low = walk->start_range[node - n], high = walk->start_range[node - n + 1] - 1;
        const double u = ebm_stream_uniform(&w->random) * walk->start_sum[high];
        while (low < high) {
            const int64_t middle = low + (high - low) / 2;
            if (u < walk->start_sum[middle]) high = middle;
            else low = middle + 1;
        }
        w->exit_of[node] = walk->starts[low];
    } else w->exit_of[node] = random_entry(w, node, walk->ends[node]);
    return next_of(w, node);
}

/* A uniform spanning tree of that multigraph, by Wilson's loop-erased walks; its arcs leave spare.
   -> the steps taken; one more than max_steps, and no tree, if these do not suffice. */
static int64_t draw_tree(walker_t *w, int64_t max_steps)
{
    const ebm_balance_walk_t *walk = w->walk;
    const int64_t n = walk->counts.n_states;
    for (int64_t x = 0; x < n; x++)
        if (w->exit_of[x] >= 0) {
            w->spare[w->exit_of[x]] += 1.0;
            w->spare_total[x] += 1.0;
        }
    for (int64_t x = 0; x < n + walk->n_classes; x++)
        w->visited[x] = x < n && walk->up[x] < 0; /* in the tree */
    int64_t n_steps = 0;
    for (int64_t first = 0; first < n; first++) {
        for (int64_t x = first; !w->visited[x]; x = step_from(w, x))
            if (n_steps++ == max_steps) return n_steps;
        for (int64_t x = first; !w->visited[x]; x = next_of(w, x)) w->visited[x] = 1;
    }
    for (int64_t x = 0; x < n; x++)
        if (w->exit_of[x] >= 0) {
            w->spare[w->exit_of[x]] -= 1.0;
            w->spare_total[x] -= 1.0;
        }
    return n_steps;
}

static walker_t walker_of(const ebm_balance_walk_t *walk, ebm_stream_t random, double *spare_total,
                          int64_t *place, double *table)
{
    const ebm_pairgraph_t *g = &walk->counts;
    const int64_t n = g->n_states, n_nodes = n + walk->n_classes;
    const walker_t w = {.walk = walk,
                        .random = random,
                        .spare = table,
                        .spare_total = spare_total,
                        .exit_of = place,
                        .visited = place + n_nodes,
                        .position = place + 2 * n_nodes,
                        .path = place + 2 * n_nodes + n};
    for (int64_t x = 0; x < n; x++) {
        w.exit_of[x] = NO_EXIT;
        w.position[x] = -1;
        spare_total[x] = 0.0;
        for (int64_t k = g->indptr[x]; k < g->indptr[x + 1]; k++) spare_total[x] += table[k];
    }
    return w;
}

int64_t ebm_balance_walk_tree_steps(const ebm_balance_walk_t *walk, const uint64_t key[2],
                                    int64_t max_steps, double *spare_total, int64_t *place,
                                    double *table)
{
    walker_t w = walker_of(walk, ebm_stream_of(key, -1, 0), spare_total, place, table);
    return draw_tree(&w, max_steps);
}

static void one_walk(const ebm_balance_walk_t *walk, int64_t n_moves, const ebm_stream_t random,
                     double *spare_total, int64_t *place, double *table)
{
    const ebm_pairgraph_t *g = &walk->counts;
    const int64_t n = g->n_states;
    walker_t w = walker_of(walk, random, spare_total, place, table);
    int64_t n_few = 0;
    for (int64_t k = 0; k < g->indptr[n]; k++) n_few += g->forward[k] + g->backward[k] < FEW;
    const double loop_below = LOOPS + (LOOPS_IF_FEW - LOOPS) * (double)n_few / (double)g->indptr[n];
    const double tree_below = 1.0 / (1.0 + MOVES_PER_TREE * (double)n);
    if (walk->ends) draw_tree(&w, INT64_MAX);
    for (int64_t move = 0; move < n_moves; move++) {
        if (walk->ends && ebm_stream_uniform(&w.random) < tree_below) draw_tree(&w, INT64_MAX);
        else if (ebm_stream_uniform(&w.random) < loop_below) reverse_a_loop(&w);
        else step_around_a_chord(&w);
    }
    for (int64_t x = 0; x < n; x++)
        if (w.exit_of[x] >= 0) table[w.exit_of[x]] += 1.0;
}

int ebm_balance_walk_run(const ebm_balance_walk_t *walk, int64_t n_moves, const uint64_t key[2],
                         int64_t leg, int64_t first, int64_t n_tables, int n_slots,
                         double *spare_total, int64_t *place, double *tables)
{
    const int64_t n = walk->counts.n_states, nnz = walk->counts.indptr[n];
    /* table r belongs to slot r modulo n_slots: no outcome depends on which */
#pragma omp parallel for num_threads(n_slots) schedule(static, 1) if (n_slots > 1)
    for (int slot = 0; slot < n_slots; slot++)
        for (int64_t r = slot; r < n_tables; r += n_slots)
            one_walk(walk, n_moves, ebm_stream_of(key, leg, first + r), spare_total + slot * n,
                     place + slot * ebm_balance_walk_place(walk), tables + r * nnz);
    return EBM_OK;
}
