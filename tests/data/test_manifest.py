import pytest

from mtlbench.data.manifest import read_manifest
from mtlbench.errors import DataError, StudyError

KNOWN = ("image_id", "image", "type", "side")


def read(tmp_path, content, mapping=None, required=()):
    path = tmp_path / "manifest.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(read_manifest(path, mapping or {}, KNOWN, required))


def test_names_templates_and_constants(tmp_path):
    mapping = {"image_id": "key", "image": "images/{key}_{n}.png", "type": "=mass"}
    [row] = read(tmp_path, "key,n,side\na1,2, L \n", mapping)
    assert row.cells == {"image_id": "a1", "image": "images/a1_2.png", "type": "mass", "side": "L"}
    assert row.line == 2


def test_a_template_is_empty_where_a_cell_is(tmp_path):
    [row] = read(tmp_path, "key,image\n,x\n", {"image": "images/{key}.png"})
    assert row.text("image") == ""


def test_byte_order_mark_crlf_quotes_and_blank_lines(tmp_path):
    content = b'\xef\xbb\xbfimage_id,image\r\n1,"a, b"\r\n\r\n,\r\n2,"c\r\nd"\r\n3,e\r\n'
    rows = read(tmp_path, content)
    assert [row.text("image") for row in rows] == ["a, b", "c\r\nd", "e"]
    assert [row.line for row in rows] == [2, 6, 7]


def test_a_row_of_another_length_is_an_error_at_its_line(tmp_path):
    rows = read(tmp_path, "image_id,image\n1,a\n2\n3,c,d\n")
    assert [bool(row.findings) for row in rows] == [False, True, True]
    assert str(rows[1].findings[0]) == (
        "manifest.csv:3: must have 2 cells as the header has, but has 1"
    )


@pytest.mark.parametrize(
    ("content", "mapping", "message"),
    [
        ("image_id,image_id\n", {}, r"manifest.csv:1: column names must be unique.*image_id"),
        ("a,b\n", {"image": "c"}, r"data.columns.image names 'c', but the columns are a, b"),
        ("a,b\n", {"image": "x/{c}"}, r"data.columns.image names 'c', but the columns are a, b"),
        ("a,b\n", {}, "must have a column image, or data.columns.image must map it"),
        ("", {}, "must have a column image"),
        (b"image\n\xff\xfe\n", {}, "must be a CSV file in UTF-8"),
    ],
)
def test_bad_manifests(tmp_path, content, mapping, message):
    with pytest.raises(DataError, match=message):
        read(tmp_path, content, mapping, required=("image",))


def test_missing_manifest_and_unknown_key(tmp_path):
    with pytest.raises(DataError, match=r"manifest.csv: no such file"):
        list(read_manifest(tmp_path / "manifest.csv", {}, KNOWN, ()))
    with pytest.raises(StudyError, match=r"data.columns.imgae: unknown key; known are image_id"):
        read(tmp_path, "image\n", {"imgae": "x"})


def test_words_and_attempts_collect_errors(tmp_path):
    [row] = read(tmp_path, "side,image\nLeft,up\n")
    assert row.word("side", {"left": 1}, 0) == 1
    assert row.word("type", {"mass": 1}, 0) == 0
    assert row.word("image", {"mass": 1}, 0) == 0

    def fail():
        raise DataError("no")

    assert row.attempt(fail, 5) == 5
    assert [f.message for f in row.findings] == ["image must be one of mass, but got 'up'", "no"]
    assert {(f.level, f.row) for f in row.findings} == {("error", 2)}
