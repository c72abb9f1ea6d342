"""The real case descriptions of CBIS-DDSM and a real crop; pandas is the independent reader."""

from collections import Counter, defaultdict
from pathlib import Path

import pandas as pd
import pytest

from mtlbench.config import DataConfig
from mtlbench.data.adapters import cbis_ddsm
from mtlbench.data.index import write_index
from mtlbench.errors import DataError

CONFIG = DataConfig()


@pytest.fixture(scope="module")
def real(real_data: Path) -> Path:
    return real_data / "cbis-ddsm"


@pytest.fixture(scope="module")
def table(real: Path) -> pd.DataFrame:
    """All rows as pandas reads them, with kind, part and image."""
    frames = []
    for kind in ("mass", "calc"):
        for part in ("train", "test"):
            path = real / "csv" / f"{kind}_case_description_{part}_set.csv"
            frame = pd.read_csv(path).rename(columns={"breast_density": "breast density"})
            frames.append(frame.assign(kind=kind, part=part))
    frame = pd.concat(frames, ignore_index=True)
    return frame.assign(image=frame["image file path"].str.split("/").str[0])


@pytest.fixture(scope="module")
def real_index(real: Path):
    return cbis_ddsm.read(real, CONFIG)


def test_real_rows_agree_with_pandas(real_index, table):
    assert (len(table), table["image"].nunique()) == (3568, 3103)
    by_image = {m.image_id: m for m in real_index.mammograms}
    assert set(by_image) == set(table["image"])
    for image, rows in table.groupby("image"):
        ours, first = by_image[image], rows.iloc[0]
        rows = rows.sort_values("abnormality id")
        assert [x.pathology for x in ours.lesions] == list(rows["pathology"].str.lower())
        assert [x.type for x in ours.lesions] == list(rows["abnormality type"])
        assert ours.label == int((rows["pathology"] == "MALIGNANT").any())
        assert ours.birads == str(rows["assessment"].max())
        assert ours.density == str(first["breast density"])
        assert (ours.patient_id, ours.side.upper(), ours.view) == (
            first["patient_id"], first["left or right breast"], first["image view"],
        )  # fmt: skip
        assert ours.label_source == "biopsy (pathology)"
    assert sum(len(m.lesions) for m in real_index.mammograms) == 3568


def test_images_with_benign_and_malignant_lesions(real_index):
    mixed = Counter()
    for m in real_index.mammograms:
        found = {x.pathology == "malignant" for x in m.lesions}
        mixed[m.image_id.split("_")[0]] += len(found) == 2
    assert mixed == {"Mass-Training": 6, "Mass-Test": 2, "Calc-Training": 7, "Calc-Test": 2}


def test_leaking_patients_are_moved_to_test(real_index, real):
    moved = [f for f in real_index.findings if f.message.startswith("moved to test")]
    patients = defaultdict(set)
    for finding in moved:
        name, patient = finding.image_id.split("_P_")
        patients[name].add(patient[:5])
        assert f"patient P_{patient[:5]} has official test images" in finding.message
        assert (finding.level, finding.action) == ("note", "in the test split")
    assert {name: len(found) for name, found in patients.items()} == {
        "Mass-Training": 13, "Calc-Training": 18,
    }  # fmt: skip
    ids = {finding.image_id for finding in moved}
    splits = defaultdict(set)
    for m in real_index.mammograms:
        splits[m.patient_id].add(m.split)
        official = "test" if "-Test_" in m.image_id else "train"
        assert m.split == ("test" if m.image_id in ids else official)
    assert all(len(found) == 1 for found in splits.values())


def test_one_half_alone_leaks_nothing(real, real_index):
    halves = {
        subset: cbis_ddsm.read(real, DataConfig(subset=subset)) for subset in ("mass", "calc")
    }
    for subset, index in halves.items():
        assert not any(f.message.startswith("moved") for f in index.findings)
        assert not any(m.film for m in index.mammograms)
        assert {m.image_id[:4].lower() for m in index.mammograms} == {subset}
    assert sum(len(index.mammograms) for index in halves.values()) == 3103


def test_views_in_both_halves_share_a_film(real_index, table):
    films = defaultdict(list)
    for m in real_index.mammograms:
        if m.film:
            films[m.film].append(m.image_id)
    view = ["patient_id", "left or right breast", "image view"]
    kinds = table.groupby(view)["kind"].nunique()
    assert set(films) == {" ".join(key) for key in kinds[kinds == 2].index}
    assert len(films) == 71
    assert all(sorted(name[:4] for name in names) == ["Calc", "Mass"] for names in films.values())


def test_findings_name_the_line_at_which_a_row_begins(real_index, real):
    lines = {path.name: path.read_text().split("\n") for path in real.glob("csv/*.csv")}
    for finding in real_index.findings:
        line = lines[Path(finding.file).name][finding.row - 1]
        assert line.startswith(finding.image_id.split("_", 1)[1][:7])
        assert finding.image_id in line
    errors = [f for f in real_index.findings if f.level == "error"]
    assert len(errors) == 3103 + 3568


def test_absent_images_are_indexed(real_index, tmp_path):
    write_index(real_index, tmp_path)
    cases = pd.read_csv(tmp_path / "cases.csv")
    assert len(cases) == 3103
    assert cases["path"].isna().all()
    assert (cases["height"] == 0).all()
    assert len(pd.read_csv(tmp_path / "lesions.csv")) == 3568
    with pytest.raises(DataError, match="no such file"):
        real_index.mammograms[0].pixels()


def test_the_real_crop_is_no_mask(real_index):
    found = [f for f in real_index.findings if f.image_id == "Mass-Test_P_00016_LEFT_CC"]
    assert [(f.level, f.row) for f in found] == [("error", 2), ("error", 2)]
    assert found[0].message.startswith("no such file: there must be a full image")
    crop = "Mass-Test_P_00016_LEFT_CC_1/10-04-2016-DDSM-09887/1-cropped images-26184/000001.dcm"
    assert found[1].message == f"no mask: {crop} is a crop"
