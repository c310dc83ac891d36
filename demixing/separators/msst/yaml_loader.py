"""A YAML loader that builds plain values only."""

from typing import Any

import yaml
from yaml.nodes import SequenceNode


class PlainLoader(yaml.SafeLoader):
    """The safe loader, with tuples as lists."""


def _as_list(loader: yaml.SafeLoader, node: SequenceNode) -> list[Any]:
    return loader.construct_sequence(node, deep=True)


PlainLoader.add_constructor("tag:yaml.org,2002:python/tuple", _as_list)
