import itertools
import re
import tomllib
from pathlib import Path
from typing import get_args

import pytest

from mtlbench.analysis import load_published, why_disabled
from mtlbench.analysis.published import PublishedEntry
from mtlbench.config import LabelRule
from mtlbench.errors import StudyError


def test_table_1_of_le_2019():
    rows = load_published()["le2019-table1"].rows
    earlier = [(row.name, row.metric) for row in rows if row.stage == "before the last"]
    assert earlier == [("sequential", "dice")]
    assert {(row.name, row.metric): row.value for row in rows} == {
        ("cls", "auc"): 0.8054,
        ("seg", "dice"): 0.3498,
        ("sequential", "auc"): 0.8137,
        ("sequential", "dice"): 0.3498,
        ("joint", "auc"): 0.8402,
        ("joint", "dice"): 0.3828,
    }


READ = """le2019-table1 shen-readme-cbis shen-readme-inbreast shen-official-test
ribli-inbreast-reruns gmic2021-cbis gmic2021-nyu pathak-cbis-reruns pathak-vindr-image
pathak-vindr-case tardy2022 dmdetect"""
QUOTED = """lotter2017 ribli2018-inbreast ribli2018-dream petrini2022-5fold petrini2022-official
wimmer2021-any wimmer2021-malignant mamt42024 wu2019 aunet-cbis aunet-inbreast yan2020
connected-unets-cbis connected-unets-inbreast pathak-cbis-originals ds-unet2020 tsochatzidis2021
lee2017-masks"""
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


ENTRY = '[x]\npaper = "P"\nstatus = "verified"\nsource = "s"\n'
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
        (ROW.format('pooling = "image"'), r"x\.rows\.0: classes and pooling are those of a Dice"),
        (ROW.format('ensemble = "five"'), r"x\.rows\.0\.ensemble: .*but got 'five'"),
        (ROW.format("sdd = 1"), r"x\.rows\.0\.sdd: unknown key"),
        (ENTRY + 'label_rule = "masses"', r"x\.label_rule: must be .*against the rest.*'masses'"),
        (ENTRY + "size = 512", r"x\.size: .*but got 512"),
    ],
)
def test_a_faulty_file_is_refused(text, message, tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(StudyError, match=message) as fault:
        load_published(path)
    assert str(fault.value).startswith(f"{path}: ")
    assert "\n" not in str(fault.value)
    with pytest.raises(StudyError, match="cannot be read"):
        load_published(tmp_path / "absent.toml")


def test_every_label_rule_of_a_study_is_a_word_of_the_registry():
    cuts = get_args(LabelRule.model_fields["birads_cut"].annotation)
    assert "4b" in cuts
    for cut, benign, normals, dataset in itertools.product(
        cuts, ("benign", "exclude"), ("keep", "exclude"), ("inbreast", "ddsm")
    ):
        rule = LabelRule(birads_cut=cut, benign_without_callback=benign, normals=normals)
        words = rule.describe(dataset)
        entry = PublishedEntry(id="x", paper="P", status="verified", source="s", label_rule=words)
        assert entry.label_rule == words


def test_a_name_that_is_not_to_be_had_says_why():
    entries = load_published()
    assert why_disabled(entries, "le2019-table1") == ""
    assert "disabled, because unverified" in why_disabled(entries, "zhu2017")
    assert "did you mean 'zhu2017'" in why_disabled(entries, "zhu2018")
    assert "did you mean" not in why_disabled(entries, "qqqq")


def test_the_example_of_the_docs_is_a_registry(tmp_path):
    docs = Path(__file__).parents[2] / "docs" / "studies.md"
    blocks = re.findall(r"```toml\n(.*?)```", docs.read_text(encoding="utf-8"), re.DOTALL)
    (example,) = [block for block in blocks if "[ours2024]" in block]
    path = tmp_path / "my-baselines.toml"
    path.write_text(example, encoding="utf-8")
    entry = load_published(path)["ours2024"]
    assert entry.enabled
    assert [row.value for row in entry.rows] == [
        row["value"] for row in tomllib.loads(example)["ours2024"]["rows"]
    ]
