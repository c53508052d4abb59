"""All eigenvalues of a dense matrix with discs that provably contain them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .._runtime.types import BoolArray, FloatArray
from .rounding import UNIT

# The bounds below are evaluated in floating point, as sums of non-negative terms: their own
# rounding is far below this factor.
INFLATED = 1.01


@dataclass(frozen=True, eq=False)
class DenseSpectrum:
    """Eigenpairs of A by LAPACK, and a disc around each eigenvalue.

    Attributes
    ----------
    values : ndarray complex (n,)
    vectors : ndarray complex (n, n)
        Unit columns.
    residuals : ndarray (n,)
        |A v - value v|, as computed.
    conditions : ndarray (n,)
        |w| for the left vector w with w v = 1; inf where the vectors are not independent.
    radii : ndarray (n,)
        Each connected part of the union of the discs around `values` contains exactly as many
        eigenvalues as discs, rounding included; inf where that is not proven.
    """

    values: npt.NDArray[np.complex128]
    vectors: npt.NDArray[np.complex128]
    residuals: FloatArray
    conditions: FloatArray
    radii: FloatArray

    @classmethod
    def of(cls, A: FloatArray, entry_error: float) -> "DenseSpectrum":
        """The spectrum of A, whose entries carry a relative error of at most `entry_error`.

        With R = A V - V Lambda and W an approximate inverse of V, V^-1 A V is
        Lambda + (I - E)^-1 W R, E = I - W V. Gershgorin's theorem bounds its eigenvalues by the
        absolute row sums of the second term, which are at most
        t_i + e_i max(t) / (1 - max(e)) with t and e the row sums of |W R| and |E|.
        """
        n = len(A)
        found, V = np.linalg.eig(A)
        values = found.astype(complex)
        V = V.astype(complex)
        R = A @ V.real + 1j * (A @ V.imag) - V * values
        residuals: FloatArray = np.linalg.norm(R, axis=0)
        unknown = np.full(n, np.inf)
        try:
            W = np.linalg.inv(V)
        except np.linalg.LinAlgError:
            return cls(values, V, residuals, unknown, unknown)
        conditions: FloatArray = np.linalg.norm(W, axis=1)
        if not np.isfinite(conditions).all():
            return cls(values, V, residuals, unknown, unknown)
        # |fl(x . y) - x . y| <= m u / (1 - m u) |x| |y| with m products; 2 m for complex numbers
        longest = int(np.count_nonzero(A, axis=1).max())
        dot = 2.0 * (n + 4) * UNIT * INFLATED
        size_V, size_W = np.abs(V), np.abs(W)
        error_R = (2.0 * (longest + 8) * UNIT + entry_error) * (np.abs(A) @ size_V.sum(axis=1))
        error_R += 8.0 * UNIT * (size_V @ np.abs(values))
        t = np.abs(W @ R).sum(axis=1)
        t += dot * (size_W @ np.abs(R).sum(axis=1)) + size_W @ error_R
        e = np.abs(np.eye(n) - W @ V).sum(axis=1) + dot * (size_W @ size_V.sum(axis=1)) + n * UNIT
        t, e = INFLATED * t, INFLATED * e
        if not e.max() < 0.5:
            return cls(values, V, residuals, conditions, unknown)
        return cls(values, V, residuals, conditions, t + e * t.max() / (1.0 - e.max()))

    def part(self, at: int) -> BoolArray:
        """The discs in the same connected part of the union as disc `at`."""
        inside = np.zeros(len(self.values), bool)
        inside[at] = True
        waiting = [at]
        while waiting:
            i = waiting.pop()
            near = np.abs(self.values - self.values[i]) <= INFLATED * (self.radii + self.radii[i])
            new = near & ~inside
            inside |= new
            waiting.extend(np.flatnonzero(new).tolist())
        return inside
