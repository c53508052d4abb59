"""The chain of a tree of answers without its light leaves, small enough to keep and to look at."""

import numpy as np
import scipy.sparse as sp

from .._runtime import validate
from ..chains.chain import MarkovChain
from .answer_tree import FRONTIER, AnswerTree


def merged_chain(tree: AnswerTree, *, min_mass: float = 1e-3) -> MarkovChain:
    """The chain of a tree with its light answers merged, and all of the frontier.

    `AnswerTree.chain` has a state for every prefix, most of which are answers of hardly any mass.
    Here answers below `min_mass` of one score are one absorbing state, and so is all that is not
    decided. Every probability of absorption, and every policy for the scores, stays as it is.

    Parameters
    ----------
    tree : AnswerTree
    min_mass : float
        In [0, 1].

    Returns
    -------
    MarkovChain
        First the prefixes that were expanded, the prompt first of all, and the answers of at least
        `min_mass`, labelled by their texts; then one state for the other answers of each score, and
        last the frontier. The reward is the score, 0 at the prefixes and the frontier.

    Examples
    --------
    >>> from fastebm import llm
    >>> model = llm.TableModel(["a", "b", "c"], [0.5, 0.495, 0.005])
    >>> verify = lambda text, ended: None if len(text) < 2 else text == "ab"
    >>> tree = llm.answers(model, "a", verify, max_nodes=9, max_length=3)
    >>> chain = llm.merged_chain(tree, min_mass=0.01)
    >>> chain.labels[-4:]
    ['ba', 'bb', '(other answers of score 0)', '(frontier)']
    >>> tree.chain.n_states, chain.n_states
    (14, 10)
    """
    min_mass = validate.number(min_mass, "min_mass", above=0.0, below=1.0, closed=True)
    whole, nodes = tree.chain, tree._tree.nodes
    n = whole.n_states
    decided, frontier = np.append(tree._tree.is_decided(), False), tree.frontier_states
    light = np.append(nodes["reach"] < min_mass, False) & decided
    kept = ~light & ~frontier
    scores = np.unique(nodes["score"][light[:-1]])
    place = np.full(n, -1)
    place[kept] = np.arange(kept.sum())
    place[light] = kept.sum() + np.searchsorted(scores, nodes["score"][light[:-1]])
    n_merged = int(kept.sum()) + len(scores) + 1
    place[frontier] = n_merged - 1
    P = whole.to_scipy()[kept].tocoo()
    merged = np.arange(kept.sum(), n_merged)
    source = np.concatenate([P.row, merged])
    target = np.concatenate([place[P.col], merged])
    value = np.concatenate([P.data, np.ones(merged.size)])
    matrix = sp.coo_array((value, (source, target)), shape=(n_merged, n_merged)).tocsr()
    assert whole.labels is not None and isinstance(whole.reward, np.ndarray)
    labels = [whole.labels[state] for state in np.flatnonzero(kept).tolist()]
    labels += [f"(other answers of score {score:g})" for score in scores]
    reward = np.concatenate([whole.reward[kept], scores, [0.0]])
    return MarkovChain(matrix, labels=[*labels, FRONTIER], reward=reward)
