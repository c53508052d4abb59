"""Work cut into calls by the clock."""

from numpy.testing import assert_allclose

from fastebm._runtime import pacing


def test_a_pace_follows_the_clock(monkeypatch):
    from fastebm._runtime import progress

    now = [0.0]
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now[0])
    pace = pacing.Pacer(1_000)
    for seconds, size in ((0.0, 4_000), (0.1, 4_000), (0.2, 2_000), (1e9, 1), (0.0, 4)):
        with pace:
            now[0] += seconds
        assert_allclose(pace.size, size, rtol=1e-3)


def test_ranges_and_their_offsets():
    sizes = [(0, 3), (3, 6), (6, 7)]
    pacer = pacing.Pacer(3, growth=1.0)
    assert list(pacing.paced_ranges(7, pacer)) == sizes
    assert list(pacing.paced_ranges(0)) == []


def test_no_size_is_larger_than_the_largest():
    pacer = pacing.Pacer(4, largest=10)
    for _ in range(3):
        with pacer:
            pass
    assert pacer.size == 10


def test_run_paced_ends_with_the_work():
    calls = []
    pacing.run_paced(lambda size: calls.append(size) or len(calls) == 3)
    assert len(calls) == 3 and calls[0] == pacing.FIRST_ENTRIES
