"""A decided text of a tree of answers."""

from .._runtime.results import Result, result


@result
class Answer(Result):
    """A decided text.

    Attributes
    ----------
    text : str
        Without the prompt, up to the token that decided.
    score : float
    mass : float
        Its probability, of all its token paths that were found. The frontier may hold more.
    ended : bool
        The model has ended it on the heaviest path. Otherwise `verify` decided before.
    tokens : tuple of int
        The heaviest path.
    n_paths : int
        Token paths of this text and score that were found.
    """

    text: str
    score: float
    mass: float
    ended: bool
    tokens: tuple[int, ...]
    n_paths: int
