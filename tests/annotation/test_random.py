"""Random edits, undo, redo and restarts against a model that copies everything."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_coseg.annotation import chunks, timeline
from napari_coseg.annotation.case import Case
from napari_coseg.annotation.change import Change, Commit
from napari_coseg.annotation.records import ObjectRecord
from napari_coseg.types import CosegError

from .helpers import WAIT, Model, blob, box_prompt, check, open_case, table


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small chunks and a short memory, so that their borders are met."""
    monkeypatch.setattr(chunks, "SIDES", {2: 16, 3: 8})
    monkeypatch.setattr(timeline, "_MOST", 6)
    monkeypatch.setattr(timeline, "_FETCHED", 4)
    monkeypatch.setattr(timeline, "_FEW", 2)


def random_edit(case: Case, labels: np.ndarray, rng: np.random.Generator) -> Change:
    """Do one random edit; a `CosegError` where it made no sense."""
    there = list(case.objects)
    some = [int(v) for v in rng.permutation(there)[: int(rng.integers(1, 4))]]
    one = some[0] if some else 1
    side = 14 if labels.ndim == 2 else 7
    prompt = [box_prompt(*rng.integers(0, 30, 4).tolist())]
    planes = [3] if labels.ndim == 3 else None
    kind = int(rng.integers(0, 13))
    if kind <= 2 or not there:
        return case.commit(
            blob(rng, labels.shape, side),
            class_id=int(rng.integers(3)),
            score=float(rng.random()),
            prompts=prompt,
            planes=planes,
            protect=bool(rng.random() < 0.5),
            model="m",
        )
    if kind == 3:
        mask = blob(rng, labels.shape, side)
        return case.commit(mask, label=one, prompts=prompt, planes=planes)
    if kind == 4:
        items = [Commit(blob(rng, labels.shape, side)) for _ in range(4)]
        return case.commit_many(items, protect=bool(rng.random() < 0.5), strict=False)
    if kind == 5:
        return case.delete(some)
    if kind == 6:
        box = np.array(case.objects[one].box, float).reshape(2, -1)
        line = rng.uniform(box[0] - 2, box[1] + 1, (3, labels.ndim))
        if labels.ndim == 3:
            line[:, 0] = box[0, 0]
        return case.split(one, line, float(rng.integers(1, 3)))
    if kind == 7:
        return case.merge(some)
    if kind == 8:
        return case.relabel(one, int(rng.integers(1, 60)))
    if kind == 9:
        return case.set_class(some, int(rng.integers(4)))
    if kind <= 11:
        mask = blob(rng, labels.shape, side)
        window = tuple(
            slice(max(s.start, 0), min(s.stop, n))
            for s, n in zip(mask.window, labels.shape, strict=True)
        )
        before = labels[window].copy()
        bits = rng.random(before.shape) < 0.7
        labels[window][bits] = int(rng.choice([0, one, case.next_label()]))
        return case.stroke(window, before, labels[window])
    pixels = np.zeros_like(labels)
    for label in range(1, 6):
        mask = blob(rng, labels.shape, side)
        window = tuple(
            slice(max(s.start, 0), min(s.stop, n))
            for s, n in zip(mask.window, labels.shape, strict=True)
        )
        pixels[window] = label
    known = {n: ObjectRecord(n, 2, 0.5, origin="model", model="run") for n in range(1, 6)}
    return case.adopt(pixels, known, "run", model="run", settings={"threshold": 0.5})


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((50, 41), np.int32), ((50, 41), np.uint8), ((33, 64), np.int64), ((12, 20, 17), np.uint16)],
)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_random_edits(
    tmp_path: Path, small: None, shape: tuple[int, ...], dtype: type, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    labels = np.zeros(shape, dtype)
    labels[..., 5:9, 4:8] = 3
    path = tmp_path / "case"
    case = open_case(path, labels)
    model = Model(labels, table(case))
    made = refused = 0
    for _ in range(150):
        what = rng.random()
        if what < 0.15:
            times = int(rng.integers(1, 12))
            for _ in range(times):
                change = case.undo()
                assert (change is None) == (model.at == 0)
                model.at -= change is not None
                model.check(case, labels)
        elif what < 0.3:
            for _ in range(int(rng.integers(1, 12))):
                change = case.redo()
                model.at += change is not None
                model.check(case, labels)
        elif what < 0.36:
            assert case.close()
            labels = np.zeros(shape, dtype) if rng.random() < 0.5 else labels
            case = open_case(path, labels)
        else:
            before, rows = labels.copy(), table(case)
            try:
                change = random_edit(case, labels, rng)
            except CosegError:
                refused += 1
                assert np.array_equal(labels, before)
                assert table(case) == rows
            else:
                touched = np.zeros(shape, bool)
                for window in change.windows:
                    touched[window] = True
                assert not (labels != before)[~touched].any()
                assert change.removed == set(rows) - set(case.objects)
                now = table(case)
                assert change.labels == {n for n in rows | now if rows.get(n) != now.get(n)}
                if change.name:
                    made += 1
                    model.add(labels, now)
        check(case, labels)
        model.check(case, labels)
    assert made > 40
    assert refused < made
    assert case.wait(WAIT)
    case.close()
