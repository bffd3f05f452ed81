"""One value has one sequence of bytes, and the fast way of checking it agrees with the standard's."""

import json

import pytest
import rfc8785
from hypothesis import given, settings
from hypothesis import strategies as st

from retrain.ledger.canonical import canonical, load
from retrain.ledger.problems import LedgerError

REALS = st.floats(allow_nan=False, allow_infinity=False)
WHOLES = st.integers(-(2**53) + 1, 2**53 - 1)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]))
VALUES = st.recursive(
    st.none() | st.booleans() | WHOLES | REALS | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


@given(VALUES)
@settings(max_examples=300, deadline=None)
def test_what_is_written_is_read_as_the_same(value: object) -> None:
    """Reading canonical bytes and writing them again gives the same bytes, whatever the value."""
    data = canonical(value)
    assert canonical(load(data)) == data


@given(VALUES)
@settings(max_examples=300, deadline=None)
def test_only_the_canonical_form_is_read(value: object) -> None:
    """Of all ways to write a value, exactly the one of RFC 8785 is read: Python's own is not, unless it is the same."""
    for other in (json.dumps(value), json.dumps(value, ensure_ascii=False, separators=(",", ":"))):
        data = other.encode()
        if data == rfc8785.dumps(value):
            assert load(data) == value
        else:
            with pytest.raises(ValueError, match="canonical"):
                load(data)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "1.0",
            "-0",
            "-0.0",
            "1e2",
            "1E5",
            "01",
            " 1",
            "1 ",
            "9007199254740993",
            "1" * 5000,
            "1e999",
            "NaN",
            "Infinity",
        ),
        *('{"b":1,"a":2}', '{"a":1,"a":1}', '{"\uffff":2,"\U00010000":1}', '{"\U00010000":1,"a":1.0}'),
        *('"\\u0041"', '"\\/"', '"\\ud800"', "", "{", "[" * 100_000, "100000000000000000000.5"),
    ],
)
def test_any_other_form_is_refused(text: str) -> None:
    """Numbers, escapes, order, duplicates and depth that RFC 8785 would not write are refused."""
    with pytest.raises(ValueError, match=r"."):
        load(text.encode())


@pytest.mark.parametrize("text", ["100000000000000000", "1e+21", "1e-7", "0.000001", '{"\U00010000":1,"\uffff":2}'])
def test_unusual_canonical_forms_are_read(text: str) -> None:
    """Large floats are written as integers, and keys are in the order of UTF-16: both are canonical."""
    assert canonical(load(text.encode())) == text.encode()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**53, {1: 2}, {"a": b"x"}, "\ud800"])
def test_what_json_cannot_carry_is_refused(value: object) -> None:
    """A value that would not come back as it was is refused with a clear error, not written another way."""
    with pytest.raises(LedgerError, match="canonical JSON"):
        canonical(value)


def test_a_bottomless_value_is_refused() -> None:
    """A value that holds itself ends in a clear error."""
    value: list[object] = []
    value.append(value)
    with pytest.raises(LedgerError, match="canonical JSON"):
        canonical(value)
