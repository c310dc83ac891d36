"""Finds the commands in the console blocks of a page."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

FENCED = re.compile(r"^```[^\n]*\n(?P<inside>.*?)^```", re.MULTILINE | re.DOTALL)
PROGRAM = re.compile(r"(\$ )?(demixing|python|make|pip|eval|torchrun|aicrowd|git|unzip|ls) [^=]")
"""How a line of a console block begins; lines of output and of Python do not."""


def commands(page: Path) -> Iterator[str]:
    """Yield the commands of a page without their comments."""
    for line in lines(page.read_text(encoding="utf-8")):
        if PROGRAM.match(line):
            yield without_comment(line.removeprefix("$ "))


def lines(text: str) -> Iterator[str]:
    """Yield the lines of blocks that are indented by four spaces or more, or fenced."""
    for block in FENCED.finditer(text):
        yield from block["inside"].splitlines()
    for line in FENCED.sub("", text).splitlines():
        if line.startswith("    "):
            yield line.strip()


def without_comment(line: str) -> str:
    """Cut a comment off.

    >>> without_comment("demixing plan   # what '#' is")
    'demixing plan'
    """
    return re.split(r"\s+#\s", line, maxsplit=1)[0].strip()


def words(command: str) -> list[str]:
    """Split a command as a shell does; brackets and dots that stand for more are left out.

    >>> words("demixing check DIR... [--notes] [NAME...] --set 'a=[\\"b\\"]'")
    ['demixing', 'check', 'DIR', '--notes', 'NAME', '--set', 'a=["b"]']
    """
    plain = re.sub(r"(?<=\s)\[([^\]]*)\]", r"\1", command)
    return [word.removesuffix("...") for word in shlex.split(plain) if word != "..."]


def python_blocks(text: str) -> Iterator[str]:
    """Yield the indented blocks that use the library: Python, all lines of it."""
    for block in re.findall(r"(?:^(?: {4}.*)?\n)+", text, flags=re.MULTILINE):
        code = "\n".join(line[4:] for line in block.splitlines()).strip()
        if "Separator(" in code and not PROGRAM.match(code):
            yield code
