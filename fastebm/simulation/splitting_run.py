"""Adaptive multilevel splitting: the replicas of one call.

The random words of a walker are a function of its number and its step, so no trajectory is stored:
a survivor is walked again from its random stream up to the level where a branch leaves it.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from .._runtime import validate
from .._runtime.checkpoint import fingerprint, remembered_seed
from .._runtime.random import philox_key
from .._runtime.resumable import State, forget_stages, has_checkpoint, resumable, save, stage
from .._runtime.threads import resolve_threads
from .._runtime.types import RNG, BoolArray, Callback, FloatArray, IntArray, Path, States
from ..chains.chain import MarkovChain, require_chain
from ..errors import InvalidChainError
from .walkers import ScoredWalks, Starts, stop_sets, uniforms

T = TypeVar("T")

# The share of particles that a level removes. To remove fewer than a tenth would save 5 % of the
# variance, but would leave the threads without walkers.
KILLED = 0.1
# Replicas that are advanced together, to keep the threads busy. The numbers of a replica do not
# depend on the others.
TOGETHER = 16


class FinishedReplicas(NamedTuple):
    """Finished replicas; replaced as a whole, so that an interruption never sees a part."""

    table: FloatArray = np.empty((0, 3))  # estimate, mean steps of an excursion, number of levels
    n_steps: int = 0


class SplittingRun:
    """The checked arguments of a call, and its finished replicas.

    Parameters
    ----------
    name : str
        The public function.
    score_starts : bool
        Whether a walker may stop at its start, whose score then counts. False for excursions, which
        return to their start.

    Attributes
    ----------
    score : ndarray (n_states,)
        inf on the target and -inf on the states to avoid: an arrival is above every level; a
        failure is above none, even where its own score is high.
    """

    def __init__(
        self,
        name: str,
        chain: MarkovChain,
        start: npt.ArrayLike,
        target: States,
        avoid: States,
        score: npt.ArrayLike | None,
        n_particles: int,
        n_replicas: int,
        rng: RNG,
        checkpoint: Path | None,
        num_threads: int | None,
        *,
        score_starts: bool,
    ) -> None:
        require_chain(chain)
        self.name, self.chain, self.score_starts = name, chain, score_starts
        self.target, self.avoid = stop_sets(target, avoid, chain)
        self.n_particles = validate.count(n_particles, "n_particles", 2)
        self.n_replicas = validate.count(n_replicas, "n_replicas", 2)
        threads = resolve_threads(num_threads)
        if score is None:
            if not isinstance(chain.reward, np.ndarray):
                raise InvalidChainError(
                    "this chain has no reward vector to use as the score; pass score=, one number "
                    "per state"
                )
            score = chain.reward
        score = validate.vector(score, chain.n_states, "score", chain.labels, allow_minus_inf=True)
        self.score = np.where(self.target, np.inf, np.where(self.avoid, -np.inf, score))
        self.checkpoint, self.seed = checkpoint, remembered_seed(rng, checkpoint)
        self.key = philox_key(self.seed)
        self.starts = Starts(chain, start, self.key, threads)
        if self.starts.given is not None and len(self.starts.given) != 1:
            raise InvalidChainError(
                "start must be one state or a distribution; to start from several states, pass "
                "their probabilities as a float array (n_states,)"
            )
        self.finished = FinishedReplicas()
        self.walks = ScoredWalks(
            chain._scaled.walker(threads), self.key, self.target | self.avoid, threads
        )

    def run(self, progress: bool, callback: Callback | None, summary: Callable[[], T]) -> T:
        """summary() of all replicas; `Interrupted` holds that of the finished ones."""
        with resumable(
            self.name,
            self.checkpoint,
            self._identity,
            state=self.state,
            restore=self.restore,
            partial=lambda: summary() if len(self.finished.table) > 1 else None,
            total=self.n_replicas,
            progress=progress,
            callback=callback,
            seed=self.seed,
        ) as monitor:

            def report(group: "ReplicaGroup", first: int) -> None:
                monitor(first, level=group.level, steps=self.walks.n_steps)

            while (first := len(self.finished.table)) < self.n_replicas:
                group = ReplicaGroup(self, range(first, min(first + TOGETHER, self.n_replicas)))
                outcome, n_steps = stage(
                    f"replicas {first}",
                    partial(group.run, partial(report, group, first)),
                    state=group.state,
                    restore=group.restore,
                )
                if self.walks.n_steps != n_steps:  # it was finished before a checkpoint
                    self.walks.restore(n_steps)
                table = np.append(self.finished.table, outcome, axis=0)
                self.finished = FinishedReplicas(table, n_steps)
                forget_stages()
                monitor.save()
                monitor(len(table), steps=self.walks.n_steps)
        return summary()

    def _identity(self) -> str:
        return fingerprint(
            self.chain.fingerprint(),
            self.target,
            self.avoid,
            self.score,
            *self.starts.identity,
            self.n_particles,
            self.n_replicas,
            self.key,
        )

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """The arrays of a checkpoint."""
        table, n_steps = self.finished
        return {"replicas": table, "n_steps": np.array(n_steps)}

    def restore(self, state: State) -> None:
        """Continue from the arrays that `state` returned."""
        n_steps = int(state["n_steps"])
        self.finished = FinishedReplicas(state["replicas"], n_steps)
        self.walks.restore(n_steps)


# What a checkpoint keeps of a group.
KEPT = (
    "begin",
    "stream",
    "best",
    "n_streams",
    "n_drawn",
    "estimate",
    "n_levels",
    "cycle_mean",
    "alive",
)


class ReplicaGroup:
    """Some replicas that advance together, each a row of particles.

    A particle is the state where its own part of the trajectory begins, the random stream that it
    walked from there, and the highest score on the way.

    Attributes
    ----------
    begin, stream : ndarray int64 (n_replicas, n_particles)
    best : ndarray float64 (n_replicas, n_particles)
    n_streams, n_drawn : ndarray int64 (n_replicas,)
        Random streams used so far, and numbers drawn to choose survivors.
    alive : ndarray bool (n_replicas,)
        Replicas that are still running.
    level : float
        The lowest level of one of them.
    """

    def __init__(self, run: SplittingRun, replicas: range) -> None:
        self.call, self.replicas = run, np.array(replicas, dtype=np.int64)
        shape = n_replicas, n_particles = len(self.replicas), run.n_particles
        self.n_kill = max(1, int(KILLED * n_particles))
        self.begin = np.array(
            [run.starts.take(int(r) * n_particles, n_particles) for r in self.replicas]
        )
        self.stream, self.best = np.empty(shape, dtype=np.int64), np.empty(shape)
        self.n_streams = np.zeros(n_replicas, dtype=np.int64)
        self.n_drawn = np.zeros(n_replicas, dtype=np.int64)
        self.estimate, self.n_levels = np.ones(n_replicas), np.zeros(n_replicas)
        self.cycle_mean = np.zeros(n_replicas)
        self.alive, self.level = np.ones(n_replicas, dtype=bool), -np.inf
        self._reached: State | None = None  # after the last level

    def state(self) -> State | None:
        """The arrays of a checkpoint; None before the first level."""
        return self._reached

    def restore(self, state: State) -> None:
        """Continue from the arrays that `state` returned."""
        for name in KEPT:
            setattr(self, name, state[name].copy())
        self.call.walks.restore(int(state["n_steps"]))
        self._reached = state

    def run(self, report: Callable[[], None]) -> tuple[FloatArray, int]:
        """(outcome of all replicas, steps so far); report() after every call to the core."""
        self.report = report
        if self._reached is None:
            every = np.ones(self.best.shape, dtype=bool)
            steps = np.zeros(self.best.shape, dtype=np.int64)
            steps[every] = self._walk(every, score_starts=self.call.score_starts)
            self.cycle_mean = steps.mean(axis=1)
        alive = self.alive
        while alive.any():
            level = np.partition(self.best, self.n_kill - 1, axis=1)[:, self.n_kill - 1]
            alive &= level < np.inf
            killed = (self.best <= level[:, None]) & alive[:, None]
            n_killed = killed.sum(axis=1)
            self.estimate *= 1.0 - n_killed / self.best.shape[1]
            alive &= n_killed < self.best.shape[1]
            killed &= alive[:, None]
            self.n_levels += alive
            if alive.any():
                self.level = float(level[alive].min())
                self._branch(killed, level)
            if has_checkpoint():
                own = {name: getattr(self, name).copy() for name in KEPT}
                self._reached = own | {"n_steps": np.array(self.call.walks.n_steps)}
                save()
        return self._outcome(), self.call.walks.n_steps

    def _outcome(self) -> FloatArray:
        """(estimate, mean steps of the first trajectories, levels) of each replica."""
        estimate = self.estimate * (self.best == np.inf).mean(axis=1)
        return np.stack([estimate, self.cycle_mean, self.n_levels], axis=1)

    def _walk(self, which: BoolArray, score_starts: bool) -> IntArray:
        """Walk the chosen particles from their beginnings to the end on new random streams; returns
        their steps."""
        row = np.nonzero(which)[0]
        number = np.cumsum(which, axis=1)[which] - 1 + self.n_streams[row]
        self.n_streams += which.sum(axis=1)
        stream, begin = (self.replicas[row] << 32) + number, self.begin[which]
        best, walking = np.full(len(row), -np.inf), np.ones(len(row), dtype=bool)
        if score_starts:
            best = self.call.score[begin]
            walking = ~(self.call.target | self.call.avoid)[begin]
        reached, steps = best[walking], np.zeros(len(row), dtype=np.int64)
        _, steps[walking] = self.call.walks.run(
            begin[walking],
            stream[walking],
            self.report,
            score=self.call.score,
            level=np.full(len(reached), np.inf),
            best=reached,
        )
        best[walking] = reached
        self.stream[which], self.best[which] = stream, best
        return steps

    def _branch(self, killed: BoolArray, level: FloatArray) -> None:
        """Replace the killed particles by branches of random survivors, from their first state
        above the level of the replica."""
        parent = np.empty(killed.shape, dtype=np.int64)  # as an index into all particles
        for r in np.flatnonzero(killed.any(axis=1)):
            survivors, n = np.flatnonzero(~killed[r]), int(killed[r].sum())
            u = uniforms(self.call.key, 2, int(self.n_drawn[r]), n, lane=int(self.replicas[r]))
            self.n_drawn[r] += n
            chosen = survivors[(u * len(survivors)).astype(np.int64)]
            parent[r, killed[r]] = r * killed.shape[1] + chosen
        parents, place = np.unique(parent[killed], return_inverse=True)
        self.begin[killed] = self._crossing(parents, level[parents // killed.shape[1]])[place]
        self._walk(killed, score_starts=True)

    def _crossing(self, particles: IntArray, level: FloatArray) -> IntArray:
        """The first states above their level of particles that exceed it: their walks are repeated
        on the same random streams."""
        state = self.begin.ravel()[particles].copy()
        below = ~(self.call.score[state] > level)
        scratch = np.full(np.count_nonzero(below), -np.inf)
        state[below], _ = self.call.walks.run(
            state[below],
            self.stream.ravel()[particles[below]],
            self.report,
            score=self.call.score,
            level=level[below],
            best=scratch,
        )
        return state
