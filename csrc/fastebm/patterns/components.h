/* Connected components of a symmetric pattern, where every edge has its reverse: union and find
   over fixed ranges of rows, in any order and by any number of threads (Afforest: Sutton, Ben-Nun &
   Barak 2018). A few entries of every row unite most of a graph with a giant component, whose other
   entries need not be examined: each of them is the reverse of an edge inside it, or of one in a
   row outside.

   Stored matrices only: a pass takes the k-th entries of all rows. */
#ifndef FASTEBM_PATTERNS_COMPONENTS_H
#define FASTEBM_PATTERNS_COMPONENTS_H

#include "fastebm/patterns/csr.h"

/* parent (n_states,) is a forest, 0 .. n_states - 1 at first: parent[x] <= x, and roots are their
   own parents. The entries [first, last) of each of the rows [begin, end), as far as it has them,
   unite their end points; rows whose parent is `skip` are left out (-1: none). The smallest state
   of a tree is its root, so the components do not depend on the order. */
int ebm_components_unite(const ebm_csr_t *A, int64_t begin, int64_t end, int64_t first,
                         int64_t last, int32_t skip, int num_threads, int32_t *parent);

/* parent[x] becomes the root of x, for x in [begin, end). */
int ebm_components_flatten(int64_t begin, int64_t end, int num_threads, int32_t *parent);

/* looped[parent[x]] = 1 for every x in [begin, end) with an entry (x, x); rows ascend. */
int ebm_components_loops(const ebm_csr_t *A, int64_t begin, int64_t end, const int32_t *label,
                         uint8_t *looped);

#endif
