"""Keys of the random streams, and states of generators as text."""

import json
from typing import Any

import numpy as np
import numpy.typing as npt

from .types import RNG


def philox_key(rng: RNG) -> npt.NDArray[np.uint64]:
    """The two 64-bit words that key all random streams of a call, drawn from `rng` (which is what
    Scientific Python SPEC 7 accepts)."""
    return np.random.default_rng(rng).integers(0, 2**64, size=2, dtype=np.uint64)


def generator_state(rng: np.random.Generator) -> str:
    """The state of a generator, from which `restore_generator` goes on."""

    def plain(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return {"array": value.tolist(), "dtype": value.dtype.str}
        return int(value)

    return json.dumps(rng.bit_generator.state, default=plain)


def restore_generator(rng: np.random.Generator, state: str) -> None:
    """Give a generator of the same kind the state that `generator_state` returned."""

    def arrays(value: dict[str, Any]) -> Any:
        if set(value) == {"array", "dtype"}:
            return np.array(value["array"], dtype=value["dtype"])
        return value

    rng.bit_generator.state = json.loads(state, object_hook=arrays)
