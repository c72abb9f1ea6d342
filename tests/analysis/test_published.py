import pytest

from mtlbench.analysis import load_published, mismatches
from mtlbench.analysis.published import PROTOCOL
from mtlbench.errors import StudyError


def test_table_1_of_le_2019():
    rows = load_published()["le2019-table1"].rows
    assert {(row.name, row.metric): row.value for row in rows} == {
        ("cls", "auc"): 0.8054,
        ("seg", "dice"): 0.3498,
        ("sequential", "auc"): 0.8137,
        ("sequential", "dice"): 0.3498,
        ("joint", "auc"): 0.8402,
        ("joint", "dice"): 0.3828,
    }


def test_only_what_was_read_is_enabled():
    entries = load_published().values()
    disabled = {entry.id for entry in entries if not entry.enabled}
    assert disabled == {entry.id for entry in entries if entry.status == "unverified"}
    assert {"mammo-clip", "petrini2025", "shen2019-cbis"} <= disabled
    assert all(entry.rows and entry.source for entry in entries if entry.enabled)


def test_mismatches_name_the_fields_that_differ_or_that_one_side_leaves_open():
    entry = load_published()["le2019-table1"]
    ours = dict.fromkeys(PROTOCOL, "ours") | {"dataset": "ddsm", "level": "image"}
    lines = mismatches(entry, ours)
    assert "split: not stated in the paper, ours here" in lines
    assert "input: whole image, 1152x832 in the paper, ours here" in lines
    assert [line.partition(":")[0] for line in lines] == [
        field for field in PROTOCOL if field not in ("dataset", "level")
    ]
    assert "dataset: DDSM in the paper, not stated here" in mismatches(entry, {})
    assert not any(line.startswith("split:") for line in mismatches(entry, {}))


def test_an_equal_protocol_has_no_mismatch():
    fields = dict.fromkeys(PROTOCOL, "same") | {"level": "image"}
    entry = load_published()["le2019-table1"].model_copy(update=fields)
    assert mismatches(entry, fields) == []


def test_a_file_of_the_user_adds_and_replaces(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(
        '[ours]\npaper = "Ours"\nstatus = "verified"\nsource = "here"\n'
        'rows = [{ name = "joint", metric = "auc", value = 0.9, low = 0.85, high = 0.95 }]\n'
        '[zhu2017]\npaper = "Zhu"\nstatus = "verified"\nsource = "read"\n',
        encoding="utf-8",
    )
    entries = load_published(path)
    assert entries["ours"].rows[0].high == 0.95
    assert entries["zhu2017"].enabled
    assert len(entries) == len(load_published()) + 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = [", "not valid TOML"),
        ("x = 1", "x: must be the table of an entry"),
        ('[x]\npaper = "P"\nstatus = "read"\nsource = "s"\n', r"x\.status: .*but got 'read'"),
        (
            '[x]\npaper = "P"\nstatus = "verified"\nsource = "s"\n'
            'rows = [{ name = "m", metric = "auc", value = 84.02 }]\n',
            r"x\.rows\.0\.value: .*less than or equal to 1, but got 84\.02",
        ),
    ],
)
def test_a_faulty_file_is_refused(text, message, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(StudyError, match=message):
        load_published(path)
    with pytest.raises(StudyError, match="cannot be read"):
        load_published(tmp_path / "absent.toml")
