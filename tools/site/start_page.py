"""The start page: the sections of its users stand side by side where there is room."""


def in_columns(markdown: str) -> str:
    r"""Put the sections of a page into boxes, which the style sheet arranges.

    >>> in_columns("# T\n\ntext\n\n## A\n\na\n\n## B\n\nb\n").count("<div")
    3
    """
    first, *sections = markdown.split("\n## ")
    boxes = [f'<div markdown="1">\n\n## {section.strip()}\n\n</div>' for section in sections]
    return "\n\n".join([first, '<div class="users" markdown="1">', *boxes, "</div>"]) + "\n"
