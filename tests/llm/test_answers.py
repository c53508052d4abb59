"""Trees of answers against the enumeration of all answers."""

import math
import os

import numpy as np
import pytest
from enumerated_answers import HashVerifier, Tuned, enumerate_paths, random_model_parts
from hypothesis import given, settings
from hypothesis import strategies as st

import fastebm as fe
from fastebm import llm

N_EXAMPLES = int(os.environ.get("FASTEBM_TREES", "40"))
ROUNDING = 1e-11


def small_model(rng, **options):
    tokens, table, end = random_model_parts(rng, **options)
    return llm.TableModel(tokens, table, end=end)


def inside(ends, value, slack=ROUNDING):
    assert ends[0] <= ends[1]
    return ends[0] - slack * (1 + abs(value)) <= value <= ends[1] + slack * (1 + abs(value))


def any_decision(rng, paths, score_range):
    """Scores of all paths; those that are open get any."""
    kind = rng.integers(0, 4)
    ends = [score_range[0], score_range[1]]
    filled = [ends[int(rng.integers(0, 2)) if kind > 1 else kind] for _ in paths]
    return [path.score if path.score is not None else filled[i] for i, path in enumerate(paths)]


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=N_EXAMPLES, deadline=None)
def test_every_interval_holds_what_enumeration_gives(seed):
    rng = np.random.default_rng(seed)
    model = small_model(
        rng, n_vocab=int(rng.integers(2, 6)), order=int(rng.integers(0, 3)), n_end=1
    )
    graded = rng.random() < 0.4
    score_range = (0.0, 1.0) if rng.random() < 0.5 else (-0.5, 2.0)
    scores = [*score_range, *rng.uniform(*score_range, 3)] if graded else None
    verify = HashVerifier(
        seed, decided=rng.random() / 2, correct=rng.random(), scores=scores,
        undecided=rng.random() / 3,
    )  # fmt: skip
    max_length = int(rng.integers(1, 6))
    prompt = [int(rng.integers(0, model.n_vocab - 1))]
    paths = enumerate_paths(model, prompt, verify, max_length, score_range)
    limits = {"top_k": int(rng.integers(1, 4))} if rng.random() < 0.2 else {}
    limits |= {"top_p": rng.uniform(0.3, 1.0)} if rng.random() < 0.2 else {}
    limits |= {"min_mass": 10 ** rng.uniform(-4, 0)} if rng.random() < 0.2 else {}
    tree = llm.answers(
        model, prompt, verify, max_nodes=int(rng.integers(1, 60)), max_length=max_length,
        batch_size=int(rng.integers(1, 8)), score_range=score_range, **limits,
    )  # fmt: skip
    decisions = [any_decision(rng, paths, score_range) for _ in range(3)]
    beta = float(rng.choice([math.inf, 10.0, 1.0, 0.3, 0.07]))
    tuned = tree.policy(beta)
    for decided in decisions:
        true = Tuned(paths, decided, beta, score_range[1])
        base = Tuned(paths, decided, math.inf, score_range[1])
        assert inside(tree.accuracy, base.success, 0.0 if not tree.is_exhausted else 1e-12)
        assert inside(tree.mean_score, base.mean_score)
        assert inside(tuned.success_reference, base.success)
        assert inside(tuned.success, true.success)
        assert inside(tuned.mean_score, true.mean_score)
        assert inside(tuned.value, true.value)
        assert inside(tuned.path_kl, true.kl)
        assert inside(tuned.entropy_reference, base.entropy)
        assert inside(tuned.entropy, true.entropy)
        for length, ends in enumerate(tuned.kl_by_length):
            assert inside(ends, true.kl_of_first(length))
        for law in tuned.prefixes(3):
            prefix = tree_path(tree, law)
            exact = true.next_law(prefix)
            for token, q, low, high in zip(
                law.tokens.tolist(), law.reference, law.lower, law.upper, strict=True
            ):
                assert math.isclose(q, exact[token][0], rel_tol=1e-9)
                assert inside((low, high), exact[token][1])
            kl = sum(p * math.log(p / q) for q, p in exact.values() if p > 0)
            assert inside(law.kl, kl)
            reach = true.masses_by_prefix(len(prefix))[tuple(prefix)]
            assert inside(law.policy_reach, reach[1]) and math.isclose(law.reach, reach[0])


def tree_path(tree, law):
    """The tokens of the prefix of a law, which the texts of these models determine."""
    return tree._expansion.model.encode(law.text)


def test_the_whole_tree_is_exact():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        model = small_model(rng, n_vocab=int(rng.integers(2, 5)))
        verify = HashVerifier(seed)
        paths = enumerate_paths(model, [0], verify, 5)
        tree = llm.answers(model, "a", verify, max_nodes=10_000, max_length=5)
        assert tree.is_exhausted
        correct = sum(path.q for path in paths if path.score == 1)
        too_long = sum(path.q for path in paths if path.score is None)
        assert abs(tree.correct - correct) < 1e-12
        assert abs(tree.too_long - too_long) < 1e-12
        assert abs(tree.frontier - too_long) < 1e-12
        assert tree.n_answers == sum(path.score is not None for path in paths)
        answers = tree.top(10_000, merge=False)
        found = {answer.tokens: answer.mass for answer in answers}
        exact = {tuple(path.tokens): path.q for path in paths if path.score is not None}
        assert found.keys() == exact.keys()
        assert max(abs(found[key] - exact[key]) for key in exact) < 1e-12
        assert sorted((a.mass for a in answers), reverse=True) == [a.mass for a in answers]


def test_intervals_are_nested():
    rng = np.random.default_rng(1)
    for seed in range(8):
        model = small_model(rng, n_vocab=5, zeros=0.0)
        tree = llm.answers(model, "ab", HashVerifier(seed), max_nodes=1, max_length=7)
        for more in (1, 1, 3, 7, 20, 60, 200):
            grown = tree.expand(more, callback=None)
            for name in ("accuracy", "mean_score"):
                before, after = getattr(tree, name), getattr(grown, name)
                assert before[0] <= after[0] <= after[1] <= before[1]
            assert grown.n_nodes <= tree.n_nodes + more
            assert tree.policy(0.2).success[0] <= grown.policy(0.2).success[0] * (1 + 1e-12)
            tree = grown


def test_expanding_again_is_one_call():
    """With batches of one the order of the expansion is that of the masses."""
    model = small_model(np.random.default_rng(3), n_vocab=5, zeros=0.0)
    arguments = {"max_length": 6, "batch_size": 1}
    whole = llm.answers(model, "a", HashVerifier(0), max_nodes=80, **arguments)
    parts = llm.answers(model, "a", HashVerifier(0), max_nodes=13, **arguments)
    before = parts.to_dict()
    assert parts.expand(67).to_dict() == whole.to_dict()
    assert parts.to_dict() == before


def test_samples_fall_into_the_interval():
    """10,000 answers, and what they say of the accuracy is within four standard errors of it."""
    model = small_model(np.random.default_rng(4), n_vocab=5, zeros=0.0)
    verify = HashVerifier(5)
    tree = llm.answers(model, "a", verify, max_nodes=300, max_length=8)
    samples = llm.sample_texts(
        model, ["a"] * 10_000, max_length=8, rng=0,
        stop=lambda text: verify(text, False) is not None,
    )  # fmt: skip
    right = np.mean([verify(sample.text, sample.ended) is True for sample in samples])
    error = 4 * math.sqrt(right * (1 - right) / 10_000)
    assert tree.frontier < 0.1 and tree.too_long < 0.02
    assert tree.accuracy[0] - error <= right <= tree.accuracy[1] + error


def test_a_vocabulary_larger_than_a_row_keeps():
    """Tokens beyond the first ones are found by further rows of the same prefix."""
    rng = np.random.default_rng(6)
    n = 9000
    law = rng.dirichlet(np.full(n, 0.3))
    tokens = [f"<{i}>" for i in range(n)]
    model = llm.TableModel(tokens, law, end=[0])
    verify = HashVerifier(1, decided=0.7)
    kept = [verify(text, i == 0) for i, text in enumerate(["", *tokens[1:]])]
    correct = [i for i, score in enumerate(kept) if score is True]
    first = llm.answers(model, [5], verify, max_nodes=1, max_length=1)
    assert first.n_prefixes == 1 + 511
    tree = llm.answers(model, [5], verify, max_nodes=50, max_length=1)
    row = np.exp(model.next_log_probs([[5]])[0].astype(float))
    row /= row.sum()
    assert tree.is_exhausted and tree.n_prefixes == 1 + np.count_nonzero(row)
    assert tree.n_nodes == 4
    assert abs(tree.correct - row[correct].sum()) < 1e-12
    law = tree.policy(1.0).next_tokens()
    assert (np.diff(law.reference) <= 0).all() and abs(law.reference.sum() - 1) < 1e-12
    middle = llm.answers(model, [5], verify, max_nodes=2, max_length=1)
    assert middle.n_prefixes == 1 + 4 * 511 and middle.policy(1.0).next_tokens().rest > 0


def test_the_chain_says_the_same():
    rng = np.random.default_rng(7)
    for seed in range(6):
        model = small_model(rng, n_vocab=4, zeros=0.1)
        tree = llm.answers(model, "a", HashVerifier(seed), max_nodes=25, max_length=6, top_k=3)
        chain = tree.chain
        correct, wrong = tree.correct_states, tree.wrong_states
        frontier = tree.frontier_states
        assert not (correct & wrong).any() and not (frontier & (correct | wrong)).any()
        assert chain.n_states == tree.n_prefixes + 1 == len(chain.labels)
        lower = fe.hitting_probabilities(chain, correct, avoid=wrong | frontier)
        upper = fe.hitting_probabilities(chain, correct | frontier, avoid=wrong)
        assert abs(lower.probability[0] - tree.accuracy[0]) < 1e-12
        assert abs(upper.probability[0] - tree.accuracy[1]) < 1e-12
        for beta in (2.0, 0.2):
            tuned = tree.policy(beta)
            ends = [
                fe.policy.verifiable(chain, correct, beta, wrong=wrong | frontier),
                fe.policy.verifiable(chain, correct | frontier, beta, wrong=wrong),
            ]
            for name in ("success", "value"):
                found = [float(getattr(end, name)[0]) for end in ends]
                assert np.allclose(getattr(tuned, name), found, atol=1e-12, rtol=1e-12)
            law = tuned.next_tokens()
            rows = [end.chain.to_scipy()[[0]].toarray()[0] for end in ends]
            children = np.flatnonzero(chain.to_scipy()[[0]].toarray()[0][:-1])
            for row in rows:
                assert (row[children] >= law.lower - 1e-12).all()
                assert (row[children] <= law.upper + 1e-12).all()
        moved = fe.hitting_probabilities(
            ends[0].flow(1.5), correct, avoid=wrong | frontier
        ).probability[0]
        assert abs(tree.flow(1.5, beta=0.2).success[0] - moved) < 1e-9
    labels = [text for text, is_one in zip(chain.labels, correct, strict=True) if is_one]
    assert {answer.text for answer in tree.top(99) if answer.score == 1} == {*labels}


@pytest.mark.parametrize("merge", [True, False])
def test_paths_of_one_text(merge):
    """ "ab" is one token or two."""
    model = llm.TableModel(["a", "b", "ab", "<end>"], [0.3, 0.3, 0.2, 0.2], end=[3])
    tree = llm.answers(
        model, "a", lambda text, ended: text == "ab" if len(text) > 1 or ended else None,
        max_nodes=9, max_length=4,
    )  # fmt: skip
    top = tree.top(merge=merge)
    masses = [answer.mass for answer in top if answer.text == "ab"]
    assert np.allclose(masses, [0.29] if merge else [0.2, 0.09], atol=1e-7)
    assert [a.n_paths for a in top if a.text == "ab"] == ([2] if merge else [1, 1])


def test_ends_enclose_the_exact_masses():
    """Sums of products in sixty digits, of the rows as the model returns them."""
    mp = pytest.importorskip("mpmath")
    with mp.workdps(60):
        for seed in range(12):
            rng = np.random.default_rng(seed)
            model, verify = small_model(rng, order=1), HashVerifier(seed, decided=0.4)
            right, wrong = exact_masses(mp, model, verify, 4)
            for n in (2, 500):
                lower, upper = llm.answers(model, "a", verify, max_nodes=n, max_length=4).accuracy
                assert mp.mpf(lower) <= right and mp.mpf(upper) >= 1 - wrong - mp.mpf("1e-55")
            assert upper - lower - float(1 - right - wrong) < 1e-13


def exact_masses(mp, model, verify, max_length):
    """(mass of the correct answers, of the wrong ones), which end or are decided."""
    found = {True: mp.mpf(0), False: mp.mpf(0)}

    def go(tokens, q):
        logs = model.next_log_probs([[0, *tokens]])[0].tolist()
        law = [mp.exp(mp.mpf(x)) if x > -math.inf else mp.mpf(0) for x in logs]
        for token, p in enumerate(law):
            path, mass = [*tokens, token], q * p / sum(law)
            if mass:
                score = verify(model.decode(path), token in model.end)
                if score is not None:
                    found[score] += mass
                elif token not in model.end and len(path) < max_length:
                    go(path, mass)

    go([], mp.mpf(1))
    return found[True], found[False]
