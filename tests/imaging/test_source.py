from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

from napari_coseg.imaging.crops import read_crop
from napari_coseg.imaging.opening import MAX_WHOLE_PIXELS
from napari_coseg.imaging.source import ArraySource, open_image
from napari_coseg.types import CosegError

RNG = np.random.default_rng(0)
_SMOOTH = np.linspace(30, 220, 150)[:, None, None] + np.linspace(-30, 30, 203)[None, :, None]
PICTURE = np.clip(_SMOOTH + np.array([0, 10, -20]) + RNG.normal(0, 5, (150, 203, 3)), 0, 255)
PICTURE = PICTURE.astype(np.uint8)
PICTURE[:20] = 255
ALPHA = RNG.integers(0, 256, (150, 203, 1)).astype(np.uint8)


def _whole(path: Path) -> np.ndarray:
    with open_image(path) as source:
        rows, columns = source.shape
        whole = source.read(0, 0, rows, columns)
    assert whole.dtype == np.uint8
    assert whole.shape == (rows, columns, 3)
    return whole


def _check_windows(path: Path, whole: np.ndarray) -> None:
    rows, columns = whole.shape[:2]
    rng = np.random.default_rng(1)
    with open_image(path) as source:
        for _ in range(25):
            r0, r1 = sorted(rng.choice(rows + 1, 2, replace=False))
            c0, c1 = sorted(rng.choice(columns + 1, 2, replace=False))
            np.testing.assert_array_equal(source.read(r0, c0, r1, c1), whole[r0:r1, c0:c1])


TIFFS: dict[str, tuple[np.ndarray, dict[str, Any], np.ndarray]] = {
    "strips": (PICTURE, {"rowsperstrip": 17, "compression": "lzw"}, PICTURE),
    "one-strip": (PICTURE, {}, PICTURE),
    "big-endian": (PICTURE.astype(np.uint16) * 257, {"byteorder": ">"}, PICTURE),
    "big-endian-tiles": (
        PICTURE.astype(np.uint16) * 257,
        {"byteorder": ">", "tile": (32, 48), "compression": "zlib", "predictor": True},
        PICTURE,
    ),
    "bigtiff": (PICTURE, {"bigtiff": True, "tile": (64, 64)}, PICTURE),
    "tiles": (PICTURE, {"tile": (64, 32), "compression": "zlib", "predictor": True}, PICTURE),
    "planar": (
        np.moveaxis(PICTURE, -1, 0),
        {"planarconfig": "separate", "photometric": "rgb"},
        PICTURE,
    ),
    "planar-tiles": (
        np.moveaxis(PICTURE, -1, 0),
        {"planarconfig": "separate", "photometric": "rgb", "tile": (64, 64), "compression": "lzw"},
        PICTURE,
    ),
    "channel-first": (np.moveaxis(PICTURE, -1, 0), {"photometric": "minisblack"}, PICTURE),
    "channel-first-ome": (
        np.moveaxis(PICTURE, -1, 0),
        {"photometric": "minisblack", "ome": True, "metadata": {"axes": "CYX"}, "tile": (64, 64)},
        PICTURE,
    ),
    "one-plane": (PICTURE[None], {"photometric": "rgb"}, PICTURE),
    "float": ((PICTURE / 255).astype(np.float32), {"compression": "zlib"}, PICTURE),
    "float-strip": ((PICTURE / 255).astype(np.float32), {"byteorder": ">"}, PICTURE),
    "grey": (PICTURE[..., 0], {}, PICTURE[..., [0, 0, 0]]),
    "grey16": (PICTURE[..., 0].astype(np.uint16), {}, PICTURE[..., [0, 0, 0]]),
    "white-is-zero": (
        PICTURE[..., 0],
        {"photometric": "miniswhite"},
        255 - PICTURE[..., [0, 0, 0]],
    ),
    "bits": (
        PICTURE[..., 0] > 128,
        {"photometric": "minisblack", "compression": "packbits"},
        np.repeat(np.where(PICTURE[..., :1] > 128, 255, 0), 3, 2),
    ),
    "extra-unnamed": (
        np.concatenate([PICTURE, ALPHA], 2),
        {"photometric": "rgb", "extrasamples": ["unspecified"]},
        PICTURE,
    ),
}


@pytest.mark.parametrize("name", TIFFS)
def test_tiff(tmp_path: Path, name: str) -> None:
    array, options, expected = TIFFS[name]
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, array, **options)
    np.testing.assert_array_equal(_whole(path), expected)
    _check_windows(path, expected)


@pytest.mark.parametrize("stored", ["YCBCR", "RGB"])
def test_a_lossy_tiff(tmp_path: Path, stored: str) -> None:
    path = tmp_path / "a.tif"
    if stored == "YCBCR":
        tifffile.imwrite(
            path, PICTURE, compression="jpeg", compressionargs={"level": 95}, tile=(64, 64)
        )
    else:
        Image.fromarray(PICTURE).save(path, compression="jpeg", quality=95)
    with tifffile.TiffFile(path) as tiff:
        assert tiff.pages.first.photometric.name == stored
    whole = _whole(path)
    assert np.abs(whole.astype(int) - PICTURE).mean() < 4
    with Image.open(path) as image:
        np.testing.assert_array_equal(whole, np.asarray(image.convert("RGB")))
    _check_windows(path, whole)


def test_transparent_tiffs(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    weight = ALPHA / 255.0
    expected = PICTURE * weight + 255 * (1 - weight)
    tifffile.imwrite(path, np.concatenate([PICTURE, ALPHA], 2), extrasamples=["unassalpha"])
    assert np.abs(_whole(path) - expected).max() <= 1
    multiplied = np.concatenate([np.rint(PICTURE * weight), ALPHA], 2).astype(np.uint8)
    tifffile.imwrite(path, multiplied, photometric="rgb", extrasamples=["assocalpha"])
    assert np.abs(_whole(path) - expected).max() <= 1


def test_a_cmyk_tiff(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    Image.fromarray(PICTURE).convert("CMYK").save(path)
    np.testing.assert_array_equal(_whole(path), PICTURE)


def test_a_tiff_with_a_palette(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    image = Image.fromarray(PICTURE).quantize(40)
    image.save(path)
    np.testing.assert_array_equal(_whole(path), np.asarray(image.convert("RGB")))


def test_a_fax_of_one_bit(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    mask = PICTURE[..., 0] > 128
    Image.fromarray(mask).save(path, compression="group4")
    np.testing.assert_array_equal(_whole(path)[..., 2], np.where(mask, 255, 0))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", ["jpg", "png", "tif"])
def test_orientation(tmp_path: Path, orientation: int, suffix: str) -> None:
    from PIL import ImageOps

    path = tmp_path / f"a.{suffix}"
    if suffix == "tif":
        tags = [(274, "H", 1, orientation, True)]
        tifffile.imwrite(path, PICTURE, tile=(32, 32), extratags=tags)
    else:
        exif = Image.Exif()
        exif[274] = orientation
        Image.fromarray(PICTURE).save(path, exif=exif)
    with Image.open(path) as image:
        expected = np.asarray(ImageOps.exif_transpose(image))
    assert expected.shape[:2] == ((203, 150) if orientation > 4 else (150, 203))
    np.testing.assert_array_equal(_whole(path), expected)
    _check_windows(path, expected)


PILLOW = [
    "RGB.png",
    "RGB.bmp",
    "RGB.jpg",
    "L.png",
    "L.jpg",
    "CMYK.jpg",
    "P.png",
    "P.bmp",
    "1.png",
    "1.bmp",
    "RGBA.png",
    "LA.png",
    "I;16.png",
]


@pytest.mark.parametrize("name", PILLOW)
def test_png_jpeg_bmp(tmp_path: Path, name: str) -> None:
    mode = name.split(".")[0]
    path = tmp_path / name.replace(";", "")
    if mode == "I;16":
        image = Image.fromarray(PICTURE[..., 0].astype(np.uint16) * 257)
        expected = PICTURE[..., [0, 0, 0]]
    elif mode in ("RGBA", "LA"):
        image = Image.fromarray(PICTURE).convert(mode)
        image.putalpha(Image.fromarray(ALPHA[..., 0]))
        white = Image.new("RGBA", image.size, "white")
        expected = np.asarray(Image.alpha_composite(white, image.convert("RGBA")))[..., :3]
    else:
        image = Image.fromarray(PICTURE).convert(mode)
        expected = np.asarray(image.convert("RGB"))
    image.save(path)
    with Image.open(path) as stored:
        assert stored.mode == mode
    if path.suffix == ".jpg":
        with Image.open(path) as stored:
            expected = np.asarray(stored.convert("RGB"))
    difference = np.abs(_whole(path).astype(int) - expected)
    assert difference.max() <= (1 if "A" in mode else 0)


def test_a_palette_with_a_transparent_colour(tmp_path: Path) -> None:
    image = Image.fromarray(PICTURE).quantize(8)
    image.save(tmp_path / "a.png", transparency=0)
    indices = np.asarray(image)
    whole = _whole(tmp_path / "a.png")
    assert (whole[indices == 0] == 255).all()
    opaque = indices != 0
    np.testing.assert_array_equal(whole[opaque], np.asarray(image.convert("RGB"))[opaque])


@pytest.mark.parametrize("suffix", ["png", "bmp", "tif"])
@pytest.mark.parametrize("shape", [(1, 1), (3, 50_000), (50_000, 3)])
def test_odd_sizes(tmp_path: Path, suffix: str, shape: tuple[int, int]) -> None:
    picture = RNG.integers(0, 256, (*shape, 3)).astype(np.uint8)
    path = tmp_path / f"a.{suffix}"
    if suffix == "tif":
        tifffile.imwrite(path, picture, photometric="rgb", compression="zlib")
    else:
        Image.fromarray(picture).save(path)
    np.testing.assert_array_equal(_whole(path), picture)


def test_pyramids_are_read_at_full_resolution(tmp_path: Path) -> None:
    ome = tmp_path / "a.ome.tif"
    with tifffile.TiffWriter(ome, bigtiff=True) as writer:
        sizes = {
            "axes": "YXS",
            "PhysicalSizeX": 0.252,
            "PhysicalSizeXUnit": "µm",
            "PhysicalSizeY": 0.252,
            "PhysicalSizeYUnit": "µm",
        }
        writer.write(PICTURE, subifds=2, tile=(64, 64), photometric="rgb", metadata=sizes)
        for level in (2, 4):
            small = np.ascontiguousarray(PICTURE[::level, ::level])
            writer.write(small, subfiletype=1, tile=(64, 64), photometric="rgb")
    np.testing.assert_array_equal(_whole(ome), PICTURE)
    with open_image(ome) as source:
        assert source.mpp == 0.252
        assert [level.shape for level in source.levels] == [(150, 203), (75, 102), (38, 51)]
        assert source.levels[2].mpp == pytest.approx(4 * 0.252, rel=0.02)
    svs = tmp_path / "a.svs"
    about = "Aperio Image Library v11.2.1\n203x150 (64x64) J2K|AppMag = 40|MPP = 0.2526|Left = 25.6"
    with tifffile.TiffWriter(svs) as writer:
        for step, text in ((1, about), (5, "Aperio Image Library\nthumbnail"), (4, about)):
            picture = np.ascontiguousarray(PICTURE[::step, ::step])
            kind = {"rowsperstrip": 16} if step == 5 else {"tile": (64, 64)}
            writer.write(
                picture,
                photometric="rgb",
                description=text,
                metadata=None,
                subfiletype=1 if step == 5 else 0,
                compression="zlib",
                **kind,
            )
    np.testing.assert_array_equal(_whole(svs), PICTURE)
    with open_image(svs) as source:
        assert source.mpp == 0.2526
        assert [level.shape for level in source.levels] == [(150, 203), (38, 51)]
        np.testing.assert_array_equal(source.levels[1].read(0, 0, 38, 51), PICTURE[::4, ::4])


def test_pixel_size(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"

    def mpp(**options: Any) -> float | None:
        tifffile.imwrite(path, PICTURE, photometric="rgb", **options)
        with open_image(path) as source:
            return source.mpp

    assert mpp() is None
    assert mpp(resolution=(40_000, 40_000), resolutionunit="CENTIMETER") == 0.25
    assert mpp(resolution=(101_600, 101_600), resolutionunit="INCH") == 0.25
    assert mpp(resolution=(4, 4), resolutionunit="NONE") is None
    for dpi in (72, 96, 300, 600):
        assert mpp(resolution=(dpi, dpi), resolutionunit="INCH") is None
    assert mpp(resolution=(40_000, 20_000), resolutionunit="CENTIMETER") is None
    assert mpp(imagej=True, resolution=(4, 4), metadata={"unit": "um"}) == 0.25
    assert mpp(imagej=True, resolution=(4, 4), metadata={"unit": "micron"}) == 0.25
    assert mpp(imagej=True, resolution=(4000, 4000), metadata={"unit": "mm"}) == 0.25
    assert mpp(imagej=True, resolution=(4, 4), metadata={"unit": "pixel"}) is None
    nm = {
        "axes": "YXS",
        "PhysicalSizeX": 500,
        "PhysicalSizeY": 500,
        "PhysicalSizeXUnit": "nm",
        "PhysicalSizeYUnit": "nm",
    }
    assert mpp(ome=True, metadata=nm) == 0.5
    for dpi, expected in ((96, None), (101_600, 0.25)):
        Image.fromarray(PICTURE).save(tmp_path / "a.png", dpi=(dpi, dpi))
        with open_image(tmp_path / "a.png") as source:
            assert source.mpp == (None if expected is None else pytest.approx(expected, rel=1e-4))


def test_windows_of_a_16_bit_tiff_agree_on_white(tmp_path: Path) -> None:
    """White is found once for the image: a dark window stays dark."""
    picture = RNG.integers(0, 300, (2048, 1024)).astype(np.uint16)
    picture[1024:] = RNG.integers(0, 4096, (1024, 1024))
    for options in ({}, {"tile": (256, 256)}, {"compression": "zlib", "rowsperstrip": 64}):
        tifffile.imwrite(tmp_path / "a.tif", picture, **options)
        with open_image(tmp_path / "a.tif") as source:
            dark = source.read(0, 0, 100, 100)
        np.testing.assert_array_equal(dark[..., 0], np.rint(picture[:100, :100] * (255 / 4095)))


def test_a_tile_that_was_left_out_is_black(tmp_path: Path) -> None:
    def tiles() -> Any:
        yield np.full((64, 64, 3), 200, np.uint8)
        yield None

    tifffile.imwrite(
        tmp_path / "a.tif",
        tiles(),
        shape=(64, 128, 3),
        dtype=np.uint8,
        tile=(64, 64),
        photometric="rgb",
        compression="zlib",
    )
    whole = _whole(tmp_path / "a.tif")
    assert (whole[:, :64] == 200).all()
    assert (whole[:, 64:] == 0).all()


def test_reads_from_many_threads_are_the_same(tmp_path: Path) -> None:
    picture = RNG.integers(0, 256, (900, 900, 3)).astype(np.uint8)
    path = tmp_path / "a.tif"
    for options in ({"tile": (64, 64), "compression": "zlib"}, {}):
        tifffile.imwrite(path, picture, photometric="rgb", **options)
        corners = RNG.integers(0, 700, (200, 2))
        with open_image(path, cache_bytes=20 * 64 * 64 * 3) as source:

            def read(corner: np.ndarray, source: Any = source) -> np.ndarray:
                return source.read(*corner, *(corner + 200))

            with ThreadPoolExecutor(8) as pool:
                for (row, column), window in zip(corners, pool.map(read, corners), strict=True):
                    expected = picture[row : row + 200, column : column + 200]
                    np.testing.assert_array_equal(window, expected)


def test_the_cache_keeps_to_its_size(tmp_path: Path) -> None:
    picture = RNG.integers(0, 256, (512, 512, 3)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", picture, tile=(64, 64), photometric="rgb")
    with open_image(tmp_path / "a.tif", cache_bytes=3 * 64 * 64 * 3) as source:
        source.read(0, 0, 512, 512)
        pixels = source._pixels  # type: ignore[attr-defined]
        assert len(pixels._cache) == 3
        assert pixels._kept == 3 * 64 * 64 * 3


def test_memory_of_a_large_tiff_is_set_by_the_window(tmp_path: Path) -> None:
    """A plain (uncompressed, one strip) and a tiled file of 79 MB, read in a fresh process."""
    script = """
import sys
from pathlib import Path
import numpy as np
import tifffile
from napari_coseg.imaging.source import open_image
def private():
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(x.split()[1]) for x in lines if x.startswith("RssAnon")) / 1024
def tiles(side):
    for k in range((5120 // side) ** 2):
        yield np.full((side, side, 3), k % 251, np.uint8)
path = Path(sys.argv[1]) / "a.tif"
for options in ({"tile": (512, 512), "compression": "zlib"}, {}):
    if options:
        tifffile.imwrite(path, tiles(512), shape=(5120, 5120, 3), dtype=np.uint8,
                         photometric="rgb", maxworkers=1, **options)
    else:
        tifffile.memmap(path, shape=(5120, 5120, 3), dtype=np.uint8, photometric="rgb")[-1] = 7
    with open_image(path, cache_bytes=8 << 20) as source:
        before = peak = private()
        for row in range(0, 5120, 1024):
            for column in range(0, 5120, 1024):
                window = source.read(row, column, row + 512, column + 512)
                peak = max(peak, private())
        assert source.read(5119, 0, 5120, 1)[0, 0, 0] == (90 if options else 7)
    print(peak - before)
"""
    if not Path("/proc/self/status").exists():
        pytest.skip("reads the memory of the process from /proc")
    done = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)], capture_output=True, encoding="utf-8"
    )
    assert done.returncode == 0, done.stderr
    assert all(float(line) < 24 for line in done.stdout.split()), done.stdout


def test_array_source() -> None:
    with ArraySource(PICTURE, mpp=0.5) as source:
        assert source.shape == (150, 203)
        assert source.mpp == 0.5
        window = source.read(3, 4, 50, 60)
        np.testing.assert_array_equal(window, PICTURE[3:50, 4:60])
        window[:] = 0
        assert PICTURE[3, 4].any()
        for outside in ((-1, 0, 2, 2), (0, 0, 151, 2), (5, 0, 5, 2), (0, 200, 2, 204)):
            with pytest.raises(ValueError, match="not inside"):
                source.read(*outside)
    first = ArraySource(np.moveaxis(PICTURE, -1, 0))
    np.testing.assert_array_equal(first.read(0, 0, 150, 203), PICTURE)
    with pytest.raises(CosegError, match="150 x 203 x 5"):
        ArraySource(np.zeros((150, 203, 5)))


def test_nan_in_a_float_tiff(tmp_path: Path) -> None:
    picture = (PICTURE / 255).astype(np.float32)
    picture[30:40] = np.nan
    tifffile.imwrite(tmp_path / "a.tif", picture, photometric="rgb")
    whole = _whole(tmp_path / "a.tif")
    assert not whole[30:40].any()
    np.testing.assert_array_equal(whole[40:], PICTURE[40:])


def test_pillows_own_limit_is_neither_asked_nor_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    Image.fromarray(PICTURE).save(tmp_path / "a.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    np.testing.assert_array_equal(_whole(tmp_path / "a.png"), PICTURE)
    assert Image.MAX_IMAGE_PIXELS == 100


def test_a_png_larger_than_any_that_is_decoded_whole(tmp_path: Path) -> None:
    """Only the header claims so many pixels: it must be refused before memory is taken."""
    path = tmp_path / "bomb.png"
    Image.new("L", (8, 8)).save(path)
    data = bytearray(path.read_bytes())
    data[16:24] = (60_000).to_bytes(4, "big") * 2
    import zlib

    data[29:33] = zlib.crc32(bytes(data[12:29])).to_bytes(4, "big")
    path.write_bytes(data)
    assert MAX_WHOLE_PIXELS < 60_000**2
    with pytest.raises(CosegError, match=r"bomb\.png has 60000 x 60000 pixels.*tiled TIFF"):
        open_image(path)


def _bad(folder: Path, what: str) -> Path:
    path = folder / f"{what}.tif"
    match what:
        case "empty":
            path.touch()
        case "folder":
            path.mkdir()
        case "text":
            path = path.with_suffix(".png")
            path.write_text("Dear colleague, the picture is on the other disk.\n")
        case "cut-png" | "cut-jpg" | "cut-bmp":
            path = folder / f"a.{what[4:]}"
            Image.fromarray(PICTURE).save(path)
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        case "cut-header":
            path = path.with_suffix(".png")
            Image.fromarray(PICTURE).save(path)
            path.write_bytes(path.read_bytes()[:20])
        case "cut-tif":
            tifffile.imwrite(path, PICTURE, compression="zlib", rowsperstrip=8)
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        case "cut-plain-tif":
            tifffile.imwrite(path, PICTURE)
            path.write_bytes(path.read_bytes()[:-1000])
        case "cut-tif-header":
            tifffile.imwrite(path, PICTURE)
            path.write_bytes(path.read_bytes()[:9])
        case "directory-at-the-end":
            Image.fromarray(PICTURE).save(path, compression="tiff_lzw")
            path.write_bytes(path.read_bytes()[:-300])
        case "broken-tile":
            tifffile.imwrite(path, PICTURE, compression="zlib", tile=(64, 64))
            with tifffile.TiffFile(path) as tiff:
                offset = tiff.pages.first.dataoffsets[0]
            data = bytearray(path.read_bytes())
            data[offset : offset + 40] = bytes(40)
            path.write_bytes(data)
        case "stack":
            tifffile.imwrite(path, np.zeros((5, 20, 30), np.uint8), photometric="minisblack")
        case "depth":
            tifffile.imwrite(
                path, np.zeros((3, 20, 30), np.uint8), imagej=True, metadata={"axes": "ZYX"}
            )
        case "time":
            tifffile.imwrite(path, np.zeros((7, 20, 30, 3), np.uint8), photometric="rgb")
        case "fluorescence":
            tifffile.imwrite(
                path,
                np.zeros((4, 20, 30), np.uint8),
                ome=True,
                photometric="minisblack",
                metadata={"axes": "CYX"},
            )
        case "two-samples":
            tifffile.imwrite(path, np.zeros((20, 30, 2), np.uint8), planarconfig="contig")
        case "several":
            with tifffile.TiffWriter(path) as writer:
                for _ in range(2):
                    writer.write(PICTURE, photometric="rgb", metadata=None)
        case "lab":
            Image.fromarray(PICTURE).convert("LAB").save(path)
        case "complex":
            tifffile.imwrite(path, np.zeros((20, 30), np.complex64))
    return path


@pytest.mark.parametrize(
    ("what", "sentence"),
    [
        ("missing", "does not exist"),
        ("folder", "is a folder"),
        ("empty", "is empty"),
        ("text", "is not an image.*PNG, JPEG, BMP and TIFF"),
        ("cut-png", "damaged, ends too early"),
        ("cut-jpg", "damaged, ends too early"),
        ("cut-bmp", "damaged, ends too early"),
        ("cut-header", "damaged, ends too early"),
        ("cut-tif", "truncated"),
        ("cut-plain-tif", "truncated"),
        ("cut-tif-header", "ends too early"),
        ("directory-at-the-end", "ends too early|truncated"),
        ("broken-tile", "damaged"),
        ("stack", r"5 x 20 x 30.*supported are single 2D images"),
        ("depth", r"3 x 20 x 30 \(axes ZYX\)"),
        ("time", r"7 x 20 x 30 x 3"),
        ("fluorescence", r"4 x 20 x 30 \(axes CYX\)"),
        ("two-samples", "20 x 30 x 2"),
        ("several", "several of them|2 x 150 x 203 x 3"),
        ("lab", "CIELAB"),
        ("complex", "complex64"),
    ],
)
def test_bad_files_are_told_with_their_name(tmp_path: Path, what: str, sentence: str) -> None:
    path = _bad(tmp_path, what)
    with pytest.raises(CosegError, match=sentence) as caught:
        _whole(path)
    if what != "complex":
        assert str(path) in str(caught.value)


@pytest.mark.parametrize("orientation", [1, 6])
def test_levels_of_a_pyramid_are_read_for_large_crops(tmp_path: Path, orientation: int) -> None:
    """Each level is of another colour, so that it can be told which one was read."""
    path = tmp_path / "pyramid.tif"
    colours = [(200, 0, 0), (0, 200, 0), (0, 0, 200)]
    with tifffile.TiffWriter(path) as writer:
        for number, colour in enumerate(colours):
            level = np.zeros((600 >> number, 500 >> number, 3), np.uint8)
            level[:] = colour
            extra = {"subifds": 2} if number == 0 else {"subfiletype": 1}
            tags = [(274, "H", 1, orientation, False)] if number == 0 else []
            writer.write(level, tile=(64, 64), photometric="rgb", extratags=tags, **extra)
    with open_image(path) as source:
        sides = [(600 >> k, 500 >> k) for k in range(3)]
        expected = sides if orientation == 1 else [side[::-1] for side in sides]
        assert [level.shape for level in source.levels] == expected
        for length, colour in ((100, colours[0]), (200, colours[1]), (450, colours[2])):
            crop = read_crop(source, (20, 30, 20 + length, 30 + length), 100, (9, 9, 9))
            assert (crop == colour).all()


def test_levels_of_sixteen_bits_have_one_white(tmp_path: Path) -> None:
    path = tmp_path / "grey.tif"
    with tifffile.TiffWriter(path) as writer:
        bright = np.full((256, 256), 60000, np.uint16)
        writer.write(bright, subifds=1, tile=(64, 64), photometric="minisblack")
        dark = np.full((128, 128), 900, np.uint16)
        writer.write(dark, subfiletype=1, tile=(64, 64), photometric="minisblack")
    with open_image(path) as source:
        assert source.levels[1].read(0, 0, 5, 5).max() == round(900 / 65535 * 255)
