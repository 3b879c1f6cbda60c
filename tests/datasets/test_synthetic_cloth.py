"""Cloth round a generated head."""

from __future__ import annotations

import numpy as np
import pytest

from napari_coseg.datasets.synthetic_cbct import CbctSettings, generate_cbct
from napari_coseg.datasets.synthetic_cloth import Cloth, draw_cloths

WHOLE = CbctSettings(shape=(32, 300, 280), spacing=0.6, metal=0.0, clean=True, whole_head=True)


def test_a_sheet_follows_the_skin() -> None:
    y, x = np.meshgrid(*[np.arange(-60, 60, 0.5, np.float32)] * 2, indexing="ij")
    skin = np.hypot(y, x) - np.float32(30)
    sheet = Cloth(away=10.0, thickness=2.0, waves=(), front=-20.0, grey=-500.0)
    inside = sheet.distance(skin, np.zeros_like(y), y, x) < 0
    assert inside.any()
    assert np.abs(skin[inside] - 10).max() <= 1
    assert y[inside].min() >= -20
    folded = Cloth(10.0, 2.0, ((4.0, 0.0, 0.0, 1 / 30, 0.25),), -20.0, -500.0)
    inside = folded.distance(skin, np.zeros_like(y), y, x) < 0
    # A crest in the middle, a trough half a fold beside it.
    assert skin[inside & (np.abs(x) < 0.3) & (y > 0)].mean() == pytest.approx(14, abs=0.5)
    assert skin[inside & (np.abs(x - 15) < 0.3) & (y > 0)].mean() == pytest.approx(6, abs=0.5)


def test_cloth_is_no_part_of_a_head(monkeypatch: pytest.MonkeyPatch) -> None:
    cover = Cloth(5.0, 3.0, ((2.0, 0.0, 0.0, 1 / 25, 0.0),), -100.0, -500.0)
    volumes = []
    for cloths in ((), (cover,)):
        monkeypatch.setattr(
            "napari_coseg.datasets.synthetic_head.draw_cloths", lambda rng, these=cloths: these
        )
        volumes.append(generate_cbct(4, WHOLE))
    bare, covered = volumes
    assert (bare.regions == covered.regions).all()
    assert (bare.instances == covered.instances).all()
    other = bare.image != covered.image
    assert other.mean() > 0.01
    # It lies where there was air, and no label is in it.
    assert bare.image[other].max() < -300
    assert not (covered.regions[other] | covered.instances[other]).any()
    assert np.median(covered.image[other]) == pytest.approx(-500, abs=60)


def test_some_heads_have_none() -> None:
    counts = [len(draw_cloths(np.random.default_rng(seed))) for seed in range(200)]
    assert 0.25 < counts.count(0) / 200 < 0.55
    assert max(counts) == 5
