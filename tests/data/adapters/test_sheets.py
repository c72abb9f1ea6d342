from pathlib import Path

import pytest
import xlwt

from mtlbench.data.adapters import sheets
from mtlbench.data.adapters.sheets import read_csv_rows, read_xls_rows
from mtlbench.errors import DataError

COLUMNS = {"File Name": "image_id", "Bi-Rads": "birads"}


def write_xls(path: Path, rows: list[list[object]]) -> Path:
    book = xlwt.Workbook()
    sheet = book.add_sheet("one")
    for at, cells in enumerate(rows):
        for column, value in enumerate(cells):
            sheet.write(at, column, value)
    book.add_sheet("another").write(0, 0, "not read")
    book.save(str(path))
    return path


def test_a_csv_line_is_a_row(tmp_path: Path) -> None:
    path = tmp_path / "below" / "a.csv"
    path.parent.mkdir()
    path.write_bytes(b'\xef\xbb\xbffile name ;x;BI-RADS\r\n1;;4a\r\n;;\r\n\r\n 2 ;"a;b"; 5\r\n')
    rows = list(read_csv_rows(tmp_path, path, COLUMNS, ";"))
    assert [(row.file, row.line, dict(row.cells)) for row in rows] == [
        ("below/a.csv", 2, {"image_id": "1", "birads": "4a"}),
        ("below/a.csv", 5, {"image_id": "2", "birads": "5"}),
    ]
    assert not any(row.findings for row in rows)


def test_a_quote_that_does_not_end_spoils_its_line_only(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text('File Name,Bi-Rads\n"1,2\n3,4\n5,6,7\n8,9\n')
    rows = list(read_csv_rows(tmp_path, tmp_path / "a.csv", COLUMNS))
    assert [(row.line, len(row.findings), row.image_id) for row in rows] == [
        (2, 1, ""), (3, 0, "3"), (4, 1, ""), (5, 0, "8"),
    ]  # fmt: skip
    assert rows[0].findings[0].message.endswith("but they cannot be told apart")
    assert rows[2].findings[0].message.endswith("but it has 3")


def test_numbers_of_an_xls_are_as_people_see_them(tmp_path: Path) -> None:
    cells: list[list[object]] = [["File Name", "Bi-Rads "], [20586908, "4a"], [], [7.5, 4.0]]
    rows = list(read_xls_rows(tmp_path, write_xls(tmp_path / "a.xls", cells), COLUMNS))
    assert [(row.line, dict(row.cells)) for row in rows] == [
        (2, {"image_id": "20586908", "birads": "4a"}),
        (4, {"image_id": "7.5", "birads": "4"}),
    ]


@pytest.mark.parametrize("header", ["File Name", "File Name,Bi-Rads,bi-rads", ""])
def test_a_column_must_be_there_once(tmp_path: Path, header: str) -> None:
    (tmp_path / "a.csv").write_text(header)
    with pytest.raises(DataError, match=r"a\.csv:1: must have one column '.*', but has [02]"):
        list(read_csv_rows(tmp_path, tmp_path / "a.csv", COLUMNS))


def test_files_that_are_no_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(DataError, match=r"a\.csv: no such file"):
        list(read_csv_rows(tmp_path, tmp_path / "a.csv", COLUMNS))
    with pytest.raises(DataError, match="cannot be read"):
        list(read_csv_rows(tmp_path, tmp_path, COLUMNS))
    (tmp_path / "a.xls").write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"\0" * 600)
    with pytest.raises(DataError, match=r"a\.xls: damaged \.xls file"):
        list(read_xls_rows(tmp_path, tmp_path / "a.xls", COLUMNS))
    monkeypatch.setattr(sheets, "_MAX_BYTES", 100)
    with pytest.raises(DataError, match="must have at most 100 bytes"):
        list(read_xls_rows(tmp_path, tmp_path / "a.xls", COLUMNS))


def test_an_xls_says_nothing_on_stdout(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_xls(tmp_path / "a.xls", [["File Name", "Bi-Rads"], [1, 2]])
    path.write_bytes(path.read_bytes() + b"\0" * 100)  # xlrd warns of such a size
    assert len(list(read_xls_rows(tmp_path, path, COLUMNS))) == 1
    assert capsys.readouterr().out == ""
