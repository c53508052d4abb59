"""Which columns of a trainer's log are the accuracy, the KL from the reference, the entropy and the
length of an answer, and how each was averaged.

The names and averages are those that the trainers' own code writes: TRL's GRPOTrainer,
RLOOTrainer and AsyncGRPOTrainer (0.14 to 1.10), verl (0.4 to 0.8), OpenRLHF (0.8 to 0.11) and
open-instruct (2025 to 2026).
"""

import difflib
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ..errors import InvalidChainError

#: Fields of a log, in the order in which they are read.
FIELDS = (
    *("step", "accuracy", "kl", "entropy", "length"),
    *("frac_all_correct", "frac_all_wrong", "frac_zero_std"),
)
# How a logged KL or entropy was averaged. Only the first two give nats per answer.
PER_ANSWER = "nats per answer"
PER_TOKEN = "nats per token"
PER_SEQUENCE = "nats per token, averaged within each answer first"
PER_TOKEN_SOMEHOW = "nats per token, over all tokens or within each answer first"
UNSTATED = "not stated"


class Source(NamedTuple):
    """A column that a field may come from."""

    name: str
    unit: str = UNSTATED
    estimator: str | None = None  # of a KL
    caution: str | None = None  # what the log does not say


class Trainer(NamedTuple):
    """The columns that one trainer writes."""

    name: str
    marks: tuple[str, ...]  # any of these columns shows the trainer
    sources: Mapping[str, tuple[Source, ...]]  # field -> the first present is taken


_K3 = "k3: exp(-d) - 1 + d with d = log pi / pi_ref"
_AGGREGATED = (
    "is a mean over tokens under the trainer's default aggregation of the loss; the log does not "
    "say whether another one was set"
)
_PENALISED = "includes the penalties for long or truncated answers, if the run has set any"
_TRL = Trainer(
    "trl",
    ("frac_reward_zero_std", "completions/mean_length", "completion_length", "reward_std"),
    {
        "step": (Source("step"), Source("global_step"), Source("_step"), Source("Step")),
        "accuracy": (Source("reward"),),
        "kl": (
            Source(
                "kl", PER_TOKEN, "k3 (GRPOTrainer) or k1 (RLOOTrainer), which the log does not say"
            ),
        ),
        "entropy": (Source("entropy", PER_TOKEN),),
        "length": (Source("completions/mean_length"), Source("completion_length")),
        "frac_zero_std": (Source("frac_reward_zero_std"),),
    },
)
_VERL = Trainer(
    "verl",
    ("critic/score/mean", "actor/pg_loss", "actor/kl_loss", "actor/ppo_kl", "critic/rewards/mean"),
    {
        "step": (Source("step"), Source("training/global_step"), Source("_step"), Source("Step")),
        "accuracy": (Source("critic/score/mean"),),
        "kl": (
            Source(
                "actor/kl_loss",
                PER_TOKEN,
                "kl_loss_type of the run (k3 by default), which the log does not say",
                f"{_AGGREGATED} (loss_agg_mode). verl 0.7 and later sum it over the updates of a "
                "step, and 0.5 and 0.6 divide it by the number of micro-batches: give kl_factor="
                "1 / updates, or the number of micro-batches, unless that is 1",
            ),
            Source(
                "actor/reward_kl_penalty", PER_SEQUENCE, "kl_penalty of the run (k1 by default)"
            ),
        ),
        "entropy": (
            Source("actor/entropy", PER_TOKEN, None, f"{_AGGREGATED} (loss_agg_mode)"),
            Source(
                "actor/entropy_loss",
                PER_TOKEN,
                None,
                f"{_AGGREGATED} (loss_agg_mode). verl 0.7 and later sum it over the updates of a "
                "step",
            ),
        ),
        # Aborted answers have no tokens and no score.
        "length": (Source("response_length_non_aborted/mean"), Source("response_length/mean")),
    },
)
_OPENRLHF = Trainer(
    "openrlhf",
    ("rollout/reward_mean", "logprobs_diff", "total_length", "rollout/response_length_mean"),
    {
        "step": (Source("global_step"), Source("step"), Source("_step"), Source("Step")),
        "accuracy": (
            Source("rollout/reward_mean", caution=_PENALISED),
            Source("reward", caution=_PENALISED),
        ),
        "kl": (
            # With kl.use_loss it is a mean over tokens, without it one of means within answers.
            Source(
                "kl",
                PER_TOKEN_SOMEHOW,
                "the estimator of the run (k1 by default), clipped to [-10, 10] per token",
            ),
        ),
        "entropy": (
            Source("entropy_loss", PER_TOKEN, None, f"{_AGGREGATED} (per answer for GSPO)"),
        ),
        "length": (Source("rollout/response_length_mean"), Source("response_length")),
    },
)
_OPEN_INSTRUCT = Trainer(
    "open-instruct",
    ("objective/verifiable_correct_rate", "objective/kl0_avg", "val/sequence_lengths"),
    {
        "step": (Source("training_step"), Source("_step"), Source("Step"), Source("step")),
        "accuracy": (Source("objective/verifiable_correct_rate"), Source("scores")),
        "kl": (Source("objective/kl2_avg", PER_TOKEN, _K3), Source("objective/kl_avg")),
        "entropy": (Source("policy/entropy_avg", PER_TOKEN),),
        "length": (Source("val/sequence_lengths"),),
    },
)
_PLAIN = Trainer(
    "plain",
    (),
    {
        "step": tuple(
            Source(name)
            for name in ("step", "steps", "global_step", "training_step", "Step", "_step")
        ),
        "accuracy": (Source("accuracy"), Source("acc"), Source("reward"), Source("mean_reward")),
        "kl": (Source("kl"),),
        "entropy": (Source("entropy"),),
        "length": (Source("length"), Source("mean_length"), Source("completion_length")),
        "frac_all_correct": (Source("frac_all_correct"),),
        "frac_all_wrong": (Source("frac_all_wrong"),),
        "frac_zero_std": (Source("frac_zero_std"),),
    },
)
# TRL last: its "reward" and "kl" also occur in the others.
TRAINERS = {t.name: t for t in (_VERL, _OPEN_INSTRUCT, _OPENRLHF, _TRL, _PLAIN)}
#: Divergences from the policy that wrote the answers, by the last part of their name.
TO_OLD_POLICY = {
    *("ppo_kl", "approx_kl", "approxkl", "approxkl_avg", "vllm_kl", "policy_kl", "old_kl"),
    *("rollout_corr/kl", "rollout_corr/k3_kl", "kl_old"),
}
# TRL's AsyncGRPOTrainer calls the divergence from the policy that wrote the answers "kl". It alone
# logs "ratio", and it has no reference policy.
_ASYNC_TRL = {"ratio", "kl", "reward_std"}
#: Columns that are taken for the KL by mistake, and what they are.
NOT_THE_KL = {
    "loss/kl_avg": "is the KL times beta of the run; name objective/kl2_avg (or kl3_avg)",
    "actor/kl_coef": "is the coefficient of the KL; name actor/kl_loss",
    "actor/reward_kl_penalty_coeff": "is the coefficient of the KL; name actor/reward_kl_penalty",
    "objective/non_score_reward": "is the KL times minus its coefficient; name objective/kl",
}
# Of TRL's DPOTrainer and its kin: no rewards of answers.
_PREFERENCES = {f"rewards/{name}" for name in ("chosen", "rejected", "accuracies", "margins")}


def detect(names: Iterable[str]) -> Trainer:
    """The trainer that writes columns of these names."""
    present = set(names)
    for trainer in TRAINERS.values():
        if not present.isdisjoint(trainer.marks):
            return trainer
    if any(name.startswith("rewards/") and name.endswith("/mean") for name in present):
        return _TRL
    return _PLAIN


def old_policy(names: Iterable[str]) -> list[str]:
    """The columns that are divergences from the policy that wrote the answers."""
    present = [name.removeprefix("train/") for name in names]
    found = [
        name
        for name in present
        if name.lower() in TO_OLD_POLICY or name.lower().rsplit("/", 1)[-1] in TO_OLD_POLICY
    ]
    return found + (["kl"] if _ASYNC_TRL.issubset(present) else [])


def refuse_other_divergences(path: str, name: str, names: Iterable[str]) -> None:
    """Refuse a column for the KL that is not the KL from the reference policy. `names`: all columns
    of the file."""
    base = name.removeprefix("train/")
    if base in old_policy([*names, name]):
        raise InvalidChainError(
            f"{path}: {name} is the divergence from the OLD policy, which wrote the answers of the "
            "batch, not from the reference policy; name the column of the KL to the reference "
            "(verl: actor/kl_loss with use_kl_loss), or leave the KL out"
        )
    if base in NOT_THE_KL:
        raise InvalidChainError(f"{path}: {name} {NOT_THE_KL[base]}, or leave the KL out")


def chosen(path: str, field: str, wanted: str, names: Mapping[str, str]) -> str:
    """The short name of the column that the user gave for a field. `names` maps short names to
    those in the file."""
    for short, full in names.items():
        if wanted in (short, full):
            return short
    close = difflib.get_close_matches(wanted, list(names), n=3, cutoff=0.4)
    shown = close or sorted(names)[:20]
    raise InvalidChainError(
        f"{path}: there is no column {wanted!r} for {field}; give one of the file's columns, such "
        f"as {', '.join(shown)}"
    )


def source_of(trainer: Trainer, field: str, names: Mapping[str, str]) -> Source | None:
    """Where a field of this trainer's log comes from; None if it has no such column."""
    if trainer is _OPEN_INSTRUCT and field == "kl" and "objective/kl_avg" in names:
        # Before 2025-09 kl_avg was k1, kl2_avg k2 and kl3_avg k3, all averaged along a configured
        # axis.
        name = "objective/kl3_avg" if "objective/kl3_avg" in names else "objective/kl_avg"
        return Source(
            name,
            PER_TOKEN_SOMEHOW,
            _K3 if name.endswith("kl3_avg") else "k1: log pi / pi_ref",
            "is averaged over tokens or over answers (masked_mean_axis), which the log does not "
            "say",
        )
    if field == "kl" and "kl" in old_policy(names):
        return None
    if trainer is _TRL and field in ("kl", "entropy") and "completion_length" in names:
        # TRL 0.15 averages within each answer first, 0.16 over all tokens; both write this name.
        found = next((s for s in trainer.sources[field] if s.name in names), None)
        return found and found._replace(unit=PER_TOKEN_SOMEHOW)
    return next((s for s in trainer.sources.get(field, ()) if s.name in names), None)


def accuracy_source(path: str, trainer: Trainer, names: Mapping[str, str]) -> Source | None:
    """The column of the accuracy. TRL's `reward` is a weighted sum if there are several reward
    functions, so one of these is taken."""
    rewards = [  # TRL 0.14 to 0.16, and its AsyncGRPOTrainer, write rewards/NAME without /mean
        name
        for name in names
        if name.startswith("rewards/") and not name.endswith("/std") and name not in _PREFERENCES
    ]
    if trainer is not _TRL or not rewards:
        return source_of(trainer, "accuracy", names)
    return Source(verifiable(path, rewards, "accuracy"))


def verifiable(path: str, rewards: list[str], field: str) -> str:
    """Of several rewards the one of right answers, by its name."""
    if len(rewards) > 1:
        right = [n for n in rewards if "accuracy" in n.lower() or "correct" in n.lower()]
        if len(right) != 1:
            raise InvalidChainError(
                f"{path} has {len(rewards)} rewards ({', '.join(sorted(rewards)[:8])}); say which "
                f"is 1 for a right answer and 0 for a wrong one: columns={{{field!r}: NAME}}"
            )
        rewards = right
    return rewards[0]
