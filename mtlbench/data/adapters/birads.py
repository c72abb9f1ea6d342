"""BI-RADS assessments: what a data set's text says, and which of them count as cancer.

ACR BI-RADS Atlas, 5th edition (2013): 0 incomplete, 1 negative, 2 benign, 3 probably benign,
4 suspicious (4a low, 4b moderate, 4c high), 5 highly suggestive of malignancy, 6 proven by biopsy.
"""

import re

from mtlbench.errors import DataError

_RANKS = {"1": 1, "2": 2, "3": 3, "4": 4, "4a": 4, "4b": 5, "4c": 6, "5": 7, "6": 8}
"""From least to most suspicious; a 4 that is not divided counts as 4a."""
_CATEGORY = re.compile(r"(?:bi-?rads)?\s*(?:(4[abc])|([0-6])(?:\.0*)?)")


def birads_category(text: str) -> str:
    """Give `0` to `6`, `4a`, `4b` or `4c` for `4A`, `BI-RADS 4`, `4.0` and the like.

    Empty text gives an empty category.

    Raises:
        DataError: the text is no BI-RADS category.
    """
    found = _CATEGORY.fullmatch(text.strip().lower())
    if found is None and text.strip():
        raise DataError(f"BI-RADS must be 0 to 6, 4a, 4b or 4c, but got {text!r}")
    return (found[1] or found[2]) if found else ""


def birads_label(category: str, cut: str) -> int | None:
    """Give 1 from the category `cut` on, 0 below, None where there is no final assessment.

    Raises:
        DataError: the text is no BI-RADS category.
    """
    known = birads_category(category)
    return int(_RANKS[known] >= _RANKS[cut]) if known not in ("", "0") else None
