import ml_dtypes
import numpy as np
import pytest

from arenaut.measure.compare import difference


def test_relative_error_is_measured_against_the_largest_element() -> None:
    reference = {"y": np.array([1e-9, -4.0, 2.0], np.float32)}
    apart = difference(reference, {"y": np.array([1e-9, -4.0, 2.5], np.float32)})
    assert (apart.max_abs, apart.max_rel, apart.unequal, apart.compared) == (0.5, 0.125, 0, 1)


def test_largest_over_all_outputs() -> None:
    reference = {"a": np.array([1000.0]), "b": np.array([0.5])}
    apart = difference(reference, {"a": np.array([1001.0]), "b": np.array([0.75])})
    assert (apart.max_abs, apart.max_rel, apart.compared) == (1.0, 0.5, 2)


def test_nan_and_infinity_are_equal_only_to_themselves() -> None:
    special = {"y": np.array([np.nan, np.inf, -np.inf, 1.0])}
    assert difference(special, special).max_abs == 0.0
    assert difference(special, {"y": np.array([np.nan, -np.inf, -np.inf, 1.0])}).max_abs == np.inf
    assert difference(special, {"y": np.array([0.0, np.inf, -np.inf, 1.0])}).max_rel == np.inf


def test_a_difference_from_all_zeros_is_infinite_in_relation() -> None:
    assert difference({"y": np.zeros(2)}, {"y": np.array([0.0, 1e-3])}).max_rel == np.inf


def test_whole_numbers_and_strings_are_counted() -> None:
    reference = {"i": np.array([1, 2, 3]), "s": np.array(["a", "b"], object)}
    apart = difference(reference, {"i": np.array([1, 9, 9]), "s": np.array(["a", "c"], object)})
    assert (apart.unequal, apart.max_abs) == (3, 0.0)


def test_small_floats_are_compared_as_floats() -> None:
    reference = {"y": np.array([1.0, 2.0], ml_dtypes.bfloat16)}
    assert difference(reference, {"y": np.array([1.0, 2.5], ml_dtypes.bfloat16)}).max_abs == 0.5


def test_sequences_and_maps_are_compared_member_by_member() -> None:
    reference = {"p": [{"cat": 0.5, "dog": 2.0}, {"cat": 1.0, "dog": 0.0}]}
    apart = difference(reference, {"p": [{"cat": 0.5, "dog": 1.5}, {"cat": 1.0, "dog": 0.0}]})
    assert (apart.max_abs, apart.max_rel, apart.compared) == (0.5, 0.25, 4)
    with pytest.raises(ValueError, match=r"'p\[1\]\[cat\]' is missing"):
        difference(reference, {"p": [{"cat": 0.5, "dog": 2.0}]})


def test_missing_and_misshapen_outputs_are_refused() -> None:
    with pytest.raises(ValueError, match=r"'y' is missing; there are z"):
        difference({"y": np.zeros(1)}, {"z": np.zeros(1)})
    with pytest.raises(ValueError, match=r"\[2, 1\].*\[2\]"):
        difference({"y": np.zeros(2)}, {"y": np.zeros((2, 1))})
    assert difference({"y": np.zeros((0, 3))}, {"y": np.zeros((0, 3))}).max_abs == 0.0
