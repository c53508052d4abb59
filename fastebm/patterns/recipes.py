"""Patterns from what is stored of them: the arrays of a matrix, or the recipe of a computed one."""

from .. import _core
from .lattice import LatticePattern
from .pattern import Pattern
from .rule import RulePattern

# Who makes a computed pattern from its recipe.
MAKERS = {"lattice": LatticePattern.from_recipe, "rule": RulePattern.from_recipe}


def pattern_parts(pattern):
    """(arrays, facts) that make the pattern again; an array may be None."""
    facts = {"symmetric": pattern.is_symmetric}
    if pattern.recipe is not None:  # computed: what makes it, not its rows
        facts["recipe"], arrays = pattern.recipe
        return arrays, facts
    matrix = pattern.matrix
    potential = None if pattern.is_symmetric else pattern.__dict__.get("potential")
    return {
        "indptr": matrix.indptr,
        "indices": matrix.indices,
        "values": matrix.values,
        "potential": potential,
    }, facts


def pattern_of(facts, arrays):
    """The pattern of `pattern_parts`; what else is in `arrays` is left alone."""
    recipe = facts.get("recipe")
    if recipe is not None:
        return MAKERS[recipe["kind"]](recipe, arrays)
    matrix = _core.Csr(arrays["indptr"], arrays["indices"], arrays.get("values"))
    return Pattern(matrix, symmetric=facts["symmetric"], potential=arrays.get("potential"))
