"""The layers above an image in which prompts, clicks and the mask to come are shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.layers import Points, Shapes
from qtpy.QtCore import QTimer

from napari_coseg.layers.placing import lay_on
from napari_coseg.layers.preview import Preview
from napari_coseg.types import Mask

if TYPE_CHECKING:
    import napari.viewer

#: Colours that neither stains nor classes have.
PREVIEW, DRAWN = "#b4ff00", "#ffe600"
POSITIVE, NEGATIVE = "#00c853", "#ff1744"
#: Pixels of the screen: width of lines.
_LINE = 2.0

Box = tuple[float, float, float, float]
#: Row, column, and whether it is on the object.
Click = tuple[float, float, bool]


class PromptLayers:
    """Three layers above an image: lines that are drawn, clicks, and the mask to come.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
    image : Image layer
        They lie as it does.
    axes : tuple of int
        Its rows and columns.

    Attributes
    ----------
    clicks : Points layer
        The topmost one, on which the mouse is heard.
    """

    def __init__(self, viewer: napari.viewer.Viewer, image: Any, axes: tuple[int, int]) -> None:
        self._viewer = viewer
        self._image = image
        self._axes = axes
        placed = {
            "scale": image.scale,
            "translate": image.translate,
            "rotate": image.rotate,
            "shear": image.shear,
            "affine": image.affine,
            "units": image.units,
            "axis_labels": image.axis_labels,
        }
        self._preview = Preview(image, axes, "Preview", PREVIEW, placed)
        self._shapes = Shapes(
            None,
            ndim=image.ndim,
            name="Prompts",
            edge_color=DRAWN,
            face_color="transparent",
            **placed,
        )
        self.clicks = Points(
            np.zeros((0, image.ndim)),
            name="Clicks",
            size=10,
            border_color="white",
            border_width=0.15,
            symbol="disc",
            canvas_size_limits=(9, 9),
            **placed,
        )
        # What is shown, so that it is not drawn again.
        self._drawn: tuple[list[Box], int] | None = None
        self._clicks: list[Click] = []
        for layer in self._made:
            viewer.add_layer(layer)

    @property
    def _made(self) -> list[Any]:
        return [self._preview.layer, self._shapes, self.clicks]

    @property
    def there(self) -> list[Any]:
        """Those that nobody has taken away."""
        return [layer for layer in self._made if layer in self._viewer.layers]

    @property
    def whole(self) -> bool:
        """Whether all are there."""
        return len(self.there) == len(self._made)

    def remove(self) -> None:
        """Take the layers away."""
        if self._image in self._viewer.layers:
            _take_away(self._viewer, self.there)
        else:
            # The image goes, maybe with all layers that are selected: napari takes one after the
            # other, and stumbles over those that somebody else took meanwhile.
            QTimer.singleShot(0, partial(_take_away, self._viewer, self.there))

    def rise(self) -> None:
        """Lie above the layers that have come since."""
        layers = self._viewer.layers
        places = sorted(layers.index(layer) for layer in self.there)
        if places and places[0] < len(layers) - len(places):
            layers.move_multiple(places, len(layers))

    def hide(self, hidden: bool) -> None:
        """Hide or show all that is drawn."""
        for layer in self.there:
            half = layer is self._preview.layer
            layer.opacity = 0.0 if hidden else (0.5 if half else 1.0)

    def follow(self) -> None:
        """Lie where the image lies now."""
        for layer in (self._shapes, self.clicks):
            lay_on(layer, self._image)
        self._preview.follow()
        self.zoom()

    def zoom(self) -> None:
        """Draw lines as thick as before on the screen."""
        if len(self._shapes.data):
            self._shapes.edge_width = [self._width] * len(self._shapes.data)

    def show_mask(self, mask: Mask | None) -> None:
        """Show what an object would be; None or an empty mask shows nothing."""
        self._preview.show(mask, self._full(0, 0))

    def show(
        self, boxes: list[Box], lines: Sequence[npt.NDArray[Any]], clicks: list[Click]
    ) -> None:
        """Show the prompts of an object.

        Parameters
        ----------
        boxes : list of tuple of float
            Edges in pixels of the image.
        lines : sequence of array
            Of (row, column).
        clicks : list of (float, float, bool)
        """
        if self.clicks not in self._viewer.layers:
            return
        # napari draws a layer anew whatever it is given: what is the same is not given again.
        if self._drawn != (boxes, len(lines)):
            rings = [_corners(box) for box in boxes]
            rings += [np.asarray(line, float) for line in lines]
            self._set_shapes(rings, ["polygon"] * len(boxes) + ["path"] * len(lines))
            self._drawn = (boxes, len(lines))
        if self._clicks != clicks:
            self._set_points(clicks)

    def rubber(self, box: Box) -> None:
        """Show a box that is being drawn."""
        self._set_shapes([_corners(box)], ["polygon"])

    def draw(self, path: npt.NDArray[Any]) -> None:
        """Show a line that is being drawn, an array of (row, column)."""
        self._set_shapes([path], ["path"])

    @property
    def _width(self) -> float:
        return _LINE * screen_pixel(self._viewer, self._image, self._axes)

    def _set_points(self, clicks: list[tuple[float, float, bool]]) -> None:
        places = np.array([self._full(r, c) for r, c, _ in clicks]).reshape(-1, self._image.ndim)
        before, self._clicks = self._clicks, clicks
        same = before[: len(clicks)] == clicks[: len(before)]
        signs = {on for *_, on in clicks[len(before) :]}
        if signs:
            # The colour of points that come; napari draws all anew for any other way.
            self.clicks.current_face_color = POSITIVE if True in signs else NEGATIVE
        with _quiet(self.clicks):
            self.clicks.data = places
        if clicks and (not same or len(signs) > 1):
            self.clicks.face_color = [POSITIVE if on else NEGATIVE for *_, on in clicks]

    def _set_shapes(self, rings: Sequence[npt.NDArray[Any]], kinds: Sequence[str]) -> None:
        full = [np.array([self._full(r, c) for r, c in ring]) for ring in rings]
        shapes, self._drawn = self._shapes, None
        with _quiet(shapes):
            if full and list(kinds) == shapes.shape_type:
                shapes.data = full
                return
            if len(shapes.data):
                shapes.data = []
            if full:
                shapes.add(
                    full,
                    shape_type=list(kinds),
                    edge_width=self._width,
                    edge_color=DRAWN,
                    face_color="transparent",
                )
                shapes.selected_data = set()

    def _full(self, row: float, column: float) -> npt.NDArray[np.float64]:
        """Place in the layers of a point of the image's plane that is shown."""
        world = np.asarray(self._viewer.dims.point, float)[-self._image.ndim :]
        place = np.round(np.asarray(self._image.world_to_data(world), float))
        place[self._axes[0]], place[self._axes[1]] = row, column
        return place


def screen_pixel(viewer: napari.viewer.Viewer, image: Any, axes: tuple[int, int]) -> float:
    """Return how many pixels of an image one pixel of the screen is wide."""
    scale = float(np.abs(np.asarray(image.scale)[list(axes)]).mean())
    return 1 / (float(viewer.scene.camera.zoom) * scale)


@contextmanager
def _quiet(layer: Any) -> Iterator[None]:
    """Tell nobody but the canvas that a layer changes.

    All lies within the image, so napari need not ask how far the layers reach; and what is drawn
    with each click needs no new thumbnail.
    """
    events = layer.events
    with events.data.blocker(), events.features.blocker(), events.thumbnail.blocker():
        yield


def _corners(box: Box) -> npt.NDArray[np.float64]:
    row0, column0, row1, column1 = (edge - 0.5 for edge in box)
    return np.array([[row0, column0], [row0, column1], [row1, column1], [row1, column0]])


def _take_away(viewer: napari.viewer.Viewer, layers: Sequence[Any]) -> None:
    for layer in layers:
        if layer in viewer.layers:
            viewer.layers.remove(layer)
