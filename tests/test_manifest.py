"""The npe2 manifest is valid and says the truth: every command runs."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from npe2 import PluginManifest
from npe2.manifest.utils import import_python_name

import napari_coseg
from napari_coseg.datasets.synthetic_cbct import CbctSettings
from napari_coseg.layers import sample_data

FILE = Path(napari_coseg.__file__).with_name("napari.yaml")


def manifest() -> PluginManifest:
    return PluginManifest.from_file(FILE)


def test_manifest_is_valid_and_imports() -> None:
    found = manifest()
    assert found.name == "napari-coseg"
    found.validate_imports()


def test_manifest_is_registered_under_the_packages_name() -> None:
    found = PluginManifest.from_distribution("napari-coseg")
    assert found.contributions == manifest().contributions


def test_every_command_is_offered_and_gives_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    # As large as the sample is, it is made by the samples' own tests; it takes seconds.
    monkeypatch.setattr(sample_data, "CBCT_SAMPLE", CbctSettings(shape=(32, 32, 32), spacing=0.6))
    contributions = manifest().contributions
    assert contributions.commands
    assert contributions.sample_data
    commands = {command.id: command for command in contributions.commands}
    assert contributions.widgets
    samples = {sample.command for sample in contributions.sample_data}
    offered = [*contributions.widgets, *contributions.readers, *contributions.writers]
    in_menus = {item.command for items in contributions.menus.values() for item in items}
    assert samples | {one.command for one in offered} | in_menus == set(commands)
    for command in commands.values():
        assert re.fullmatch(r"napari-coseg\.[a-z_]+", command.id)
        assert command.python_name is not None
        if command.id not in samples:
            continue
        layers = import_python_name(command.python_name)()
        assert layers
        for _, attributes, kind in layers:
            assert kind in {"image", "labels"}
            assert attributes["name"]


def test_readers_claim_our_own_names_and_nothing_else() -> None:
    patterns = [p for reader in manifest().contributions.readers for p in reader.filename_patterns]
    assert patterns == [
        "*.geojson",
        *("*_regions.tif", "*_instances.tif", "*_objects.csv"),
        *("*.nii.gz", "*.nii", "*.mha", "*.mhd", "*.nrrd"),
    ]
    assert not any(reader.accepts_directories for reader in manifest().contributions.readers)
