"""The arguments of `spectral_gap` that every method takes."""

from dataclasses import dataclass

from .._runtime.types import Callback

#: The kinds that both ends of the spectrum of a reversible chain decide.
MODULUS_KINDS = ("absolute", "multiplicative")


@dataclass(frozen=True)
class GapOptions:
    """limit is max_matvecs and failure the failure probability; the others are named as in
    `spectral_gap`."""

    kind: str
    tol: float
    certify: bool
    limit: int
    failure: float
    threads: int
    progress: bool
    callback: Callback | None
