"""The table of all separators, below the text of docs/separators/README.md."""

from typing import Any

from demixing import separators
from tools.site import figures
from tools.site.tables import table


def table_of_all() -> str:
    """Return the Markdown of the table."""
    rows = [_row(name, figures.of(name)) for name in separators.names()]
    head = ("separator", "what it is", "time", "chunk", "memory", "weights")
    return f"\n\n## All of them\n\n{table(head, rows)}\n\nMeasured on {figures.machine()}.\n"


def _row(name: str, found: dict[str, Any] | None) -> tuple[str, ...]:
    link, summary = f"[{name}]({name}.md)", separators.summary(name)
    if found is None:
        return link, summary, "-", "-", "-", "-"
    rate_hz = found["sample_rate_hz"] or 44_100
    weights = figures.millions(found["weights"]) + ("*" if found["random_weights"] else "")
    return (
        link,
        summary,
        f"{found['s_per_s']:.3g}",
        f"{found['chunk'] / rate_hz:.3g} s",
        f"{found['peak_mib']} MiB",
        weights,
    )
