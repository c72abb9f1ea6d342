"""Tables as LaTeX (booktabs): a file that compiles by itself and goes into a paper by input.

Numbers align at their decimal points without a package for it: all numbers of a column have the
same decimals, so they are set flush right, an interval's value and limits in a column each.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from mtlbench.report.latex_text import latex
from mtlbench.report.tables import Block, Entry, Table
from mtlbench.report.text import lines

MAX_ROWS = 50
"""Rows of one float; a table with more goes on in the next one, block by block."""

Kind = Literal["text", "number", "interval"]
_COLUMNS: dict[Kind, str] = {"text": "l", "number": "r", "interval": r"r@{\ }r@{\ }r"}
_SPANS: dict[Kind, int] = {"text": 1, "number": 1, "interval": 3}

LABEL_WIDTH, HEADER_WIDTH = 42, 18
"""Characters of a line of a row's label and of a column's name."""

_HEAD = r"""% Compiles by itself; \input it into a paper that loads booktabs.
\expandafter\ifx\csname @classoptionslist\endcsname\relax
  \documentclass[a4paper]{article}
  \usepackage[margin=10mm]{geometry}
  \usepackage{booktabs}
  \begin{document}
  \def\mtlbenchend{\end{document}}
\else
  \def\mtlbenchend{}
\fi
"""


def document(tables: Iterable[Table]) -> str:
    """The whole file."""
    floats = [part for table in tables for part in _floats(table)]
    return _HEAD + "\n".join(floats) + "\n\\mtlbenchend\n"


def _floats(table: Table) -> Iterator[str]:
    for i, blocks in enumerate(_packed(table.blocks)):
        caption = table.caption + (" (continued)" if i else "")
        kinds = _kinds(table)
        columns = "".join(_COLUMNS[kind] for kind in kinds)
        width = sum(_SPANS[kind] for kind in kinds)
        yield "\n".join(
            [
                r"\begin{table*}[p]",
                r"\centering\scriptsize\setlength{\tabcolsep}{2.5pt}",
                rf"\caption{{{latex(caption)}.}}\vspace{{3pt}}",
                *([] if i else [rf"\label{{tab:mtlbench-{table.name}}}"]),
                rf"\begin{{tabular}}{{{columns}}}",
                r"\toprule",
                _header(table.header, kinds),
                *(line for block in blocks for line in _block(block, kinds, width)),
                r"\bottomrule",
                r"\end{tabular}",
                *_notes(table.notes),
                r"\end{table*}",
            ]
        )


def _packed(blocks: Iterable[Block]) -> list[list[Block]]:
    """Blocks in order, as many to a float as MAX_ROWS allows."""
    floats: list[list[Block]] = []
    for block in blocks:
        used = sum(len(b.rows) for b in floats[-1]) if floats else MAX_ROWS
        if used + len(block.rows) > MAX_ROWS:
            floats.append([])
        floats[-1].append(block)
    return floats


def _kinds(table: Table) -> list[Kind]:
    """What each column holds; the first holds the rows' labels."""
    rows = [row for block in table.blocks for row in block.rows]
    return ["text", *(_kind([row[i] for row in rows]) for i in range(1, len(table.header)))]


def _kind(entries: Sequence[Entry]) -> Kind:
    if any(entry.limits for entry in entries):
        return "interval"
    numbers = all(re.fullmatch(r"–|<?[+−]?\d[\d.,/–]*", entry.text) for entry in entries)
    return "number" if numbers else "text"


def _block(block: Block, kinds: Sequence[Kind], width: int) -> Iterator[str]:
    yield r"\midrule"
    if block.title:
        yield rf"\multicolumn{{{width}}}{{l}}{{\itshape {latex(block.title)}}} \\"
    yield from (_row(entries, kinds) for entries in block.rows)


def _header(names: Sequence[str], kinds: Sequence[Kind]) -> str:
    first, *rest = names
    fields = [_stack(first, LABEL_WIDTH)]
    for name, kind in zip(rest, kinds[1:], strict=True):
        stack = _stack(name, HEADER_WIDTH, "c")
        fields.append(stack if kind == "text" else _spanning(stack, _SPANS[kind]))
    return " & ".join(fields) + r" \\"


def _row(entries: Sequence[Entry], kinds: Sequence[Kind]) -> str:
    label, *values = entries
    fields = [_stack(label.text, LABEL_WIDTH), *map(_field, values, kinds[1:])]
    return " & ".join(fields) + r" \\"


def _field(entry: Entry, kind: Kind) -> str:
    """An entry as the one or three fields of its column."""
    value = rf"\textbf{{{latex(entry.text)}}}" if entry.bold else latex(entry.text)
    if entry.limits:
        low, high = map(latex, entry.limits)
        return f"{value} & [{low}, & {high}]"
    return _spanning(value, _SPANS[kind]) if kind == "interval" else value


def _spanning(content: str, width: int) -> str:
    return rf"\multicolumn{{{width}}}{{c}}{{{content}}}"


def _stack(text: str, width: int, side: str = "l") -> str:
    """Text in lines, each opened by braces: a row's end would take a first [ as its argument."""
    parts = [f"{{}}{latex(part)}" for part in lines(text, width)]
    stack = r" \\ ".join(parts)
    return stack if len(parts) == 1 else rf"\shortstack[{side}]{{{stack}}}"


def _notes(notes: tuple[str, ...]) -> list[str]:
    if not notes:
        return []
    text = "\n".join(rf"{latex(note)}\par" for note in notes)
    return [
        r"\par\medskip\begin{minipage}{0.96\linewidth}\raggedright",
        text,
        r"\end{minipage}",
    ]
