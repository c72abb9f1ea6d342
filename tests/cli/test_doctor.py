import importlib.metadata
import json
import sys

import pytest
from typer.testing import CliRunner

from mtlbench.cli import app, codecs


@pytest.fixture
def facts():
    """Ask the doctor; give what it says as JSON."""

    def ask():
        result = CliRunner().invoke(app, ["doctor", "--json"])
        assert result.exit_code == 0, result.output
        return json.loads(result.stdout)

    return ask


def test_every_decoder_works_here(facts):
    assert codecs.faults() == dict.fromkeys(codecs.TRIALS)
    assert facts()["codecs"] == dict.fromkeys(codecs.TRIALS, True)


@pytest.mark.parametrize(
    ("module", "formats"),
    [
        ("simplejpeg", {"JPEG"}),
        ("xlrd", {"XLS"}),
        ("imagecodecs", {"JPEG lossless", "JPEG-LS", "JPEG 2000", "RLE"}),
    ],
)
def test_a_decoder_that_is_absent_is_told_with_its_package(facts, monkeypatch, module, formats):
    monkeypatch.setitem(sys.modules, module, None)
    found = facts()
    assert {name for name, works in found["codecs"].items() if not works} == formats
    lines = [line for line in found["missing"] if "cannot be decoded" in line]
    assert len(lines) == len(formats)
    assert all(line.endswith(f"pip install --force-reinstall {module}") for line in lines)


def test_a_decoder_that_gives_something_else_is_told(monkeypatch):
    imagecodecs = pytest.importorskip("imagecodecs")
    decode = imagecodecs.jpegls_decode
    monkeypatch.setattr(imagecodecs, "jpegls_decode", lambda data: decode(data) + 1)
    found = {name for name, fault in codecs.faults().items() if fault}
    assert found == {"JPEG-LS"}


def test_extras_are_told_by_version_or_how_to_get_them(facts, monkeypatch):
    def version(name):
        if name == "submitit":
            raise importlib.metadata.PackageNotFoundError
        return "1.2"

    monkeypatch.setattr(sys.modules["mtlbench.cli.doctor"], "version", version)
    assert facts()["extras"] == dict.fromkeys(doctor_extras(), "1.2") | {
        "slurm": "not installed: pip install 'mtlbench[slurm]'"
    }


def doctor_extras():
    """The extras of pyproject.toml that users ask for; `dev` and `bench` are ours."""
    extras = importlib.metadata.metadata("mtlbench").get_all("Provides-Extra")
    return set(extras) - {"dev", "bench"}
