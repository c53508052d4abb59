"""JSON as standard parsers read it."""

import json


def strict_json(text):
    """The JSON document, which must not use NaN or Infinity."""

    def refuse(name):
        raise AssertionError(f"{name} is not JSON")

    return json.loads(text, parse_constant=refuse)
