"""Long calls that resume from a checkpoint."""

import numpy as np
import pytest

import fastebm as fe
from fastebm._runtime.progress import interruptible
from fastebm._runtime.resumable import resumable


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
