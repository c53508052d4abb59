"""A reactive flux between sets of states (Noe, Schuette, Vanden-Eijnden, Reich & Weikl 2009)."""

from typing import Any, Protocol

import numpy as np
import scipy.sparse as sp

from .._runtime.memory import forecast_memory
from .._runtime.results import StepsResult, result
from .._runtime.types import FloatArray, Int32Array, IntArray
from .sets import memberships_of


class FluxOfStates(Protocol):
    """The fields of a `ReactiveFlux` that its coarse flux is made of."""

    @property
    def gross_flux(self) -> sp.csr_array: ...
    @property
    def total_flux(self) -> float: ...
    @property
    def pi(self) -> FloatArray: ...
    @property
    def forward_committor(self) -> FloatArray: ...
    @property
    def backward_committor(self) -> FloatArray: ...
    @property
    def source(self) -> IntArray: ...
    @property
    def target(self) -> IntArray: ...
    @property
    def time_unit(self) -> str | None: ...
    @property
    def lag(self) -> int: ...


@result
class CoarseFlux(StepsResult):
    """A reactive flux between sets that respect the source and the target.

    Attributes
    ----------
    sets : list of int arrays
        First the parts of the source, last those of the target.
    n_source, n_target : int
        Numbers of these parts.
    gross_flux, net_flux : ndarray (n_sets, n_sets)
        Gross flux from one set to another, zero on the diagonal, and what it exceeds its reverse
        by.
    total_flux : float
        That of the states: no flux is lost.
    mass : ndarray (n_sets,)
        Stationary probability.
    forward_committor, backward_committor : ndarray (n_sets,)
        Stationary means over each set; NaN for a set without mass.
    time_unit : str or None
        The physical time of one step of the data.
    """

    sets: list[IntArray]
    n_source: int
    n_target: int
    gross_flux: FloatArray
    net_flux: FloatArray
    total_flux: float
    mass: FloatArray
    forward_committor: FloatArray
    backward_committor: FloatArray
    time_unit: str | None


def coarse_flux(flux: FluxOfStates, sets: Any) -> CoarseFlux:
    """The flux between sets, which are split at the border of source and target."""
    n = len(flux.pi)
    place = np.full(n, 1, dtype=np.int64)
    place[flux.source], place[flux.target] = 0, 2
    label, parts = _split(np.asarray(memberships_of(sets, n, None)) > 0.0, place)
    k = len(parts)
    forecast_memory(32 * k * k, f"the flux between {k} sets", "pass fewer sets")
    gross = flux.gross_flux
    rows = np.repeat(label, np.diff(gross.indptr)).astype(np.int64)
    flat = np.bincount(rows * k + label[gross.indices], gross.data, minlength=k * k)
    coarse: FloatArray = flat.reshape(k, k).astype(np.float64)
    np.fill_diagonal(coarse, 0.0)
    mass: FloatArray = np.bincount(label, flux.pi, minlength=k).astype(np.float64)
    with np.errstate(invalid="ignore", divide="ignore"):
        means = [
            np.bincount(label, flux.pi * q, minlength=k) / mass
            for q in (flux.forward_committor, flux.backward_committor)
        ]
    return CoarseFlux(
        sets=parts,
        n_source=len(np.unique(label[flux.source])),
        n_target=len(np.unique(label[flux.target])),
        gross_flux=coarse,
        net_flux=np.maximum(coarse - coarse.T, 0.0),
        total_flux=flux.total_flux,
        mass=mass,
        forward_committor=means[0],
        backward_committor=means[1],
        time_unit=flux.time_unit,
        lag=flux.lag,
    )


def _split(members: Any, place: IntArray) -> tuple[Int32Array, list[IntArray]]:
    """(set of each state, the sets): ordered by `place`, then as given, then the rest."""
    k = members.shape[1]
    own = np.where(members.any(axis=1), members.argmax(axis=1), k)
    code = place * (k + 1) + own
    used, label = np.unique(code, return_inverse=True)
    return label.astype(np.int32), [np.flatnonzero(code == value) for value in used]
