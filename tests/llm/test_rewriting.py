"""Rewritten texts: trajectories, attractors and the states that were not seen."""

import numpy as np
import pytest

import fastebm as fe
from fastebm import llm
from fastebm.errors import Interrupted, InvalidChainError
from fastebm.llm.open_states import open_states

# After a text of "a"s and "b"s comes a mark, and then one letter and the end.
SYMBOLS = ["a", "b", ">", "<end>"]


def swapping(p):
    """A model that rewrites "a" as "b" and "b" as "a" with probability p, and else as "a"."""
    law = np.zeros((4, 4, 4))
    law[..., 3] = 1.0
    law[0, 2] = [1 - p, p, 0, 0]
    law[1, 2] = [1, 0, 0, 0]
    return llm.TableModel(SYMBOLS, law, end=[3])


def rewritten(p=1.0, n=40, n_steps=20, **options):
    options = {"max_length": 4, "rng": 3, "state": str, **options}
    return llm.rewrite_trajectories(
        swapping(p), ["a"] * n, "{text}>", n_steps, lambda text: text.count("a"), **options
    )


def test_an_attractor_of_period_two_is_named():
    found = rewritten(n=3, n_steps=7)
    assert found.texts == (("a", "b") * 4,) * 3 and found.labels == ("a", "b")
    assert found.scores.tolist() == [[1, 0] * 4] * 3 and found.states.tolist() == [[0, 1] * 4] * 3
    assert found.periods.tolist() == [2, 2, 2] and found.n_truncated == 0
    assert found.similarity.tolist() == [0, 1, 0, pytest.approx(np.nan, nan_ok=True)]
    assert (found.period_two_excess, found.period_two_error) == (1, 0)


def test_a_text_that_stays_has_period_one_and_a_random_one_none():
    assert rewritten(p=0.0).periods.tolist() == [1] * 40
    assert (rewritten(p=0.5, n=200, n_steps=30).periods == 0).mean() > 0.5


def test_transitions_are_those_of_the_model():
    found = rewritten(p=0.3, n=100, n_steps=30)
    counts = found.counts()
    assert counts.n_transitions == 3000 and tuple(counts.labels) == ("a", "b")
    chain = fe.MarkovChain.from_counts(counts).to_scipy().toarray()
    error = 4 * np.sqrt(0.3 * 0.7 / counts.counts.toarray()[0].sum())
    assert abs(chain[0, 1] - 0.3) < error and chain[1, 0] == 1
    assert fe.markov_test(list(found.states), n_bootstrap=99, rng=0).p_value > 0.001
    assert fe.balance_test(counts, n_bootstrap=99, rng=0).dof == 0


def test_states_are_bins_of_the_score_by_default():
    found = rewritten(p=0.5, state=None, bins=[0.5])
    assert found.labels == ("score < 0.5", "0.5 <= score") and found.edges.tolist() == [0.5]
    np.testing.assert_array_equal(found.states, found.scores)
    one = rewritten(p=0.0, state=None)
    assert one.labels == ("any score",) and not one.states.any()


def test_texts_that_were_cut_off_are_counted():
    endless = llm.TableModel(["a", ">"], [[1.0, 0.0], [1.0, 0.0]])
    found = llm.rewrite_trajectories(endless, ["a"] * 3, "{text}>", 2, len, max_length=2, rng=0)
    assert found.n_truncated == 6 and found.texts[0] == ("a", "aa", "aa")


def test_results_depend_on_the_seed_alone():
    first, second = rewritten(p=0.5, batch_size=1), rewritten(p=0.5)
    assert first.texts == second.texts != rewritten(p=0.5, rng=4).texts


def test_ctrl_c_gives_the_steps_so_far():
    def stop(info):
        if info["done"] == 5:
            raise KeyboardInterrupt

    with pytest.raises(Interrupted) as stopped:
        rewritten(p=0.5, callback=stop)
    whole = rewritten(p=0.5)
    assert stopped.value.partial.texts == tuple(row[:6] for row in whole.texts)


def test_the_unseen_mass_against_a_known_law():
    rng = np.random.default_rng(5)
    law = 1 / np.arange(1, 301)
    law /= law.sum()
    masses, estimates, uppers, new, expected = [], [], [], [], []
    for _ in range(300):
        draws = rng.choice(300, 200, p=law)
        found = open_states(draws.tolist())
        unseen = np.ones(300, bool)
        unseen[draws] = False
        masses.append(law[unseen].sum())
        estimates.append(found.unseen_mass)
        uppers.append(found.unseen_upper)
        expected.append(found.expected_new(100))
        new.append(len(set(rng.choice(300, 100, p=law).tolist()) - set(draws.tolist())))
    difference = np.array(estimates) - masses
    # Good's estimate is unbiased for one draw less, which adds at most 1 / n.
    assert abs(difference.mean()) < 4 * difference.std() / 300**0.5 + 1 / 200
    difference = np.array(expected) - new
    assert abs(difference.mean()) < 4 * difference.std() / 300**0.5
    assert (np.array(uppers) >= masses).mean() >= 0.95


def test_unseen_texts_of_a_step():
    found = rewritten(p=0.5, n=50)
    last = found.unseen()
    assert last.n_draws == 50 and last.n_seen == 2 and last.unseen_mass == 0
    assert found.unseen(step=0).n_seen == 1 and found.unseen(states=True).n_seen == 2
    single = rewritten(n=1).unseen()
    assert (single.unseen_mass, single.unseen_upper, single.expected_new(1)) == (1, 1, 1)
    with pytest.raises(InvalidChainError, match="at most 50"):
        last.expected_new(51)
    with pytest.raises(InvalidChainError, match="beyond the 20 steps"):
        found.unseen(step=21)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompt": "text>"}, r"no \"\{text\}\""),
        ({"texts": []}, "at least one text"),
        ({"n_steps": 0}, "n_steps"),
        ({"score": lambda text: np.nan}, "score of 'a' is nan"),
    ],
)
def test_what_cannot_be_rewritten_is_refused(change, message):
    arguments = {"texts": ["a"], "prompt": "{text}>", "n_steps": 1, "score": len, **change}
    with pytest.raises(InvalidChainError, match=message):
        llm.rewrite_trajectories(swapping(1.0), max_length=3, **arguments)


def test_texts_are_a_list():
    with pytest.raises(TypeError, match="put it into a list"):
        llm.rewrite_trajectories(swapping(1.0), "a", "{text}>", 1, len)


def test_a_prompt_that_becomes_empty_loses_nothing():
    silent = llm.TableModel(["a", "<end>"], [0.0, 1.0], end=[1])
    with pytest.raises(InvalidChainError, match="no token") as caught:
        llm.rewrite_trajectories(silent, ["a"], "{text}", 5, len)
    assert caught.value.partial.texts == (("a", ""),)
