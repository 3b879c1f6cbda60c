from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from PIL import Image
from scipy import ndimage
from skimage.measure import regionprops_table

from napari_coseg.imaging.objects import WINDOW_COLUMNS, object_table
from napari_coseg.inference.energy import LEVELS, hv_energy, sobel_kernels
from napari_coseg.inference.instances import InstanceSettings, instances_from_maps
from napari_coseg.training.targets import hv_maps
from napari_coseg.types import OBJECT_COLUMNS, CosegError

Array = npt.NDArray[Any]


def ellipses() -> npt.NDArray[np.int32]:
    """Twelve ellipses: pairs and a triple that touch, lone ones, some on the image's edge."""
    row, column = np.mgrid[:120, :160]
    labels = np.zeros((120, 160), np.int32)
    shapes = [
        (20, 20, 9, 9), (20, 37, 10, 8), (30, 80, 14, 10), (52, 84, 9, 11),
        (70, 30, 7, 7), (82, 38, 7, 7), (82, 22, 6, 8), (95, 100, 12, 12),
        (98, 121, 10, 12), (10, 140, 10, 14), (115, 60, 12, 9), (60, 150, 8, 12),
    ]  # fmt: skip
    for label, (y, x, height, width) in enumerate(shapes, 1):
        labels[((row - y) / height) ** 2 + ((column - x) / width) ** 2 <= 1] = label
    return labels


def perfect(labels: Array) -> tuple[Array, Array]:
    return (labels > 0).astype(np.float32), hv_maps(labels)


def matches(truth: Array, found: Array) -> tuple[int, float]:
    """Objects that have a partner of IoU above 0.5, and the sum of these IoUs."""
    overlap = np.zeros((int(truth.max()) + 1, int(found.max()) + 1))
    np.add.at(overlap, (truth.ravel(), found.ravel()), 1)
    union = overlap.sum(1, keepdims=True) + overlap.sum(0, keepdims=True) - overlap
    iou = (overlap / np.maximum(union, 1))[1:, 1:]
    return int((iou > 0.5).sum()), float(iou[iou > 0.5].sum())


def panoptic_quality(truth: Array, found: Array) -> float:
    count, quality = matches(truth, found)
    both = len(np.unique(truth[truth > 0])) + len(np.unique(found[found > 0]))
    return quality / (both / 2) if both and count else 0.0


class TestDivision:
    def test_touching_objects_are_told_apart(self) -> None:
        truth = ellipses()
        assert ndimage.label(truth)[1] == 8  # so that there is something to divide
        labels, objects = instances_from_maps(*perfect(truth))
        assert labels.dtype == np.int32
        assert len(objects) == 12
        count, quality = matches(truth, labels)
        assert count == 12
        assert quality > 12 * 0.99

    def test_without_a_fall_a_part_stays_one(self) -> None:
        foreground, _ = perfect(ellipses())
        labels, objects = instances_from_maps(foreground, np.zeros((2, *foreground.shape)))
        assert len(objects) == 8
        assert np.array_equal(labels > 0, foreground > 0)

    def test_labels_are_in_the_order_of_their_first_pixels(self) -> None:
        labels, objects = instances_from_maps(*perfect(ellipses()))
        ids = labels[labels > 0]
        _, first = np.unique(ids, return_index=True)
        assert list(objects["label"]) == list(range(1, 13))
        assert (np.diff(first) > 0).all()

    def test_each_object_is_in_one_piece(self) -> None:
        random = np.random.default_rng(0)
        foreground = np.clip(ndimage.gaussian_filter(random.normal(size=(150, 150)), 3) * 4, 0, 1)
        maps = ndimage.gaussian_filter(random.normal(size=(2, 150, 150)), (0, 2, 2)) * 6
        labels, objects = instances_from_maps(foreground, maps)
        assert len(objects) > 20
        for label in objects["label"]:
            assert ndimage.label(labels == label)[1] == 1

    def test_memory_order_and_precision_of_the_maps_do_not_matter(self) -> None:
        foreground, maps = perfect(ellipses())
        expected, _ = instances_from_maps(foreground, maps)
        turned = np.asfortranarray(foreground), np.asfortranarray(maps)
        assert np.array_equal(instances_from_maps(*turned)[0], expected)
        assert np.array_equal(instances_from_maps(foreground, maps.astype(float))[0], expected)
        half = foreground.astype(np.float16), maps.astype(np.float16)
        assert len(instances_from_maps(*half)[1]) == 12

    def test_maps_are_left_as_they_were(self) -> None:
        foreground, maps = perfect(ellipses())
        before = foreground.copy(), maps.copy()
        instances_from_maps(foreground, maps)
        assert np.array_equal(foreground, before[0])
        assert np.array_equal(maps, before[1])


class TestSmallAndHollow:
    def test_parts_below_the_smallest_area_go(self) -> None:
        foreground = np.zeros((30, 30), np.float32)
        foreground[2:5, 2:7] = 1  # 15 pixels
        foreground[10:14, 10:14] = 1  # 16
        _, objects = instances_from_maps(foreground, np.zeros((2, 30, 30)))
        assert list(objects["area_px"]) == [16]

    def test_basins_below_the_smallest_area_go(self) -> None:
        truth = np.zeros((40, 60), np.int32)
        truth[10:30, 10:30] = 1
        truth[10:30, 30:36] = 2
        settings = InstanceSettings(min_area=150)
        labels, objects = instances_from_maps(*perfect(truth), settings=settings)
        assert len(objects) == 1
        assert (labels[12:28, 31:36] == 0).all()

    def test_a_hole_is_filled_and_counted(self) -> None:
        truth = np.zeros((40, 40), np.int32)
        truth[5:30, 5:30] = 1
        foreground, maps = perfect(truth)
        foreground[12:18, 12:17] = 0
        foreground[5:8, 20] = 0  # a notch, open to the outside
        labels, objects = instances_from_maps(foreground, maps)
        assert (labels[12:18, 12:17] == 1).all()
        assert (labels[5:8, 20] == 0).all()
        assert list(objects["area_px"]) == [25 * 25 - 3]

    def test_a_gap_between_several_objects_is_no_hole(self) -> None:
        row, column = np.mgrid[:50, :50]
        truth = np.zeros((50, 50), np.int32)
        for label, (y, x) in enumerate([(15, 15), (15, 34), (34, 15), (34, 34)], 1):
            truth[(row - y) ** 2 + (column - x) ** 2 <= 100] = label
        foreground, maps = perfect(truth)
        assert foreground[24, 24] == 0
        assert ndimage.binary_fill_holes(foreground)[24, 24]
        labels, objects = instances_from_maps(foreground, maps)
        assert len(objects) == 4
        assert labels[24, 24] == 0

    def test_a_ring_around_another_object_keeps_its_inside(self) -> None:
        foreground = np.zeros((40, 40), np.float32)
        foreground[5:35, 5:35] = 1
        foreground[10:30, 10:30] = 0
        foreground[15:25, 15:25] = 1
        labels, objects = instances_from_maps(foreground, np.zeros((2, 40, 40)))
        assert list(objects["area_px"]) == [900 - 400, 100]
        assert (labels[10:15, 10:30] == 0).all()


class TestFixedScale:
    def test_a_crop_gives_the_same_objects_as_the_whole(self) -> None:
        random = np.random.default_rng(1)
        truth = np.tile(ellipses(), (2, 2))
        truth[truth > 0] += (np.arange(4).reshape(2, 2).repeat(120, 0).repeat(160, 1) * 12)[
            truth > 0
        ]
        foreground, maps = perfect(truth)
        maps += ndimage.gaussian_filter(random.normal(size=maps.shape), (0, 1, 1)) * 0.3
        maps[:, 200:, 300:] *= 40  # what would change a scale taken from the window
        whole, whole_objects = instances_from_maps(foreground, maps)
        for row0, column0, row1, column1 in ((7, 11, 180, 250), (60, 90, 190, 299)):
            window = np.s_[row0:row1, column0:column1]
            part, objects = instances_from_maps(foreground[window], maps[:, *window])
            # objects of foreground parts that lie in the crop and clear of its edges
            groups = ndimage.label(np.pad(foreground[window], 1, mode="edge"))[0]
            edge = {*groups[0], *groups[-1], *groups[:, 0], *groups[:, -1]}
            inside = ~np.isin(groups[1:-1, 1:-1], [*edge, 0])
            inside &= ndimage.binary_erosion(np.ones_like(inside), iterations=5)
            ids = np.unique(part[inside])
            assert len(ids) > 5
            moved = objects.set_index("label")
            for label in ids:
                mine = part == label
                there = np.unique(whole[window][mine])
                assert len(there) == 1
                assert np.array_equal(whole[window] == there[0], mine)
                row = whole_objects.set_index("label").loc[there[0]]
                assert row["row"] == pytest.approx(moved.loc[label, "row"] + row0)
                assert row["column0"] == moved.loc[label, "column0"] + column0

    def test_ties_do_not_depend_on_what_stands_beside(self) -> None:
        # whole numbers only, so that a great many pixels have the same energy
        random = np.random.default_rng(6)
        foreground = np.pad(np.ones((42, 42), np.float32), 4)
        left, right = random.integers(-1, 2, (2, 2, 50, 50)).astype(np.float32)
        settings = InstanceSettings(kernel_size=3, min_area=1, marker_min_area=1)
        alone, objects = instances_from_maps(foreground, right, settings=settings)
        beside, _ = instances_from_maps(
            np.tile(foreground, 2), np.concatenate([left, right], axis=2), settings=settings
        )
        pairs = np.unique(np.stack([alone.ravel(), beside[:, 50:].ravel()]), axis=1)
        assert len(objects) > 50
        assert pairs.shape[1] == len(objects) + 1

    def test_energy_is_the_sobel_answer_in_known_units(self) -> None:
        random = np.random.default_rng(2)
        maps = random.uniform(-1, 1, (2, 70, 90)).astype(np.float32)
        mask = random.uniform(size=(70, 90)) > 0.3
        for size in (3, 5, 9, 21):
            smooth, derivative = sobel_kernels(size)
            unit = 2 * np.abs(np.cumsum(derivative)).max()
            falls = []
            for plane, axis in ((maps[0], 1), (maps[1], 0)):
                rise = ndimage.correlate1d(
                    np.where(mask, plane, 0.0), derivative, axis, mode="mirror"
                )
                rise = ndimage.correlate1d(rise, smooth, 1 - axis, mode="mirror")
                falls.append(np.maximum(-rise, 0))
            expected = sum(falls) / unit * LEVELS
            assert np.abs(hv_energy(maps, mask, size) - expected).max() < 0.51

    def test_a_step_from_plus_to_minus_one_is_one(self) -> None:
        maps = np.zeros((2, 40, 40), np.float32)
        maps[0, :, :20], maps[0, :, 20:] = 1, -1
        for size in (3, 9, 31):
            energy = hv_energy(maps, np.ones((40, 40), bool), size)
            assert energy.max() == LEVELS
            assert (np.flatnonzero(energy[20] == LEVELS) == [19, 20]).all()
            assert (hv_energy(-maps, np.ones((40, 40), bool), size) == 0).all()

    def test_kernels_are_sobels(self) -> None:
        smooth, derivative = sobel_kernels(3)
        assert np.allclose(smooth, [0.25, 0.5, 0.25])
        assert np.allclose(derivative, [-0.5, 0, 0.5])
        smooth, derivative = sobel_kernels(5)
        assert np.allclose(smooth * 16, [1, 4, 6, 4, 1])
        assert np.allclose(derivative * 8, [-1, -2, 0, 2, 1])
        smooth, derivative = sobel_kernels(21)
        assert smooth.sum() == pytest.approx(1)
        assert (derivative * np.arange(21)).sum() == pytest.approx(1)


class TestHoverNetMode:
    @pytest.fixture
    def maps(self) -> tuple[Array, Array]:
        """Blurred maps that grow from left to right, so that a window's extremes mislead."""
        foreground, maps = perfect(ellipses())
        maps = np.stack([ndimage.gaussian_filter(plane, 2) for plane in maps])
        wave = 0.15 * np.sin(np.mgrid[:120, :160] / 4)
        return foreground, (maps * np.linspace(0.1, 1, 160) + wave).astype(np.float32)

    def test_areas_are_those_of_tiatoolbox(self, maps: tuple[Array, Array]) -> None:
        _, objects = instances_from_maps(*maps, settings=InstanceSettings.hovernet())
        # HoVerNet._proc_np_hv of TIAToolbox 2.1.3 on the same maps
        assert sorted(objects["area_px"]) == [243, 280, 310, 372, 426, 435, 437]

    def test_fixed_scaling_finds_what_the_window_hid(self, maps: tuple[Array, Array]) -> None:
        assert len(instances_from_maps(*maps)[1]) == 12

    def test_scale_and_offset_of_the_maps_do_not_matter(self, maps: tuple[Array, Array]) -> None:
        settings = InstanceSettings.hovernet()
        foreground, hv = maps
        expected, _ = instances_from_maps(foreground, hv, settings=settings)
        other, _ = instances_from_maps(foreground, hv * 3 + 0.5, settings=settings)
        assert (other != expected).mean() < 0.001

    def test_flat_maps_are_no_error(self) -> None:
        foreground, _ = perfect(ellipses())
        flat = np.zeros((2, *foreground.shape), np.float32)
        labels, _ = instances_from_maps(foreground, flat, settings=InstanceSettings.hovernet())
        assert labels.shape == foreground.shape


class TestFacts:
    def test_equal_to_regionprops(self) -> None:
        random = np.random.default_rng(3)
        labels = ellipses()
        labels[labels == 5] = 700  # a gap in the ids
        labels[2:4, 70:72] = 1  # an object of two parts
        foreground = random.uniform(0.5, 1, labels.shape).astype(np.float32)
        table = object_table(labels, foreground)
        assert tuple(table.columns) == WINDOW_COLUMNS
        peer = pd.DataFrame(
            regionprops_table(
                labels,
                foreground,
                properties=("label", "area", "centroid", "bbox", "mean_intensity"),
            )
        )
        pairs = {
            "label": "label", "area_px": "area", "row": "centroid-0", "column": "centroid-1",
            "row0": "bbox-0", "column0": "bbox-1", "row1": "bbox-2", "column1": "bbox-3",
            "score": "mean_intensity",
        }  # fmt: skip
        for ours, theirs in pairs.items():
            assert np.allclose(table[ours], peer[theirs]), ours

    def test_columns_are_those_of_files_and_the_class_score(self) -> None:
        assert set(WINDOW_COLUMNS) - set(OBJECT_COLUMNS) == {"class_score"}

    def test_ids_may_be_huge(self) -> None:
        labels = np.zeros((5, 5), np.int64)
        labels[1, 1], labels[3, 2:4] = 2**40, 7
        table = object_table(labels)
        assert list(table["label"]) == [7, 2**40]
        assert list(table["area_px"]) == [2, 1]
        assert list(table["score"]) == [1, 1]

    def test_class_is_the_one_with_most_probability(self) -> None:
        labels = np.array([[1, 1, 0, 2, 2, 3]], np.int32)
        classes = np.array(
            [
                [[0.9, 0.9, 1.0, 0.2, 0.2, 1.0]],  # background never wins
                [[0.1, 0.0, 0.0, 0.5, 0.0, 0.0]],
                [[0.0, 0.3, 0.0, 0.3, 0.6, 0.0]],
            ],
            np.float32,
        )
        for kind in (np.float32, np.float16):
            table = object_table(labels, classes=classes.astype(kind))
            assert list(table["class"]) == [2, 2, 0]
            assert np.allclose(
                table["class_score"], [0.3 / 0.4, 0.9 / 1.4, np.nan], atol=1e-3, equal_nan=True
            )

    def test_without_classes_there_is_no_class(self) -> None:
        labels = np.array([[1, 0, 2]], np.int32)
        for classes in (None, np.ones((1, 1, 3), np.float32)):
            table = object_table(labels, classes=classes)
            assert list(table["class"]) == [0, 0]
            assert table["class_score"].isna().all()

    def test_table_of_instances_is_that_of_their_labels(self) -> None:
        random = np.random.default_rng(4)
        foreground, maps = perfect(ellipses())
        classes = random.uniform(size=(4, *foreground.shape)).astype(np.float32)
        labels, objects = instances_from_maps(foreground * 0.9, maps, classes)
        pd.testing.assert_frame_equal(objects, object_table(labels, foreground * 0.9, classes))
        assert objects["score"].to_numpy() == pytest.approx(0.9)

    def test_no_object(self) -> None:
        table = object_table(np.zeros((4, 4), np.uint16))
        assert table.empty
        assert tuple(table.columns) == WINDOW_COLUMNS
        assert table["area_px"].dtype == np.int64
        assert table["score"].dtype == np.float64


class TestDegenerate:
    @pytest.mark.parametrize("settings", [InstanceSettings(), InstanceSettings.hovernet()])
    @pytest.mark.parametrize("shape", [(1, 1), (1, 50), (3, 400), (64, 2), (0, 5), (5, 0)])
    @pytest.mark.parametrize("value", [0.0, 1.0])
    def test_any_shape_empty_and_full(
        self, shape: tuple[int, int], value: float, settings: InstanceSettings
    ) -> None:
        foreground = np.full(shape, value, np.float32)
        classes = np.full((3, *shape), 1 / 3, np.float32)
        maps = np.zeros((2, *shape), np.float32)
        labels, objects = instances_from_maps(foreground, maps, classes, settings=settings)
        assert labels.shape == shape
        assert len(objects) == labels.max(initial=0)
        if settings.scaling == "fixed":
            big = value == 1 and foreground.size >= settings.min_area
            assert len(objects) == int(big)
            assert list(objects["area_px"]) == [foreground.size] * int(big)

    def test_one_pixel_may_be_an_object(self) -> None:
        settings = InstanceSettings(min_area=1)
        ones = np.ones((1, 1), np.float32)
        labels, _ = instances_from_maps(ones, np.zeros((2, 1, 1)), settings=settings)
        assert labels.tolist() == [[1]]

    @pytest.mark.parametrize(
        ("which", "value", "words"),
        [
            ("foreground", np.nan, "0 to 1"),
            ("foreground", 3.0, "0 to 1"),
            ("hv", np.nan, "near -1 to 1"),
            ("hv", -np.inf, "near -1 to 1"),
            ("classes", np.nan, "not finite"),
        ],
    )
    def test_values_that_are_no_maps(self, which: str, value: float, words: str) -> None:
        foreground, hv = perfect(ellipses())
        maps = {"foreground": foreground, "hv": hv, "classes": np.ones((3, 120, 160), np.float32)}
        maps[which][..., 20, 20] = value
        with pytest.raises(CosegError, match=words):
            instances_from_maps(**maps)

    def test_shapes_that_do_not_fit(self) -> None:
        foreground, hv = perfect(ellipses())
        with pytest.raises(CosegError, match="HV maps"):
            instances_from_maps(foreground, hv[:, 1:])
        with pytest.raises(CosegError, match="HV maps"):
            instances_from_maps(foreground[None], hv)
        with pytest.raises(CosegError, match="class maps"):
            instances_from_maps(foreground, hv, np.zeros((3, 5, 5)))
        labels = ellipses()
        with pytest.raises(CosegError, match="foreground"):
            object_table(labels, foreground[1:])
        with pytest.raises(CosegError, match="class maps"):
            object_table(labels, classes=np.zeros((3, 5, 5)))
        with pytest.raises(CosegError, match="integers"):
            object_table(foreground)  # type: ignore[arg-type]
        with pytest.raises(CosegError, match="negative"):
            object_table(-labels)

    @pytest.mark.parametrize(
        "values",
        [
            {"foreground_threshold": 0.0},
            {"foreground_threshold": float("nan")},
            {"marker_threshold": 1.0},
            {"min_area": 0},
            {"min_score": 1.0},
            {"min_score": -0.1},
            {"marker_min_area": -1},
            {"kernel_size": 8},
            {"kernel_size": 1},
            {"kernel_size": 33},
            {"scaling": "image"},
        ],
    )
    def test_settings_out_of_range(self, values: dict[str, Any]) -> None:
        with pytest.raises(CosegError, match=next(iter(values))):
            InstanceSettings(**values)


class TestRealNuclei:
    @pytest.fixture
    def truth(self, shared_data: Path) -> Array:
        path = sorted((shared_data / "consep" / "instances").iterdir())[0]
        return np.asarray(Image.open(path)).astype(np.int32)[:512, :512]

    def test_exact_maps_give_the_nuclei_back(self, truth: Array) -> None:
        labels, _ = instances_from_maps(*perfect(truth))
        assert panoptic_quality(truth, labels) > 0.95

    def test_and_so_they_do_after_stride_two(self, truth: Array) -> None:
        labels, _ = instances_from_maps(*(_stride_two(m) for m in perfect(truth)))
        assert panoptic_quality(truth, labels) > 0.93

    def test_noise_costs_less_than_with_the_window_scaling(self, truth: Array) -> None:
        random = np.random.default_rng(5)
        foreground, maps = (_stride_two(m) for m in perfect(truth))
        noise = ndimage.gaussian_filter(random.normal(size=maps.shape), (0, 1.5, 1.5))
        maps = ndimage.gaussian_filter(maps, (0, 1, 1)) + 0.5 * noise
        ours = panoptic_quality(truth, instances_from_maps(foreground, maps)[0])
        window = InstanceSettings.hovernet()
        theirs = panoptic_quality(truth, instances_from_maps(foreground, maps, settings=window)[0])
        assert ours > 0.85
        assert ours > theirs


def _stride_two(maps: Array) -> Array:
    """Mean of two by two pixels, and bilinear back."""
    rows, columns = maps.shape[-2:]
    small = maps.reshape(*maps.shape[:-2], rows // 2, 2, columns // 2, 2).mean((-3, -1))
    for axis in (-2, -1):
        lines = np.moveaxis(small, axis, 0)
        before = np.concatenate([lines[:1], lines[:-1]])
        after = np.concatenate([lines[1:], lines[-1:]])
        twice = np.stack([0.25 * before + 0.75 * lines, 0.75 * lines + 0.25 * after], axis=1)
        small = np.moveaxis(twice.reshape(-1, *lines.shape[1:]), 0, axis)
    return small.astype(np.float32)
