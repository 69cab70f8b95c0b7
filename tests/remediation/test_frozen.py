"""Frozen behaves like `@dataclass(frozen=True, kw_only=True)`."""

import copy
import dataclasses
import pickle

import pytest

from lambdas.remediation.frozen import Frozen


class Point(Frozen):
    x: int
    y: int = 2
    seen: list[str] = dataclasses.field(default_factory=list)


class Place(Point):
    name: str


class Lookalike(Frozen):
    x: int
    y: int = 2


class Pair(Frozen):
    x: int
    y: int = 2


def test_is_a_dataclass_with_its_fields_in_order():
    assert dataclasses.is_dataclass(Point)
    assert [f.name for f in dataclasses.fields(Place)] == ["x", "y", "seen", "name"]


def test_takes_given_values_and_defaults():
    place = Place(x=1, name="here")

    assert (place.x, place.y, place.seen, place.name) == (1, 2, [], "here")


def test_makes_a_default_of_a_factory_anew():
    first, second = Point(x=1), Point(x=1)
    first.seen.append("x")

    assert second.seen == []


def test_names_a_missing_field():
    with pytest.raises(TypeError) as raised:
        Point(y=1)

    assert str(raised.value) == "Point: x is missing"


def test_names_an_unknown_field():
    with pytest.raises(TypeError) as raised:
        Point(x=1, z=3)

    assert str(raised.value) == "Point: has no z"


def test_takes_no_positional_value():
    with pytest.raises(TypeError):
        Point(1)


def test_cannot_be_changed():
    point = Point(x=1)

    with pytest.raises(dataclasses.FrozenInstanceError):
        point.x = 5
    with pytest.raises(dataclasses.FrozenInstanceError):
        del point.x
    with pytest.raises(dataclasses.FrozenInstanceError):
        point.new = 5
    assert point == Point(x=1)


def test_equals_by_class_and_values():
    assert Point(x=1) == Point(x=1, y=2)
    assert Point(x=1) != Point(x=2)
    assert Pair(x=1) != Lookalike(x=1)
    assert Pair(x=1) != (1, 2)


def test_equal_values_hash_alike():
    assert {Pair(x=1): "found"}[Pair(x=1, y=2)] == "found"


def test_a_value_that_cannot_be_hashed_makes_the_whole_unhashable():
    with pytest.raises(TypeError):
        hash(Point(x=1))


def test_replace_gives_a_changed_copy():
    point = Point(x=1)

    assert dataclasses.replace(point, y=5) == Point(x=1, y=5)
    assert point.y == 2


def test_survives_copy_and_pickle():
    point = Point(x=1, seen=["a"])

    assert copy.deepcopy(point) == point
    assert pickle.loads(pickle.dumps(point)) == point


def test_shows_its_values():
    assert repr(Place(x=1, name="here")) == "Place(x=1, y=2, seen=[], name='here')"
