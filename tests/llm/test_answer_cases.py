"""Trees of answers: what is decided when, hard inputs, errors, Ctrl-C and checkpoints."""

import numpy as np
import pytest
from enumerated_answers import HashVerifier
from interruptions import StopAfter

import fastebm as fe
from fastebm import llm
from fastebm.llm.policy_numbers import binary_path_kl

END = "<end>"


def flat(n_letters=2, end=True, tokens=None):
    """A model of equally likely letters."""
    tokens = tokens or [*"abcdef"[:n_letters], *([END] if end else [])]
    n = len(tokens)
    return llm.TableModel(tokens, np.full(n, 1 / n), end=[n - 1] if end else [])


def at_end(right):
    return lambda text, ended: text == right if ended else None


# --- decisions ------------------------------------------------------------------------------------


def test_max_length_counts_the_end_token():
    """Texts "", "a", "b" with the end, and four of two letters that are too long for it."""
    calls = []

    def verify(text, ended):
        calls.append((text, ended))
        return ended or None

    tree = llm.answers(flat(), "a", verify, max_nodes=99, max_length=2)
    assert sorted(calls) == sorted(
        [("", True), ("a", False), ("b", False), ("a", True), ("b", True)]
        + [(x + y, False) for x in "ab" for y in "ab"]
    )
    assert tree.n_nodes == 3 and tree.is_exhausted and tree.n_answers == 3
    assert np.allclose([tree.correct, tree.too_long, tree.frontier], [5 / 9, 4 / 9, 4 / 9])
    assert tree.undecided == tree.cut == 0


def test_a_text_is_a_leaf_as_soon_as_it_is_decided():
    tree = llm.answers(
        flat(), "a", lambda text, ended: text[0] == "b" if text else None, max_nodes=99,
        max_length=9,
    )  # fmt: skip
    assert tree.n_nodes == 1 and tree.is_exhausted and tree.n_prefixes == 4
    assert np.allclose(tree.accuracy, [1 / 3, 2 / 3]) and np.isclose(tree.undecided, 1 / 3)
    assert [(a.text, a.ended) for a in tree.top()] == [("a", False), ("b", False)]


def test_an_ended_text_that_stays_open_is_on_the_frontier():
    tree = llm.answers(flat(), "a", lambda text, ended: None, max_nodes=99, max_length=3)
    assert tree.accuracy == (0.0, 1.0) and tree.n_answers == 0 and tree.is_exhausted
    assert np.isclose(tree.undecided, 1 / 3 + 2 / 9 + 4 / 27)
    assert np.isclose(tree.too_long + tree.undecided, 1.0)
    tuned = tree.policy(0.5)
    assert tuned.success == (0.0, 1.0) and tuned.path_kl[0] == 0.0
    assert tree.top() == [] and not tree.correct_states.any()


def test_without_an_end_token():
    tree = llm.answers(
        flat(end=False), "a", lambda text, ended: "b" in text or None, max_nodes=9, max_length=5
    )
    assert np.allclose(tree.accuracy, [31 / 32, 1.0]) and np.isclose(tree.too_long, 1 / 32)


def test_several_end_tokens_and_an_empty_answer():
    model = llm.TableModel(["a", "", ""], [0.5, 0.3, 0.2], end=[1, 2])
    tree = llm.answers(model, "a", at_end(""), max_nodes=9, max_length=1)
    assert np.allclose(tree.accuracy, [0.5, 1.0]) and tree.top()[0].n_paths == 2


def test_impossible_tokens_are_no_children():
    model = llm.TableModel(["a", "b", END], [0.75, 0.0, 0.25], end=[2])
    tree = llm.answers(model, "a", at_end("a"), max_nodes=9, max_length=3)
    assert tree.n_prefixes == 1 + 2 * 3
    assert np.allclose(tree.accuracy, [0.75 * 0.25, 0.75 * 0.25 + 0.75**3])
    law = tree.policy(1.0).next_tokens()
    assert law.tokens.tolist() == [0, 2] and law.rest == 0.0


def test_one_node():
    tree = llm.answers(flat(), "a", at_end(""), max_nodes=1, max_length=1)
    assert tree.n_nodes == 1 and np.allclose(tree.accuracy, [1 / 3, 1.0])
    assert tree.expand(5).n_nodes == 1  # nothing is left


def test_a_vocabulary_of_one_token():
    tree = llm.answers(
        llm.TableModel(["a"], [1.0]), "a", lambda text, ended: len(text) > 3 or None,
        max_nodes=99, max_length=9,
    )  # fmt: skip
    assert tree.n_nodes == 4 and tree.accuracy[1] == 1.0 and tree.accuracy[0] > 1 - 1e-12
    assert tree.policy(0.1).path_kl[1] < 1e-10
    assert tree.policy(0.1).entropy[1] < 1e-9


def test_top_k_and_top_p_leave_the_rest_on_the_frontier():
    model = llm.TableModel(["a", "b", "c", END], [0.4, 0.3, 0.2, 0.1], end=[3])
    for limit in ({"top_k": 2}, {"top_p": 0.7}, {"top_p": 0.41}, {"top_k": 3, "top_p": 0.5}):
        tree = llm.answers(
            model, "a", lambda text, ended: text == "a" if text else None,
            max_nodes=9, max_length=3, **limit,
        )  # fmt: skip
        assert np.allclose(tree.accuracy, [0.4, 0.7]) and np.isclose(tree.cut, 0.3)
        assert np.isclose(tree.policy(1.0).next_tokens().rest, 0.3)
    only = llm.answers(model, "a", lambda text, ended: True, max_nodes=9, max_length=3, top_k=1)
    assert np.allclose(only.accuracy, [0.4, 1.0])


def test_min_mass_ends_the_expansion():
    tree = llm.answers(flat(), "a", at_end("a"), max_nodes=999, max_length=9, min_mass=0.1)
    assert tree.n_nodes == 1 + 2 + 4 and tree.is_exhausted
    whole = llm.answers(flat(), "a", at_end("a"), max_nodes=999, max_length=9, min_mass=0.0)
    assert whole.n_nodes == 2**9 - 1


def test_width_ends_the_expansion():
    tree = llm.answers(
        flat(), "a", at_end("a"), max_nodes=999, max_length=20, width=0.3, batch_size=2
    )
    before = llm.answers(
        flat(), "a", at_end("a"), max_nodes=tree.n_nodes - 2, max_length=20, batch_size=2
    )
    assert tree.frontier <= 0.3 + 1e-12 < before.frontier


def test_bytes_of_a_character_that_is_split():
    """The euro sign is three tokens; verify sees U+FFFD until it is whole."""
    pieces = [b"\xe2", b"\x82", b"\xac", b""]

    def law(contexts):
        return np.log(np.array([[0.5, 0.25, 0.125, 0.125]] * len(contexts)))

    model = llm.from_callable(
        law, 4, encode=lambda text: [0],
        decode=lambda tokens: b"".join(pieces[t] for t in tokens).decode(errors="replace"),
        end=[3],
    )  # fmt: skip
    seen = set()

    def verify(text, ended):
        seen.add(text)
        return text == "\u20ac" if ended or len(text) > 2 else None

    tree = llm.answers(model, "x", verify, max_nodes=99, max_length=4)
    assert "\ufffd" in seen and "\u20ac" in seen
    assert np.isclose(tree.correct, 0.5 * 0.25 * 0.125 * 0.125)


def test_a_prompt_of_tokens_is_the_same():
    text = llm.answers(flat(), "ab", at_end("a"), max_nodes=5, max_length=4)
    tokens = llm.answers(flat(), [0, 1], at_end("a"), max_nodes=5, max_length=4)
    assert text.to_dict() == tokens.to_dict() and tokens.prompt == "ab"


# --- scores ---------------------------------------------------------------------------------------


def test_scores_and_their_range():
    verify = lambda text, ended: {"a": 3.0, "b": -1.0, "": 0.5}[text]  # noqa: E731
    tree = llm.answers(flat(), "a", verify, max_nodes=9, max_length=1, score_range=(-1, 3))
    assert np.allclose(tree.mean_score, 2.5 / 3) and np.allclose(tree.accuracy, 1 / 3)
    tuned = tree.policy(2.0)
    z = np.exp(np.array([3.0, -1.0, 0.5]) / 2).mean()
    assert np.allclose(tuned.value, 2 * np.log(z)) and np.allclose(
        tuned.success, np.exp(1.5) / 3 / z
    )
    with pytest.raises(fe.InvalidChainError, match="beta must be at least 4 / 700"):
        tree.policy(1e-4)
    assert np.allclose(tree.policy(np.inf).mean_score, 2.5 / 3)


def test_a_cold_policy_of_true_and_false():
    """exp(1 / beta) overflows; the closed forms do not."""
    tree = llm.answers(flat(), "a", at_end("a"), max_nodes=99, max_length=5)
    tuned = tree.policy(1e-5)
    c = tree.accuracy[0]
    assert np.allclose(tuned.success, 1.0) and np.allclose(tuned.value, 1.0, atol=1e-4)
    assert np.isclose(tuned.path_kl[1], -np.log(c), rtol=1e-5)
    assert tuned.entropy[0] < 1e-9
    assert np.allclose(tuned.next_tokens().upper.max(), 1.0)
    assert np.isfinite(tuned.kl_by_length).all()


# --- errors ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("verdict", "message"),
    [
        ("yes", r"verify\('ab', True\) returned a str; return True or False"),
        (1.5, r"returned 1.5, which is not in the score_range \[0.0, 1.0\]"),
        (float("nan"), "returned nan"),
        ([True], "returned a list"),
        (None, "raised ZeroDivisionError: division"),
    ],
)
def test_verify_that_fails_names_the_text_and_loses_nothing(verdict, message):
    def verify(text, ended):
        if text == "ab" and ended:
            return 1 / 0 if verdict is None else verdict
        return text == "a" if ended else None

    with pytest.raises(fe.VerifierError, match=message) as caught:
        llm.answers(flat(), "a", verify, max_nodes=999, max_length=9, batch_size=1)
    tree = caught.value.partial
    assert tree.n_nodes > 2 and tree.accuracy[0] > 0.1
    grown = llm.answers(
        flat(), "a", at_end("a"), max_nodes=tree.n_nodes, max_length=9, batch_size=1
    )
    assert grown.accuracy == tree.accuracy


@pytest.mark.parametrize("error", [fe.ModelOutputError, OSError])
def test_a_model_that_fails_loses_nothing(error, tmp_path):
    class Failing(llm.TableModel):
        left = 4

        def next_log_probs(self, contexts):
            self.left -= 1
            rows = super().next_log_probs(contexts)
            if self.left < 0 and error is OSError:
                raise OSError("the graphics card is gone")
            return rows if self.left >= 0 else rows * np.nan

    model = Failing(["a", "b", END], np.full(3, 1 / 3), end=[2])
    path = tmp_path / "state"
    arguments = {"max_nodes": 99, "max_length": 9, "batch_size": 2}
    with pytest.raises(error, match=r"NaN|graphics") as caught:
        llm.answers(model, "a", at_end("a"), checkpoint=path, **arguments)
    assert caught.value.partial.n_nodes == 1 + 2 * 3
    model.left = 9999
    verify = at_end("a")
    resumed = llm.answers(model, "a", verify, checkpoint=path, **arguments)
    assert resumed.to_dict() == llm.answers(model, "a", verify, **arguments).to_dict()
    assert not path.exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"max_nodes": 0}, "max_nodes must be at least 1"),
        ({"max_length": 0}, "max_length must be at least 1"),
        ({"top_p": 0.0}, "top_p must be above 0"),
        ({"top_p": 1.1}, "top_p"),
        ({"top_k": 0}, "top_k"),
        ({"min_mass": -0.1}, "min_mass"),
        ({"width": 2.0}, "width"),
        ({"batch_size": 0}, "batch_size"),
        ({"score_range": (1, 0)}, "score_range must be"),
        ({"score_range": 3}, "score_range must be"),
        ({"score_range": (0, np.inf)}, "score_range"),
        ({"prompt": ""}, "no token"),
        ({"prompt": [7]}, "token 7 of the prompt is not below"),
    ],
)
def test_arguments_out_of_range(change, message):
    arguments = {"prompt": "a", "verify": at_end("a"), "max_nodes": 9, "max_length": 3} | change
    with pytest.raises(fe.InvalidChainError, match=message):
        llm.answers(flat(), **arguments)


def test_prefixes_that_the_tree_does_not_have():
    tree = llm.answers(flat(), "a", at_end("a"), max_nodes=2, max_length=4, batch_size=1)
    tuned = tree.policy(1.0)
    assert tuned.next_tokens("a").text == "a" and tuned.next_tokens([0]).reach < 0.34
    with pytest.raises(fe.InvalidChainError, match="'b'"):
        tuned.next_tokens("b")
    with pytest.raises(fe.InvalidChainError, match="was not expanded"):
        tuned.next_tokens([1])
    with pytest.raises(fe.InvalidChainError, match="no token 0 after 'b'"):
        tuned.along([1, 0])
    with pytest.raises(fe.InvalidChainError, match="beta"):
        tree.policy(0.0)
    with pytest.raises(fe.InvalidChainError, match="finite for beta = 0"):
        tree.flow(np.inf)
    assert tree.flow(np.inf, beta=2.0).success == tree.policy(2.0).success
    assert tree.flow(0.0).success == tree.accuracy


def test_a_tree_that_does_not_fit_is_refused_before_it_grows():
    with pytest.raises(fe.MemoryForecastError, match="max_nodes = 1,000,000,000,000"):
        llm.answers(flat(), "a", at_end("a"), max_nodes=10**12, max_length=99)


# --- interruptions --------------------------------------------------------------------------------


def test_ctrl_c_gives_the_tree_so_far():
    arguments = {"max_length": 9, "batch_size": 2}
    with pytest.raises(fe.Interrupted) as caught:
        llm.answers(flat(), "a", at_end("a"), max_nodes=99, callback=StopAfter(5), **arguments)
    tree = caught.value.partial
    assert tree.n_nodes == 9
    assert (
        tree.to_dict() == llm.answers(flat(), "a", at_end("a"), max_nodes=9, **arguments).to_dict()
    )
    assert tree.expand(90).n_nodes == 99


def test_a_checkpoint_of_another_call_is_refused(tmp_path):
    path = tmp_path / "state"
    arguments = {"max_nodes": 99, "max_length": 9}
    with pytest.raises(fe.Interrupted):
        llm.answers(flat(), "a", at_end("a"), callback=StopAfter(2), checkpoint=path, **arguments)
    for change in ({"max_length": 8}, {"top_k": 2}, {"max_nodes": 98}, {"prompt": "b"}):
        with pytest.raises(fe.InvalidChainError, match="state"):
            llm.answers(
                flat(), **{"prompt": "a", "verify": at_end("a"), **arguments, **change},
                checkpoint=path,
            )  # fmt: skip
    with pytest.raises(fe.InvalidChainError, match="state"):  # another truth
        llm.answers(flat(), "a", at_end("b"), checkpoint=path, **arguments)
    with pytest.raises(fe.InvalidChainError, match="state"):
        llm.answers(flat(3), "a", at_end("a"), checkpoint=path, **arguments)
    assert llm.answers(flat(), "a", at_end("a"), checkpoint=path, **arguments).n_nodes == 99


def test_expand_resumes(tmp_path):
    path = tmp_path / "state"
    tree = llm.answers(flat(), "a", at_end("a"), max_nodes=5, max_length=9)
    with pytest.raises(fe.Interrupted) as caught:
        tree.expand(90, callback=StopAfter(3), checkpoint=path)
    assert 5 < caught.value.partial.n_nodes < 95
    assert tree.expand(90, checkpoint=path).to_dict() == tree.expand(90).to_dict()


# --- many prompts ---------------------------------------------------------------------------------


def test_a_table_is_the_trees_of_its_prompts():
    model, prompts = flat(3), ["a", "ab", "a"]
    verifiers = [at_end("a"), at_end("b"), at_end("cc")]
    table = llm.answers_of(model, prompts, verifiers, max_nodes=40, max_length=6)
    for i, verify in enumerate(verifiers):
        tree = llm.answers(model, prompts[i], verify, max_nodes=40, max_length=6)
        assert table.trees[i].to_dict() == tree.to_dict()
        assert (table.lower[i], table.upper[i]) == tree.accuracy
    assert table.prompts == ("a", "ab", "a") and table.n_nodes.tolist() == [40] * 3
    assert {*table.to_dict()} > {"lower", "upper", "trees"}


def test_verifiers_of_three_arguments_and_equal_prompts():
    calls = []

    def verify(text, ended, prompt):
        calls.append(prompt)
        return text == prompt if ended else None

    table = llm.answers_of(flat(), ["a", "b", "a"], verify, max_nodes=30, max_length=4)
    first = calls.count("a")
    assert table.trees[0] is table.trees[2] and table.trees[0] is not table.trees[1]
    assert table.lower[0] == table.lower[1] and first == calls.count("b")

    def with_default(text, ended, prompt="none"):
        assert prompt == "none"
        return ended or None

    llm.answers_of(flat(), ["a"], with_default, max_nodes=3, max_length=4)


def test_laws_of_many_prompts_hold_the_true_ones():
    from fastebm import rlvr

    rng = np.random.default_rng(0)
    prompts = [[i] for i in range(4)]
    law = rng.dirichlet(np.ones(6), 6)
    model = llm.TableModel([*"abcde", END], law, end=[5])
    verify = [HashVerifier(10 + i, decided=0.5) for i in range(4)]
    loose = llm.answers_of(model, prompts, verify, max_nodes=1, max_length=12)
    exact = llm.answers_of(model, prompts, verify, max_nodes=4000, max_length=12, width=1e-3)
    p = (exact.lower + exact.upper) / 2
    weights = [1, 2, 3, 4]
    assert (loose.upper - loose.lower > 0.02).all() and (exact.upper - exact.lower < 0.0011).all()

    def holds(ends, value):
        assert (np.asarray(ends[0]) <= value).all() and (value <= np.asarray(ends[1])).all()

    for w in (None, weights):
        holds(loose.accuracy(w), rlvr.expectation(p, w))
        holds(
            loose.beta_for_mean(accuracy=0.9, weights=w),
            rlvr.beta_for_mean(p, accuracy=0.9, weights=w),
        )
        holds(loose.beta_for_mean(kl=0.2, weights=w), rlvr.beta_for_mean(p, kl=0.2, weights=w))
    holds(loose.pass_at_k(5), rlvr.pass_at_k(p, 5))
    holds(loose.target_accuracy(0.4), rlvr.target_accuracy(p, 0.4))
    holds(loose.path_kl(0.4), rlvr.kl_spent(rlvr.target_accuracy(p, 0.4), p))
    for objective in ("reinforce", "rejection_sampling", "grpo", "maximum_likelihood"):
        holds(loose.objective_weights(objective), rlvr.objective_weights(p, objective))
    with pytest.raises(fe.InvalidChainError, match="one of accuracy and kl"):
        loose.beta_for_mean(accuracy=0.5, kl=0.1)


def test_prompts_that_are_refused():
    with pytest.raises(fe.InvalidChainError, match="no prompts"):
        llm.answers_of(flat(), [], at_end("a"), max_nodes=3, max_length=4)
    with pytest.raises(fe.InvalidChainError, match="2 prompts and 1 verifiers"):
        llm.answers_of(flat(), ["a", "b"], [at_end("a")], max_nodes=3, max_length=4)
    with pytest.raises(TypeError, match="not one str"):
        llm.answers_of(flat(), "ab", at_end("a"), max_nodes=3, max_length=4)


def test_a_verifier_that_fails_keeps_the_earlier_prompts():
    def verify(text, ended, prompt):
        if prompt == "b" and text == "ab":
            raise ValueError("no such answer")
        return ended or None

    with pytest.raises(fe.VerifierError, match="no such answer") as caught:
        llm.answers_of(flat(), ["a", "b", "ab"], verify, max_nodes=9, max_length=4, batch_size=1)
    assert caught.value.partial.prompts == ("a", "b")
    assert caught.value.partial.n_nodes[0] == 9 > caught.value.partial.n_nodes[1] > 0


def test_the_path_kl_of_an_accuracy_that_may_be_zero():
    """At beta = 1e-3 the KL is -log u where u is above exp(-1000), u = 1e-400 say."""
    lower, upper = binary_path_kl((0.0, 1e-5), 1000.0)
    assert lower == 0.0 and 400 * np.log(10.0) < upper < 1000.0


# --- small beta, odd arguments --------------------------------------------------------------------


@pytest.mark.parametrize("beta", [1e-3, 1e-5, 1e-300])
def test_ends_hold_where_the_weights_underflow(beta):
    """A frontier of one answer: if it is right, the policy always gives it, and of all masses that
    it may have, the largest KL is about 1 / beta - 1 - log(1 / beta)."""
    tree = llm.answers(
        flat(), "a", lambda text, ended: False if ended else None, max_nodes=1, max_length=1
    )
    tuned = tree.policy(beta)
    assert tree.accuracy[0] == 0.0 and np.isclose(tree.accuracy[1], 2 / 3)
    assert tuned.entropy[0] == 0.0 and tuned.success[0] >= 0.0
    s = 1 / beta
    assert np.isclose(tuned.path_kl[1], s - 1 - np.log(s), rtol=1e-9)
    assert tuned.assumes_binary and tuned.path_kl[0] == 0.0


def test_cold_ends_of_a_whole_tree_are_narrow():
    tree = llm.answers(flat(), "a", lambda text, ended: text == "b", max_nodes=1, max_length=1)
    tuned = tree.policy(1e-300)
    assert 1 - 1e-14 < tuned.success[0] <= tuned.success[1] <= 1
    assert np.allclose(tuned.path_kl, np.log(3), rtol=1e-12)


def test_a_table_takes_an_iterator_of_prompts():
    table = llm.answers_of(flat(), iter(["a", "b"]), at_end("b"), max_nodes=9, max_length=2)
    assert table.prompts == ("a", "b")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"score_range": (-1e308, 1e308)}, fe.InvalidChainError, "wider than a double"),
        ({"max_length": 10**400}, fe.InvalidChainError, "max_length"),
        ({"verify": 7}, TypeError, "number_is"),
        ({"model": 7}, fe.InvalidChainError, "no language model"),
        ({"prompt": b"ab"}, TypeError, "not bytes"),
    ],
)
def test_objects_of_another_kind_are_refused(change, error, message):
    given = {"model": flat(), "prompt": "a", "verify": at_end("b"), "max_nodes": 9, "max_length": 2}
    given |= change
    model, prompt, verify = (given.pop(name) for name in ("model", "prompt", "verify"))
    with pytest.raises(error, match=message):
        llm.answers(model, prompt, verify, **given)


@pytest.mark.parametrize("kl", [0.01, 0.3])
def test_ends_of_a_coefficient_are_on_either_side(kl):
    table = llm.answers_of(flat(), ["a", "b"], at_end("b"), max_nodes=9, max_length=4)
    lower, upper = table.beta_for_mean(kl=kl)
    assert 0.0 < lower < upper
    assert np.mean(table.path_kl(lower)[0]) >= kl >= np.mean(table.path_kl(upper)[1])
