"""Tables as Markdown (the pipe tables of GitHub)."""

from collections.abc import Iterable, Iterator

from mtlbench.report.tables import Entry, Table
from mtlbench.report.text import markdown


def document(title: str, tables: Iterable[Table]) -> str:
    """The whole file."""
    lines = [f"# {markdown(title)}", ""]
    for table in tables:
        lines += _table(table)
    return "\n".join(lines)


def _table(table: Table) -> Iterator[str]:
    yield from (f"## {markdown(table.caption)}", "")
    for block in table.blocks:
        if block.title:
            yield from (f"### {markdown(block.title)}", "")
        yield _row(Entry(name) for name in table.header)
        yield "|:--" + "|:-:" * (len(table.header) - 1) + "|"
        yield from (_row(entries) for entries in block.rows)
        yield ""
    yield from (f"- {markdown(note)}" for note in table.notes)
    if table.notes:
        yield ""


def _row(entries: Iterable[Entry]) -> str:
    fields = (f"**{markdown(e.full)}**" if e.bold else markdown(e.full) for e in entries)
    return f"| {' | '.join(fields)} |"
