"""A page that shows a data set: its counts, what was found, and labels drawn over pictures.

One HTML file with its pictures in it, which loads nothing from elsewhere.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Iterable, Mapping
from html import escape

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image

from napari_coseg.datasets.checking import DatasetCheck, content_text, listed, spacing_text
from napari_coseg.datasets.labelled import Item, LabelledDataset, LabelledImage
from napari_coseg.imaging.overlay import overlay
from napari_coseg.imaging.volume_grid import sides
from napari_coseg.types import IGNORE, ClassTable

#: Longest side of a picture in pixels, and how many there are at most.
SIDE, PICTURES = 480, 24

_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; margin: 2em auto; max-width: 1180px; color: #222; }
table { border-collapse: collapse; margin: 0.6em 0 1.6em; }
th, td { text-align: left; padding: 0.2em 1.2em 0.2em 0; border-bottom: 1px solid #ddd; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
.fault { color: #b00020; font-weight: 600; }
.sheet { display: grid; grid-template-columns: repeat(auto-fill, minmax(340px, 1fr)); gap: 14px; }
figure { margin: 0; }
figure img { width: 100%; display: block; }
figcaption { font-size: 13px; color: #555; overflow-wrap: anywhere; }
.colour { display: inline-block; width: 0.9em; height: 0.9em; margin-right: 0.4em; }
"""


class CheckPage:
    """Gathers pictures while a set is read, and writes the page.

    Parameters
    ----------
    dataset : LabelledDataset
    pictures : int
        How many items are shown at most, spread evenly over the set.
    """

    def __init__(self, dataset: LabelledDataset, pictures: int = PICTURES) -> None:
        self._dataset = dataset
        count = len(dataset.items)
        most = min(count, pictures)
        self._shown = {dataset.items[(2 * k + 1) * count // (2 * most)].name for k in range(most)}
        self._figures: list[str] = []

    def see(self, item: Item, read: LabelledImage) -> None:
        """Draw an item's labels, if it is one of those that are shown."""
        if item.name in self._shown:
            data = base64.b64encode(_jpeg(drawn(self._dataset, read))).decode("ascii")
            name = escape(item.name)
            part = f" ({item.part})" if item.part else ""
            self._figures.append(
                f'<figure><img alt="{name}" src="data:image/jpeg;base64,{data}">'
                f"<figcaption>{name}{part}</figcaption></figure>"
            )

    def text(self, check: DatasetCheck) -> str:
        """Return the page."""
        dataset = self._dataset
        title = escape(dataset.name)
        size = f"{dataset.mpp:g} µm per pixel" if dataset.mpp > 0 else "pixel size unknown"
        about = [dataset.format.title, escape(dataset.license), size, f"{len(check.facts)} items"]
        findings = "".join(
            f'<tr><td class="{one.kind}">{one.kind}</td><td>{escape(one.what)}</td>'
            f"<td>{escape(listed(one.names))}</td></tr>"
            for one in check.findings()
        )
        return (
            f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
            f"<style>{_STYLE}</style></head><body><h1>{title}</h1><p>{'; '.join(about)}</p>"
            + _table("Regions", "pixels", check.regions(), dataset.region_classes)
            + _table("Objects", "objects", check.objects(), dataset.instance_classes)
            + _volumes(check)
            + (f"<h2>What was found</h2><table>{findings}</table>" if findings else "")
            + f'<h2>Labels</h2><div class="sheet">{"".join(self._figures)}</div></body></html>\n'
        )


def drawn(dataset: LabelledDataset, read: LabelledImage) -> npt.NDArray[np.uint8]:
    """Draw an item's labels over it, at a size that fits a page.

    Returns
    -------
    ndarray of uint8, (rows, columns, 3)
    """
    rows, columns = read.image.shape[:2]
    factor = min(1.0, SIDE / max(rows, columns))
    size = max(1, round(columns * factor)), max(1, round(rows * factor))

    def small(labels: npt.NDArray[np.integer] | None) -> npt.NDArray[np.int32] | None:
        if labels is None:
            return None
        picture = Image.fromarray(labels.astype(np.int32))
        return np.asarray(picture.resize(size, Image.Resampling.NEAREST))

    picture = Image.fromarray(read.image).resize(size, Image.Resampling.BOX)
    regions, instances = small(read.regions), small(read.instances)
    if regions is not None:
        regions = np.where(regions == IGNORE, 0, regions)
    return overlay(
        np.asarray(picture),
        regions,
        instances,
        _classes(instances, small(read.classes)),
        dataset.region_classes,
        dataset.instance_classes,
        contour=1,
    )


def _classes(
    instances: npt.NDArray[np.int32] | None, classes: npt.NDArray[np.int32] | None
) -> pd.DataFrame:
    if instances is None:
        return pd.DataFrame({"label": [], "class": []}, dtype=int)
    ids, first = np.unique(instances, return_index=True)
    found = np.zeros(len(ids), int) if classes is None else classes.ravel()[first]
    return pd.DataFrame({"label": ids[ids > 0], "class": found[ids > 0]})


def _jpeg(picture: npt.NDArray[np.uint8]) -> bytes:
    out = io.BytesIO()
    Image.fromarray(picture).save(out, "JPEG", quality=82)
    return out.getvalue()


def _volumes(check: DatasetCheck) -> str:
    """Write a row a volume; nothing where there are none."""
    if not check.volumes:
        return ""
    rows = "".join(
        f"<tr><td>{escape(one.name)}</td><td>{sides(one.shape)}</td><td>{spacing_text(one)}</td>"
        f"<td>{one.grid.orientation if one.grid else ''}</td>"
        f"<td>{escape(content_text(one))}</td></tr>"
        for one in check.volumes
    )
    heads = "<th>volume</th><th>voxels</th><th>spacing</th><th>axes</th><th>labels</th>"
    return f"<h2>Volumes</h2><table><tr>{heads}</tr>{rows}</table>"


def _table(title: str, unit: str, counted: Mapping[str, tuple[int, int]], table: ClassTable) -> str:
    """Write the counts of one task; nothing where there are none."""
    if not counted:
        return ""
    colours = {info.name: info.colour for info in table}
    total = sum(count for count, _ in counted.values()) or 1

    def rows() -> Iterable[str]:
        for name, (count, items) in counted.items():
            colour = colours.get(name)
            mark = ""
            if colour is not None:
                mark = f'<span class="colour" style="background: rgb{colour}"></span>'
            yield (
                f'<tr><td>{mark}{escape(name)}</td><td class="number">{count:,}</td>'
                f'<td class="number">{100 * count / total:.1f} %</td>'
                f'<td class="number">{items:,}</td></tr>'
            )

    return (
        f'<h2>{title}</h2><table><tr><th>class</th><th class="number">{unit}</th>'
        f'<th class="number">share</th><th class="number">items</th></tr>{"".join(rows())}</table>'
    )
