"""Which eigenvalues of an operator are wanted."""

import numpy as np


class EigenvalueSelection:
    """Which eigenvalues are wanted: from each of one or two ends so many, best first.

    which : {"largest", "smallest", "modulus", "both"}
        Largest real part, smallest real part, largest modulus, or the two first by turns.
    counts : list of int, one an end
    """

    KEYS = {
        "largest": (np.real,),
        "smallest": (lambda z: -np.real(z),),
        "modulus": (np.abs,),
        "both": (np.real, lambda z: -np.real(z)),
    }

    def __init__(self, which, counts, keys=None):
        self.which, self.keys, self.counts = which, keys or self.KEYS[which], list(counts)

    @classmethod
    def of(cls, which, total):
        return cls(which, [total] if len(cls.KEYS[which]) == 1 else [(total + 1) // 2, total // 2])

    @classmethod
    def near(cls, targets):
        """The values nearest to given ones, which contain the conjugates of their members."""
        return cls(
            "near",
            [len(targets)],
            (lambda z: -np.abs(np.asarray(z)[..., None] - targets).min(axis=-1),),
        )

    def with_counts(self, counts):
        return EigenvalueSelection(self.which, counts, self.keys)

    def grown(self, total):
        """The same ends with `total` values altogether, in proportion."""
        if len(self.counts) == 1:
            return self.with_counts([total])
        first = round(total * self.counts[0] / max(sum(self.counts), 1))
        return self.with_counts([first, total - first])

    def choose(self, values):
        """A list of index arrays into `values`, one an end, best first. A conjugate pair is taken whole, the member with
        positive imaginary part first."""
        taken, out = np.zeros(len(values), bool), []
        for key, count in zip(self.keys, self.counts):
            # the moduli of a pair can differ in the last bit: rounding may not part it
            size = np.round(key(values), 14)
            order = np.lexsort((-np.imag(values), np.abs(np.imag(values)), -size))
            order = order[~taken[order]]
            if 0 < count < len(order) and np.imag(values[order[count - 1]]) > 0.0:
                count += 1
            out.append(order[:count])
            taken[order[:count]] = True
        return out
