"""Text as LaTeX: whatever it holds, pdflatex sets it in its plain fonts, with no package.

Accents become commands and Greek becomes maths, so the source is ASCII in tables and BibTeX alike.
"""

import re
import unicodedata

from mtlbench.report.text import one_line

_COMMANDS = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"{\fontencoding{T1}\selectfont\textquotedbl}",
    "–": r"\textendash{}",
    "—": r"\textemdash{}",
    "…": r"\dots{}",
    "‐": "-",
    "‘": "`",
    "’": "'",
    "“": "``",
    "”": "''",
    "\u202f": r"\,",
    "\u00a0": "~",
    "©": r"\copyright{}",
    "§": r"\S{}",
    "£": r"\pounds{}",
    "¿": "?`",
    "¡": "!`",
} | {character: f"\\{character}" for character in "&%$#_{}"}
_MATHS = {
    "−": "-",
    "±": r"\pm",
    "×": r"\times",
    "÷": r"\div",
    "≤": r"\leq",
    "≥": r"\geq",
    "≠": r"\neq",
    "≈": r"\approx",
    "→": r"\rightarrow",
    "←": r"\leftarrow",
    "·": r"\cdot",
    "∞": r"\infty",
    "√": r"\surd",
    "†": r"\dagger",
    "°": r"^\circ",
    "²": "^2",
    "³": "^3",
    "ς": r"\varsigma",
}
_LETTERS = {
    "ß": r"{\ss}",
    "æ": r"{\ae}",
    "Æ": r"{\AE}",
    "œ": r"{\oe}",
    "Œ": r"{\OE}",
    "ø": r"{\o}",
    "Ø": r"{\O}",
    "ł": r"{\l}",
    "Ł": r"{\L}",
    "ı": r"{\i}",
} | {
    letter: rf"{{\fontencoding{{T1}}\selectfont\{name}}}"  # the default encoding lacks it
    for letter, name in {"đ": "dj", "Đ": "DJ", "ð": "dh", "Ð": "DH", "þ": "th", "Þ": "TH"}.items()
}
_ACCENTS = dict(
    zip(
        "\u0300\u0301\u0302\u0303\u0304\u0306\u0307\u0308\u030a\u030b\u030c\u0323\u0327\u0331",
        ("`", "'", "^", "~", "=", "u", ".", '"', "r", "H", "v", "d", "c", "b"),
        strict=True,
    )
) | {"\u0328": r"fontencoding{T1}\selectfont\k"}
_GREEK_AS_LATIN = dict(zip("ΑΒΕΖΗΙΚΜΝΟΡΤΧο", "ABEZHIKMNOPTXo", strict=True))


def latex(text: str) -> str:
    """Text as LaTeX; a character that it has no command for is named, `[U+65E5]`."""
    plain = "".join(map(_character, unicodedata.normalize("NFC", one_line(text))))
    return re.sub("-(?=-)", "-{}", plain)  # two hyphens are not a dash


def _character(c: str) -> str:
    for known in (_COMMANDS, _LETTERS, _GREEK_AS_LATIN):
        if c in known:
            return known[c]
    if c in _MATHS:
        return f"${_MATHS[c]}$"
    if c.isascii() and c.isprintable():
        return c
    if "α" <= c <= "ω" or "Α" <= c <= "Ω":
        name = unicodedata.name(c).rpartition(" ")[2].lower().replace("lamda", "lambda")
        return f"$\\{name if c.islower() else name.capitalize()}$"
    return _accented(c) or f"[U+{ord(c):04X}]"


def _accented(c: str) -> str:
    """A letter with an accent in braces, which BibTeX too takes for one letter; else nothing."""
    parts = unicodedata.normalize("NFD", c)
    base, accent = unicodedata.normalize("NFC", parts[:-1]), parts[-1]
    if not base or accent not in _ACCENTS:
        return ""
    letter = {"i": r"\i", "j": r"\j"}.get(base) or _character(base)
    return rf"{{\{_ACCENTS[accent]}{{{letter}}}}}"
