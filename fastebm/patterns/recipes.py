"""What is saved and pickled of a pattern: the arrays of a matrix, or the recipe of a computed
pattern. A new kind of computed pattern is one more line of `MAKERS`."""

from collections.abc import Callable, Mapping
from typing import Any

from .. import _core
from .lattice import LatticePattern
from .pattern import FindRule, Pattern
from .rule import RulePattern

# The function that makes a computed pattern from its recipe.
MAKERS: dict[str, Callable[[dict[str, Any], Mapping[str, Any], FindRule], Pattern]] = {
    "lattice": LatticePattern.from_recipe,
    "rule": RulePattern.from_recipe,
}


def pattern_parts(pattern: Pattern) -> tuple[dict[str, Any], dict[str, Any]]:
    """(arrays, facts) from which `pattern_of` makes the pattern again; an array may be None."""
    facts: dict[str, Any] = {"symmetric": pattern.is_symmetric}
    if pattern.recipe is not None:  # computed: the recipe, not the rows
        facts["recipe"], arrays = pattern.recipe
        return dict(arrays), facts
    matrix = pattern.matrix
    return {
        "indptr": matrix.indptr,
        "indices": matrix.indices,
        "values": matrix.values,
        "potential": None if pattern.is_symmetric else pattern.known_potential,
    }, facts


def pattern_of(facts: Mapping[str, Any], arrays: Mapping[str, Any], find_rule: FindRule) -> Pattern:
    """The pattern of `pattern_parts`; other arrays in `arrays` are ignored."""
    recipe = facts.get("recipe")
    if recipe is not None:
        return MAKERS[recipe["kind"]](recipe, arrays, find_rule)
    matrix = _core.Csr(arrays["indptr"], arrays["indices"], arrays.get("values"))
    return Pattern(matrix, symmetric=facts["symmetric"], potential=arrays.get("potential"))
