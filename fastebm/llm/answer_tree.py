"""`AnswerTree`: what a language model answers to a prompt, as far as it was explored."""

import math
from functools import cached_property

import numpy as np
import scipy.sparse as sp

from .._runtime import validate
from .._runtime.checkpoint import fingerprint
from .._runtime.memory import forecast_memory
from .._runtime.results import Result, result
from .._runtime.resumable import resumable
from .._runtime.types import BoolArray, Callback, IntArray, Path
from ..chains.chain import MarkovChain
from ..errors import InvalidChainError
from .answer import Answer
from .expansion import Expansion
from .masses import Interval, lower_reach, masses
from .model import Tokens
from .partial_results import kept
from .prefix_tree import FEWEST_CHILDREN, PrefixTree, Table, most_bytes
from .sampling import BYTES_A_TOKEN
from .tree_policy import TreePolicy, tree_policy
from .verifier import identity_of

#: The label of the last state of a tree's chain.
FRONTIER = "(frontier)"
# A label of a state: a short text and its place in a list.
_BYTES_A_LABEL = 120


@result
class AnswerTree(Result):
    """The answers of a language model to a prompt, explored up to a frontier.

    Masses are probabilities given the prompt. All are lower ends, rounding included.

    Attributes
    ----------
    model : str
        Its name.
    prompt : str
    accuracy : (lower, upper)
        Probability of an answer with the highest score: `correct`, and what is not `wrong`.
    mean_score : (lower, upper)
    correct, wrong : float
        Mass of the answers with the highest score, and of the other decided ones.
    frontier : float
        Width of `accuracy`: the mass that is not decided.
    too_long, undecided, cut : float
        Parts of the frontier that no further node decides: texts of max_length tokens, ended texts
        for which `verify` returned None, and what top_k and top_p cut off.
    n_nodes : int
        Rows of the model that were evaluated.
    n_prefixes : int
        Prefixes in the tree, the prompt and the decided answers included.
    n_answers : int
        Decided token paths.
    is_exhausted : bool
        No further row could decide anything (of at least min_mass).
    """

    model: str
    prompt: str
    accuracy: Interval
    mean_score: Interval
    correct: float
    wrong: float
    frontier: float
    too_long: float
    undecided: float
    cut: float
    n_nodes: int
    n_prefixes: int
    n_answers: int
    is_exhausted: bool
    _expansion: Expansion

    @classmethod
    def _of(cls, expansion: Expansion, prompt: str | Tokens) -> "AnswerTree":
        """The result of an expansion, which is not used further."""
        tree, options = expansion.tree, expansion.options
        found = masses(tree, options.score_range)
        text = prompt if isinstance(prompt, str) else expansion.model.decode(prompt)
        return cls(
            model=expansion.model.name,
            prompt=text,
            accuracy=found.accuracy,
            mean_score=found.mean_score,
            correct=found.correct,
            wrong=found.wrong,
            frontier=found.accuracy[1] - found.accuracy[0],
            too_long=found.too_long,
            undecided=found.undecided,
            cut=found.cut,
            n_nodes=len(tree.rows),
            n_prefixes=len(tree.nodes),
            n_answers=int(np.count_nonzero(tree.is_decided())),
            is_exhausted=expansion.is_exhausted(),
            _expansion=expansion,
        )

    @property
    def _tree(self) -> PrefixTree:
        return self._expansion.tree

    def _state(self) -> dict[str, Table]:
        """The arrays of the tree, for a checkpoint."""
        return self._tree.state()

    # --- going on ---------------------------------------------------------------------------------

    def expand(
        self,
        more: int,
        *,
        progress: bool = False,
        callback: Callback | None = None,
        checkpoint: Path | None = None,
    ) -> "AnswerTree":
        """A tree with up to `more` further rows; this one stays as it is. Its intervals are within
        those of this tree.

        Parameters
        ----------
        more : int
        progress, callback, checkpoint
            As in `answers`.

        Returns
        -------
        AnswerTree

        Raises
        ------
        VerifierError, ModelOutputError, Interrupted
            As in `answers`.

        Examples
        --------
        >>> from fastebm import llm
        >>> table = [[0.5, 0.3, 0.2], [0.9, 0, 0.1], [0, 0, 1]]
        >>> model = llm.TableModel(["a", "b", "<end>"], table, end=[2])
        >>> def verify(text, ended):
        ...     return text == "b" if ended or len(text) > 1 else None
        >>> tree = llm.answers(model, "a", verify, max_nodes=2, max_length=9)
        >>> tree.n_nodes, tree.expand(2).n_nodes
        (2, 3)
        """
        own = self._expansion
        expansion = Expansion(own.model, own.prompt, own.verify, own.options, own.tree.copy())
        limit = self.n_nodes + validate.count(more, "more")
        return grow("expand", expansion, self.prompt, limit, progress, callback, checkpoint)

    # --- answers ----------------------------------------------------------------------------------

    def top(self, k: int = 10, *, merge: bool = True) -> list[Answer]:
        """The decided answers of largest mass, in descending order.

        Parameters
        ----------
        k : int
        merge : bool
            Add up the token paths of one text and score; otherwise each is an answer of its own.

        Returns
        -------
        list of Answer

        Examples
        --------
        >>> from fastebm import llm
        >>> table = [[0.5, 0.3, 0.2], [0.9, 0, 0.1], [0, 0, 1]]
        >>> model = llm.TableModel(["a", "b", "<end>"], table, end=[2])
        >>> def verify(text, ended):
        ...     return text == "b" if ended or len(text) > 1 else None
        >>> tree = llm.answers(model, "a", verify, max_nodes=50, max_length=9)
        >>> [(answer.text, round(answer.mass, 4), answer.score) for answer in tree.top(3)]
        [('ba', 0.27, 0.0), ('aa', 0.25, 0.0), ('', 0.2, 0.0)]
        """
        k = validate.count(k, "k")
        nodes, decided = self._tree.nodes, self._decided
        order = decided[np.argsort(-nodes["reach"][decided], kind="stable")]
        groups: dict[tuple[str | int, float], list[int]] = {}
        for node in order.tolist():
            if not merge and len(groups) == k:
                break
            name: str | int = self._text(node) if merge else node
            groups.setdefault((name, float(nodes["score"][node])), []).append(node)
        reach = lower_reach(self._tree)
        found = [(math.fsum(reach[group].tolist()), group) for group in groups.values()]
        found.sort(key=lambda pair: -pair[0])
        return [self._answer(group, mass) for mass, group in found[:k]]

    def _answer(self, group: list[int], mass: float) -> Answer:
        heaviest = group[0]
        tokens = tuple(self._tree.path(heaviest))
        return Answer(
            text=self._text(heaviest),
            score=float(self._tree.nodes["score"][heaviest]),
            mass=mass,
            ended=tokens[-1] in self._expansion.model.end,
            tokens=tokens,
            n_paths=len(group),
        )

    @property
    def _decided(self) -> IntArray:
        return np.flatnonzero(self._tree.is_decided())

    def _text(self, node: int) -> str:
        return self._expansion.model.decode(self._tree.path(node))

    # --- as a chain -------------------------------------------------------------------------------

    @cached_property
    def chain(self) -> MarkovChain:
        """The tree as a Markov chain: its states are the prefixes in the order in which they were
        found, the prompt first, and last one state for all tokens that are no children. The
        transient ones are those that were expanded. `correct_states`, `wrong_states` and
        `frontier_states` are the absorbing ones.

        Labels are the texts: token paths of one text, and an ended text and its last prefix, share
        a label. The reward is the score where it is known, and 0 elsewhere.
        """
        tree = self._tree
        nodes, n = tree.nodes, len(tree.nodes)
        forecast_memory(
            (_BYTES_A_LABEL + validate.BYTES_A_ROW + 2 * validate.BYTES_AN_ENTRY) * n,
            f"the chain of {n:,} prefixes",
            "expand fewer nodes",
        )
        is_expanded, outside = tree.is_expanded(), tree.outside()
        to_frontier = np.flatnonzero(outside)
        absorbing = np.append(np.flatnonzero(~is_expanded), n)
        source = np.concatenate([nodes["parent"][1:], to_frontier, absorbing])
        target = np.concatenate([np.arange(1, n), np.full(to_frontier.size, n), absorbing])
        value = np.concatenate([nodes["q"][1:], outside[to_frontier], np.ones(absorbing.size)])
        matrix = sp.coo_array((value, (source, target)), shape=(n + 1, n + 1)).tocsr()
        labels = (*(self._text(node) for node in range(n)), FRONTIER)
        reward = np.append(np.where(tree.is_decided(), nodes["score"], 0.0), 0.0)
        return MarkovChain(matrix, labels=labels, reward=reward)

    @property
    def correct_states(self) -> BoolArray:
        """The states of `chain` with the highest score, a mask (n_states,)."""
        return np.append(self._tree.nodes["score"] == self._expansion.options.score_range[1], False)

    @property
    def wrong_states(self) -> BoolArray:
        """The states of `chain` with a lower score, a mask (n_states,)."""
        return np.append(self._tree.nodes["score"] < self._expansion.options.score_range[1], False)

    @property
    def frontier_states(self) -> BoolArray:
        """The absorbing states of `chain` that are not decided, a mask (n_states,)."""
        tree = self._tree
        is_frontier = ~tree.is_decided() & ~tree.is_expanded()
        return np.append(is_frontier, True)

    # --- tuned ------------------------------------------------------------------------------------

    def policy(self, beta: float) -> TreePolicy:
        """The optimum of E[score] - beta KL over all policies, token by token, with intervals.

        Parameters
        ----------
        beta : float
            > 0; inf gives the model itself.

        Returns
        -------
        TreePolicy

        Raises
        ------
        InvalidChainError
            beta is not positive, or so small that exp(range of the scores / beta) overflows for
            graded scores.

        Examples
        --------
        >>> from fastebm import llm
        >>> table = [[0.5, 0.3, 0.2], [0.9, 0, 0.1], [0, 0, 1]]
        >>> model = llm.TableModel(["a", "b", "<end>"], table, end=[2])
        >>> def verify(text, ended):
        ...     return text == "b" if ended or len(text) > 1 else None
        >>> tree = llm.answers(model, "a", verify, max_nodes=9, max_length=5)
        >>> tuned = tree.policy(0.25)
        >>> [round(end, 4) for end in (*tree.accuracy, *tuned.success)]
        [0.03, 0.03, 0.6281, 0.6281]
        """
        return tree_policy(self._expansion, self.accuracy, beta)

    def flow(self, t: float, *, beta: float = 0.0) -> TreePolicy:
        """The policy after time t of the natural gradient flow from the model: the optimum at the
        coefficient 1 / l, l = (1 - exp(-beta t)) / beta, which is t for beta = 0.

        Parameters
        ----------
        t : float
            >= 0.
        beta : float
            The KL coefficient of the objective that the flow maximises, >= 0.

        Returns
        -------
        TreePolicy
            Its `beta` is 1 / l.

        Examples
        --------
        >>> from fastebm import llm
        >>> table = [[0.5, 0.3, 0.2], [0.9, 0, 0.1], [0, 0, 1]]
        >>> model = llm.TableModel(["a", "b", "<end>"], table, end=[2])
        >>> def verify(text, ended):
        ...     return text == "b" if ended or len(text) > 1 else None
        >>> tree = llm.answers(model, "a", verify, max_nodes=9, max_length=5)
        >>> [round(tree.flow(t).success[0], 4) for t in (0.0, 2.0, 4.0)]
        [0.03, 0.186, 0.6281]
        """
        t = validate.number(t, "t", above=0.0, closed=True)
        beta = validate.number(beta, "beta", above=0.0, closed=True)
        if t == math.inf and beta == 0.0:
            raise InvalidChainError("t must be finite for beta = 0: the flow has no end")
        strength = t if beta == 0.0 else -math.expm1(-beta * t) / beta
        return self.policy(math.inf if strength == 0.0 else 1.0 / strength)


def grow(
    call: str,
    expansion: Expansion,
    prompt: str | Tokens,
    limit: int,
    progress: bool,
    callback: Callback | None,
    checkpoint: Path | None,
) -> AnswerTree:
    """Expand a tree to `limit` rows."""
    most = _rows_at_most(expansion, limit)
    state = expansion.tree.state()
    options = expansion.options

    def identity() -> str:
        return fingerprint(
            state["nodes"],
            state["rows"],
            [expansion.model.name, expansion.prompt, limit],
            options,
            identity_of(expansion.verify),
        )

    def so_far() -> AnswerTree:
        return AnswerTree._of(expansion, prompt)

    with resumable(
        call,
        checkpoint,
        identity,
        state=lambda: expansion.tree.state(),
        restore=lambda saved: expansion.restore(saved["nodes"], saved["rows"]),
        partial=so_far,
        total=limit,
        progress=progress,
        callback=callback,
        keeps=True,
    ) as run:
        with kept(so_far):
            for correct, wrong in expansion.batches(most):
                run.save()
                frontier = max(0.0, 1.0 - correct - wrong)
                n_rows = len(expansion.tree.rows)
                run(n_rows, correct=correct, wrong=wrong, frontier=frontier)
    return so_far()


def _rows_at_most(expansion: Expansion, limit: int) -> int:
    """`limit`, or fewer where there are not so many prefixes; refused if they need more memory than
    is free."""
    model, options = expansion.model, expansion.options
    depth = math.log(limit + 1) / math.log(max(model.n_vocab, 2)) + 1
    if options.max_length <= depth:
        branching = min(model.n_vocab, options.top_k)
        prefixes = sum(branching**d for d in range(options.max_length))
        limit = min(limit, prefixes * (1 + branching // FEWEST_CHILDREN))
    forecast_memory(
        most_bytes(limit), f"a tree of max_nodes = {limit:,} evaluated prefixes", "lower max_nodes"
    )
    forecast_memory(
        BYTES_A_TOKEN * min(options.batch_size, limit) * model.n_vocab,
        f"rows of batch_size = {options.batch_size:,} prefixes over {model.n_vocab:,} tokens",
        "lower batch_size",
    )
    return limit
