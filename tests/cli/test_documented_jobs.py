"""The jobs of new users, by the commands of their pages in docs/, on files that others prepare.

The jobs in Python (trajectories to error bars) are examples of a page that tests/test_docs.py runs;
here their numbers are compared with the chain that the data came from.
"""

import doctest
import os
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from prism_models import crowds, die, queue

import fastebm as fe

DOCS = Path(__file__).resolve().parents[2] / "docs"
N_EDGES = int(os.environ.get("FASTEBM_JOB_EDGES", "20000"))  # 200000 in the size


def commands(page, language="sh"):
    """The commands of fastebm in the code blocks of a page, as lists of arguments."""
    blocks = re.findall(rf"```{language}\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    split = (shlex.split(line.removeprefix("$ "), comments=True) for line in lines)
    return [words[1:] for words in split if words[:1] == ["fastebm"]]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read_column(path, column):
    """{state: value} of a table that --output wrote."""
    if path.suffix == ".parquet":
        import pyarrow.parquet

        table = pyarrow.parquet.read_table(path).to_pydict()
        return dict(zip(table["state"], table[column], strict=True))
    head, *lines = path.read_text().splitlines()
    names = head.split(",")
    rows = (line.split(",") for line in lines)
    return {row[0]: float(row[names.index(column)]) for row in rows}


def test_an_edge_list_to_a_pagerank_file(folder, call):
    """Labelled nodes, weights, nodes without an edge out, an edge listed twice."""
    rng = np.random.default_rng(5)
    n = N_EDGES // 10
    source, target = rng.integers(0, n - n // 20, N_EDGES), rng.integers(0, n, N_EDGES)
    weight = rng.integers(1, 9, N_EDGES)
    lines = [f"page {x},page {y},{w}" for x, y, w in zip(source, target, weight, strict=True)]
    (folder / "edges.csv").write_text("\n".join(["source,target,weight", *lines]) + "\n")
    (folder / "start.csv").write_text(f"page {source[0]},2\npage {source[1]},1\n")
    listed = commands("guide/networks.md")
    assert [words[0] for words in listed] == ["pagerank"] * 2
    A = sp.coo_array((weight.astype(float), (source, target)), shape=(n, n)).tocsr()
    used = np.union1d(source, target)
    start = np.zeros(n)
    start[source[[0, 1]]] = [2, 1] if source[0] != source[1] else 3
    uniform = np.where(np.isin(np.arange(n), used), 1.0, 0.0)
    outs = A.sum(axis=1)
    for words, v, damping in zip(listed, (uniform, start), (0.85, 0.9), strict=True):
        code, answer, err = call(*words)
        assert (code, err) == (0, "") and answer["status"] == "done"
        found = read_column(folder / words[words.index("--output") + 1], "pi")
        v = v / v.sum()
        x = v
        for _ in range(300):  # 0.9^300 = 2e-14
            share = np.divide(x, outs, out=np.zeros(n), where=outs > 0)
            x = damping * (share @ A + x[outs == 0].sum() * v) + (1 - damping) * v
        got = np.array([found[f"page {i}"] for i in used])
        assert len(found) == len(used) and np.abs(got - x[used]).sum() < 2e-10


def test_trajectories_to_timescales_sets_flux_and_error_bars():
    """The page's own variables after all its examples, against the chain it simulates."""
    text = (DOCS / "guide" / "kinetics.md").read_text()
    blocks = "".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    page = doctest.DocTestParser().get_doctest(blocks, {}, "kinetics", None, 0)
    runner = doctest.DocTestRunner(verbose=False)
    runner.run(page, clear_globs=False)
    assert runner.summarize(verbose=False).failed == 0
    ran = page.globs
    truth = fe.tilt(ran["line"], -ran["energy"], 2.0)
    slowest = fe.eigenpairs(truth, 2, rng=0).timescales[1]
    found = ran["found"]
    assert np.all(found.timescales[:, 0] == pytest.approx(slowest, rel=0.2))
    assert ran["test"].converged and ran["sets"].converged
    left, right = ran["left"], ran["right"]
    exact = fe.reactive_flux(truth, left, right)
    # by step of the data; mfpt itself depends much on the sampled populations of the two wells
    assert ran["flux"].total_flux / 5 == pytest.approx(exact.total_flux, rel=0.2)
    assert ran["rate"].lower < ran["flux"].rate < ran["rate"].upper
    assert ran["sets"].assignment[left].tolist() != ran["sets"].assignment[right].tolist()


def test_a_die_a_queue_and_crowds_from_files(folder, call):
    die(folder), queue(folder), crowds(folder)
    listed = commands("guide/model-checking.md")
    assert len(listed) == 6
    answers = []
    for words in listed:
        code, answer, err = call(*words)
        assert (code, err) == (0, ""), (words, err)
        answers.append(answer["start"][0])
    six, within, reward, long_run, full, seen = answers
    assert six["probability"] == pytest.approx(1 / 6, rel=1e-12)
    assert within["probability"] == 0.75
    assert reward["reward"] == pytest.approx(11 / 3, rel=1e-12)
    assert long_run["long_run"] == pytest.approx(1 / 6, rel=1e-12)
    Q = np.diag(np.ones(20), 1) + np.diag(np.full(20, 1.25), -1)
    Q[20] = 0.0  # the target is not left
    Q -= np.diag(Q.sum(axis=1))
    lam, V = np.linalg.eig(Q)
    law = (V[0] * np.exp(50.0 * lam)) @ np.linalg.inv(V)
    assert full["probability"] == pytest.approx(law[20].real, rel=1e-8)
    # of three rounds, each sees the sender with the same probability, independently
    s = np.linalg.solve([[0.84, -0.48], [-0.16, 0.52]], [0.16, 0.0])[0]
    assert seen["probability"] == pytest.approx(3 * s**2 * (1 - s) + s**3, rel=1e-12)
    assert len(read_column(folder / "crowds.csv", "probability")) > 10


def test_the_tasks_of_an_array_give_what_one_sweep_gives(folder, call, npz):
    """The command of the Slurm script of the page, for each of its three tasks."""
    rng = np.random.default_rng(2)
    W = rng.random((300, 300)) * (rng.random((300, 300)) < 0.05)
    W = W + W.T + np.eye(300)
    npz(folder, W / W.sum(axis=1, keepdims=True), "policy.npz")
    (folder / "reward.csv").write_text("".join(f"{3 * x}\n" for x in range(300)))
    script = re.search(r"```bash\n(#!/bin/bash\n#SBATCH --array.*?)```",
                       (DOCS / "guide" / "jobs.md").read_text(), re.DOTALL)[1]  # fmt: skip
    betas = re.search(r"betas=\((.*?)\)", script)[1].split()
    command = script[script.index("exec fastebm") :].replace("\\\n", " ").split(">")[0]
    tasks = []
    for beta in betas:
        words = shlex.split(command.replace("$beta", beta))[2:]
        words = [word for word in words if word != "--progress"]
        code, answer, _ = call(*words)
        assert code == 0 and len(answer["temperatures"]) == 1
        tasks += answer["temperatures"]
    code, whole, _ = call("sweep", "policy.npz", "--reward", "reward.csv", "--level", 690,
                          "--betas", *betas, "--seed", 0)  # fmt: skip
    assert code == 0
    keys = ("beta", "mean_reward")
    assert [[t[k] for k in keys] for t in tasks] == [
        [t[k] for k in keys] for t in whole["temperatures"]
    ]
    assert [t["gap"]["gap"] for t in tasks] == [t["gap"]["gap"] for t in whole["temperatures"]]
    assert not list(folder.glob("*.ckpt"))


def test_the_errors_of_the_faq(folder, call):
    (folder / "two.csv").write_text("1,2\n3,4\n")
    (folder / "ring.csv").write_text("a,b,1\nb,c,1\nc,a,2\n")
    text = re.search(r"```console\n(.*?)```", (DOCS / "faq.md").read_text(), re.DOTALL)[1]
    listed = re.findall(r"^\$ fastebm (.*)\n(.*)\n", text, re.MULTILINE)
    assert len(listed) == 4
    for words, message in listed:
        code, _, err = call(*shlex.split(words))
        assert code in (1, 2) and err == message + "\n"
