"""Long calls that resume from a checkpoint."""

import numpy as np
import pytest

import fastebm as fe
from fastebm._runtime.checkpoint import Checkpoint
from fastebm._runtime.progress import interruptible
from fastebm._runtime.random import generator_state, restore_generator
from fastebm._runtime.resumable import resumable, stage
from fastebm.linalg.m_matrix import MMatrixSystem


class Sum:
    """1 + ... + n, with Ctrl-C before the term `stop`."""

    def __init__(self, stop=None):
        self.total, self.done, self.stop = 0, 0, stop

    def restore(self, saved):
        self.total, self.done = int(saved["total"]), int(saved["done"])

    def state(self):
        return {"total": np.array(self.total), "done": np.array(self.done)} if self.done else None

    def run(self, path, n=5, **options):
        with resumable(
            "sum",
            path,
            lambda: f"n = {n}",
            state=self.state,
            restore=self.restore,
            partial=lambda: self.total,
            **options,
        ) as call:
            while self.done < n:
                if self.done == self.stop:
                    raise KeyboardInterrupt
                self.done += 1
                self.total += self.done
                call(self.done, total=float(self.total))
                call.save()
        return self.total


def test_an_interrupted_call_goes_on_where_it_was(tmp_path):
    path, seen = tmp_path / "sum.npz", []
    with pytest.raises(fe.Interrupted) as interruption:
        Sum(stop=3).run(path)
    assert interruption.value.partial == 6 and path.exists()
    again = Sum()
    assert again.run(path, callback=seen.append) == 15
    assert [info["done"] for info in seen] == [4, 5] and not path.exists()


def test_nothing_is_written_before_there_is_a_state(tmp_path):
    with pytest.raises(fe.Interrupted) as interruption:
        Sum(stop=0).run(tmp_path / "sum.npz")
    assert interruption.value.partial == 0 and not list(tmp_path.iterdir())


def test_no_checkpoint_and_another_call(tmp_path):
    assert Sum().run(None) == 15
    with pytest.raises(fe.Interrupted):
        Sum(stop=2).run(tmp_path / "sum.npz")
    with pytest.raises(fe.InvalidChainError, match="another call"):
        Sum().run(tmp_path / "sum.npz", n=6)
    assert (tmp_path / "sum.npz").exists()


def test_ctrl_c_while_the_state_is_restored_keeps_the_file(tmp_path):
    path = tmp_path / "sum.npz"
    with pytest.raises(fe.Interrupted):
        Sum(stop=3).run(path)
    before = path.read_bytes()
    other = Sum()
    other.restore = lambda saved: (_ for _ in ()).throw(KeyboardInterrupt)
    with pytest.raises(fe.Interrupted):
        other.run(path)
    assert path.read_bytes() == before


def test_ctrl_c_within_an_inner_call_saves_the_state_of_the_outer_one(tmp_path):
    path = tmp_path / "sum.npz"

    def inner():
        with interruptible("inner", lambda: "partial of the inner call"):
            raise KeyboardInterrupt

    outer = Sum()
    with pytest.raises(fe.Interrupted, match="sum") as interruption:
        outer.run(path, callback=lambda info: inner() if info["done"] == 3 else None)
    assert interruption.value.partial == 6
    assert Sum().run(path) == 15


def test_a_checkpoint_of_another_version_names_the_remedy(tmp_path):
    path = tmp_path / "sum.npz"
    other = Sum(stop=3)
    other.state = lambda: {"done": np.array(3)}
    with pytest.raises(fe.Interrupted):
        other.run(path)
    with pytest.raises(fe.InvalidChainError, match=r"no entry 'total'.*remove it to start anew"):
        Sum().run(path)
    assert path.exists()


class Nested:
    """A call of three stages, each the sum of a call within; `log` has the terms that were added,
    and Ctrl-C comes before term `stop` of all."""

    def __init__(self, path, stop=None):
        self.log, self.stop, self.path = [], stop, path

    def inner(self, n):
        own = Sum()

        def count(info):
            self.log.append((n, info["done"]))
            if len(self.log) == self.stop:
                raise KeyboardInterrupt

        return own.run(None, n, callback=count)

    def run(self):
        with resumable("nested", self.path, lambda: "id", partial=lambda: "partial"):
            return [stage(f"n = {n}", lambda n=n: self.inner(n)) for n in (2, 3, 4)]


@pytest.mark.parametrize("stop", range(1, 10))
def test_stages_that_are_done_are_not_repeated(tmp_path, monkeypatch, stop):
    path = tmp_path / "nested"
    first = Nested(path, stop)
    with pytest.raises(fe.Interrupted) as interruption:
        first.run()
    assert interruption.value.partial == "partial"
    again = Nested(path)
    assert again.run() == [3, 6, 10]
    # the callback comes after a term is added and before it is saved
    assert first.log + again.log == Nested(None).log + [
        (n, k) for n in (2, 3, 4) for k in range(1, n + 1)
    ]
    assert not path.exists()


def test_a_stage_that_cannot_be_kept_is_a_warning_and_computed_again(tmp_path):
    path, value, calls = tmp_path / "odd", object(), []

    def compute():
        calls.append(1)
        return value

    def run(stop):
        own = {"state": lambda: {"n": 1}, "restore": list, "partial": lambda: None}
        with resumable("odd", path, lambda: "id", **own):
            found = stage("odd", compute)
            if stop:
                raise KeyboardInterrupt
        return found

    with pytest.warns(fe.CheckpointWarning, match="cannot keep odd"), pytest.raises(fe.Interrupted):
        run(True)
    with pytest.warns(fe.CheckpointWarning):
        assert run(False) is value
    assert len(calls) == 2


def test_a_generator_comes_back_in_its_state():
    for kind in (np.random.PCG64, np.random.MT19937, np.random.Philox, np.random.SFC64):
        rng = np.random.Generator(kind(5))
        rng.random(7)
        state, expected = generator_state(rng), rng.random(5).tolist()
        other = np.random.Generator(kind(0))
        restore_generator(other, state)
        assert other.random(5).tolist() == expected


def test_solves_with_two_matrices_and_one_load_are_two_stages(tmp_path):
    inside = np.arange(3) > 0
    load = inside.astype(float)
    found = {}
    for path in (None, tmp_path / "state"):
        with resumable("two", path, lambda: "", partial=lambda: None):
            found[path] = [
                MMatrixSystem(chain._scaled, inside, 1000, 1)
                .solve(load, 1e-12, lambda *_, **__: 0)
                .hi
                for chain in (
                    fe.MarkovChain(np.array([[0.5, 0.5, 0.0], [p, 0.5 - p, 0.5], [0.0, 0.5, 0.5]]))
                    for p in (0.1, 0.4)
                )
            ]
    np.testing.assert_array_equal(*found.values())
    assert found[None][0][1] > found[None][1][1]


@pytest.mark.parametrize("saved", [np.zeros(2), np.array("x"), np.array(None, float)], ids=str)
def test_a_state_that_no_call_wrote_is_refused_by_name(tmp_path, saved):
    path, state = tmp_path / "sum.npz", {"own|total": saved, "own|done": np.array(1)}
    Checkpoint(path, "sum", lambda: "n = 5").save(lambda: state, now=True)
    with pytest.raises(fe.InvalidChainError, match=r"sum\.npz does not hold the state"):
        Sum().run(path)
    assert path.exists()


def test_a_stage_that_no_call_wrote_is_refused_by_name(tmp_path):
    path = tmp_path / "stage.npz"
    state = {f"done|s|{name}": np.array("[") for name in ("structure", "shortfalls")}
    Checkpoint(path, "call", str).save(lambda: state, now=True)
    with pytest.raises(fe.InvalidChainError, match=r"stage\.npz does not hold the state"):
        with resumable("call", path, str, partial=lambda: None):
            stage("s", lambda: 1)
