"""Checks that HTML is balanced, and returns what is in it."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

VOID = {"area", "br", "col", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}


@dataclass
class Tag:
    """A start tag with its attributes."""

    name: str
    attributes: dict[str, str | None]


@dataclass
class Page:
    """All start tags and all text of a page, in order."""

    tags: list[Tag] = field(default_factory=list)
    texts: list[str] = field(default_factory=list)

    def named(self, name: str) -> list[Tag]:
        return [tag for tag in self.tags if tag.name == name]

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.texts).split())


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.page, self.open = Page(), list[str]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), (tag, names)
        self.page.tags.append(Tag(tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.page.tags.append(Tag(tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open, tag
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.page.texts.append(data)


def read(text: str) -> Page:
    """Parse HTML; every tag must be closed in its turn, ids must be unique, nothing is loaded."""
    reader = _Reader()
    reader.feed(text)
    reader.close()
    assert not reader.open
    ids = [tag.attributes["id"] for tag in reader.page.tags if "id" in tag.attributes]
    assert len(set(ids)) == len(ids)
    for tag in reader.page.tags:
        assert tag.name not in ("script", "link", "iframe", "img", "object")
        assert not any(name.startswith("on") for name in tag.attributes)
        for name in ("src", "href"):
            address = tag.attributes.get(name) or "#"
            assert address.startswith(("#", "data:audio/ogg;base64,")), address
    return reader.page
