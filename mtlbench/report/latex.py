"""Tables as LaTeX (booktabs): a file that compiles by itself and goes into a paper by input."""

from collections.abc import Iterable, Iterator, Sequence

from mtlbench.report.tables import Block, Entry, Table
from mtlbench.report.text import latex, lines

MAX_ROWS = 50
"""Rows of one float; a table with more goes on in the next one, block by block."""

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
        columns = "l" + "c" * (len(table.header) - 1)
        yield "\n".join(
            [
                r"\begin{table*}[p]",
                r"\centering\scriptsize\setlength{\tabcolsep}{3pt}",
                rf"\caption{{{latex(caption)}.}}\vspace{{3pt}}",
                *([] if i else [rf"\label{{tab:mtlbench-{table.name}}}"]),
                rf"\begin{{tabular}}{{{columns}}}",
                r"\toprule",
                _header(table.header),
                *(line for block in blocks for line in _block(block, len(table.header))),
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


def _block(block: Block, width: int) -> Iterator[str]:
    yield r"\midrule"
    if block.title:
        yield rf"\multicolumn{{{width}}}{{l}}{{\itshape {latex(block.title)}}} \\"
    yield from (_row(entries) for entries in block.rows)


def _header(names: Sequence[str]) -> str:
    first, *rest = names
    fields = [_stack(first, LABEL_WIDTH), *(_stack(name, HEADER_WIDTH, "c") for name in rest)]
    return " & ".join(fields) + r" \\"


def _row(entries: Sequence[Entry]) -> str:
    label, *values = entries
    fields = [_stack(label.text, LABEL_WIDTH), *map(_value, values)]
    return " & ".join(fields) + r" \\"


def _value(entry: Entry) -> str:
    return rf"\textbf{{{latex(entry.text)}}}" if entry.bold else latex(entry.text)


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
