"""The arguments of `spectral_gap` that every method takes."""

from dataclasses import dataclass

from .._runtime.types import Callback

#: The kinds that both ends of the spectrum of a reversible chain decide.
MODULUS_KINDS = ("absolute", "multiplicative")
# How the failure probability is shared: all that may be asked fails with the sum of the parts.
FIRST_PART, SECOND_PART, INVERSE_PART = 0.5, 0.3, 0.1


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

    @property
    def first_share(self) -> float:
        """The failure probability of the first start of Lanczos, for each end of the spectrum that
        decides. It has half of the whole, because it takes the most products."""
        return FIRST_PART * self.failure / self._n_ends

    @property
    def second_share(self) -> float:
        """That of a second start, for each end."""
        return SECOND_PART * self.failure / self._n_ends

    @property
    def inverse_share(self) -> float:
        """That of the start on the inverse, and again that of the rounding of its solves."""
        return INVERSE_PART * self.failure

    @property
    def _n_ends(self) -> int:
        return 2 if self.kind in MODULUS_KINDS else 1
