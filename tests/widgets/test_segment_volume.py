"""The Segment dock with volumes, and a worker that answers at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from napari_coseg.imaging.volume_grid import VolumeGrid
from napari_coseg.imaging.volume_result import VOLUME_COLUMNS, VolumeResult
from napari_coseg.imaging.volumes import Volume, read_label_volume
from napari_coseg.layers import volume_layers
from napari_coseg.layers.drawing import objects_layer
from napari_coseg.layers.fdi_numbers import set_fdi
from napari_coseg.layers.legend import describe_object
from napari_coseg.layers.planes import Stack
from napari_coseg.layers.runs import objects_for, runs_among
from napari_coseg.layers.sheet import Sheet
from napari_coseg.layers.volume_files import write_label_volume
from napari_coseg.layers.volume_kinds import volume_of
from napari_coseg.layers.volume_legend import format_volume
from napari_coseg.types import ClassTable
from napari_coseg.widgets.segment_dock import SegmentDock
from napari_coseg.widgets.session import Session
from napari_coseg.widgets.spacing_field import read_size
from napari_coseg.worker.pending import Handlers, Pending
from napari_coseg.worker.volume_request import StoredVoxels, VolumeRequest
from tests.widgets.test_segment_dock import FakeClient, names, picture

GRID = VolumeGrid((10, 12, 14), (0.5, 0.4, 0.4), (1, 2, 3))
REGIONS = ClassTable.from_names(["upper jaw", "lower jaw"])
TEETH = ClassTable.from_names(["tooth"])
DENTAL = "coseg-lite-dental"
HISTOLOGY = "coseg-lite-histology"


def found(grid: VolumeGrid) -> VolumeResult:
    """Two teeth, one of them without a number."""
    regions, instances = np.zeros(grid.shape, np.uint8), np.zeros(grid.shape, np.uint16)
    regions[:5], regions[6:] = 1, 2
    instances[2:4, 2:5, 3:6], instances[7:9, 2:5, 3:6] = 1, 2
    facts: dict[str, Any] = dict.fromkeys(VOLUME_COLUMNS, (0, 0))
    facts |= {
        "label": (1, 2),
        "class": (1, 1),
        "class_name": ("tooth", "tooth"),
        "score": (0.9, 0.8),
        "volume_vx": (18, 18),
        "volume_mm3": (412.0, 1.44),
        "region": (1, 2),
        "region_name": ("upper jaw", "lower jaw"),
        "jaw": ("upper", "lower"),
        "fdi": (26, 0),
        "fdi_confidence": (0.93, 0.0),
    }
    voxels = np.bincount(regions.ravel(), minlength=3).tolist()
    metadata = {"notes": ["It is a fake."], "seconds": {"all": 2.0}, "device": "cpu"}
    return VolumeResult(
        regions,
        instances,
        pd.DataFrame(facts),
        REGIONS,
        TEETH,
        grid,
        {**metadata, "region_voxels": voxels, "model": "fake"},
    )


class VolumeClient(FakeClient):
    """Keeps requests for volumes too."""

    def __init__(self) -> None:
        super().__init__()
        self.volumes: list[tuple[StoredVoxels, VolumeRequest, Handlers, Pending]] = []

    def segment_volume(
        self, voxels: StoredVoxels, wanted: VolumeRequest, handlers: Handlers
    ) -> Pending:
        """Note the request."""
        pending = Pending("volume", wanted.model_dump(), voxels, handlers)
        self.volumes.append((voxels, wanted, handlers, pending))
        return pending


@pytest.fixture
def client() -> VolumeClient:
    return VolumeClient()


@pytest.fixture
def viewer(make_napari_viewer: Callable[[], Any]) -> Any:
    return make_napari_viewer()


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Notifications."""
    heard: list[str] = []
    for name in ("show_info", "show_warning", "show_error"):
        for module in ("segment_dock", "segment_results", "background"):
            monkeypatch.setattr(
                f"napari_coseg.widgets.{module}.{name}", heard.append, raising=False
            )
    return heard


@pytest.fixture
def dock(viewer: Any, client: VolumeClient, said: list[str], qtbot: Any) -> Iterator[SegmentDock]:
    session = Session()
    session._client = client  # type: ignore[assignment]
    made = SegmentDock(viewer, session)
    qtbot.addWidget(made)
    yield made
    made.close()


def add_volume(viewer: Any, name: str = "head") -> Any:
    voxels = np.arange(np.prod(GRID.shape), dtype=np.int16).reshape(GRID.shape)
    data, attributes, _ = volume_layers.image_layer(Volume(voxels, GRID, "HU"), name)
    return viewer.add_image(data, **attributes)


def finish(dock: SegmentDock, client: VolumeClient, qtbot: Any) -> None:
    _, wanted, _, pending = client.volumes[-1]
    pending.future.set_result(found(wanted.grid))
    qtbot.waitUntil(lambda: not dock.running)


def offered(dock: SegmentDock) -> list[str]:
    return [dock.form._model.itemText(row) for row in range(dock.form._model.count())]


def test_models_fit_the_image(dock: SegmentDock, viewer: Any, client: VolumeClient) -> None:
    form = dock.form
    tile = viewer.add_image(picture(8, 10, 3), rgb=True, name="tile")
    assert offered(dock) == [HISTOLOGY]
    assert DENTAL in form._model.toolTip()
    head = add_volume(viewer)
    viewer.layers.selection.active = head
    assert offered(dock) == [DENTAL, HISTOLOGY]
    assert form.model == client.loaded[-1] == DENTAL
    assert "upper jaw" in form._about.text()
    assert "Licence" in form._about.text()
    rows = form._form
    seen = [rows.isRowVisible(w) for w in (form._whole, form._spacing, form._area)]
    assert seen == [True, True, False]
    assert not any(map(rows.isRowVisible, (form._planes, form._channels, form._pixel_size)))
    assert form._spacing._field.text() == "0.5 x 0.4 x 0.4"
    assert form._spacing._badge.text() == "mm, from image"
    # A model of pictures is there too, and says what it does.
    form._model.setCurrentText(HISTOLOGY)
    assert "each plane for itself" in form._about.text()
    assert rows.isRowVisible(form._area)
    viewer.layers.selection.active = tile
    assert offered(dock) == [HISTOLOGY]
    assert "each plane for itself" not in form._about.text()
    # What was chosen for a volume stays chosen for the next one.
    viewer.layers.selection.active = head
    assert form.model == HISTOLOGY


def test_a_stack_without_a_size_may_be_either(
    dock: SegmentDock, viewer: Any, client: VolumeClient
) -> None:
    viewer.add_image(np.zeros((9, 40, 40), np.float32), name="stack")
    assert offered(dock) == [HISTOLOGY, DENTAL]
    assert dock.form.model == HISTOLOGY
    dock.form._model.setCurrentText(DENTAL)
    assert dock.form._spacing.origin == "assumed"
    dock.start()
    wanted = client.volumes[-1][1]
    assert wanted.spacing == (0.4, 0.4, 0.4)
    assert (wanted.spacing_origin, wanted.oriented) == ("assumed", False)
    dock.cancel()
    field = dock.form._spacing
    field._field.setText("1 x 0.5 x 0.5 mm")
    field._field.editingFinished.emit()
    assert field._badge.text() == "mm, typed"
    field._field.setText("thick")
    field._field.editingFinished.emit()
    assert field._field.text() == "1 x 0.5 x 0.5"
    dock.start()
    wanted = client.volumes[-1][1]
    assert (wanted.spacing, wanted.spacing_origin) == ((1, 0.5, 0.5), "given")


def test_a_run_over_a_volume(
    dock: SegmentDock, viewer: Any, client: VolumeClient, qtbot: Any, said: list[str]
) -> None:
    image = add_volume(viewer)
    dock.start()
    voxels, wanted, handlers, _ = client.volumes[0]
    assert client.asked == []
    np.testing.assert_array_equal(voxels.read(0, 3), image.data[3])
    assert wanted.grid == GRID
    assert (wanted.name, wanted.model, wanted.oriented) == ("head", DENTAL, True)
    assert (wanted.window, wanted.min_score, wanted.min_region_mm3) == (None, None, 100)
    assert dock._button.text() == "Cancel"
    handlers.progress(3, 10)
    qtbot.waitUntil(lambda: dock.status == "Plane 3 of 10")
    handlers.progress(10, 10)
    qtbot.waitUntil(lambda: "linking" in dock.status)
    finish(dock, client, qtbot)
    assert names(viewer) == ["head", "head regions", "head instances"]
    assert dock.status == "head: 2 objects in 2.0 s (cpu)."
    assert said == ["It is a fake."]
    regions, instances = viewer.layers[1:]
    assert (regions.data.dtype, instances.data.dtype) == (np.uint8, np.uint16)
    for layer in (regions, instances):
        np.testing.assert_allclose(layer.scale, image.scale)
        assert layer.units == image.units
        assert volume_layers.grid_in(layer.metadata) == GRID
    assert instances.features["index"].tolist() == [1, 2]
    # By object: by class, both teeth would have one colour.
    assert dock.results._colour_by.currentData() is True
    assert not np.allclose(instances.get_color(1), instances.get_color(2))
    tree = dock.results._legend
    assert tree.headerItem().text(2) == "Volume"
    groups = [tree.topLevelItem(i) for i in range(2)]
    rows = [[g.child(k).text(c) for c in range(3)] for g in groups for k in range(g.childCount())]
    voxel = 0.4 * 0.4 * 0.5
    assert rows == [
        ["upper jaw", "", f"{5 * 168 * voxel:.0f} mm³"],
        ["lower jaw", "", f"{4 * 168 * voxel:.0f} mm³"],
        ["tooth", "2", f"{36 * voxel:.0f} mm³"],
    ]
    assert describe_object(regions, 1) == "upper jaw"
    # As a run that can be taken into a layer that is worked on.
    drawn = objects_layer(image, Stack.of(image))
    assert runs_among(viewer.layers, Sheet(drawn)) == [instances]
    taken = objects_for(Sheet(drawn), instances, 5, protect=True)
    assert taken.labels == {1: 5, 2: 6}
    np.testing.assert_array_equal(taken.values == 6, instances.data == 2)
    dock.results.undo()
    assert names(viewer) == ["head"]


def test_the_contrast_limits_may_be_the_window(
    dock: SegmentDock, viewer: Any, client: VolumeClient
) -> None:
    add_volume(viewer).contrast_limits = (-500, 1500)
    dock.form.more._grey.setCurrentIndex(1)
    dock.start()
    assert client.volumes[0][1].window == (-500, 1500)


def test_cancel_and_failure(
    dock: SegmentDock, viewer: Any, client: VolumeClient, qtbot: Any, said: list[str]
) -> None:
    add_volume(viewer)
    dock.start()
    dock._button.click()
    assert client.volumes[0][3].future.cancelled()
    assert (dock.running, dock.status) == (False, "Cancelled.")
    dock.start()
    client.volumes[1][3].future.set_exception(RuntimeError("lost"))
    qtbot.waitUntil(lambda: not dock.running)
    assert said == ["Segmenting failed: RuntimeError: lost"]
    assert names(viewer) == ["head"]


def test_a_tooth_is_described_and_renumbered(
    dock: SegmentDock, viewer: Any, client: VolumeClient, qtbot: Any
) -> None:
    add_volume(viewer)
    dock.start()
    finish(dock, client, qtbot)
    dock.show()
    layer = viewer.layers["head instances"]
    assert describe_object(layer, 1) == "Tooth 26 · 412 mm³ · confidence 0.93 · object 1"
    assert (
        describe_object(layer, 2) == "Tooth · lower jaw, no number · 1 mm³ · score 0.80 · object 2"
    )
    assert describe_object(layer, 9) == "Object 9"
    tooth = dock.results._tooth
    assert tooth.isVisible()
    assert not tooth._number.isVisible()
    viewer.dims.set_current_step(0, 7)
    place = tuple(np.array([7, 3, 4]) * layer.scale)

    def click(to: tuple[int, int]) -> None:
        event = SimpleNamespace(
            position=place, view_direction=None, dims_displayed=[1, 2], pos=(5, 5), type="press"
        )
        steps = dock.results._on_press(viewer, event)
        next(steps)
        event.type, event.pos = "mouse_release", to
        assert list(steps) == []

    click((40, 5))
    assert not tooth._number.isVisible()
    click((6, 5))
    assert tooth._name.text() == "Object 2, FDI number"
    tooth._number.setCurrentText("26")
    tooth._number.activated.emit(tooth._number.currentIndex())
    assert "Object 1 has this number too." in tooth._words.text()
    assert layer.features["jaw"].tolist() == ["upper", "upper"]
    tooth._number.setCurrentText("36")
    tooth._number.activated.emit(tooth._number.currentIndex())
    assert not tooth._words.isVisible()
    assert describe_object(layer, 2) == "Tooth 36 · 1 mm³ · confidence 1.00 · object 2"
    with pytest.raises(ValueError, match="99"):
        set_fdi(layer, 1, 99)


def test_what_is_found_is_written_on_the_volumes_grid(
    dock: SegmentDock, viewer: Any, client: VolumeClient, qtbot: Any, tmp_path: Path
) -> None:
    add_volume(viewer)
    dock.start()
    finish(dock, client, qtbot)
    layer = viewer.layers["head instances"]
    path = tmp_path / "saved.nii.gz"
    write_label_volume(str(path), *layer.as_layer_data_tuple()[:2])
    np.testing.assert_array_equal(read_label_volume(path, GRID).voxels, layer.data)
    set_fdi(layer, 2, 36)
    layer.data[7, 0, 0] = 9
    for base in ("head", "head (2)"):
        dock.results.export(tmp_path)
        qtbot.waitUntil(lambda: dock.results._exporting is None, timeout=20_000)
        for role in ("regions", "instances"):
            saved = read_label_volume(tmp_path / f"{base}_{role}.nii.gz", GRID)
            np.testing.assert_array_equal(saved.voxels, viewer.layers[f"head {role}"].data)
        table = pd.read_csv(tmp_path / f"{base}_objects.csv").set_index("label")
        assert table.index.tolist() == [1, 2, 9]
        assert table["fdi"].tolist() == [26, 36, 0]
        assert table["class"].tolist() == [1, 1, 0]
        assert table["volume_vx"].tolist() == [18, 18, 1]
        assert table["score"].isna().tolist() == [False, False, True]


@pytest.mark.parametrize(
    ("more", "kind"),
    [
        ({"units": "mm"}, True),
        ({"units": "um", "scale": (300, 300, 300)}, True),
        ({"units": "um"}, False),
        ({}, False),
    ],
)
def test_what_is_a_volume_for_sure(viewer: Any, more: dict[str, Any], kind: bool) -> None:
    volume = volume_of(viewer.add_image(np.zeros((9, 40, 40)), **more))
    assert volume is not None
    assert volume.sure is kind


def test_what_is_no_volume(viewer: Any) -> None:
    for shape in ((9, 9), (4, 40, 40), (40, 40, 3), (2, 2, 2, 2)):
        assert volume_of(viewer.add_image(np.zeros(shape))) is None
    labelled = viewer.add_image(np.zeros((9, 40, 40)), axis_labels=("c", "y", "x"))
    assert volume_of(labelled) is None
    # A layer whose size was typed after it was read: the layer's own counts, its directions stay.
    image = add_volume(viewer)
    image.scale = (1, 1, 1)
    volume = volume_of(image)
    assert volume is not None
    assert (volume.spacing, volume.grid) == ((1, 1, 1), GRID)


def test_sizes_as_a_person_writes_them() -> None:
    assert read_size("0.4") == (0.4, 0.4, 0.4)
    assert read_size("1 x 0,5 × 0.5 mm") == (1, 0.5, 0.5)
    assert read_size("0 x 1 x 1") is read_size("1 x 2") is read_size("") is None
    assert format_volume(12_345, None) == "12,345 voxels"
    assert format_volume(0, 411.6) == "412 mm³"
    assert format_volume(0, 12_345.0) == "12.3 cm³"
