"""The chain on its closed class, for questions that need detailed balance and two states."""

from .._runtime.types import BoolArray
from ..chains.chain import MarkovChain, require_chain, require_reversible
from ..equilibrium.structure import closed_class
from ..errors import InvalidChainError


def reversible_closed_class(
    chain: MarkovChain, purpose: str
) -> tuple[MarkovChain, BoolArray | None]:
    """(the chain on its closed class, the mask of that class or None if it has all states).

    Raises
    ------
    NotReversibleError, InvalidChainError, ReducibleChainError
        No detailed balance; a class of one state; several closed classes.
    """
    require_chain(chain)
    inside = closed_class(chain)
    if inside is not None:
        chain = chain.restrict(inside)
    if chain.n_states < 2:
        raise InvalidChainError(
            f"{purpose} needs a closed class of at least two states; that of this chain has one"
        )
    require_reversible(chain, purpose)
    return chain, inside
