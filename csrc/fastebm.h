/* fastebm: numerical analysis of very large sparse Markov chains. The public C interface; no
   Python, no globals, no input or output. The caller owns all memory; every function returns an
   ebm_status_t; outputs come last. */
#ifndef FASTEBM_H
#define FASTEBM_H

#include "fastebm/base/status.h"
#include "fastebm/base/kernel.h"
#include "fastebm/base/random.h"
#include "fastebm/base/vec.h"
#include "fastebm/patterns/csr.h"
#include "fastebm/chains/cut.h"
#include "fastebm/chains/lump.h"
#include "fastebm/patterns/lattice.h"
#include "fastebm/patterns/rule.h"
#include "fastebm/patterns/rows.h"
#include "fastebm/patterns/graph.h"
#include "fastebm/patterns/components.h"
#include "fastebm/patterns/scaled.h"
#include "fastebm/chains/tilt.h"
#include "fastebm/chains/flux.h"
#include "fastebm/linalg/basis.h"
#include "fastebm/linalg/composed.h"
#include "fastebm/linalg/lanczos.h"
#include "fastebm/linalg/cg.h"
#include "fastebm/linalg/dirichlet_flow.h"
#include "fastebm/linalg/multigrid.h"
#include "fastebm/linalg/lobpcg.h"
#include "fastebm/linalg/residual.h"
#include "fastebm/linalg/sweep.h"
#include "fastebm/linalg/min_degree.h"
#include "fastebm/linalg/eliminate.h"
#include "fastebm/chains/evolution.h"
#include "fastebm/simulation/alias.h"
#include "fastebm/simulation/walk.h"
#include "fastebm/counts/pair_newton.h"
#include "fastebm/counts/resample.h"
#include "fastebm/counts/balance_statistics.h"
#include "fastebm/counts/cycle.h"
#include "fastebm/rlvr/bernoulli.h"

#endif
