"""The trie of held prefixes against a cache that checks what it is asked, as llama.cpp does."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fastebm.llm.prefix_cache import PrefixCache


class CheckingMemory:
    """Sequences as lists of cells. The first free cell is given out; with `ordered` there must be
    no holes, and cells ascend along each path."""

    def __init__(self, n_cells, n_sequences, ordered):
        self.n_cells, self.ordered = n_cells, ordered
        self.cells = [[] for _ in range(n_sequences)]
        self.tokens = {}
        self.n_evaluated = 0

    def copy_sequence(self, source, target, length):
        assert not self.cells[target] and length <= len(self.cells[source])
        self.cells[target] = self.cells[source][:length]

    def cut_sequence(self, sequence, length):
        del self.cells[sequence][length:]

    def evaluate(self, evaluations, contexts):
        """Checks that each token sees its own prefix; returns the contexts whose rows came."""
        done = []
        for evaluation in evaluations:
            used = {cell for path in self.cells for cell in path}
            new = next(cell for cell in range(self.n_cells) if cell not in used)
            assert not self.ordered or new == len(used), "a hole"
            self.tokens[new] = evaluation.token
            assert len(set(evaluation.sequences)) == len(evaluation.sequences) > 0
            for sequence in evaluation.sequences:
                path = self.cells[sequence]
                assert len(path) == evaluation.position
                path.append(new)
                assert not self.ordered or path == sorted(path)
            if evaluation.context is not None:
                seen = tuple(self.tokens[cell] for cell in self.cells[evaluation.sequences[0]])
                assert seen == contexts[evaluation.context]
                done.append(evaluation.context)
        self.n_evaluated += len(evaluations)
        return done


def evaluate(cache, memory, contexts):
    contexts = sorted(set(map(tuple, contexts)))
    start, done = 0, []
    while start < len(contexts):
        evaluations, stop = cache.place(contexts, start)
        assert len(evaluations) >= 2 and stop > start
        rows = memory.evaluate(evaluations, contexts)
        assert sorted(rows) == list(range(start, stop))
        start = stop
        done += rows
    assert done == list(range(len(contexts)))


def new_cache(n_cells, n_sequences, ordered):
    memory = CheckingMemory(n_cells, n_sequences, ordered)
    return PrefixCache(memory, n_cells, n_sequences, ordered), memory


@pytest.fixture(params=[False, True], ids=["last used", "ordered"])
def ordered(request):
    return request.param


CONTEXTS = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=8), min_size=1, max_size=12)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(CONTEXTS, min_size=1, max_size=6),
    st.integers(9, 40),
    st.integers(3, 12),
    st.booleans(),
)
def test_each_token_sees_its_prefix_whatever_is_held(calls, n_cells, n_sequences, ordered):
    cache, memory = new_cache(n_cells, n_sequences, ordered)
    for contexts in calls:
        evaluate(cache, memory, contexts)


def test_shared_prefixes_are_evaluated_once(ordered):
    cache, memory = new_cache(200, 50, ordered)
    prompt = list(range(100))
    evaluate(cache, memory, [[*prompt, i] for i in range(10)])
    assert memory.n_evaluated == 110
    evaluate(cache, memory, [[*prompt, i, j] for i in range(5) for j in range(2)])
    assert memory.n_evaluated == 120
    evaluate(cache, memory, [[*prompt, 0]])  # its row again, and one token for company
    assert memory.n_evaluated == 122


def test_the_prompt_outlives_thousands_of_leaves(ordered):
    cache, memory = new_cache(400, 32, ordered)
    rng = np.random.default_rng(0)
    prompt = list(range(100))
    for _ in range(50):
        evaluate(cache, memory, [[*prompt, *rng.integers(0, 50, 2)] for _ in range(20)])
    assert memory.n_evaluated < 100 + 50 * 2 * 20  # the prompt once, at most two tokens a context


def test_another_prompt_takes_the_place_of_the_old_one(ordered):
    cache, memory = new_cache(150, 32, ordered)
    for prompt in range(5):
        evaluate(cache, memory, [[prompt] * 100 + [i] for i in range(8)])
    assert memory.n_evaluated == 5 * 108


@pytest.mark.parametrize("length", [1, 2, 8])
def test_a_context_alone_has_company(length, ordered):
    cache, memory = new_cache(9, 3, ordered)
    for _ in range(3):
        evaluate(cache, memory, [[1] * length])
        evaluate(cache, memory, [[2] * length])
