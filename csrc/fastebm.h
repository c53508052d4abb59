/* fastebm: numerical analysis of very large sparse Markov chains. The public C interface; no Python, no globals, no
   input or output. The caller owns all memory; every function returns an ebm_status_t; outputs come last. */
#ifndef FASTEBM_H
#define FASTEBM_H

#include "status.h"
#include "kernel.h"
#include "random.h"
#include "vec.h"
#include "csr.h"
#include "cut.h"
#include "lump.h"
#include "lattice.h"
#include "rule.h"
#include "rows.h"
#include "graph.h"
#include "scaled.h"
#include "tilt.h"
#include "flux.h"
#include "basis.h"
#include "compose.h"
#include "lanczos.h"
#include "solve.h"
#include "flow.h"
#include "multigrid.h"
#include "rayleigh.h"
#include "residual.h"
#include "sweep.h"
#include "order.h"
#include "eliminate.h"
#include "evolve.h"
#include "alias.h"
#include "walk.h"
#include "potential.h"
#include "resample.h"
#include "reversible.h"
#include "cycle.h"

#endif
