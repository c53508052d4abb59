"""Numerical linear algebra that knows no Markov chain: Krylov methods, multigrid, M-matrix solves."""
