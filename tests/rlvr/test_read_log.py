"""Training logs: every format gives the arrays it was made from, units are converted only where the
averages allow it, and damaged or ambiguous files are refused with file, line and remedy."""

import gzip
import json
import os
from pathlib import Path

import numpy as np
import pytest
import training_log_files as files

from fastebm import InputTooLargeError, InvalidChainError, rlvr

RUN = files.run()
PER_ANSWER = RUN._replace(kl=RUN.kl * RUN.length, entropy=RUN.entropy * RUN.length)


def has_tensorboard():
    return pytest.importorskip("tensorboard", reason="event files need tensorboard")


def same_fit(log, run=PER_ANSWER, kl=True, rtol=0.0):
    """The fit of the log is that of the arrays."""
    expected = rlvr.fit_curve(
        run.step, run.accuracy, kl=run.kl if kl else None, entropy=run.entropy
    )
    found = rlvr.fit_curve(log)
    for name in ("p0", "speed", "beta", "beta_se", "kl_scale", "h_correct", "h_wrong", "h_scale"):
        wanted = getattr(expected, name)
        if wanted is None:
            assert getattr(found, name) is None
        else:
            assert getattr(found, name) == pytest.approx(wanted, rel=rtol, abs=0.0), name


def same_accuracies(log, means):
    """The fit of files of answers is that of the mean rewards, up to rounding of these."""
    found, expected = rlvr.fit_curve(log), rlvr.fit_curve(RUN.step, means)
    for name in ("p0", "speed", "beta", "beta_se"):
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-9), name


def rows_of(maker):
    return [{"step": step, **row} for step, row in maker(RUN)]


# ---- each format


def test_trl_state(tmp_path):
    path = tmp_path / "trainer_state.json"
    files.trl_state(path, RUN)
    log = rlvr.read_log(path)
    assert log.format == "trl" and log.paths == (str(path),)
    np.testing.assert_array_equal(log.step, RUN.step)
    np.testing.assert_array_equal(log.accuracy, RUN.accuracy)
    np.testing.assert_array_equal(log.kl_logged, RUN.kl)
    np.testing.assert_array_equal(log.frac_zero_std, np.full(60, 0.25))
    assert log.units == {
        "kl_logged": "nats per token",
        "kl": "nats per answer",
        "entropy_logged": "nats per token",
        "entropy": "nats per answer",
    }
    assert "k3" in log.kl_estimator and log.columns["accuracy"] == "rewards/accuracy_reward/mean"
    same_fit(log)


def test_trl_answers_give_prompts_and_the_shares_of_equal_groups(tmp_path):
    pytest.importorskip("pyarrow")
    rows = files.answers(RUN)
    files.trl_completions(tmp_path / "completions", rows)
    log = rlvr.read_log(tmp_path / "completions")
    assert log.group_size == 4 and log.format == "trl" and log.kl is None
    groups = {}
    for step, prompt, reward in rows:
        groups.setdefault((step, prompt), []).append(reward)
    means = np.array([np.mean([r for s, _, r in rows if s == step]) for step in RUN.step])
    np.testing.assert_allclose(log.accuracy, means, rtol=1e-15)
    same_accuracies(log, means)
    right = [np.mean([all(g) for (s, _), g in groups.items() if s == x]) for x in RUN.step]
    wrong = [np.mean([not any(g) for (s, _), g in groups.items() if s == x]) for x in RUN.step]
    np.testing.assert_allclose(log.frac_all_correct, right, rtol=1e-15)
    np.testing.assert_allclose(log.frac_all_wrong, wrong, rtol=1e-15)
    np.testing.assert_allclose(log.frac_zero_std, np.add(right, wrong), rtol=1e-15)
    assert log.prompt_answers.sum() == len(rows)
    assert log.prompt_correct.sum() == sum(reward for _, _, reward in rows)
    assert log.prompt_id.max() + 1 == len({prompt for _, prompt, _ in rows})


def test_a_folder_joins_the_last_checkpoint_and_the_answers(tmp_path):
    pytest.importorskip("pyarrow")
    files.trl_completions(tmp_path / "completions", files.answers(RUN))
    for n, short in ((9, RUN._replace(kl=0 * RUN.kl)), (60, RUN)):
        (tmp_path / f"checkpoint-{n}").mkdir()
        files.trl_state(tmp_path / f"checkpoint-{n}" / "trainer_state.json", short)
    log = rlvr.read_log(tmp_path)
    assert len(log.paths) == 61 and "checkpoint-60" in log.paths[0]
    np.testing.assert_array_equal(log.accuracy, RUN.accuracy)  # the trainer's own, not the sample's
    assert log.group_size == 4 and log.frac_all_wrong is not None
    same_fit(log)


def test_verl_file_logger(tmp_path):
    path = tmp_path / "run.jsonl"
    files.verl_file(path, RUN)
    log = rlvr.read_log(path)
    assert log.format == "verl" and log.columns["kl"] == "actor/kl_loss"
    assert any("kl_factor" in note for note in log.notes)
    same_fit(log)
    quarter = rlvr.read_log(path, kl_factor=0.25)
    np.testing.assert_array_equal(quarter.kl, 0.25 * RUN.kl * RUN.length)


def test_verl_rollouts(tmp_path):
    rows = files.answers(RUN)
    files.verl_rollouts(tmp_path / "rollouts", rows)
    log = rlvr.read_log(tmp_path / "rollouts")
    means = [np.mean([r for s, _, r in rows if s == step]) for step in RUN.step]
    np.testing.assert_allclose(log.accuracy, means, rtol=1e-15)
    same_accuracies(log, means)
    assert log.format == "verl" and log.group_size == 4 and log.columns["accuracy"] == "acc"
    np.testing.assert_array_equal(log.step, RUN.step)  # 10.jsonl after 9.jsonl
    scores = rlvr.read_log(
        tmp_path / "rollouts", columns={"accuracy": "score"}, reward_range=(-1, 1)
    )
    np.testing.assert_allclose(scores.accuracy, means, rtol=1e-15)
    with pytest.raises(InvalidChainError, match=r"1\.jsonl: line \d+: score is -1; .*reward_range"):
        rlvr.read_log(tmp_path / "rollouts", columns={"accuracy": "score"})


def test_openrlhf_kl_is_not_converted(tmp_path):
    has_tensorboard()
    files.tensorboard(tmp_path, files.openrlhf_rows(RUN), "train/")
    log = rlvr.read_log(tmp_path)
    assert log.format == "openrlhf" and log.columns["accuracy"] == "train/rollout/reward_mean"
    assert log.kl is None and "within each answer first" in log.units["kl_logged"]
    assert "kl" not in log.units and any("do not follow" in note for note in log.notes)
    rounded = RUN._replace(**{k: v.astype(np.float32) for k, v in RUN._asdict().items()})
    same_fit(
        log,
        files.Run(*(np.float64(x) for x in rounded))._replace(
            entropy=np.float64(rounded.entropy) * np.float64(rounded.length)
        ),
        kl=False,
    )
    given = rlvr.read_log(tmp_path, units={"kl": "per token"})
    assert given.units["kl"] == "nats per answer" and given.kl is not None


def test_tensorboard_of_trl(tmp_path):
    has_tensorboard()
    rows = [(row["step"], row) for row in files.history(RUN) if "reward" in row]
    files.tensorboard(tmp_path, rows, "train/")
    log = rlvr.read_log(next(tmp_path.glob("*tfevents*")))
    assert log.format == "trl" and log.columns["kl"] == "train/kl"
    np.testing.assert_array_equal(log.accuracy, RUN.accuracy.astype(np.float32))
    single = files.Run(*(np.float64(np.float32(values)) for values in RUN))
    same_fit(
        log, single._replace(kl=single.kl * single.length, entropy=single.entropy * single.length)
    )


def test_open_instruct(tmp_path):
    path = tmp_path / "history.csv"
    files.table(path, (row for _, row in files.open_instruct_rows(RUN)))
    log = rlvr.read_log(path)
    assert log.format == "open-instruct" and log.columns["kl"] == "objective/kl2_avg"
    assert log.kl_estimator.startswith("k3") and log.columns["step"] == "training_step"
    same_fit(log)
    old = [row | {"objective/kl_avg": 0.1} for _, row in files.open_instruct_rows(RUN)]
    files.table(path, old)  # names of before 2025-09: kl2_avg is k2, along a configured axis
    log = rlvr.read_log(path)
    assert log.kl is None and log.columns["kl"] == "objective/kl3_avg"


def test_wandb_history_and_charts(tmp_path):
    path = tmp_path / "history.csv"
    rows = [
        {"_step": 5 * row["step"], "_runtime": 1.0, "train/global_step": row["step"]}
        | {f"train/{name}": value for name, value in row.items() if name != "step"}
        for row in files.history(RUN)
        if "reward" in row
    ]
    files.table(path, rows)
    log = rlvr.read_log(path)
    assert log.format == "trl" and log.columns["step"] == "train/global_step"
    same_fit(log)
    curves = {
        "train/reward": RUN.accuracy,
        "train/kl": RUN.kl,
        "train/entropy": RUN.entropy,
        "train/completions/mean_length": RUN.length,
    }
    paths = []
    for i, (name, values) in enumerate(curves.items()):
        paths.append(tmp_path / f"chart{i}.csv")
        files.wandb_chart(paths[-1], RUN, name, values, runs=("run - a", "b"))
    with pytest.raises(InvalidChainError, match=r"several runs: b, run - a; choose one with run="):
        rlvr.read_log(paths)
    log = rlvr.read_log(paths, run="run - a")
    assert log.format == "trl" and log.units["kl"] == "nats per answer"
    same_fit(log)


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "jsonl.gz", "parquet", "json"])
def test_plain_tables(tmp_path, kind):
    names = ("time", "acc", "D", "H", "tokens")
    rows = [dict(zip(names, map(float, row), strict=True)) for row in zip(*RUN, strict=True)]
    path = tmp_path / f"log.{kind}"
    if kind in ("csv", "tsv"):
        files.table(path, rows)
        if kind == "tsv":
            path.write_text(path.read_text().replace(",", "\t"))
    elif kind == "parquet":
        pa = pytest.importorskip("pyarrow")
        pytest.importorskip("pyarrow.parquet").write_table(pa.Table.from_pylist(rows), path)
    elif kind == "json":
        path.write_text(json.dumps(rows))
    else:
        text = "".join(json.dumps(row) + "\n" for row in rows).encode()
        path.write_bytes(gzip.compress(text) if kind.endswith("gz") else text)
    columns = {"step": "time", "kl": "D", "entropy": "H", "length": "tokens"}
    log = rlvr.read_log(path, columns=columns, units={"kl": "per token", "entropy": "per token"})
    assert log.format == "plain" and log.columns == columns | {"accuracy": "acc"}
    same_fit(log)
    logged = rlvr.read_log(path, columns=columns)
    np.testing.assert_array_equal(logged.kl, RUN.kl)
    assert logged.units["kl"] == "not stated" and any("not stated" in n for n in logged.notes)


# ---- what is missing, and what is refused


def test_a_log_has_all_the_curves(tmp_path):
    path = tmp_path / "trainer_state.json"
    files.trl_state(path, RUN)
    with pytest.raises(TypeError, match="leave accuracy, kl and entropy out"):
        rlvr.fit_curve(rlvr.read_log(path), RUN.accuracy)
    with pytest.raises(TypeError, match="accuracy is missing"):
        rlvr.fit_curve(RUN.step)


def test_rows_lose_only_what_is_missing(tmp_path):
    path = tmp_path / "log.jsonl"
    lines = []
    for i, (_, data) in enumerate(files.verl_rows(RUN)):
        if i % 3:
            data["actor/kl_loss"] = None
        if i == 5:
            data["critic/score/mean"] = float("nan")
        if i == 7:
            data["actor/entropy"] = float("inf")
        lines.append(json.dumps({"step": i + 1, "data": data}))
    path.write_text("\n".join(lines) + "\n")
    log = rlvr.read_log(path)
    assert np.isnan(log.kl).sum() == 40 and np.isnan(log.accuracy).sum() == 1
    assert np.isnan(log.entropy).sum() == 1
    assert any("infinite in 1 rows, first at line 8" in note for note in log.notes)
    fit = rlvr.fit_curve(log)
    assert fit.n_steps == 59 and fit.n_dropped == 1
    keep = np.arange(60) != 5
    kl = np.where(np.arange(60) % 3 == 0, PER_ANSWER.kl, np.nan)
    entropy = np.where(np.arange(60) == 7, np.nan, PER_ANSWER.entropy)
    alone = rlvr.fit_curve(RUN.step[keep], RUN.accuracy[keep], kl=kl[keep], entropy=entropy[keep])
    assert fit.beta == alone.beta and fit.kl_scale == alone.kl_scale and fit.kl.size == 59
    full = rlvr.fit_curve(RUN.step[keep], RUN.accuracy[keep])
    assert fit.beta == full.beta  # the accuracies of rows without KL count


def test_columns_without_a_number_are_named(tmp_path):
    path = tmp_path / "log.csv"
    rows = rows_of(files.verl_rows)
    for row in rows:
        row |= {"actor/kl_loss": 0.0, "actor/entropy": "NaN"}
    files.table(path, rows)
    log = rlvr.read_log(path)
    assert log.kl is None and log.entropy is None
    text = "\n".join(log.notes)
    assert "actor/kl_loss is 0 in every row" in text and "actor/entropy holds no number" in text
    assert "actor/ppo_kl is the divergence from the policy that wrote the answers" in text
    for row in rows:
        row["critic/score/mean"] = ""
    files.table(path, rows)
    with pytest.raises(InvalidChainError, match=r"log\.csv: no column of accuracies.*columns="):
        rlvr.read_log(path)


def test_the_kl_of_trls_async_trainer_is_to_the_old_policy(tmp_path):
    """Its "kl" is k3 of the ratio to the policy that wrote the answers: it has no reference."""
    path = tmp_path / "trainer_state.json"
    for row in (history := [row for row in files.history(RUN) if "reward" in row]):
        row["ratio"] = 1.01
    path.write_text(json.dumps({"log_history": history}))
    log = rlvr.read_log(path)
    assert log.format == "trl" and log.kl is None and log.entropy is not None
    assert any("kl is the divergence from the policy that wrote" in note for note in log.notes)
    with pytest.raises(InvalidChainError, match="kl is the divergence from the OLD policy"):
        rlvr.read_log(path, columns={"kl": "kl"})
    for row in history:
        del row["ratio"]
    path.write_text(json.dumps({"log_history": history}))
    assert rlvr.read_log(path).kl is not None


@pytest.mark.parametrize("name, message", [
    ("loss/kl_avg", "loss/kl_avg is the KL times beta of the run; name objective/kl2_avg"),
    ("actor/kl_coef", "actor/kl_coef is the coefficient of the KL; name actor/kl_loss"),
    ("train/objective/non_score_reward", "is the KL times minus its coefficient"),
])  # fmt: skip
def test_a_scaled_kl_is_refused_by_name(tmp_path, name, message):
    path = tmp_path / "log.csv"
    files.table(path, [row | {name: 0.1} for row in rows_of(files.verl_rows)])
    with pytest.raises(InvalidChainError, match=message):
        rlvr.read_log(path, columns={"kl": name})


@pytest.mark.parametrize("name", ["actor/ppo_kl", "ppo_kl", "train/ppo_kl", "policy/approxkl_avg"])
def test_the_kl_to_the_old_policy_is_refused_by_name(tmp_path, name):
    path = tmp_path / "log.csv"
    files.table(path, [row | {name: 0.1} for row in rows_of(files.verl_rows)])
    with pytest.raises(InvalidChainError, match=f"{name} is the divergence from the OLD policy"):
        rlvr.read_log(path, columns={"kl": name})


def test_a_line_still_being_written_is_left_out(tmp_path):
    path = tmp_path / "run.jsonl"
    files.verl_file(path, RUN)
    whole = path.read_text()
    path.write_text(whole[:-40])
    log = rlvr.read_log(path)
    assert log.step.size == 59 and any("line 60, the last one, is cut off" in n for n in log.notes)
    lines = whole.splitlines(keepends=True)
    path.write_text("".join([*lines[:7], lines[7][:40] + "\n", *lines[8:]]))
    with pytest.raises(InvalidChainError, match=r"run\.jsonl: line 8: .*remove that line"):
        rlvr.read_log(path)
    table = tmp_path / "run.csv"
    files.table(table, rows_of(files.verl_rows))
    text = table.read_text()
    table.write_text(text[: text.rindex(",")])
    log = rlvr.read_log(table)
    assert log.step.size == 59 and any("line 61, the last one, has" in n for n in log.notes)


def test_a_resumed_run_replaces_its_steps(tmp_path):
    path = tmp_path / "run.jsonl"
    files.verl_file(path, RUN)
    again = {"step": 60, "data": {"critic/score/mean": 0.25, "actor/pg_loss": 0.0}}
    path.write_text(path.read_text() + json.dumps(again) + "\n")
    log = rlvr.read_log(path)
    assert log.step.size == 60 and log.accuracy[-1] == 0.25
    assert log.kl_logged[-1] == RUN.kl[-1] and any("resumed" in note for note in log.notes)


@pytest.mark.parametrize("name, text, message", [
    ("a.json", '{"log_history": [', r"a\.json: line 1: .*copy it again"),
    ("a.json", '{"steps": 3}', "no list log_history.*trainer_state"),
    ("a.json", '{"log_history": [3]}', "entry of log_history 0 is int"),
    ("a.jsonl", "[1]\n", "line 1 is list, not an object"),
    ("a.jsonl", "", "no (row has a step|column)"),
    ("a.csv", "", "empty"),
    ("a.csv", "step,kl,kl\n1,2,3\n", "'kl' occurs twice"),
    ("a.csv", "step,reward\n1,2,3\n4,5\n", "line 2 has 3 fields, the header 2"),
    ("a.csv", "step,reward\n1,abc\n", r"line 2: reward is 'abc'; it must be a number"),
    ("a.csv", "reward\n1\n", "no column of steps among reward"),
    ("a.csv", "step,kl\n1,1\n", "no column of accuracies"),
    ("a.csv", "step,reward\n1,55\n", r"step 1: reward is 55, outside \[0, 1\]; .*reward_range"),
    ("a.parquet", "junk", "damaged"),
    ("a.txt", "junk", "suffix"),
    ("a.csv.gz", "junk", "damaged"),
])  # fmt: skip
def test_malformed_files_are_refused_with_file_place_and_remedy(tmp_path, name, text, message):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(InvalidChainError, match=message) as caught:
        rlvr.read_log(path)
    assert str(path) in str(caught.value) and ";" in str(caught.value)


def test_a_missing_file_keeps_its_own_error(tmp_path):
    for name in ("a.json", "a.csv", "a.parquet"):
        with pytest.raises(FileNotFoundError):
            rlvr.read_log(tmp_path / name)
    with pytest.raises(InvalidChainError, match="holds no log"):
        rlvr.read_log(tmp_path)


@pytest.mark.parametrize("arguments, message", [
    ({"columns": {"acuracy": "x"}}, "columns must name one of the fields step.*, got 'acuracy'"),
    ({"columns": {"kl": "actor/kl_los"}}, "no column 'actor/kl_los' for kl; .*actor/kl_loss"),
    ({"units": {"kl": "bits"}}, "units"),
    ({"reward_range": (1, 0)}, "reward_range"),
    ({"kl_factor": 0.0}, "kl_factor"),
    ({"format": "ppo"}, "format"),
    ({"run": "a"}, "no column run"),
])  # fmt: skip
def test_arguments(tmp_path, arguments, message):
    path = tmp_path / "run.jsonl"
    files.verl_file(path, RUN)
    with pytest.raises(ValueError, match=message):
        rlvr.read_log(path, **arguments)


def test_several_reward_functions_need_a_choice(tmp_path):
    path = tmp_path / "trainer_state.json"
    history = [
        {f"rewards/{name}/mean": 0.5 + 0.001 * i for name in ("format", "length")}
        | {"step": i, "reward": 1.0, "reward_std": 0.1}
        for i in range(20)
    ]
    path.write_text(json.dumps({"log_history": history}))
    with pytest.raises(InvalidChainError, match=r"2 rewards \(rewards/format/mean"):
        rlvr.read_log(path)
    log = rlvr.read_log(path, columns={"accuracy": "rewards/format/mean"})
    assert log.accuracy[0] == 0.5
    # TRL 0.14 to 0.16 write rewards/NAME; `reward` is their weighted sum, here within [0, 1]
    for row in history:
        for name in ("format", "length"):
            row[f"rewards/{name}"] = row.pop(f"rewards/{name}/mean") / 3
        row["reward"] = row["rewards/format"] + row["rewards/length"]
    path.write_text(json.dumps({"log_history": history}))
    with pytest.raises(InvalidChainError, match=r"2 rewards \(rewards/format, rewards/length"):
        rlvr.read_log(path)
    log = rlvr.read_log(path, columns={"accuracy": "rewards/format"})
    assert log.accuracy[0] == 0.5 / 3


def test_aborted_answers_of_verl_have_no_length(tmp_path):
    path = tmp_path / "run.jsonl"
    rows = [(step, row | {"response_length/mean": row["response_length/mean"] / 2,
                          "response_length_non_aborted/mean": row["response_length/mean"]})
            for step, row in files.verl_rows(RUN)]  # fmt: skip
    path.write_text("".join(json.dumps({"step": s, "data": row}) + "\n" for s, row in rows))
    log = rlvr.read_log(path)
    assert log.columns["length"] == "response_length_non_aborted/mean"
    same_fit(log)


def test_one_run_of_a_table_of_several(tmp_path):
    path = Path(os.environ.get("FASTEBM_SHARED_DATA", "")) / "rlvr_gsm8k_training_curves.csv"
    if not path.is_file():
        pytest.skip(f"{path.name} not found; set FASTEBM_SHARED_DATA to its folder")
    with pytest.raises(InvalidChainError, match="several runs: dapo-lr1e5"):
        rlvr.read_log(path)
    log = rlvr.read_log(path, run="grpo-lr1e5")
    assert log.step.size == 218 and log.frac_all_wrong is not None
    assert rlvr.fit_curve(log).beta == pytest.approx(0.57, abs=0.01)


def test_the_script_makes_every_format(tmp_path):
    pytest.importorskip("pyarrow")
    has_tensorboard()
    files.all_formats(tmp_path)
    names = ("trainer_state.json", "completions", "verl.jsonl", "rollouts", "openrlhf")
    for name in (*names, "open_instruct.csv", "chart.csv"):
        assert rlvr.read_log(tmp_path / name).step.size == 60


def test_hostile_files_are_refused(tmp_path):
    """As those of chains: no pipe blocks, nothing expands without bound, no digits are guessed."""
    bomb = tmp_path / "log.jsonl.gz"
    bomb.write_bytes(gzip.compress(b"\n" * (1 << 24), 9))
    nul = tmp_path / "nul.csv"
    nul.write_bytes(b"step,accuracy\n1,0.5\n\0\n")
    guessed = tmp_path / "guessed.csv"
    guessed.write_text("step,accuracy\n1,0.5\n1_0,0.5\n")
    deep = tmp_path / "deep.json"
    deep.write_text("[" * 100_000)
    table = tmp_path / "table.parquet"
    table.write_bytes(b"PAR1 and no more")
    faults = {
        bomb: "expands more than 200 times",
        nul: "line 3 holds a NUL byte",
        guessed: "line 3: step is '1_0'",
        deep: "cut off or damaged",
        table: "damaged",
    }
    if hasattr(os, "mkfifo"):
        os.mkfifo(tmp_path / "pipe.jsonl")
        faults[tmp_path / "pipe.jsonl"] = "is not a regular file"
    for path, fault in faults.items():
        with pytest.raises(InvalidChainError, match=fault) as error:
            rlvr.read_log(path)
        assert str(path) in str(error.value)


def test_json_beyond_memory_is_refused_before_it_is_read(tmp_path):
    path = tmp_path / "trainer_state.json"
    with open(path, "wb") as file:
        file.truncate(1 << 42)  # a hole: it takes no disk
    with pytest.raises(InputTooLargeError, match="its JSON"):
        rlvr.read_log(path)
