"""The arithmetic of distances with ends, by hand."""

import math
from fractions import Fraction
from itertools import product
from types import SimpleNamespace

import pytest

from fastebm.spectral.ends import AS_GOOD, EnclosedDistance, imbalance, smaller

KINDS = ("rigorous", "probabilistic", "none")


def enclosed(value, lower, upper, kinds="rp"):
    names = {kind[0]: kind for kind in KINDS}
    return EnclosedDistance(value, lower, upper, *(names[k] for k in kinds))


def rounded(value):
    return pytest.approx(value, rel=1e-15, abs=0.0)


def test_ends_of_no_use_become_the_trivial_ones():
    trivial = EnclosedDistance(0.5, 0.0, 2.0, "none", "none")
    assert EnclosedDistance(0.5) == trivial
    assert EnclosedDistance.of(0.5, None, None) == trivial
    for lower in (0.0, -0.1, math.nan):
        for upper in (math.inf, math.nan):
            found = EnclosedDistance.of(0.5, (lower, "rigorous"), (upper, "rigorous"))
            assert found == trivial
    found = EnclosedDistance.of(0.5, (1e-300, "rigorous"), (1.999, "probabilistic"))
    assert found == enclosed(0.5, 1e-300, 1.999)


def test_a_distance_of_two_is_its_own_upper_end():
    """1 - lambda_2 of a walk that swaps two states is 2: that end is proven, and stays so, also
    where rounding or a mismatch widens it."""
    two = EnclosedDistance.exact(2.0)
    again = EnclosedDistance.of(2.0, (2.0, "rigorous"), (2.0, "rigorous"))
    assert again == two == two.improved(two) == EnclosedDistance(2.0).improved(two)
    assert two.valued(2.0).is_known_to(0.0)
    assert EnclosedDistance.of(2.0, (1.9, "rigorous"), (2.1, "probabilistic")) == enclosed(
        2.0, 1.9, 2.0
    )
    assert two.widened(0.25) == enclosed(2.0, 1.5, 2.0, "rr")


@pytest.mark.parametrize("g", (1e-300, 1e-8, 0.3, 1 - 4e-9, 1 - 4.4361263e-09, 1.0))
def test_ends_of_a_squared_eigenvalue_include_its_rounding(g):
    found = EnclosedDistance.exact(g).squared()
    exact = Fraction(g) * (2 - Fraction(g))
    assert found.lower < exact <= found.upper
    assert found.lower < found.value <= found.upper
    assert float(exact) * (1 - 1e-15) < found.lower
    assert found.upper < float(exact) * (1 + 1e-15)


@pytest.mark.parametrize(
    ("value", "moved"), [(0.1, 0.3), (0.3, 0.3), (0.35, 0.35), (0.9, 0.4), (math.nan, 0.4)]
)
def test_an_estimate_is_moved_into_its_ends(value, moved):
    ends = (0.3, "rigorous"), (0.4, "probabilistic")
    assert EnclosedDistance.of(value, *ends) == enclosed(moved, 0.3, 0.4)
    assert enclosed(0.31, 0.3, 0.4).valued(value) == enclosed(moved, 0.3, 0.4)


def test_error_is_that_of_the_farther_end():
    assert enclosed(0.3, 0.2, 0.7).error == pytest.approx(0.4, rel=1e-14, abs=0.0)
    assert enclosed(0.6, 0.2, 0.7).error == pytest.approx(0.4, rel=1e-14, abs=0.0)
    exact = EnclosedDistance.exact(0.25)
    assert exact == enclosed(0.25, 0.25, 0.25, "rr") and exact.error == 0.0


@pytest.mark.parametrize("kinds", list(product("rpn", repeat=2)))
def test_known_to_a_relative_error_needs_both_ends(kinds):
    found = enclosed(0.5, 0.375, 0.5625, kinds)  # exact in binary: a relative error of 1/4
    assert found.is_known_to(0.25) == ("n" not in kinds)
    assert not found.is_known_to(0.2499)


def test_improved_takes_the_better_of_each_end():
    a, b = enclosed(0.5, 0.2, 0.6, "rp"), enclosed(0.4, 0.1, 0.55, "pr")
    assert a.improved(b) == enclosed(0.4, 0.2, 0.55, "rr")
    assert b.improved(a) == enclosed(0.5, 0.2, 0.55, "rr")
    # the value of the other is moved into the ends
    assert enclosed(0.5, 0.45, 0.6).improved(b) == enclosed(0.45, 0.45, 0.55, "rr")
    nothing = EnclosedDistance(0.3)
    assert nothing.improved(a) == a
    assert a.improved(nothing) == enclosed(0.3, 0.2, 0.6, "rp")


@pytest.mark.parametrize("off", [0.5, -0.5, 2.0, -2.0])
def test_of_ends_alike_the_rigorous_one_is_kept(off):
    """Within a relative AS_GOOD; beyond it the sharper end counts, whatever its kind."""
    low, high = 0.25 * (1.0 + off * AS_GOOD), 0.5 * (1.0 - off * AS_GOOD)
    rigorous, probable = enclosed(0.3, 0.25, 0.5, "rr"), enclosed(0.3, low, high, "pp")
    for found in (rigorous.improved(probable), probable.improved(rigorous)):
        assert found == (probable if off == 2.0 else rigorous)


def test_widened_moves_each_end_by_its_part():
    found = enclosed(0.5, 0.25, 0.75).widened(0.125)
    assert found == enclosed(0.5, 0.21875, 0.84375)
    assert enclosed(0.5, 0.25, 0.75).widened(0.0) == enclosed(0.5, 0.25, 0.75)
    assert enclosed(0.5, 0.25, 0.75).widened(1.0) == enclosed(0.5, 0.0, 1.5, "np")
    assert enclosed(0.5, 0.25, 0.75).widened(9.0) == enclosed(0.5, 0.0, 2.0, "np")


@pytest.mark.parametrize("lam", [0.0, 0.25, 0.5, 0.75])
def test_squared_is_the_gap_of_the_square(lam):
    g = 1.0 - lam
    assert EnclosedDistance.exact(g).squared().value == 1.0 - lam * lam
    found = enclosed(g, 0.5 * g, min(1.5 * g, 1.0)).squared()
    assert found.lower == rounded(0.5 * g * (2.0 - 0.5 * g))
    assert found.upper == rounded(min(1.5 * g, 1.0) * (2.0 - min(1.5 * g, 1.0)))
    assert (found.lower_kind, found.upper_kind) == ("rigorous", "probabilistic")


def test_squared_keeps_small_distances():
    found = enclosed(1e-30, 5e-31, 2e-30).squared()
    assert (found.value, found.lower, found.upper) == (2e-30, rounded(1e-30), rounded(4e-30))
    # beyond 1 there is no modulus: the gap of the square is at most 1
    found = EnclosedDistance(1.5, 0.5, 2.0, "rigorous").squared()
    assert (found.value, found.lower, found.upper) == (1.0, rounded(0.75), 1.0)
    assert (found.lower_kind, found.upper_kind) == ("rigorous", "none")


def test_smaller_of_two():
    a, b = enclosed(0.5, 0.4, 0.6, "rr"), enclosed(0.45, 0.3, 0.7, "rp")
    assert smaller(a, b) == smaller(b, a) == enclosed(0.45, 0.3, 0.6, "rr")
    assert smaller(a, a) == a


@pytest.mark.parametrize(("first", "second"), list(product(KINDS, repeat=2)))
def test_smaller_is_as_weak_as_the_weaker_lower_end(first, second):
    """Either may be the smaller one. The smaller upper end holds alone."""
    a = EnclosedDistance.of(0.5, None if first == "none" else (0.4, first), (0.6, first))
    b = EnclosedDistance.of(0.5, None if second == "none" else (0.3, second), (0.7, second))
    weaker = max(first, second, key=KINDS.index)
    for found in (smaller(a, b), smaller(b, a)):
        assert found.lower_kind == weaker
        assert found.lower == (0.0 if weaker == "none" else 0.3)
        assert (found.upper, found.upper_kind) == (0.6, first)


def test_imbalance_accumulates_only_where_it_is_no_rounding():
    def of(mismatch, is_balanced):
        return imbalance(SimpleNamespace(n_states=1000, mismatch=mismatch, is_balanced=is_balanced))

    assert of(0.0, True) == of(0.0, False) == 0.0
    assert of(2.0**-40, True) == 4 * 2.0**-40
    assert of(2.0**-30, False) == 4000 * 2.0**-30
