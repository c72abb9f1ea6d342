"""Tables as LaTeX (booktabs): a file that compiles by itself and goes into a paper by input."""

from collections.abc import Iterable, Iterator

from mtlbench.report.tables import Block, Entry, Table
from mtlbench.report.text import latex

MAX_ROWS = 50
"""Rows of one float; a table with more goes on in the next one, block by block."""

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
                _row(Entry(name) for name in table.header),
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


def _row(entries: Iterable[Entry]) -> str:
    fields = [rf"\textbf{{{latex(e.text)}}}" if e.bold else latex(e.text) for e in entries]
    return rf"{{}}{' & '.join(fields)} \\"  # {}: no field is taken for an argument of \\


def _notes(notes: tuple[str, ...]) -> list[str]:
    if not notes:
        return []
    text = "\n".join(rf"{latex(note)}\par" for note in notes)
    return [
        r"\par\medskip\begin{minipage}{0.96\linewidth}\raggedright",
        text,
        r"\end{minipage}",
    ]
