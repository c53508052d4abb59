"""Numerical linear algebra without Markov chains: Krylov methods, multigrid, M-matrix solves."""
