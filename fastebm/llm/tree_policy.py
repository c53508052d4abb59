"""What tuning would make of the answers of a language model: the optimum of the expected score
minus beta KL, token by token, with intervals (docs/theory.md, sections 6 and 7)."""

import math
from collections.abc import Sequence
from functools import cached_property

import numpy as np

from .._runtime import validate
from .._runtime.results import Result, result
from .._runtime.types import FloatArray, IntArray
from ..errors import InvalidChainError
from ..linalg.rounding import UNIT
from ..policy.verifiable import checked_beta
from .answer import Answer
from .expansion import Expansion
from .masses import Interval
from .model import Tokens
from .policy_numbers import policy_numbers
from .tilt_bounds import divergence, next_law
from .tree_values import TreeValues


@result
class NextTokens(Result):
    """The law of the next token after a prefix, and what tuning makes of it.

    Attributes
    ----------
    text : str
        The prefix, without the prompt.
    tokens : ndarray (n_children,)
        The tokens that the tree has, of descending reference probability.
    texts : tuple of str
    reference : ndarray (n_children,)
        Their probabilities under the model.
    lower, upper : ndarray (n_children,)
        Ends of those under the optimal policy.
    rest : float
        Reference probability of all other tokens.
    reach : float
        Reference probability of the prefix.
    policy_reach : (lower, upper)
        The same under the optimal policy.
    kl : (lower, upper)
        KL of the tuned law from that of the model, in nats.
    """

    text: str
    tokens: IntArray
    texts: tuple[str, ...]
    reference: FloatArray
    lower: FloatArray
    upper: FloatArray
    rest: float
    reach: float
    policy_reach: Interval
    kl: Interval


@result
class TokenTilt(Result):
    """A token of an answer, before and after tuning.

    Attributes
    ----------
    token : int
    text : str
    reference : float
        Its probability given the tokens before it, under the model.
    policy : (lower, upper)
        The same under the optimal policy.
    """

    token: int
    text: str
    reference: float
    policy: Interval


@result
class TunedAnswer(Result):
    """A decided text, before and after tuning.

    Attributes
    ----------
    text : str
    score : float
    reference : float
        Its mass under the model.
    policy : (lower, upper)
        That under the optimal policy, of the token paths that were found.
    """

    text: str
    score: float
    reference: float
    policy: Interval


@result
class TreePolicy(Result):
    """The policy that maximises E[score] - beta KL(answers || those of the model).

    Every quantity is a pair (lower, upper): the ends for every way in which the frontier may be
    decided, rounding included. Of scores on the frontier, `assumes_binary` says which are allowed
    for.

    Attributes
    ----------
    beta : float
    assumes_binary : bool
        `verify` has returned nothing but True and False so far, and all ends but those of
        `success_reference` hold only if it does so on the frontier, too. False: any score in
        `score_range` is allowed for.
    success_reference, success : (lower, upper)
        Probability of an answer with the highest score, of the model and of the policy.
    mean_score : (lower, upper)
        Of the policy.
    value : (lower, upper)
        mean_score - beta path_kl at the optimum: beta log E exp(score / beta).
    path_kl : (lower, upper)
        KL of the law of the answers from that of the model, in nats.
    entropy_reference, entropy : (lower, upper)
        Entropy of the answers as token paths up to their decision, or to max_length, in nats. The
        upper ends allow the frontier to be divided into as many answers as there are token paths.
    """

    beta: float
    assumes_binary: bool
    success_reference: Interval
    success: Interval
    mean_score: Interval
    value: Interval
    path_kl: Interval
    entropy_reference: Interval
    entropy: Interval
    _expansion: Expansion
    _values: TreeValues

    @cached_property
    def kl_by_length(self) -> FloatArray:
        """Ends of the KL of the law of the first d tokens, shape (longest prefix + 1, 2), in nats:
        where along the text the tilt acts. Row 0 is 0; the rows rise to at most `path_kl`."""
        longest = int(self._expansion.tree.nodes["depth"].max())
        found = [divergence(self._values.first_tokens(d)) for d in range(1, longest + 1)]
        ends = np.array([(0.0, 0.0), *found])
        # longer prefixes say more
        ends[:, 1] = np.minimum(np.minimum.accumulate(ends[::-1, 1])[::-1], self.path_kl[1])
        ends[:, 0] = np.minimum(np.maximum.accumulate(ends[:, 0]), ends[:, 1])
        return ends

    def next_tokens(self, prefix: str | Tokens = ()) -> NextTokens:
        """The law of the next token after a prefix of the tree.

        Parameters
        ----------
        prefix : sequence of int or str
            The tokens after the prompt; none for the first token of the answer. Or a text: the
            heaviest prefix that reads so and was expanded.

        Returns
        -------
        NextTokens

        Raises
        ------
        InvalidChainError
            The prefix was not expanded.

        Examples
        --------
        >>> from fastebm import llm
        >>> table = [[0.5, 0.3, 0.2], [0.9, 0, 0.1], [0, 0, 1]]
        >>> model = llm.TableModel(["a", "b", "<end>"], table, end=[2])
        >>> def verify(text, ended):
        ...     return text == "b" if ended or len(text) > 1 else None
        >>> tuned = llm.answers(model, "a", verify, max_nodes=9, max_length=5).policy(0.25)
        >>> law = tuned.next_tokens()
        >>> law.texts, law.reference.round(3).tolist(), law.lower.round(3).tolist()
        (('a', 'b', ''), [0.5, 0.3, 0.2], [0.192, 0.732, 0.077])
        >>> [round(end, 3) for end in law.kl]
        [0.395, 0.395]
        """
        node = self._node(prefix)
        if not self._expansion.tree.is_expanded()[node]:
            raise InvalidChainError(
                f"the prefix {self._text(node)!r} was not expanded; raise max_nodes"
            )
        return self._next(node)

    def prefixes(self, k: int = 10) -> list[NextTokens]:
        """The laws of the next token after the k expanded prefixes that the policy reaches most
        often, by the lower end of that probability: the KL of the answers is the sum of
        ``policy_reach * kl`` over all prefixes.

        Parameters
        ----------
        k : int

        Returns
        -------
        list of NextTokens

        Examples
        --------
        >>> from fastebm import llm
        >>> table = [[0.5, 0.3, 0.2], [0.9, 0, 0.1], [0, 0, 1]]
        >>> model = llm.TableModel(["a", "b", "<end>"], table, end=[2])
        >>> def verify(text, ended):
        ...     return text == "b" if ended or len(text) > 1 else None
        >>> tuned = llm.answers(model, "a", verify, max_nodes=9, max_length=5).policy(0.25)
        >>> [(law.text, round(law.policy_reach[0], 3), round(law.kl[1], 3)) for law in
        ...     tuned.prefixes(2)]
        [('', 1.0, 0.395), ('b', 0.732, 1.584)]
        """
        k = validate.count(k, "k")
        nodes = np.flatnonzero(self._expansion.tree.is_expanded())
        lower = np.array([self._policy_reach(node)[0] for node in nodes.tolist()])
        order = np.argsort(-lower, kind="stable")[:k]
        return [self._next(node) for node in nodes[order].tolist()]

    def along(self, answer: Answer | str | Tokens) -> list[TokenTilt]:
        """The tokens of an answer, or of any prefix of the tree, each before and after tuning.

        Parameters
        ----------
        answer : Answer, sequence of int or str
            As for `next_tokens`.

        Returns
        -------
        list of TokenTilt

        Raises
        ------
        InvalidChainError
            The tree has no such prefix.

        Examples
        --------
        >>> from fastebm import llm
        >>> table = [[0.5, 0.3, 0.2], [0.9, 0, 0.1], [0, 0, 1]]
        >>> model = llm.TableModel(["a", "b", "<end>"], table, end=[2])
        >>> def verify(text, ended):
        ...     return text == "b" if ended or len(text) > 1 else None
        >>> tuned = llm.answers(model, "a", verify, max_nodes=9, max_length=5).policy(0.25)
        >>> [(step.text, round(step.reference, 3), round(step.policy[0], 3)) for step in
        ...     tuned.along([1, 2])]
        [('b', 0.3, 0.732), ('', 0.1, 0.858)]
        """
        tree, steps = self._expansion.tree, list[TokenTilt]()
        node = self._node(answer.tokens if isinstance(answer, Answer) else answer)
        while node > 0:
            parent = int(tree.nodes["parent"][node])
            children, items = self._values.next_tokens(parent)
            at = int(np.flatnonzero(children == node)[0])
            lower, upper = next_law(items)
            token = int(tree.nodes["token"][node])
            ends = float(lower[at]), float(upper[at])
            text = self._expansion.model.decode([token])
            steps.append(TokenTilt(token, text, float(tree.nodes["q"][node]), ends))
            node = parent
        return steps[::-1]

    def top(self, found: Sequence[Answer]) -> list[TunedAnswer]:
        """What tuning makes of answers that `AnswerTree.top` returned.

        Parameters
        ----------
        found : sequence of Answer

        Returns
        -------
        list of TunedAnswer

        Examples
        --------
        >>> from fastebm import llm
        >>> table = [[0.5, 0.3, 0.2], [0.9, 0, 0.1], [0, 0, 1]]
        >>> model = llm.TableModel(["a", "b", "<end>"], table, end=[2])
        >>> def verify(text, ended):
        ...     return text == "b" if ended or len(text) > 1 else None
        >>> tree = llm.answers(model, "a", verify, max_nodes=9, max_length=5)
        >>> tuned = tree.policy(0.25).top([answer for answer in tree.top() if answer.score == 1])
        >>> [(answer.text, round(answer.policy[0], 4)) for answer in tuned]
        [('b', 0.6281)]
        """
        high = self._expansion.options.score_range[1]
        strength = 0.0 if self.beta == math.inf else 1.0 / self.beta
        low_z, high_z = float(self._values.log_low[0]), float(self._values.log_high[0])
        tuned: list[TunedAnswer] = []
        for answer in found:
            log_z = strength * (answer.score - high)
            slack = UNIT * (64.0 + 8.0 * abs(log_z)) + 128.0 * UNIT * len(answer.tokens)
            lower = answer.mass * math.exp(min(log_z - high_z, 700.0)) * (1.0 - slack)
            upper = answer.mass * math.exp(min(log_z - low_z, 700.0)) * (1.0 + slack)
            tuned.append(
                TunedAnswer(answer.text, answer.score, answer.mass, (lower, min(upper, 1)))
            )
        return tuned

    # --- prefixes ---------------------------------------------------------------------------------

    def _next(self, node: int) -> NextTokens:
        tree, model = self._expansion.tree, self._expansion.model
        children, items = self._values.next_tokens(node)
        lower, upper = next_law(items)
        n, tokens = children.size, tree.nodes["token"][children].astype(np.int64)
        return NextTokens(
            text=self._text(node),
            tokens=tokens,
            texts=tuple(model.decode([token]) for token in tokens.tolist()),
            reference=np.array(items.q[:n]),
            lower=lower[:n],
            upper=upper[:n],
            rest=float(items.q[n:].sum()),
            reach=float(tree.nodes["reach"][node]),
            policy_reach=self._policy_reach(node),
            kl=divergence(items),
        )

    def _policy_reach(self, node: int) -> Interval:
        """Ends of reach z / z of the prompt."""
        if node == 0:
            return 1.0, 1.0
        values, reach = self._values, float(self._expansion.tree.nodes["reach"][node])
        logs, top = (values.log_low, values.log_high), float(values.log_high[0])
        whole = [math.exp(float(log[0]) - top) for log in logs]
        own = [math.exp(min(math.log(reach) + float(log[node]) - top, 0.0)) for log in logs]
        slack = 8.0 * values.slack + 64.0 * UNIT
        # what all other prefixes have at the same end
        others_low = max(whole[0] - own[0] - slack * whole[0], 0.0)
        others_high = max(whole[1] - own[1], 0.0) + slack * whole[1]
        lower = own[0] / (own[0] + others_high)
        upper = own[1] / (own[1] + others_low) if own[1] > 0.0 else 0.0
        return lower * (1.0 - slack), min(upper * (1.0 + slack), 1.0)

    def _node(self, prefix: str | Tokens) -> int:
        tree = self._expansion.tree
        if isinstance(prefix, str):
            nodes = tree.nodes
            order = np.argsort(-nodes["reach"], kind="stable")
            order = order[tree.is_expanded()[order]]
            for node in order.tolist():
                if self._text(node) == prefix:
                    return int(node)
            raise InvalidChainError(f"no expanded prefix of the tree reads {prefix!r}")
        node = 0
        for token in prefix:
            row = int(tree.last_rows()[node])
            children = tree.children(row) if row >= 0 else np.zeros(0, np.int64)
            at = np.flatnonzero(tree.nodes["token"][children] == token)
            if not at.size:
                raise InvalidChainError(
                    f"the tree has no token {token} after {self._text(node)!r}; raise max_nodes"
                )
            node = int(children[at[0]])
        return node

    def _text(self, node: int) -> str:
        return self._expansion.model.decode(self._expansion.tree.path(node))


def tree_policy(expansion: Expansion, accuracy: Interval, beta: float) -> TreePolicy:
    """The optimum at beta of a tree with this interval of the accuracy."""
    beta = checked_beta(beta)
    strength = 0.0 if beta == math.inf else 1.0 / beta
    low, high = expansion.options.score_range
    if not strength * (high - low) < math.inf:
        raise InvalidChainError(
            f"(highest - lowest score) / beta overflows at beta = {beta}; raise beta"
        )
    values = TreeValues(expansion.tree, expansion.options, strength)
    return TreePolicy(
        beta=beta,
        assumes_binary=expansion.tree.is_binary(),
        **policy_numbers(expansion, values, accuracy, beta)._asdict(),
        _expansion=expansion,
        _values=values,
    )
