"""Verifiers decide as soon as the text does, and never against a later verdict."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastebm.errors import InvalidChainError
from fastebm.llm import answer_is, number_is

VERIFIERS = {
    "first": number_is(12),
    "last": number_is("1,200", which="last"),
    "fraction": number_is(1.5),
    "word": answer_is("Yes", "no way"),
    "case": answer_is("NO", ignore_case=False),
}


@pytest.mark.parametrize(
    ("value", "text", "verdict"),
    [
        (7, " 7", None),
        (7, " 7.", None),
        (7, " 7. ", True),
        (7, "7,", None),
        (7, "7, 8", True),
        (7, "7.5 ", False),
        (7, "no number", None),
        (1234, "1,234 ", True),
        (1234, "It is 1,234.00 dollars", True),
        (1, "1,2345", True),  # no group of three digits
        (-3, "-3 ", True),
        (-3, "\u22123 ", True),
        (3, "-3 ", False),
        ("0.10", "0.1!", True),
        (0.1, "0.1!", True),
    ],
)
def test_the_first_number(value, text, verdict):
    assert number_is(value)(text, False) is verdict


def test_the_end_decides_what_is_open():
    assert number_is(7)("7.", True) is True
    assert number_is(7)("seven", True) is False
    assert number_is(7, which="last")("3 + 4 = 7", False) is None
    assert number_is(7, which="last")("3 + 4 = 7.", True) is True
    assert number_is(3, which="last")("3 + 4 = 7.", True) is False
    assert number_is(3, which="last")("none", True) is False
    assert answer_is("no")("no", True) is True


@pytest.mark.parametrize(
    ("text", "verdict"),
    [("", None), (" 'Y", None), ("yes", None), ("YES!", True), ("yesterday", False),
     ("no", None), ("no way.", True), ("no, ", False), ("maybe", False), ("", None)],
)  # fmt: skip
def test_whole_words(text, verdict):
    assert answer_is("Yes", "no way")(text, False) is verdict


def test_half_a_character_decides_nothing():
    verify = answer_is("caf")
    assert verify("caf\ufffd", False) is None
    assert verify("caf\u00e9", False) is False
    assert verify("caf\ufffd", True) is True


def test_an_answer_that_begins_another():
    verify = answer_is("New York", "New")
    assert verify("New ", False) is True
    assert verify("Newt", False) is False


PIECES = st.lists(
    st.sampled_from(
        ["1", "2", "12", ",", ".", "200", "5", "-", " ", "yes", "no", "way", "NO", "*"]
    ),
    max_size=7,
)


@given(st.sampled_from(sorted(VERIFIERS)), PIECES)
def test_a_verdict_holds_for_every_continuation(name, pieces):
    verdicts = [VERIFIERS[name](text, False) for text in itertools.accumulate(pieces, initial="")]
    verdicts.append(VERIFIERS[name]("".join(pieces), True))
    assert verdicts[-1] is not None
    decided = [verdict for verdict in verdicts if verdict is not None]
    assert len(set(decided)) == 1, verdicts


@pytest.mark.parametrize("value", ["", "seven", "7x", float("nan"), float("inf")])
def test_values_that_are_no_numbers(value):
    with pytest.raises(InvalidChainError, match="value"):
        number_is(value)


@pytest.mark.parametrize("accepted", [(), ("",), ("yes", " ")])
def test_nothing_to_accept(accepted):
    with pytest.raises(InvalidChainError, match="answer_is"):
        answer_is(*accepted)
