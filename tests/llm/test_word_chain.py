"""The kernel of words against the enumeration of every text of the table."""

import itertools
import pickle

import numpy as np
import pytest

import fastebm as fe
from fastebm import llm
from fastebm.errors import Interrupted, InvalidChainError, ModelOutputError

TOKENS = [" hot", " cold", "er", " well", "-", " known", "'s", ".", "<end>"]
WORDS = ["hot", "cold", "colder", "well-er", "well", "colderer"]
LONGEST = 4  # tokens of a text that decide which word is next


def table(seed=0):
    return np.random.default_rng(seed).dirichlet(np.full(len(TOKENS), 0.7), (len(TOKENS),) * 2)


def model(law=None):
    return llm.TableModel(TOKENS, table() if law is None else law, end=[8])


def enumerated(law, words, ends):
    """{(x, y): probability}, by every text of LONGEST tokens after the prompt of x. `ends` are the
    tokens that end a word, None: all that do not go on with a longer one."""
    spelling = {
        word: tuple(llm.TableModel(TOKENS, law, end=[8]).encode(f" {word}")) for word in words
    }
    found = np.zeros((len(words), len(words)))
    for text in itertools.product(range(len(TOKENS)), repeat=LONGEST):
        begun = [y for y, w in enumerate(words) if text[: len(spelling[w])] == spelling[w]]
        if not begun:
            continue
        y = max(begun, key=lambda y: len(spelling[words[y]]))
        shorter = spelling[words[y]]
        begun = text[: len(shorter) + 1]
        goes_on = any(tokens[: len(begun)] == begun for tokens in spelling.values())
        if goes_on or (ends is not None and begun[-1] not in ends):
            continue  # "well-" may become "well-er": it belongs to no word until it does
        for x, word in enumerate(words):
            context = (0, *spelling[word])
            mass = 1.0
            for token in text:
                mass *= law[context[-2], context[-1], token]
                context = (*context, token)
            found[x, y] += mass
    return found


ENDS = {0, 1, 3, 4, 5, 7, 8}  # all but "er" and "'s"


def kernel(chain):
    return chain.to_scipy().toarray() * (1 - chain.leak)[:, None]


@pytest.mark.parametrize(("boundary", "ends"), [(True, ENDS), (False, None)])
def test_every_entry_is_that_of_the_enumeration(boundary, ends):
    law = table()
    chain = llm.word_chain(model(law), WORDS, prompt=" {word}", boundary=boundary, min_mass=0)
    expected = enumerated(law, WORDS, ends)
    np.testing.assert_allclose(kernel(chain), expected, rtol=0, atol=1e-6)
    np.testing.assert_allclose(chain.leak, 1 - expected.sum(axis=1), rtol=0, atol=1e-6)
    assert not chain.unresolved.any() and chain.labels == WORDS


@pytest.mark.parametrize("boundary", [True, False])
@pytest.mark.parametrize("min_mass", [0.02, 0.2, 1.0])
def test_an_approximated_row_is_as_near_as_it_says(boundary, min_mass):
    exact = llm.word_chain(model(), WORDS, prompt=" {word}", boundary=boundary, min_mass=0)
    coarse = llm.word_chain(model(), WORDS, prompt=" {word}", boundary=boundary, min_mass=min_mass)
    assert coarse.n_passes < exact.n_passes
    difference = np.abs(kernel(coarse) - kernel(exact)).sum(axis=1)
    distance = (difference + np.abs(coarse.leak - exact.leak)) / 2
    assert (distance <= coarse.unresolved + 1e-12).all() and distance.max() > 1e-4


def test_what_leaves_the_vocabulary_can_be_kept_as_a_state():
    words = WORDS[:3]
    chain = llm.word_chain(
        model(), words, prompt=" {word}", normalize=False, min_mass=0, reward=[1, -1, 2]
    )
    rows = chain.to_scipy().toarray()
    full = llm.word_chain(model(), words, prompt=" {word}", min_mass=0)
    np.testing.assert_allclose(rows[:3, :3], kernel(full), atol=1e-12)
    np.testing.assert_allclose(rows[:, 3], chain.leak, atol=1e-12)
    assert rows[3].tolist() == [0, 0, 0, 1] and chain.labels[3] == "<leak>"
    assert chain.reward.tolist() == [1, -1, 2, 0]
    assert fe.hitting_times(chain, [3]).mean[0] > 1


def test_prompts_may_be_made_by_a_function():
    text = llm.word_chain(model(), WORDS, prompt=" well {word}", min_mass=0)
    made = llm.word_chain(
        model(), WORDS, prompt=lambda word: model().encode(f" well {word}"), min_mass=0
    )
    assert np.array_equal(made.to_scipy().toarray(), text.to_scipy().toarray())


def test_batches_do_not_change_it():
    chains = [
        llm.word_chain(model(), WORDS, prompt=" {word}", batch_size=size, min_mass=0.1)
        for size in (1, 2, 100)
    ]
    assert len({chain.fingerprint() for chain in chains}) == 1


def test_pickles_and_saved_chains_keep_the_leak(tmp_path):
    chain = llm.word_chain(model(), WORDS, prompt=" {word}", min_mass=0.1)
    chain.save(tmp_path / "chain")
    fe.tilt(chain, np.arange(6.0), 2.0).save(tmp_path / "tilt")
    tilted = fe.load(tmp_path / "tilt")
    for again in (
        pickle.loads(pickle.dumps(chain)),
        fe.load(tmp_path / "chain", verify=True),
        tilted.reference,
    ):
        assert isinstance(again, llm.WordChain) and again.labels == WORDS
        assert (again.model, again.n_passes) == (chain.model, chain.n_passes)
        assert np.array_equal(again.leak, chain.leak)
        assert np.array_equal(again.unresolved, chain.unresolved)
        assert again.fingerprint() == chain.fingerprint()
    assert type(chain.lazy(0.5)) is fe.MarkovChain


class Broken(llm.TableModel):
    """Gives NaN after the n-th call, or raises an error."""

    def __init__(self, n, error=None):
        super().__init__(TOKENS, table(), end=[8])
        self.n, self.error = n, error

    def next_log_probs(self, contexts):
        self.n -= 1
        if self.n < 0 and self.error is not None:
            raise self.error
        return super().next_log_probs(contexts) * (np.nan if self.n < 0 else 1)


def test_nan_names_the_context():
    with pytest.raises(ModelOutputError, match=r"after '.*': entry 0 is NaN"):
        llm.word_chain(Broken(3), WORDS, prompt=" {word}", min_mass=0, batch_size=2)


def test_ctrl_c_gives_the_chain_of_the_words_done_and_the_checkpoint_the_rest(tmp_path):
    arguments = {"prompt": " {word}", "min_mass": 0, "batch_size": 2}
    whole = llm.word_chain(model(), WORDS, **arguments)
    for n_calls in range(2, 60):
        path = tmp_path / f"{n_calls}"
        broken = Broken(n_calls, KeyboardInterrupt())
        try:
            llm.word_chain(broken, WORDS, checkpoint=path, **arguments)
            break
        except Interrupted as stopped:
            partial = stopped.partial
        if partial is not None:
            n_done = partial.n_states
            assert partial.labels == WORDS[:n_done]
            np.testing.assert_allclose(kernel(partial), kernel(whole)[:n_done, :n_done], atol=1e-12)
        resumed = llm.word_chain(model(), WORDS, checkpoint=path, **arguments)
        assert resumed.fingerprint() == whole.fingerprint()
        assert resumed.n_passes == whole.n_passes and not path.exists()
    assert n_calls > 5


@pytest.mark.parametrize(
    ("words", "options", "message"),
    [
        (WORDS, {"prompt": " word"}, r"no \"\{word\}\""),
        (WORDS, {"prompt": " {word} "}, "separator"),
        ([], {}, "at least one"),
        (["hot", "cold", "hot"], {}, r"words\[2\], 'hot', is there twice"),
        (["hot", ""], {}, r"words\[1\] is ''"),
        (["hot", "cold "], {}, "space at its ends"),
        (["<leak>"], {}, "the label of the leak"),
        (["hot", "warm"], {}, "no token of the table begins ' warm'"),
        (WORDS, {"min_mass": 1.5}, "min_mass"),
        (WORDS, {"batch_size": 0}, "batch_size"),
        (WORDS, {"reward": [1.0]}, "reward"),
        (WORDS, {"prompt": lambda word: []}, "'hot': a prompt has no token"),
    ],
)
def test_arguments_that_make_no_kernel_are_refused(words, options, message):
    with pytest.raises(InvalidChainError, match=message):
        llm.word_chain(model(), words, **{"prompt": " {word}", **options})


class LowerCase(llm.TableModel):
    """A tokeniser that knows no capitals, and no exclamation marks."""

    def encode(self, text, *, start=True):
        return super().encode(text.lower().replace(" !", ""), start=start)


@pytest.mark.parametrize(
    ("words", "message"),
    [(["hot", "Hot"], "'hot' and 'Hot' with the same tokens"), (["hot", "!"], "'!' has no token")],
)
def test_words_that_the_tokeniser_cannot_tell_apart_are_refused(words, message):
    with pytest.raises(InvalidChainError, match=message):
        llm.word_chain(
            LowerCase(TOKENS, table(), end=[8]), words, prompt=" hot{word}"[:4] + "{word}"
        )


def test_a_word_after_which_none_comes_is_named():
    law = table()
    law[:, 1] = 0
    law[:, 1, 7] = 1
    with pytest.raises(InvalidChainError, match="after 'cold' the model never says"):
        llm.word_chain(model(law), ["hot", "cold"], prompt=" {word}")
    assert (
        llm.word_chain(model(law), ["hot", "cold"], prompt=" {word}", normalize=False).leak[1] == 1
    )


def test_words_are_a_list():
    with pytest.raises(TypeError, match="split"):
        llm.word_chain(model(), "hot cold", prompt=" {word}")
    with pytest.raises(TypeError, match=r"words\[1\]"):
        llm.word_chain(model(), ["hot", 3], prompt=" {word}")
