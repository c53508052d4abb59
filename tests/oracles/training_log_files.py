"""Training logs as trainers write them, made from the arrays of one run.

    python tests/oracles/training_log_files.py FOLDER

writes one log of every format into FOLDER. transformers (its TrainerState), pyarrow and tensorboard
write their own formats where they are installed; the rest follows the writers of verl, OpenRLHF and
open-instruct field by field.
"""

import csv
import json
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np


class Run(NamedTuple):
    """Arrays of a run; KL and entropy in nats per token."""

    step: np.ndarray
    accuracy: np.ndarray
    kl: np.ndarray
    entropy: np.ndarray
    length: np.ndarray


def run(n=60, seed=0):
    """A run of the natural law, with noise."""
    rng = np.random.default_rng(seed)
    step = np.arange(1.0, n + 1)
    p = 1 / (1 + np.exp(-0.2 - (1 - np.exp(-0.6 * 0.08 * step)) / 0.6))
    length = 150 + 40 * p + rng.normal(size=n)
    p0 = 1 / (1 + np.exp(-0.2))
    kl = p * np.log(p / p0) + (1 - p) * np.log((1 - p) / (1 - p0))
    entropy = 40 - 20 * p - p * np.log(p) - (1 - p) * np.log(1 - p)
    noise = rng.normal(size=(3, n))
    return Run(
        step,
        np.clip(p + 0.02 * noise[0], 0, 1),
        (1.3 * kl + 0.01 * noise[1]) / length,
        (entropy + 0.2 * noise[2]) / length,
        length,
    )


def history(run):
    """Entries of TRL's log_history: training, an evaluation in between, and the summary."""
    entries = []
    for step, p, kl, h, length in zip(*run, strict=True):
        entries.append({
            "clip_ratio/high_max": 0.0, "clip_ratio/region_mean": 0.0,
            "completions/clipped_ratio": 0.0, "completions/max_length": length + 9,
            "completions/mean_length": length, "completions/mean_terminated_length": length,
            "entropy": h, "epoch": step / 100, "frac_reward_zero_std": 0.25, "grad_norm": 0.1,
            "kl": kl, "learning_rate": 1e-6, "loss": 0.0, "num_tokens": 1000.0 * step,
            "reward": p, "reward_std": 0.4, "rewards/accuracy_reward/mean": p,
            "rewards/accuracy_reward/std": 0.4, "step": int(step), "step_time": 3.0,
        })  # fmt: skip
        if step % 20 == 0:
            entries.append({"epoch": step / 100, "eval_reward": 0.9, "step": int(step)})
    entries.append({"step": int(run.step[-1]), "total_flos": 0.0, "train_loss": 0.0})
    return entries


def trl_state(path, run):
    try:
        from transformers import TrainerState
    except ImportError:
        state = {"best_metric": None, "global_step": len(run.step), "log_history": history(run)}
        path.write_text(json.dumps(state, indent=2, sort_keys=True) + "\n")
    else:
        TrainerState(global_step=len(run.step), log_history=history(run)).save_to_json(str(path))


def answers(run, prompts=8, size=4, seed=1):
    """(step, prompt, reward) of single answers, about as accurate as the run."""
    rng = np.random.default_rng(seed)
    return [
        (int(step), f"question {int(q)}", float(rng.random() < p))
        for step, p in zip(run.step, run.accuracy, strict=True)
        for q in rng.choice(100, prompts, replace=False)
        for _ in range(size)
    ]


def trl_completions(folder, rows):
    import pyarrow as pa
    from pyarrow.parquet import write_table

    folder.mkdir()
    for step in sorted({row[0] for row in rows}):
        mine = [row for row in rows if row[0] == step]
        table = pa.table({
            "step": [step] * len(mine),
            "prompt": [prompt for _, prompt, _ in mine],
            "completion": ["some text"] * len(mine),
            "accuracy_reward": [reward for _, _, reward in mine],
            "advantage": [0.0] * len(mine),
        })  # fmt: skip
        write_table(table, folder / f"completions_{step:05d}.parquet")


def verl_rows(run):
    for step, p, kl, h, length in zip(*run, strict=True):
        yield int(step), {
            "actor/entropy": h, "actor/kl_loss": kl, "actor/kl_coef": 0.001, "actor/ppo_kl": 0.3,
            "actor/pg_loss": 0.0, "critic/score/mean": p, "critic/score/max": 1.0,
            "critic/rewards/mean": p, "response_length/mean": length,
            "response_length/max": length + 9, "training/global_step": int(step),
        }  # fmt: skip


def verl_file(path, run):
    with open(path, "w") as file:
        for step, data in verl_rows(run):
            file.write(json.dumps({"step": step, "data": data}) + "\n")


def verl_rollouts(folder, rows):
    folder.mkdir()
    for step in sorted({row[0] for row in rows}):
        lines = [
            json.dumps({"input": prompt, "output": "text", "gts": "7", "score": 2 * reward - 1,
                        "step": step, "acc": bool(reward)})
            for at, prompt, reward in rows if at == step
        ]  # fmt: skip
        (folder / f"{step}.jsonl").write_text("\n".join(lines) + "\n")


def openrlhf_rows(run):
    for step, p, kl, h, length in zip(*run, strict=True):
        yield int(step), {
            "policy_loss": 0.0, "reward": p - 0.1, "kl": kl, "ppo_kl": 0.3, "logprobs_diff": kl,
            "entropy_loss": h, "response_length": length, "total_length": length + 50,
            "rollout/reward_mean": p, "rollout/response_length_mean": length,
        }  # fmt: skip


def open_instruct_rows(run):
    for step, p, kl, h, length in zip(*run, strict=True):
        yield int(step), {
            "training_step": int(step), "global_step": 64 * int(step), "scores": 10 * p,
            "objective/verifiable_correct_rate": p, "objective/kl0_avg": kl / 2,
            "objective/kl1_avg": kl / 3, "objective/kl2_avg": kl, "objective/kl3_avg": kl / 2,
            "policy/entropy_avg": h, "val/sequence_lengths": length,
        }  # fmt: skip


def tensorboard(folder, rows, prefix=""):
    """An event file; its numbers are float32."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    writer = EventFileWriter(str(folder))
    for step, row in rows:
        values = [
            Summary.Value(tag=prefix + name, simple_value=value) for name, value in row.items()
        ]
        writer.add_event(Event(step=step, wall_time=1.0, summary=Summary(value=values)))
    writer.close()


def table(path, rows):
    """A CSV with the columns of all rows."""
    rows = list(rows)
    names = list(dict.fromkeys(name for row in rows for name in row))
    with open(path, "w", newline="") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)


def wandb_chart(path, run, name, values, runs=("run-7",)):
    """The export of a chart of one metric."""
    rows = []
    for step, value in zip(run.step, values, strict=True):
        row = {"Step": int(step)}
        for i, label in enumerate(runs):
            row |= {
                f"{label} - {name}": value + 0.001 * i,
                f"{label} - {name}__MIN": value,
                f"{label} - {name}__MAX": value,
            }
        rows.append(row)
    table(path, rows)


def all_formats(folder):
    """One log of every format; path -> nothing else than the name of the format."""
    folder = Path(folder)
    made = run()
    trl_state(folder / "trainer_state.json", made)
    trl_completions(folder / "completions", answers(made))
    verl_file(folder / "verl.jsonl", made)
    verl_rollouts(folder / "rollouts", answers(made))
    tensorboard(folder / "openrlhf", openrlhf_rows(made), "train/")
    table(folder / "open_instruct.csv", (row for _, row in open_instruct_rows(made)))
    wandb_chart(folder / "chart.csv", made, "train/reward", made.accuracy)


if __name__ == "__main__":
    all_formats(*sys.argv[1:])
