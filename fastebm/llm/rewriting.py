"""Texts that a language model rewrites again and again: the telephone game as trajectories."""

import json
from collections.abc import Callable, Hashable, Sequence
from difflib import SequenceMatcher
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from .._runtime import validate
from .._runtime.checkpoint import fingerprint, remembered_seed
from .._runtime.random import philox_key
from .._runtime.results import Result, result
from .._runtime.resumable import resumable
from .._runtime.types import RNG, Callback, FloatArray, Int32Array, IntArray, Path
from ..counts.matrix import TransitionCounts
from ..counts.transitions import count_transitions, discretize
from ..errors import InvalidChainError
from .loading import as_model
from .model import LanguageModel
from .open_states import OpenStates, open_states
from .partial_results import kept
from .sampling import sample_texts
from .verifier import identity_of

PLACE = "{text}"
MAX_PERIOD, LEAST_PERIODS, LEAST_TEXTS = 4, 3, 6

Prompt: TypeAlias = str | Callable[[str], Sequence[int]]


@result
class Rewrites(Result):
    """Trajectories of texts, made by `rewrite_trajectories`.

    Attributes
    ----------
    texts : tuple of tuples of str
        texts[i][t]: text i after t rewritings.
    scores : ndarray (n_texts, n_steps + 1)
    states : ndarray of int32 (n_texts, n_steps + 1)
        Numbers of the states, trajectories for `markov_test`.
    labels : tuple
        What each state is: the label that `state` gave, or the bin of the score as a text.
    edges : ndarray or None
        Inner edges of the bins of the score.
    n_truncated : int
        Rewritten texts that `max_length` cut off. They are no whole answers of the model.
    periods : ndarray of int64 (n_texts,)
        The smallest period up to 4 with which a trajectory of texts repeats itself at its end, for
        three periods and six texts at least; 0 if there is none. 1: the text no longer changes. 2:
        it goes to and fro between two texts. Where there are few different texts, some trajectories
        do so by chance.
    similarity : ndarray (4,)
        The mean similarity of texts that are 1, 2, 3 and 4 rewritings apart, in the second half of
        the steps: the share of words that a longest-match alignment keeps. If texts two apart are
        more alike than neighbours, an attractor of period 2 shows before any text repeats exactly
        (arXiv 2502.15208). nan where there are too few steps.
    period_two_excess, period_two_error : float
        similarity[1] - similarity[0], and its standard error over the texts.
    """

    texts: tuple[tuple[str, ...], ...]
    scores: FloatArray
    states: Int32Array
    labels: tuple[Any, ...]
    edges: FloatArray | None
    n_truncated: int
    periods: IntArray
    similarity: FloatArray
    period_two_excess: float
    period_two_error: float

    def counts(self, *, lag: int = 1) -> TransitionCounts:
        """The transitions between states, for `balance_test`, `MarkovChain.from_counts` and
        others.

        Parameters
        ----------
        lag : int
            As in `count_transitions`.

        Returns
        -------
        TransitionCounts
        """
        return count_transitions(
            list(self.states), lag=lag, n_states=len(self.labels), labels=self.labels
        )

    def unseen(self, *, step: int = -1, states: bool = False) -> OpenStates:
        """The open state space: what the texts after `step` rewritings tell of those not seen.

        The texts of one step are independent draws. They are draws from one law, as the bound
        requires, if all trajectories start from the same text; of different starts the numbers
        describe their mixture, as if the starts were drawn at random.

        Parameters
        ----------
        step : int
            -1: the last.
        states : bool
            Of the states instead of the texts.

        Returns
        -------
        OpenStates
        """
        if not -self.scores.shape[1] <= step < self.scores.shape[1]:
            raise InvalidChainError(f"step {step} is beyond the {self.scores.shape[1] - 1} steps")
        return open_states(
            self.states[:, step].tolist() if states else [text[step] for text in self.texts]
        )


def rewrite_trajectories(
    model: LanguageModel,
    texts: Sequence[str],
    prompt: Prompt,
    n_steps: int,
    score: Callable[[str], float],
    *,
    state: Callable[[str], Hashable] | None = None,
    bins: int | npt.ArrayLike = 6,
    max_length: int = 64,
    temperature: float = 1.0,
    stop: Callable[[str], bool] | None = None,
    rng: RNG = None,
    batch_size: int = 32,
    progress: bool = False,
    callback: Callback | None = None,
    checkpoint: Path | None = None,
) -> Rewrites:
    """Let a language model rewrite texts, the rewritten ones again, and so on.

    Parameters
    ----------
    model : LanguageModel
    texts : sequence of str
        Where the trajectories start; repeat a text for several trajectories from it.
    prompt : str or callable
        A text with ``{text}``, in whose place the text to rewrite is put, or a function of a text
        that returns tokens, such as ``lambda text: llm.chat(model, [...])``.
    n_steps : int
        Rewritings.
    score : callable(text) -> float
        Also of a text that was cut off; finite.
    state : callable(text) -> label, optional
        The state of a text. Default: the bin of its score.
    bins : int or array_like
        As in `discretize`: a number of bins with equal counts, or their inner edges.
    max_length : int
        Tokens of a rewritten text at most.
    temperature, stop, rng, batch_size
        As in `sample_texts`.
    progress, callback, checkpoint
        As in `simulate_hitting_times`.

    Returns
    -------
    Rewrites

    Raises
    ------
    InvalidChainError
        A prompt without ``{text}``, no text, or a score that is not finite; the message names the
        text.
    ModelOutputError
        The model returned no distribution.
    Interrupted
        Ctrl-C. `partial` has the steps so far.

    Examples
    --------
    >>> from fastebm import llm
    >>> law = [[0.1, 0.4, 0.4, 0.1], [0.1, 0.1, 0.1, 0.7], [0.1, 0.1, 0.1, 0.7], [0, 0, 0, 1]]
    >>> model = llm.TableModel(["-", "a", "b", "."], law, end=[3])
    >>> found = llm.rewrite_trajectories(
    ...     model, ["a"] * 50, "-{text}-", 8, lambda text: text.count("a"), bins=[1], rng=1
    ... )
    >>> found.labels, found.counts().n_transitions
    (('score < 1', '1 <= score'), 400)
    """
    model = as_model(model)
    prompt, started = _checked_prompt(prompt), _checked_texts(texts)
    n_steps = validate.count(n_steps, "n_steps")
    max_length = validate.count(max_length, "max_length")
    seed = remembered_seed(rng, checkpoint)
    key = philox_key(seed)
    # Replaced by one assignment, because Ctrl-C may come at any time.
    done: tuple[list[list[str]], int] = ([started], 0)

    def identity() -> str:
        shown = prompt if isinstance(prompt, str) else [list(prompt(text)) for text in started]
        options = [n_steps, max_length, temperature, batch_size]
        ends = None if stop is None else identity_of(stop)
        return fingerprint(model.name, started, shown, key, ends, *options)

    def saved() -> dict[str, Any]:
        return {"texts": np.array(json.dumps(done[0])), "n_truncated": np.array(done[1])}

    def restore(arrays: Any) -> None:
        nonlocal done
        done = json.loads(str(arrays["texts"])), int(arrays["n_truncated"])

    def finished() -> Rewrites:
        return _rewrites(done[0], done[1], score, state, bins)

    with resumable(
        "rewrite_trajectories",
        checkpoint,
        identity,
        state=saved,
        restore=restore,
        partial=finished,
        total=n_steps,
        progress=progress,
        callback=callback,
        seed=seed,
    ) as run:
        while (step := len(done[0])) <= n_steps:
            with kept(finished):
                drawn = sample_texts(
                    model,
                    [_filled(prompt, text) for text in done[0][-1]],
                    max_length=max_length,
                    rng=np.random.default_rng([*key.tolist(), step]),
                    temperature=temperature,
                    stop=stop,
                    batch_size=batch_size,
                )
            n_truncated = sum(not (sample.ended or sample.stopped) for sample in drawn)
            rewritten = [sample.text.strip() for sample in drawn]
            done = ([*done[0], rewritten], done[1] + n_truncated)
            run.save()
            run(step, n_truncated=done[1])
        return finished()


def _checked_prompt(prompt: Prompt) -> Prompt:
    if callable(prompt):
        return prompt
    if not isinstance(prompt, str):
        raise TypeError(f"prompt must be a text or a function, not {type(prompt).__name__}")
    if PLACE not in prompt:
        raise InvalidChainError(f'prompt has no "{PLACE}" where the text is put: {prompt!r}')
    return prompt


def _checked_texts(texts: Sequence[str]) -> list[str]:
    if isinstance(texts, str):
        raise TypeError("texts must be a list of texts, not one text; put it into a list")
    found = list(texts)
    if not found:
        raise InvalidChainError("texts is empty; give at least one text")
    for number, text in enumerate(found):
        if not isinstance(text, str):
            raise TypeError(f"texts[{number}] must be a text, not {type(text).__name__}")
    return found


def _filled(prompt: Prompt, text: str) -> str | Sequence[int]:
    return prompt.replace(PLACE, text) if isinstance(prompt, str) else prompt(text)


def _rewrites(
    by_step: list[list[str]],
    n_truncated: int,
    score: Callable[[str], float],
    state: Callable[[str], Hashable] | None,
    bins: int | npt.ArrayLike,
) -> Rewrites:
    texts = tuple(zip(*by_step, strict=True))
    scores = np.array([[_scored(score, text) for text in row] for row in texts])
    states: npt.NDArray[Any]
    if state is None:
        states, edges = discretize(scores, bins)
        labels: list[Hashable] = list(_bin_names(edges))
    else:
        found = [[state(text) for text in row] for row in texts]
        labels = list(dict.fromkeys(label for row in found for label in row))
        number = {label: i for i, label in enumerate(labels)}
        states, edges = np.array([[number[label] for label in row] for row in found]), None
    similar = np.array([_similarities(row) for row in texts])
    excess = similar[:, 1] - similar[:, 0]
    return Rewrites(
        texts=texts,
        scores=scores,
        states=states.reshape(scores.shape).astype(np.int32),
        labels=tuple(labels),
        edges=edges,
        n_truncated=n_truncated,
        periods=np.array([_period(row) for row in texts], np.int64),
        similarity=similar.mean(axis=0),
        period_two_excess=float(excess.mean()),
        period_two_error=float(excess.std(ddof=1) / len(texts) ** 0.5)
        if len(texts) > 1
        else np.nan,
    )


def _scored(score: Callable[[str], float], text: str) -> float:
    value = float(score(text))
    if not np.isfinite(value):
        raise InvalidChainError(f"the score of {text!r} is {value}; it must be finite")
    return value


def _bin_names(edges: FloatArray) -> list[str]:
    if not len(edges):
        return ["any score"]
    inner = [f"{a:.4g} <= score < {b:.4g}" for a, b in pairwise(edges)]
    return [f"score < {edges[0]:.4g}", *inner, f"{edges[-1]:.4g} <= score"]


def _period(row: Sequence[str]) -> int:
    """The smallest period of the end of a trajectory; 0 if there is none."""
    for period in range(1, MAX_PERIOD + 1):
        end = row[-max(LEAST_PERIODS * period, LEAST_TEXTS) :]
        is_long = len(end) >= max(LEAST_PERIODS * period, LEAST_TEXTS)
        if is_long and end[period:] == end[:-period]:
            return period
    return 0


def _similarities(row: Sequence[str]) -> list[float]:
    words = [text.split() for text in row[len(row) // 2 :]]
    means = []
    for lag in range(1, MAX_PERIOD + 1):
        pairs = list(zip(words, words[lag:], strict=False))
        alike = [SequenceMatcher(None, a, b, autojunk=False).ratio() for a, b in pairs]
        means.append(float(np.mean(alike)) if alike else np.nan)
    return means
