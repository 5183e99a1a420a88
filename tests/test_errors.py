"""Errors say what was given, what was wanted and the way out, in one line that is safe to print."""

import pickle
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from minnet import errors
from minnet.errors import (
    FileError,
    InvalidType,
    InvalidValue,
    MinnetError,
    MissingExtra,
    UnknownName,
    check_choice,
    check_count,
    check_fraction,
    check_positive,
    check_real,
    file_error,
    import_optional,
    quoted,
    unknown,
)

NO_NUMBERS = [True, np.True_, "0.9", None, [0.5], np.array([0.5]), 0.5j, Decimal("0.5")]
ERRORS = [error for error in vars(errors).values() if isinstance(error, type) and issubclass(error, MinnetError)]


@pytest.mark.parametrize("error", ERRORS)
def test_errors_are_of_one_family_and_travel_between_processes(error):
    again = pickle.loads(pickle.dumps(error("what happened")))
    assert type(again) is error and str(again) == "what happened" and isinstance(again, MinnetError)


@pytest.mark.parametrize("error, builtin", [
    (InvalidValue, ValueError), (InvalidType, TypeError), (UnknownName, ValueError), (errors.NotFinite, ValueError),
    (FileError, OSError), (MissingExtra, ImportError), (errors.Unsupported, NotImplementedError),
])
def test_who_knows_nothing_of_minnet_catches_them_too(error, builtin):
    assert issubclass(error, builtin)


@given(st.text() | st.binary() | st.integers() | st.characters(categories=["Cc", "Cf", "Cs"]))
def test_whatever_is_shown_is_safe(value):
    assert quoted(value).isprintable() and len(quoted(value)) <= errors.LONGEST_SHOWN + 3


def test_what_is_printable_is_shown_as_it_is():
    assert quoted("déjà vu.csv") == "déjà vu.csv"
    assert quoted("a\nb\x1b[1m") == r"'a\nb\x1b[1m'"


@pytest.mark.parametrize("fix, text", [(None, "f: is empty"), ("fetch it", "f: is empty (fetch it)")])
def test_a_file_problem_names_file_problem_and_way_out(fix, text):
    assert str(file_error("f", "is empty", fix)) == text


def test_an_unknown_name_is_answered_by_the_nearest():
    text = str(unknown("criterion", "magnitud", ["taylor", "magnitude", "random"]))
    assert text == "unknown criterion 'magnitud'; did you mean magnitude? choose from: magnitude, random, taylor"
    assert "did you mean" not in str(unknown("criterion", "zzz", ["taylor"]))
    assert "(none)" in str(unknown("criterion", None, []))


@pytest.mark.parametrize("value", [0, 1, 0.0, 1.0, 0.5, np.float32(0.25), np.int64(1), np.float64(0.9), Fraction(1, 2)])
def test_fractions(value):
    assert check_fraction("sparsity", value) == float(value) and type(check_fraction("sparsity", value)) is float


@pytest.mark.parametrize("value", [-0.1, 1.1, np.nan, np.inf, -np.inf, 90, -1, 1e300, np.float32(1.5)])
def test_no_fractions(value):
    with pytest.raises(InvalidValue, match=r"^sparsity=.*wanted a finite number from 0 to 1"):
        check_fraction("sparsity", value)


def test_ninety_is_answered_by_a_question():
    with pytest.raises(InvalidValue, match=r"sparsity=90; wanted .*; did you mean 0.9\?"):
        check_fraction("sparsity", 90)


@pytest.mark.parametrize("check", [check_fraction, check_real, check_positive, check_count])
@pytest.mark.parametrize("value", NO_NUMBERS, ids=repr)
def test_what_is_no_number_is_refused(check, value):
    with pytest.raises(InvalidType, match=r"^lr="):
        check("lr", value)


@pytest.mark.parametrize("value", [0, -1, np.nan, np.inf, -0.0])
def test_positive_numbers(value):
    assert check_positive("lr", np.float32(0.5)) == 0.5
    with pytest.raises(InvalidValue, match=r"^lr="):
        check_positive("lr", value)


@pytest.mark.parametrize("value, low, high", [(0, 0, None), (5, 1, 5), (np.int64(3), 3, 3), (10**30, 0, None)])
def test_counts(value, low, high):
    assert check_count("epochs", value, low, high) == value and type(check_count("epochs", value, low, high)) is int


@pytest.mark.parametrize("value, low, high, wanted", [(-1, 0, None, "of at least 0"), (6, 1, 5, "from 1 to 5"),
                                                      (0, 1, 5, "from 1 to 5")])
def test_counts_out_of_range(value, low, high, wanted):
    with pytest.raises(InvalidValue, match=f"^epochs={value}; wanted a whole number {wanted}$"):
        check_count("epochs", value, low, high)


@pytest.mark.parametrize("value", [2.0, 2.5, np.nan, np.float32(2)])
def test_a_float_is_no_count(value):
    with pytest.raises(InvalidType, match="whole number"):
        check_count("epochs", value)


def test_a_choice_is_a_name_or_a_function():
    table = {"one": 1}
    assert check_choice("number", "one", table) == 1
    assert check_choice("number", print, table) is print
    for wrong in ("two", None, 1, ["one"], ("one",)):
        with pytest.raises(UnknownName, match="choose from: one"):
            check_choice("number", wrong, table)


def test_a_missing_package_is_named_with_its_extra():
    assert import_optional("json.decoder", "report").JSONDecoder
    with pytest.raises(MissingExtra) as caught:
        import_optional("no_such_package.part", "report", "the plot")
    assert str(caught.value) == 'the plot needs no_such_package: pip install "minnet-lab[report]"'
