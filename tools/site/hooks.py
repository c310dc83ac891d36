"""The hooks of mkdocs: called while a site is built, in the order of this file.

Run by ``python -m mkdocs build``, which puts the repository's root on the path.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from mkdocs.structure.files import File, Files

from tools.site import api, links, navigation, separator_index, separator_pages, start_page

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.pages import Page

ROOT = Path(__file__).parents[2]

REPOSITORY_PAGES = ("CONTRIBUTING.md", "CHANGELOG.md")
"""Pages outside docs/ that are part of the site, beside its other pages."""

REPOSITORY_FILES = ("samples/LICENCE.md", "LICENSE")
"""Files outside docs/ that pages link to; copied as they are."""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are not in docs/, then complete the navigation."""
    for name in REPOSITORY_PAGES:
        files.append(File.generated(config, name, abs_src_path=str(ROOT / name)))
    for name in REPOSITORY_FILES:
        files.append(File.generated(config, f"{name}.txt", content=_text(name)))
    for name, text in separator_pages.pages():
        files.append(File.generated(config, f"separators/{name}.md", content=text))
    pages = [file.src_uri for file in files.documentation_pages()]
    config.nav = navigation.completed(config.nav or [], pages)
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Complete a page, and point its links at where files are on the site."""
    del config
    source = page.file.src_uri
    if source == "separators/README.md":
        markdown += separator_index.table_of_all()
    if source == "README.md":
        page.meta["hide"] = ["navigation", "toc"]
        markdown = start_page.in_columns(markdown)
    known = {file.src_uri for file in files}
    folder = "" if source in REPOSITORY_PAGES else "docs"
    return links.rewritten(api.expanded(markdown), source, folder, known)


def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")
