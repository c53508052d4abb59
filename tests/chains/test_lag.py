"""The lag at which a chain was counted goes with the chain, and with results that are times."""

import dataclasses
import json
import pickle

import numpy as np
import pytest
from saved_folders import forge, make_early

import fastebm as fe
from fastebm.cli import main

ONE_STEP = np.array([[0.9, 0.1, 0.0], [0.2, 0.6, 0.2], [0.0, 0.3, 0.7]])
LAG = 10
CHAIN = fe.MarkovChain(
    np.linalg.matrix_power(ONE_STEP, LAG), lag=LAG, time_unit="0.2 ns", labels=list("abc")
)
WALK = np.array([0, 0, 1, 2, 2, 1, 0, 0, 1, 1, 2, 1, 0, 1, 0, 0, 2, 0])


def test_timescales_times_the_lag_are_steps_of_the_data():
    found = fe.eigenpairs(CHAIN, 3)
    values = np.sort(np.linalg.eigvals(ONE_STEP).real)[::-1]
    np.testing.assert_allclose(
        found.timescales[1:] * found.lag, -1.0 / np.log(values[1:]), rtol=1e-9
    )
    gap = fe.spectral_gap(CHAIN)
    assert gap.lag == LAG
    assert gap.relaxation_time == pytest.approx(1.0 / (1.0 - values[1] ** LAG), rel=1e-9)


def test_counts_carry_their_lag():
    found = fe.count_transitions(WALK, lag=3)
    # counted by hand: pairs (x[t], x[t + 3])
    counts = np.zeros((3, 3))
    np.add.at(counts, (WALK[:-3], WALK[3:]), 1.0)
    np.testing.assert_array_equal(found.counts.toarray(), counts)
    kept = fe.connected_set(found)
    assert kept.lag == 3 and kept.to_dict()["lag"] == 3
    for chain in (
        fe.MarkovChain.from_counts(found),
        fe.MarkovChain.from_counts(found, reversible=True),
        fe.MarkovChain.from_counts(kept),
        fe.MarkovChain.from_counts(kept, reversible=True),
        fe.MarkovChain.from_counts(kept.counts, lag=3),
        fe.MarkovChain.from_counts(kept.counts, lag=3, reversible=True),
        fe.MarkovChain.from_trajectories(WALK, lag=3),
        fe.MarkovChain.from_trajectories(WALK, lag=3, connected=True),
        fe.reversible_fit(found).chain,
        fe.reversible_fit(kept).chain,
    ):
        assert chain.lag == 3
    assert fe.MarkovChain.from_counts(found, lag=6).lag == 6
    assert fe.MarkovChain.from_counts(found.counts).lag == 1
    lags = fe.bootstrap([WALK, WALK[::-1]], lambda chain: chain.lag, n=5, lag=2, rng=0)
    assert lags.estimate == 2 and set(lags.replicates) == {2}
    assert fe.bootstrap(found, lambda chain: chain.lag, n=5, rng=0).estimate == 3


def test_derived_chains_keep_it(tmp_path):
    tilted = fe.tilt(CHAIN, [0.0, 0.5, 1.0], 1.0)
    stored = fe.tilt(CHAIN, [0.0, -np.inf, 1.0], 1.0)
    for name, chain in {
        "lazy": CHAIN.lazy(0.5),
        "restrict": CHAIN.restrict([0, 1]),
        "class": CHAIN.largest_class(),
        "reverse": CHAIN.reverse(),
        "reversibilize": fe.reversibilize(CHAIN),
        "tilt": tilted,
        "stored tilt": stored,
        "with_beta": tilted.with_beta(2.0),
        "no tilt": fe.tilt(CHAIN, [0.0, 0.5, 1.0], np.inf),
        "lumped": fe.lumpability(CHAIN, [0, 0, 1]).chain,
        "metastable": fe.metastable_sets(CHAIN, 2).chain,
    }.items():
        chain.save(tmp_path / name)
        for same in (chain, pickle.loads(pickle.dumps(chain)), fe.load(tmp_path / name)):
            assert (same.lag, same.time_unit) == (LAG, "0.2 ns"), name


def test_a_chain_that_was_saved_without_a_lag(tmp_path):
    CHAIN.save(tmp_path / "chain")
    make_early(tmp_path / "chain", lambda facts: facts.pop("lag"))
    assert fe.load(tmp_path / "chain").lag == 1


def test_a_chain_that_was_saved_without_a_time_unit(tmp_path):
    CHAIN.save(tmp_path / "chain")
    forge(tmp_path / "chain", lambda contents: contents["facts"].pop("time_unit"))
    assert fe.load(tmp_path / "chain").time_unit is None
    forge(tmp_path / "chain", lambda contents: contents["facts"].update(time_unit="0 ns"))
    with pytest.raises(fe.InvalidChainError, match="time_unit"):
        fe.load(tmp_path / "chain")


def test_counts_carry_their_time_unit():
    found = fe.count_transitions(WALK, lag=3, time_unit="10 ps")
    kept = fe.connected_set(found)
    assert found.to_dict()["time_unit"] == kept.to_dict()["time_unit"] == "10 ps"
    for chain in (
        fe.MarkovChain.from_counts(found),
        fe.MarkovChain.from_counts(kept, reversible=True),
        fe.MarkovChain.from_counts(kept.counts, time_unit="10 ps"),
        fe.MarkovChain.from_counts(kept.counts, reversible=True, time_unit="10 ps"),
        fe.MarkovChain.from_trajectories(WALK, lag=3, connected=True, time_unit="10 ps"),
        fe.reversible_fit(found).chain,
    ):
        assert chain.time_unit == chain.to_dict()["time_unit"] == "10 ps"
    units = []
    fe.bootstrap(found, lambda chain: units.append(chain.time_unit) or 0.0, n=2, rng=0)
    assert units == ["10 ps"] * 3


@pytest.mark.parametrize(
    "unit", ["", "3", "-1 ns", "0 ps", "1e999 s", "ns ps", "nan ns", "1_0 ns", "1 2", "٣ ns"]
)
def test_texts_that_are_no_time_unit(unit):
    with pytest.raises(fe.InvalidChainError, match="time_unit must be a unit"):
        fe.count_transitions(WALK, time_unit=unit)
    with pytest.raises(TypeError, match="time_unit must be a text"):
        fe.MarkovChain(ONE_STEP, time_unit=0.2)


@pytest.mark.parametrize("lag", [0, -1, 2.5, True])
def test_lags_that_are_none(lag):
    with pytest.raises((fe.InvalidChainError, TypeError), match="lag must be"):
        fe.MarkovChain(ONE_STEP, lag=lag)


TIMES = {
    "spectral_gap": lambda c: fe.spectral_gap(c),
    "eigenpairs": lambda c: fe.eigenpairs(c, 2),
    "metastable_sets": lambda c: fe.metastable_sets(c, 2),
    "hitting_times": lambda c: fe.hitting_times(c, [2]),
    "hitting_moments": lambda c: fe.hitting_moments(c, [2]),
    "hitting_distribution": lambda c: fe.hitting_distribution(c, [2], 3),
    "hitting_bounds": lambda c: fe.hitting_bounds(c, [2]),
    "absorption": lambda c: fe.absorption_probabilities(c, [[0], [2]]),
    "return_times": lambda c: fe.return_times(c),
    "commute_times": lambda c: fe.commute_times(c, 0, 2),
    "kemeny_constant": lambda c: fe.kemeny_constant(c),
    "mixing_curve": lambda c: fe.mixing_curve(c, 0, 2),
    "mixing_time": lambda c: fe.mixing_time(c),
    "autocorrelation": lambda c: fe.autocorrelation(c, [0.0, 1.0, 2.0]),
    "autocorrelation of a constant": lambda c: fe.autocorrelation(c, [1.0, 1.0, 1.0]),
    "simulate_hitting_times": lambda c: fe.simulate_hitting_times(c, [2], rng=0, n_walkers=9),
    "splitting_hitting_time": lambda c: fe.splitting_hitting_time(
        c, 0, [2], score=[0.0, 1.0, 2.0], rng=0, n_particles=64
    ),
}


@pytest.mark.parametrize("name", TIMES)
def test_results_that_are_times_state_the_lag(name):
    found = TIMES[name](CHAIN)
    assert found.lag == LAG and "lag=10" in repr(found)
    if name != "metastable_sets":  # its chain has no JSON form
        assert found.to_dict()["lag"] == LAG
    plain = TIMES[name](fe.MarkovChain(CHAIN.to_scipy()))
    assert plain.lag == 1 and "lag" not in repr(plain)
    for field in dataclasses.fields(found):  # the numbers stay in steps of the chain
        value = getattr(found, field.name)
        if isinstance(value, float) and not field.name.startswith(("wall", "steps_per")):
            assert value == pytest.approx(getattr(plain, field.name), rel=1e-9, nan_ok=True)


def test_an_interrupted_gap_states_it():
    def stop(info):
        raise KeyboardInterrupt

    n = 300
    edges = np.arange(n), (np.arange(n) + 1) % n
    ring = fe.MarkovChain.from_edges(*edges, symmetric=True).to_scipy()
    with pytest.raises(fe.Interrupted) as info:
        fe.spectral_gap(fe.MarkovChain(ring, lag=7), method="lanczos", callback=stop, rng=0)
    assert info.value.partial.lag == 7


def test_reports_and_the_command_line_say_it(tmp_path, capsys):
    report = fe.analyze(CHAIN, rng=0, n_steps=3)
    assert report.chain["lag"] == LAG and report.gaps["spectral"].lag == LAG
    assert "one step is 10 steps of the data" in report.summary()
    assert "steps of the data" not in fe.analyze(fe.MarkovChain(ONE_STEP), rng=0).summary()
    CHAIN.save(tmp_path / "chain")
    assert main(["gap", str(tmp_path / "chain")]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["lag"] == document["gap"]["lag"] == LAG
