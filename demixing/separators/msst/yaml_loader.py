"""A YAML loader that builds plain values only."""

from typing import Any

import yaml
from yaml.events import AliasEvent
from yaml.nodes import Node, SequenceNode


class PlainLoader(yaml.SafeLoader):
    """The safe loader, with tuples as lists and without aliases."""

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        """Compose a node; see the class.

        Raises:
            YAMLError: it is an alias.
        """
        if self.check_event(AliasEvent):
            raise yaml.YAMLError("it uses an alias; write the value out")
        return super().compose_node(parent, index)


def _as_list(loader: yaml.SafeLoader, node: SequenceNode) -> list[Any]:
    return loader.construct_sequence(node, deep=True)


PlainLoader.add_constructor("tag:yaml.org,2002:python/tuple", _as_list)
