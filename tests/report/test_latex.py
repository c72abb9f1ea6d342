import re
import shutil
import subprocess

import pytest

from mtlbench.report.latex import MAX_ROWS, document
from mtlbench.report.tables import Block, Entry, Table

NASTY = r"a_b & 50% $x$ #1 \cmd{y} ~^ [z] <w> λ −1 … -- 日"


def table(rows=3):
    line = (Entry(f"[{NASTY}"), Entry("1.0", bold=True))
    return Table("t", NASTY, ("*", "Δ"), (Block(NASTY, (line,) * rows),) * 3, (NASTY,))


def test_rows_have_the_header_columns():
    source = document([table()])
    rows = [line for line in source.splitlines() if line.startswith(("{}", r"\shortstack"))]
    assert len(rows) == 10
    assert {len(re.findall(r"(?<!\\)&", row)) for row in rows} == {1}
    assert source.count(r"\toprule") == source.count(r"\bottomrule") == 1


def test_a_long_table_goes_on_in_another_float():
    source = document([table(rows=MAX_ROWS // 2)])
    assert source.count(r"\begin{table*}") == 2
    assert source.count("(continued)") == 1
    assert source.count(r"\label{tab:mtlbench-t}") == 1


@pytest.mark.skipif(not shutil.which("pdflatex"), reason="pdflatex is not installed")
def test_it_compiles_alone_and_inside_a_paper(tmp_path, arms_report):
    (tmp_path / "table.tex").write_text(document([table()]))
    shutil.copy(arms_report / "table.tex", tmp_path / "report.tex")
    paper = r"""\documentclass[twocolumn]{article}\usepackage{booktabs}
        \begin{document}A\input{table}B\input{report}C\end{document}"""
    (tmp_path / "paper.tex").write_text(paper)
    for name in ("table", "report", "paper"):
        command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", name]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout[-2000:]
        assert "Missing character" not in done.stdout
