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


READ = """le2019-table1 shen-readme-cbis shen-readme-inbreast shen-official-test lotter2017
ribli2018-inbreast ribli-inbreast-reruns ribli2018-dream petrini2022-5fold petrini2022-official
gmic2021-cbis gmic2021-nyu pathak-cbis-reruns pathak-vindr-image pathak-vindr-case wimmer2021-any
wimmer2021-malignant tardy2022 mamt42024 wu2019 aunet-cbis aunet-inbreast yan2020
connected-unets-cbis connected-unets-inbreast dmdetect"""
QUOTED = "pathak-cbis-originals ds-unet2020 tsochatzidis2021 lee2017-masks"
UNREAD = """shen2019-cbis shen2019-inbreast zhu2017 therapixel-dream shu2020-inbreast zhu-xie
dualcorenet mv-swin-t mammo-clip petrini2025"""


@pytest.mark.parametrize(
    ("status", "ids"), [("verified", READ), ("secondary", QUOTED), ("unverified", UNREAD)]
)
def test_every_entry_has_its_status(status, ids):
    entries = load_published().values()
    assert sorted(entry.id for entry in entries if entry.status == status) == sorted(ids.split())


def test_only_what_was_read_is_enabled():
    entries = load_published().values()
    disabled = {entry.id for entry in entries if not entry.enabled}
    assert disabled == {entry.id for entry in entries if entry.status == "unverified"}
    assert {"mammo-clip", "petrini2025", "shen2019-cbis"} <= disabled
    assert all(entry.rows and entry.source for entry in entries if entry.enabled)


def test_mismatches_name_the_fields_that_differ_or_that_one_side_leaves_open():
    entry = load_published()["le2019-table1"]
    ours = dict.fromkeys(PROTOCOL, "ours") | {"dataset": "ddsm", "level": "image"}
    reasons = mismatches(entry, ours)
    assert reasons["split"] == "not stated in the paper, ours here"
    assert reasons["input"] == "whole image, 1152x832 in the paper, ours here"
    assert list(reasons) == [field for field in PROTOCOL if field not in ("dataset", "level")]
    assert mismatches(entry, {})["dataset"] == "DDSM in the paper, not stated here"
    assert "split" not in mismatches(entry, {})


def test_an_equal_protocol_has_no_mismatch():
    fields = dict.fromkeys(PROTOCOL, "same") | {"level": "image"}
    entry = load_published()["le2019-table1"].model_copy(update=fields)
    assert mismatches(entry, fields) == {}


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


ROW = (
    '[x]\npaper = "P"\nstatus = "verified"\nsource = "s"\n'
    'rows = [{{ name = "m", metric = "auc", value = 0.8, {} }}]\n'
)


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
        (ROW.format("low = 0.7"), r"x\.rows\.0: low and high must come together"),
        (ROW.format("low = 0.81, high = 0.9"), "value must lie between low and high"),
        (ROW.format("low = 0.8, high = 0.8"), "value must lie between low and high"),
        (ROW.format("n_positive = 9"), "n_positive and n_negative must come together"),
    ],
)
def test_a_faulty_file_is_refused(text, message, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(StudyError, match=message):
        load_published(path)
    with pytest.raises(StudyError, match="cannot be read"):
        load_published(tmp_path / "absent.toml")
