import re
import shutil
import subprocess

import pytest

from mtlbench.report.latex import MAX_ROWS, document
from mtlbench.report.tables import Block, Entry, Table

NASTY = r"a_b & 50% $x$ #1 \cmd{y} ~^ [z] <w> λ −1 … -- 日 André"


def table(rows=3):
    line = (Entry(f"[{NASTY}"), Entry("1.0", bold=True))
    return Table("t", NASTY, ("*", "Δ"), (Block(NASTY, (line,) * rows),) * 3, (NASTY,))


def test_rows_have_the_header_columns():
    source = document([table()])
    rows = [line for line in source.splitlines() if line.startswith(("{}", r"\shortstack"))]
    assert len(rows) == 10
    assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {1}
    assert source.count(r"\toprule") == source.count(r"\bottomrule") == 1


def test_numbers_align_at_their_decimal_points():
    """Set flush right with the same decimals: a value and its two limits in a column each."""
    rows = (
        (Entry("a"), Entry("5.0", bold=True, limits=("−10.2", "9.8")), Entry("<0.001")),
        (Entry("b"), Entry("84.0", limits=("80.1", "100.0")), Entry("–")),
        (Entry("c"), Entry("baseline"), Entry("0.012")),
    )
    source = document([Table("t", "T", ("", "Value", "p"), (Block("", rows),))])
    assert r"\begin{tabular}{lr@{\ }r@{\ }rr}" in source
    assert r"{}a & \textbf{5.0} & [$-$10.2, & 9.8] & \textless{}0.001 \\" in source
    assert r"{}b & 84.0 & [80.1, & 100.0] & \textendash{} \\" in source
    assert r"{}c & \multicolumn{3}{c}{baseline} & 0.012 \\" in source


def test_a_long_table_goes_on_in_another_float():
    source = document([table(rows=MAX_ROWS // 2)])
    assert source.count(r"\begin{table*}") == 2
    assert source.count("(continued)") == 1
    assert source.count(r"\label{tab:mtlbench-t}") == 1


def lacks_latex():
    known = shutil.which("pdflatex") and shutil.which("kpsewhich")
    command = ["kpsewhich", "booktabs.sty"]
    return not known or subprocess.run(command, capture_output=True).returncode != 0


def compiled(folder, name):
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", name]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Missing character" not in done.stdout


@pytest.mark.skipif(lacks_latex(), reason="pdflatex with booktabs is not installed")
def test_it_compiles_alone_and_inside_a_paper(tmp_path, arms_report):
    (tmp_path / "table.tex").write_text(document([table()]))
    shutil.copy(arms_report / "table.tex", tmp_path / "report.tex")
    paper = r"""\documentclass[twocolumn]{article}\usepackage{booktabs}
        \begin{document}A\input{table}B\input{report}C\end{document}"""
    (tmp_path / "paper.tex").write_text(paper)
    for name in ("table", "report", "paper"):
        compiled(tmp_path, name)
