"""What a language model answers to a prompt, with bounds: the public call."""

from .._runtime import validate
from .._runtime.types import Callback, Path
from ..errors import InvalidChainError
from .answer_tree import AnswerTree, grow
from .expansion import Expansion, TreeOptions
from .loading import as_model
from .model import LanguageModel, Tokens
from .prefix_tree import PrefixTree
from .sampling import prompt_tokens
from .verifier import Verify, checked_range, checked_verify

_LONGEST = 2**63 - 1


def answers(
    model: LanguageModel,
    prompt: str | Tokens,
    verify: Verify,
    *,
    max_nodes: int,
    max_length: int,
    min_mass: float | None = None,
    top_p: float | None = None,
    top_k: int | None = None,
    width: float | None = None,
    batch_size: int = 16,
    score_range: tuple[float, float] = (0, 1),
    progress: bool = False,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
) -> AnswerTree:
    """The answers of a language model to a prompt, and how likely they are right, with bounds.

    The tree of possible texts is expanded best first: the model is evaluated at the prefixes of
    largest probability, and `verify` decides on every text as soon as it can. What is not decided
    is the frontier. The probability of a correct answer lies between the mass of the correct ones
    and that plus the frontier (docs/theory.md, section 7).

    Parameters
    ----------
    model : LanguageModel or what `as_model` accepts
    prompt : str or sequence of int
        A text, or tokens as `chat` returns them.
    verify : callable(text, ended)
        Asked after every token about the text so far, without the prompt. True or False, or a
        score, as soon as the text decides, whatever may follow; None while it is open. `ended` is
        True only after an end token. A character whose bytes are not complete is U+FFFD. It must
        depend on its arguments only.
    max_nodes : int
        Rows of the model to evaluate at most: forward passes of one prefix.
    max_length : int
        Tokens generated at most, the end token included. A text of that length that is not decided
        stays on the frontier.
    min_mass : float, optional
        Prefixes of smaller probability are not expanded.
    top_p, top_k : optional
        Only the fewest most probable tokens with this share of a row, and at most so many, are
        followed. The rest stays on the frontier.
    width : float, optional
        Stop as soon as the accuracy is known to an interval as narrow as this.
    batch_size : int
        Prefixes that the model evaluates at a time.
    score_range : (float, float)
        The lowest and the highest score; False and True stand for these.
    progress, callback
        A bar on stderr; callback(info) after every batch, with the masses `correct`, `wrong` and
        `frontier`.
    checkpoint : path, optional
        A file for the tree so far, from which a later call resumes, with the same bits if the rows
        of the model depend on the prefix alone.

    Returns
    -------
    AnswerTree

    Raises
    ------
    VerifierError
        verify raised, or returned something that is no decision; the text names the answer.
        `partial` is the tree before.
    ModelOutputError
        The model returned something that is not the law of a next token; `partial` is the tree
        before.
    InvalidChainError
        An argument is out of range, or the prompt is empty.
    Interrupted
        Ctrl-C. `partial` is the tree so far.

    Notes
    -----
    The bounds hold for the rows that the model returned, normalised: the rounding of the products
    and sums is in them, that of the model itself is not. A transformer may return another row for
    the same prefix in another batch; with llama.cpp they differ by some 1e-5. Then a call that
    resumes, or is repeated, has other last digits.

    Examples
    --------
    >>> from fastebm import llm
    >>> table = [[0.5, 0.3, 0.2], [0.9, 0, 0.1], [0, 0, 1]]
    >>> model = llm.TableModel(["a", "b", "<end>"], table, end=[2])
    >>> def verify(text, ended):
    ...     return text == "b" if ended or len(text) > 1 else None
    >>> tree = llm.answers(model, "a", verify, max_nodes=2, max_length=9)
    >>> [round(end, 6) for end in tree.accuracy]
    [0.0, 0.3]
    >>> tree = tree.expand(1)
    >>> [round(end, 6) for end in tree.accuracy], tree.is_exhausted
    ([0.03, 0.03], True)
    """
    model, verify = as_model(model), checked_verify(verify)
    options = tree_options(
        model, max_length, min_mass, top_p, top_k, width, batch_size, score_range
    )
    limit = validate.count(max_nodes, "max_nodes")
    expansion = Expansion(model, prompt_tokens(model, prompt), verify, options, PrefixTree())
    return grow("answers", expansion, prompt, limit, progress, callback, checkpoint)


def tree_options(
    model: LanguageModel,
    max_length: int,
    min_mass: float | None,
    top_p: float | None,
    top_k: int | None,
    width: float | None,
    batch_size: int,
    score_range: tuple[float, float],
) -> TreeOptions:
    """The arguments of `answers` that concern every row, checked."""
    options = TreeOptions(
        max_length=_length(max_length),
        min_mass=0.0 if min_mass is None else _share(min_mass, "min_mass"),
        top_p=1.0 if top_p is None else _share(top_p, "top_p"),
        top_k=model.n_vocab if top_k is None else validate.count(top_k, "top_k"),
        width=0.0 if width is None else _share(width, "width"),
        batch_size=validate.count(batch_size, "batch_size"),
        score_range=checked_range(score_range),
    )
    if options.top_p == 0.0:
        raise InvalidChainError("top_p must be above 0: at 0 no token is followed")
    return options


def _length(value: int) -> int:
    length = validate.count(value, "max_length")
    if length > _LONGEST:
        raise InvalidChainError("max_length must be at most 2**63 - 1")
    return length


def _share(value: float, name: str) -> float:
    return validate.number(value, name, above=0.0, below=1.0, closed=True)
