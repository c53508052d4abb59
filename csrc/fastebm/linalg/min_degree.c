#include "fastebm/linalg/min_degree.h"

#define NONE (-1)

/* --- minimum degree --------------------------------------------------------------------------- */

/* The remaining graph is stored as a quotient graph: an eliminated state has become an element, the
   clique of its neighbours; a state's list holds elements first, then the neighbours that no
   element covers. Lists only shrink, so everything fits in the memory of the pattern. States with
   equal lists are merged (a supervariable). */

static void list_add(ebm_mindeg_t *Q, int64_t i)
{
    const int64_t d = Q->degree[i], first = Q->head[d];
    Q->next[i] = first;
    Q->last[i] = NONE;
    if (first != NONE) Q->last[first] = i;
    Q->head[d] = i;
    if (d < Q->least) Q->least = d;
}

static void list_remove(ebm_mindeg_t *Q, int64_t i)
{
    const int64_t before = Q->last[i], after = Q->next[i];
    if (after != NONE) Q->last[after] = before;
    if (before != NONE) Q->next[before] = after;
    else Q->head[Q->degree[i]] = after;
}

int ebm_mindeg_start(ebm_mindeg_t *Q, int64_t n, const int64_t *indptr, const int32_t *indices,
                     int64_t size, int32_t *lists, int64_t *work)
{
    if (n < 1 || size < indptr[n] + n + 1) return EBM_ERR_ARGUMENT;
    int64_t **const arrays[EBM_MINDEG_ARRAYS] = {&Q->start,  &Q->length,  &Q->elements, &Q->weight,
                                                 &Q->degree, &Q->outside, &Q->head,     &Q->next,
                                                 &Q->last,   &Q->bucket,  &Q->seen_by,  &Q->merged,
                                                 &Q->pivots};
    for (int k = 0; k < EBM_MINDEG_ARRAYS; k++) *arrays[k] = work + k * (n + 1);
    Q->n = n, Q->size = size, Q->free = indptr[n], Q->mark = 1, Q->lists = lists;
    Q->seen = Q->n_done = Q->n_pivots = Q->widest = Q->n_visited = 0;
    Q->least = n;
    for (int64_t k = 0; k < indptr[n]; k++) lists[k] = indices[k];
    for (int64_t i = 0; i <= n; i++) Q->head[i] = Q->bucket[i] = NONE, Q->seen_by[i] = 0;
    for (int64_t i = 0; i < n; i++) {
        Q->start[i] = indptr[i];
        Q->degree[i] = Q->length[i] = indptr[i + 1] - indptr[i];
        Q->elements[i] = 0;
        Q->weight[i] = Q->outside[i] = 1;
        Q->merged[i] = NONE;
        list_add(Q, i);
    }
    return EBM_OK;
}

/* Moves all live lists together; meanwhile the first entry of each is a tag that names its
   owner. */
static void compact(ebm_mindeg_t *Q)
{
    for (int64_t i = 0; i < Q->n; i++)
        if (Q->start[i] != NONE && Q->length[i] > 0) {
            const int64_t s = Q->start[i];
            Q->start[i] = Q->lists[s];
            Q->lists[s] = (int32_t)(-2 - i);
        }
    int64_t to = 0;
    for (int64_t from = 0; from < Q->free;) {
        if (Q->lists[from] >= 0) {
            from++;
            continue;
        }
        const int64_t i = -2 - (int64_t)Q->lists[from], length = Q->length[i];
        Q->lists[to] = (int32_t)Q->start[i];
        Q->start[i] = to;
        for (int64_t k = 1; k < length; k++) Q->lists[to + k] = Q->lists[from + k];
        to += length;
        from += length;
    }
    Q->free = to;
}

/* The clique of pivot p: its own neighbours and those of its elements, which it absorbs. Members
   leave the degree lists and carry a negative weight. */
static void form_clique(ebm_mindeg_t *Q, int64_t p)
{
    const int64_t n_elements = Q->elements[p];
    int64_t need = Q->length[p] - n_elements, clique = 0;
    for (int64_t k = 0; k < n_elements; k++) need += Q->length[Q->lists[Q->start[p] + k]];
    /* afterwards a clique, of less than n members, fits: lists only shrink */
    if (Q->free + need > Q->size) compact(Q);
    const int64_t begin = Q->free;
    Q->weight[p] = -Q->weight[p];
    for (int64_t k = 0; k <= n_elements; k++) {
        const int64_t e = k < n_elements ? Q->lists[Q->start[p] + k] : p;
        const int64_t from = Q->start[e] + (e == p ? n_elements : 0),
                      count = Q->length[e] - (e == p ? n_elements : 0);
        for (int64_t j = 0; j < count; j++) {
            const int32_t i = Q->lists[from + j];
            if (Q->weight[i] <= 0) continue;
            clique += Q->weight[i];
            Q->weight[i] = -Q->weight[i];
            Q->lists[Q->free++] = i;
            list_remove(Q, i);
        }
        if (e != p) {
            Q->start[e] = NONE;
            Q->outside[e] = 0;
        }
    }
    Q->start[p] = begin;
    Q->length[p] = Q->free - begin;
    Q->degree[p] = clique;
}

/* outside[e] - mark becomes the weight of e's clique outside the pivot's, for every element e next
   to it. */
static void measure_overlaps(ebm_mindeg_t *Q, int64_t p)
{
    for (int64_t k = Q->start[p]; k < Q->start[p] + Q->length[p]; k++) {
        const int64_t i = Q->lists[k];
        for (int64_t j = Q->start[i]; j < Q->start[i] + Q->elements[i]; j++) {
            const int64_t e = Q->lists[j];
            if (Q->outside[e] == 0) continue;
            if (Q->outside[e] < Q->mark) Q->outside[e] = Q->mark + Q->degree[e];
            Q->outside[e] += Q->weight[i]; /* negative */
        }
    }
}

/* Prunes the list of member i, bounds its degree without the clique and hashes it; merges it into p
   if it has no other neighbours. */
static void update_member(ebm_mindeg_t *Q, int64_t p, int64_t i)
{
    const int64_t start = Q->start[i], end = start + Q->length[i], middle = start + Q->elements[i];
    int64_t to = start, degree = 0;
    uint64_t hash = 0;
    for (int64_t k = start; k < middle; k++) {
        const int32_t e = Q->lists[k];
        if (Q->outside[e] == 0) continue;
        const int64_t outside = Q->outside[e] - Q->mark;
        if (outside == 0) { /* e lies within p */
            Q->start[e] = NONE;
            Q->outside[e] = 0;
            continue;
        }
        degree += outside;
        hash += (uint64_t)e;
        Q->lists[to++] = e;
    }
    const int64_t n_elements = to - start;
    for (int64_t k = middle; k < end; k++) {
        const int32_t j = Q->lists[k];
        if (Q->weight[j] <= 0) continue; /* absorbed, or in p's clique */
        degree += Q->weight[j];
        hash += (uint64_t)j;
        Q->lists[to++] = j;
    }
    if (degree == 0) {
        Q->merged[i] = p;
        Q->weight[p] += Q->weight[i];
        Q->weight[i] = 0;
        Q->start[i] = NONE;
        return;
    }
    /* p is appended to the elements; it fits, as the list has lost p or an element that p
       absorbed */
    Q->lists[to] = Q->lists[start + n_elements];
    Q->lists[start + n_elements] = (int32_t)p;
    Q->length[i] = to + 1 - start;
    Q->elements[i] = n_elements + 1;
    if (degree < Q->degree[i]) Q->degree[i] = degree;
    Q->last[i] = (int64_t)(hash % (uint64_t)Q->n);
}

static int same_list(const ebm_mindeg_t *Q, int64_t i, int64_t j)
{
    if (Q->length[i] != Q->length[j] || Q->elements[i] != Q->elements[j]) return 0;
    for (int64_t k = Q->start[j]; k < Q->start[j] + Q->length[j]; k++)
        if (Q->seen_by[Q->lists[k]] != Q->seen) return 0;
    return 1;
}

/* Members whose lists are equal become one. */
static void unite_members(ebm_mindeg_t *Q, int64_t p)
{
    const int64_t begin = Q->start[p], end = begin + Q->length[p];
    for (int64_t k = begin; k < end; k++) {
        const int64_t i = Q->lists[k];
        if (Q->weight[i] == 0) continue;
        Q->next[i] = Q->bucket[Q->last[i]];
        Q->bucket[Q->last[i]] = i;
    }
    for (int64_t k = begin; k < end; k++) {
        if (Q->weight[Q->lists[k]] == 0) continue;
        const int64_t hash = Q->last[Q->lists[k]];
        int64_t i = Q->bucket[hash];
        Q->bucket[hash] = NONE;
        for (; i != NONE && Q->next[i] != NONE; i = Q->next[i]) {
            Q->seen++;
            for (int64_t j = Q->start[i]; j < Q->start[i] + Q->length[i]; j++)
                Q->seen_by[Q->lists[j]] = Q->seen;
            for (int64_t before = i, j = Q->next[i]; j != NONE; j = Q->next[j]) {
                if (!same_list(Q, i, j)) {
                    before = j;
                    continue;
                }
                Q->weight[i] += Q->weight[j];
                Q->weight[j] = 0;
                Q->merged[j] = i;
                Q->start[j] = NONE;
                Q->next[before] = Q->next[j];
            }
        }
    }
}

/* The remaining members of the clique return to the degree lists. */
static void release_members(ebm_mindeg_t *Q, int64_t p, int64_t clique)
{
    int64_t to = Q->start[p];
    for (int64_t k = Q->start[p]; k < Q->start[p] + Q->length[p]; k++) {
        const int64_t i = Q->lists[k], weight = -Q->weight[i], left = Q->n - Q->n_done - weight;
        if (weight == 0) continue;
        Q->weight[i] = weight;
        Q->degree[i] += clique - weight;
        if (Q->degree[i] > left) Q->degree[i] = left;
        list_add(Q, i);
        Q->lists[to++] = (int32_t)i;
    }
    Q->degree[p] = clique;
    Q->length[p] = to - Q->start[p];
    Q->free = to;
    if (Q->length[p] == 0) Q->start[p] = NONE, Q->outside[p] = 0;
}

int ebm_mindeg_expand(ebm_mindeg_t *Q, int64_t n_pivots)
{
    for (int64_t step = 0; step < n_pivots && Q->n_done < Q->n; step++) {
        while (Q->head[Q->least] == NONE) Q->least++;
        const int64_t p = Q->head[Q->least], own = Q->weight[p];
        list_remove(Q, p);
        Q->pivots[Q->n_pivots++] = p;
        form_clique(Q, p);
        const int64_t clique = Q->degree[p];
        if (clique > Q->widest) Q->widest = clique;
        measure_overlaps(Q, p);
        for (int64_t k = Q->start[p]; k < Q->start[p] + Q->length[p]; k++) {
            Q->n_visited += Q->length[Q->lists[k]];
            update_member(Q, p, Q->lists[k]);
        }
        Q->outside[p] = Q->mark;
        Q->mark += Q->widest + 1; /* larger than all marks of this pivot in `outside` */
        unite_members(Q, p);
        Q->n_done -= Q->weight[p];
        release_members(Q, p, clique + Q->weight[p] + own);
        Q->weight[p] = 0;
    }
    return EBM_OK;
}

int ebm_mindeg_order(ebm_mindeg_t *Q, int32_t *order)
{
    const int64_t n = Q->n;
    /* the pivot's number of each state; states before each pivot's */
    int64_t *place = Q->head, *count = Q->next;
    if (Q->n_done < n) return EBM_ERR_ARGUMENT;
    for (int64_t k = 0; k <= n; k++) count[k] = 0;
    for (int64_t k = 0; k < Q->n_pivots; k++) place[Q->pivots[k]] = k;
    for (int64_t i = 0; i < n; i++) {
        int64_t root = i;
        while (Q->merged[root] != NONE) root = Q->merged[root];
        for (int64_t j = i; j != root;) { /* path compression for the next search */
            const int64_t up = Q->merged[j];
            Q->merged[j] = root;
            j = up;
        }
        count[place[root] + 1]++;
        place[i] = place[root];
    }
    for (int64_t k = 0; k < n; k++) count[k + 1] += count[k];
    for (int64_t i = 0; i < n; i++) order[count[place[i]]++] = (int32_t)i;
    return EBM_OK;
}

/* --- elimination trees (Liu 1990) ------------------------------------------------------------- */

/* parent[k] of each column of the elimination in `order`; place[order[k]] = k. */
static void elimination_tree(int64_t n, const int64_t *indptr, const int32_t *indices,
                             const int32_t *order, const int64_t *place, int64_t *ancestor,
                             int64_t *parent)
{
    for (int64_t k = 0; k < n; k++) {
        parent[k] = ancestor[k] = NONE;
        for (int64_t e = indptr[order[k]]; e < indptr[order[k] + 1]; e++)
            for (int64_t j = place[indices[e]]; j != NONE && j < k;) {
                const int64_t up = ancestor[j];
                ancestor[j] = k; /* path compression */
                if (up == NONE) parent[j] = k;
                j = up;
            }
    }
}

/* post[k]: the k-th column of a depth-first postorder. head, next: scratch. */
static void postorder(int64_t n, const int64_t *parent, int64_t *head, int64_t *next, int64_t *post)
{
    for (int64_t k = 0; k <= n; k++) head[k] = NONE;
    for (int64_t k = n - 1; k >= 0; k--) { /* head[n]: the roots */
        const int64_t up = parent[k] == NONE ? n : parent[k];
        next[k] = head[up];
        head[up] = k;
    }
    int64_t done = 0;
    for (int64_t root = head[n]; root != NONE; root = next[root]) {
        int64_t k = root;
        for (;;) {
            /* descend to a leaf, removing each child from its parent's list */
            while (head[k] != NONE) {
                const int64_t child = head[k];
                head[k] = next[child];
                k = child;
            }
            post[done++] = k;
            if (k == root) break;
            k = parent[k];
        }
    }
}

int ebm_mindeg_supernodes(int64_t n, const int64_t *indptr, const int32_t *indices, int64_t limit,
                          int64_t *work, int32_t *order, int64_t *first, int64_t *height,
                          int64_t *parent, ebm_fill_t *fill)
{
    const int64_t m = n + 1;
    int64_t *place = work, *tree = work + m, *a = work + 2 * m, *b = work + 3 * m,
            *post = work + 4 * m;
    for (int64_t k = 0; k < n; k++) place[order[k]] = k;
    elimination_tree(n, indptr, indices, order, place, a, tree);
    postorder(n, tree, a, b, post);
    for (int64_t k = 0; k < n; k++) b[k] = order[post[k]];
    for (int64_t k = 0; k < n; k++) order[k] = (int32_t)b[k];
    for (int64_t k = 0; k < n; k++) place[order[k]] = k;
    elimination_tree(n, indptr, indices, order, place, a, tree);

    /* rows below each column: row k's are the columns on the paths from its neighbours up to k */
    int64_t *count = a, *mark = b;
    fill->n_entries = 0;
    for (int64_t k = 0; k < n; k++) count[k] = 0, mark[k] = NONE;
    for (int64_t k = 0; k < n; k++) {
        mark[k] = k;
        for (int64_t e = indptr[order[k]]; e < indptr[order[k] + 1]; e++)
            for (int64_t j = place[indices[e]]; j < k && mark[j] != k; j = tree[j]) {
                mark[j] = k;
                count[j]++;
                fill->n_entries++;
            }
        if (fill->n_entries > limit) return EBM_OK;
    }

    int64_t s = -1, *supernode = post; /* of each column */
    for (int64_t k = 0; k < n; k++) {
        if (!(k > 0 && tree[k - 1] == k && count[k - 1] == count[k] + 1)) first[++s] = k;
        supernode[k] = s;
        height[s] = count[k];
    }
    const int64_t n_supernodes = s + 1;
    first[n_supernodes] = n;
    fill->n_supernodes = n_supernodes;
    fill->n_flops = 0.0;
    fill->n_rows = fill->n_factor = fill->n_stack = 0;
    /* the stack holds the updates (height^2) that no front has assembled yet, and the current
       front */
    /* doubles of the updates on the stack for each supernode */
    int64_t stack = 0, *waiting = mark;
    for (s = 0; s < n_supernodes; s++) waiting[s] = 0;
    for (s = 0; s < n_supernodes; s++) {
        const int64_t width = first[s + 1] - first[s], front = width + height[s],
                      up = tree[first[s + 1] - 1];
        parent[s] = up == NONE ? NONE : supernode[up];
        fill->n_rows += height[s];
        fill->n_factor += width * (width + 2 * height[s]);
        for (int64_t k = 1; k <= width; k++)
            fill->n_flops += 2.0 * (double)(front - k) * (double)(front - k);
        if (stack + front * front > fill->n_stack) fill->n_stack = stack + front * front;
        stack += height[s] * height[s] - waiting[s];
        if (parent[s] != NONE) waiting[parent[s]] += height[s] * height[s];
    }
    return EBM_OK;
}
