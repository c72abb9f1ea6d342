import shutil
import subprocess
import unicodedata

import pytest

from mtlbench.report.latex_text import latex

EUROPEAN = "".join(
    c for c in map(chr, range(0xC0, 0x250)) if unicodedata.category(c) in ("Lu", "Ll")
)
GREEK = "αβγδεζηθικλμνξοπρςστυφχψω ΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩ ά"
SIGNS = r"""a_b & 50% $x$ #1 \cmd{y} ~^ [z] <w> | "q" −1 – — … ’ “x” ±×÷ ≤≥≠≈→←·∞√†°²³ ©§£¿¡ --"""


@pytest.mark.parametrize(
    ("text", "source"),
    [
        (
            r"50 % of $a_b & \cmd{#}~^",
            r"50 \% of \$a\_b \& \textbackslash{}cmd\{\#\}\textasciitilde{}\textasciicircum{}",
        ),
        ("−1 – a--b λ Λ", r"$-$1 \textendash{} a-{}-b $\lambda$ $\Lambda$"),
        ("André", r"Andr{\'{e}}"),
        ("Andre\u0301", r"Andr{\'{e}}"),
        ("Łï Nguyễn", r"{\L}{\"{\i}} Nguy{\~{{\^{e}}}}n"),
        ("日\x07", "[U+65E5][U+0007]"),
    ],
    ids=["markup", "signs", "accent", "combining accent", "letters", "unknown"],
)
def test_text_keeps_its_meaning(text, source):
    assert latex(text) == source


def test_names_of_europe_need_no_code_points():
    """The alphabets of Latin-1 and Latin Extended-A, but for a few dead or joined letters."""
    known = [c for c in EUROPEAN if ord(c) < 0x180 and "[U+" not in latex(c)]
    lost = {c for c in EUROPEAN if ord(c) < 0x180} - set(known)
    assert lost <= set("ĦħĲĳĸĿŀŉŊŋŦŧſ")
    assert latex(EUROPEAN + GREEK).isascii()


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="pdflatex is not installed")
def test_pdflatex_sets_all_of_it_without_a_package(tmp_path):
    body = r"\par ".join(map(latex, (" ".join(EUROPEAN), GREEK, SIGNS, "日本")))
    source = rf"\documentclass{{article}}\begin{{document}}{body}\end{{document}}"
    (tmp_path / "text.tex").write_text(source, encoding="ascii")
    command = ["pdflatex", "-halt-on-error", "-interaction=nonstopmode", "text"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, errors="replace")
    assert done.returncode == 0, done.stdout[-2000:]
    assert "Missing character" not in done.stdout
