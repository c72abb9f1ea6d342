"""How numbers and names read: one text for every format, and the escaping of simple ones.

Values are fractions; they are printed in percent, differences in percentage points.
"""

import re
import textwrap
from collections.abc import Iterable

from mtlbench.analysis.frame import absent as absent
from mtlbench.analysis.multiplicity import p_text

DASH = "–"
METRIC_NAMES = {
    "auc": "AUC",
    "dice": "Mean Dice",
    "dice_lesions": "Lesion Dice",
    "dice_any": "Any-lesion Dice",
    "dice_image": "Per-image Dice",
}
"""The metrics of every figure and table, in their order, and their names."""
DATASETS = {
    "ddsm": "DDSM",
    "cbis-ddsm": "CBIS-DDSM",
    "inbreast": "INbreast",
    "vindr": "VinDr-Mammo",
    "mias": "mini-MIAS",
    "phantom": "simulated mammograms (phantoms)",
}
"""How a data set is called in prose."""
_FURTHER = {
    "sens_at_spec": "Sensitivity at {} % specificity",
    "spec_at_sens": "Specificity at {} % sensitivity",
    "pauc_spec": "Partial AUC, specificity ≥ {} %",
    "froc_at_": "Lesion sensitivity at {} FP per image",
    "ap": "Average precision",
    "brier": "Brier score",
    "ece": "Calibration error",
    "froc": "FROC score",
}


def metric_name(metric: str, *others: str) -> str:
    """The name of any metric in tables and figures; of several that differ in a number alone."""
    if metric in METRIC_NAMES:
        return METRIC_NAMES[metric]
    stem = re.sub(r"[\d.]*$", "", metric)
    return _FURTHER[stem].format(", ".join(m.removeprefix(stem) for m in (metric, *others)))


def percent(value: float | None) -> str:
    """0.8402 → `84.0`."""
    return DASH if value is None or absent(value) else f"{100 * value:.1f}".replace("-", "−")


def signed(value: float | None) -> str:
    """0.0265 → `+2.7`, −0.0002 → `−0.0`: the sign of what rounds to 0 tells its side of 0.

    So an interval excludes 0 exactly where both its limits have the same sign. Only 0 has none.
    """
    if value is None or absent(value):
        return DASH
    return f"{100 * value:+.1f}".replace("-", "−") if value else "0.0"


def estimate(value: float | None, low: float | None, high: float | None) -> str:
    """`84.0 [80.1, 87.3]`; a dash in the brackets where there is no interval."""
    if absent(value):
        return DASH
    limits = DASH if absent(low) else f"{percent(low)}, {percent(high)}"
    return f"{percent(value)} [{limits}]"


def difference(value: float | None, low: float | None, high: float | None) -> str:
    """`+2.7 [−1.0, +6.2]`; a dash in the brackets where there is no interval."""
    if absent(value):
        return DASH
    limits = DASH if absent(low) else f"{signed(low)}, {signed(high)}"
    return f"{signed(value)} [{limits}]"


def listed(words: Iterable[str], last: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`."""
    *first, end = words
    return f"{', '.join(first)} {last} {end}" if first else end


def p_value(p: float | None) -> str:
    """`0.012`, or `<0.001`: never 0."""
    if p is None or absent(p):
        return DASH
    return p_text(p)


def p_equation(p: float) -> str:
    """`p = 0.012`, or `p < 0.001`."""
    return f"p {p_text(p)}".replace("<", "< ") if p < 0.001 else f"p = {p_text(p)}"


def count(n: float | None) -> str:
    """A whole number, or a dash."""
    return DASH if n is None or absent(n) else str(int(n))


def level_text(level: float) -> str:
    """0.95 → `95 %`."""
    return f"{100 * level:g} %"


def lines(text: str, width: int) -> list[str]:
    """Text in lines of about `width` characters, broken at spaces and hyphens only."""
    return textwrap.wrap(text, width, break_long_words=False) or [""]


def markdown(text: str) -> str:
    """Text as a Markdown table's cell: no markup, links or HTML come out of it."""
    return re.sub(r"([\\`*_<>|#~$&])|(?<=\])(\()", r"\\\1\2", one_line(text))


def csv_text(text: str) -> str:
    """Text that a spreadsheet does not take for a formula; a number stays one."""
    formula = text.startswith(("=", "+", "-", "@", "\t", "\r"))
    number = re.fullmatch(r"[+-]?\d*\.?\d+(e[+-]?\d+)?", text, re.IGNORECASE)
    return f"'{text}" if formula and not number else text


def one_line(text: str) -> str:
    """Text with every run of blanks and line breaks as one blank."""
    return re.sub(r"[ \t\r\n\f\v]+", " ", text).strip()
