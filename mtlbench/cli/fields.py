"""Tables and numbers of `mtlbench compare` as printed: whole in 80 columns, and in a pipe."""

from rich import box
from rich.markup import escape
from rich.table import Table

UNRELIABLE = "* an interval or p may be wrong: the notes say why"
WIDEST = 16
"""Characters of an arm's name in a line; a longer one goes on below."""


def plain_table(title: str, captions: list[str]) -> Table:
    """A table without a frame."""
    return Table(
        title=escape(title),
        title_justify="left",
        caption=escape("\n".join(captions)) or None,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
        min_width=min(len(title), 78),
        collapse_padding=True,
    )


def marked(name: str, reliable: bool) -> str:
    """An arm's name, with a star where its numbers are not reliable."""
    return escape(name if reliable else f"{name} *")


def interval_text(value: float | None, low: float | None, high: float | None, between: str) -> str:
    """A value and its interval, with `between` before the brackets."""
    from mtlbench.analysis.frame import absent

    limits = "" if absent(low) else f"{between}[{low:.3f}, {high:.3f}]"
    return "-" if absent(value) else escape(f"{value:.3f}{limits}")


def p_field(value: float | None) -> str:
    """A p-value, never 0."""
    from mtlbench.analysis.frame import absent
    from mtlbench.analysis.multiplicity import p_text

    return "-" if value is None or absent(value) else p_text(value)
