"""Arrays whose entries have names (pandas' Series and DataFrame), put into the order of the states.

pandas is not imported. Its objects are recognised by their attributes, so that subclasses and
libraries with the same interface are treated alike. Names are compared as text, because labels are
saved as text. The default index 0, 1, ... holds positions, not names.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import InvalidChainError
from .types import IntArray, Labels

# Names that an error lists.
_SHOWN = 5


def is_series(values: Any) -> bool:
    """Whether `values` is a one-dimensional array with an index, such as a pandas.Series."""
    return _has_index(values) and len(values.shape) == 1


def is_table(values: Any) -> bool:
    """Whether `values` is a table with column names: a DataFrame of pandas or polars, or a
    pyarrow.Table. Only those of pandas have an index."""
    is_one = hasattr(values, "to_numpy") or hasattr(values, "to_pandas")
    # a Series with the label "columns" has that attribute, too
    return is_one and hasattr(values, "columns") and len(values.shape) == 2


def _has_index(values: Any) -> bool:
    return hasattr(values, "to_numpy") and hasattr(getattr(values, "index", None), "tolist")


def state_labels(labels: Any) -> Labels | None:
    """The labels that a caller gave. A pandas.Series, whose items are looked up by name instead of
    position, becomes a tuple, and so does a pandas.Index."""
    if is_series(labels):
        labels = in_state_order(labels, None, "labels").tolist()
    elif hasattr(labels, "get_indexer"):
        labels = labels.tolist()
    else:
        given: Labels | None = labels
        return given
    return tuple(labels)


def in_state_order(values: Any, labels: Labels | None, name: str, *, axis: int = 0) -> Any:
    """`values` with its entries along `axis` in the order of the states, as an ndarray if they have
    names; anything without names is returned as it is.

    Raises
    ------
    InvalidChainError
        A name occurs twice, or the names are not those of the states.
    """
    if is_table(values) and axis == -1:
        names = _column_names(values)
    elif _has_index(values):
        names = values.index.tolist()
    else:
        return values
    array = np.asarray(values)
    order = _order(names, labels, name)
    return array if order is None else np.take(array, order, axis=axis)


def named_matrix(matrix: Any, labels: Any, name: str) -> tuple[Any, Labels | None]:
    """(matrix, labels) with rows and columns in the order of the labels.

    Without labels, those of a DataFrame are the names of its rows, in their order.

    Raises
    ------
    InvalidChainError
        Rows and columns have different names, a name occurs twice, or the names are not the labels.
    """
    labels = state_labels(labels)
    if not is_table(matrix):
        return matrix, labels
    columns = _column_names(matrix)
    if not _has_index(matrix):
        raise InvalidChainError(
            f"{name} is a table whose rows have no names; if they are in the order of its columns, "
            f"pass numpy.asarray({name}) and their names as labels"
        )
    rows = matrix.index.tolist()
    are_names = not (_is_default(rows) and _is_default(columns))
    if are_names:
        remedy = (
            f"name rows and columns alike, or pass {name}.to_numpy() if both are in the order of "
            "the states"
        )
        check_names(rows, columns, f"the index of {name}", f"the columns of {name}", remedy)
        labels = tuple(rows) if labels is None else labels
    array = np.asarray(matrix)
    for axis, names in enumerate((rows, columns)):
        order = _order(names, labels, name, are_names=are_names)
        array = array if order is None else np.take(array, order, axis)
    return array, labels


def paired(**arrays: Any) -> list[Any]:
    """The arrays, whose entries belong together by position; those with an index as ndarrays.

    Raises
    ------
    InvalidChainError
        Entries of equal positions have different names.
    """
    named = {name: array.index.tolist() for name, array in arrays.items() if is_series(array)}
    first = next(iter(named), "")
    for name, index in named.items():
        if index != named[first]:
            raise InvalidChainError(
                f"{first} and {name} have different indexes; take both from one DataFrame, or pass "
                f"{first}.to_numpy() and {name}.to_numpy() if their entries are in the same order"
            )
    return [np.asarray(array) if name in named else array for name, array in arrays.items()]


def _column_names(table: Any) -> list[Any]:
    return list(table.columns if hasattr(table, "to_numpy") else table.column_names)


def _is_default(names: Sequence[Any]) -> bool:
    return names == list(range(len(names)))


def _order(
    names: Sequence[Any], labels: Labels | None, what: str, *, are_names: bool = False
) -> IntArray | None:
    """The position in `names` of every state; None if they are in the order of the states.
    are_names: 0, 1, ... are names, not positions."""
    own = [str(name) for name in names]
    known = range(len(own)) if labels is None else [labels[i] for i in range(len(labels))]
    wanted, positional = [str(label) for label in known], f"pass {what}.to_numpy()"
    if own == wanted:
        return None
    if labels is None:
        check_names(
            own,
            wanted,
            f"the index of {what}",
            "the state numbers",
            f"the states have no labels; if the entries are in their order, {positional}",
        )
    elif are_names or not _is_default(names):
        check_names(
            own,
            wanted,
            f"the index of {what}",
            "the labels of the states",
            f"give one entry for every label, or {positional} if they are in the order of states",
        )
    elif {*own} & {*wanted}:
        raise InvalidChainError(
            f"the index of {what} is 0, 1, ..., which may mean positions or labels such as "
            f"{next(name for name in own if name in wanted)!r}; index it by the labels, or "
            f"{positional} if the entries are in the order of the states"
        )
    else:
        return None
    position = {name: i for i, name in enumerate(own)}
    return np.array([position[name] for name in wanted], np.int64)


def check_names(
    first: Sequence[Any], second: Sequence[Any], one: str, other: str, remedy: str
) -> None:
    """Refuse two lists of names unless each has every name of the other exactly once."""
    sets: list[set[str]] = []
    for names, where in ((first, one), (second, other)):
        seen: set[str] = set()
        for name in map(str, names):
            if name in seen:
                raise InvalidChainError(
                    f"{name!r} occurs twice in {where}; names must differ to be matched"
                )
            seen.add(name)
        sets.append(seen)
    differing = [
        f"only in {where}: {_listed(sorted(here - there))}"
        for where, here, there in ((one, sets[0], sets[1]), (other, sets[1], sets[0]))
        if here - there
    ]
    if differing:
        raise InvalidChainError(f"{one} and {other} differ ({'; '.join(differing)}); {remedy}")


def _listed(names: Sequence[str]) -> str:
    rest = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(map(repr, names[:_SHOWN])) + rest
