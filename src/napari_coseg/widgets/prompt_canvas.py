"""Where a person draws prompts: layers of the dock's own, and what the mouse does on them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from napari.layers import Points, Shapes
from qtpy.QtCore import QObject, QTimer, Signal

from napari_coseg.layers.placing import lay_on
from napari_coseg.layers.preview import Preview
from napari_coseg.types import Mask, Prompt

if TYPE_CHECKING:
    import napari.viewer

#: What the mouse draws.
TOOLS = ("box", "points", "scribble", "lasso", "select")
#: Colours that neither stains nor classes have.
PREVIEW, DRAWN = "#b4ff00", "#ffe600"
POSITIVE, NEGATIVE = "#00c853", "#ff1744"
#: Pixels of the screen that the mouse may move in a click.
_STILL = 3.0
#: Milliseconds that prompts wait for their mask, to be drawn with it: the mouse is still there.
_PATIENCE = 150
#: Pixels of the screen: width of lines.
_LINE = 2.0
#: Pixels of the screen: length of an object that a person clicks on.
_USUAL = 60.0

Box = tuple[float, float, float, float]


class PromptCanvas(QObject):
    """Three layers above the image: what is drawn, clicks, and the mask to come.

    They come with the first tool and go with `let_go`. While the layer of clicks is the active
    one, the mouse draws; with Space held it moves the view.

    Attributes
    ----------
    boxed : Signal
        A box in pixels of the image: first row and column, last ones, exclusive.
    clicked : Signal
        Row and column in pixel centres, and whether Shift or Ctrl was held.
    drawn : Signal
        A line: an array of (row, column).
    refused : Signal
        A sentence why nothing can be drawn.
    paused : Signal
        Whether another layer has become the active one, so that the mouse does not draw.
    """

    boxed = Signal(tuple)
    clicked = Signal(float, float, bool)
    drawn = Signal(object)
    paused = Signal(bool)
    refused = Signal(str)

    def __init__(self, viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        self._viewer = viewer
        self._image: Any = None
        self._axes: tuple[int, int] = (-2, -1)
        self.tool: str | None = None
        self.positive = True
        self._shapes: Any = None
        self._points: Any = None
        self._preview: Preview | None = None
        # What is shown, so that it is not drawn again.
        self._drawn: tuple[list[Box], int] | None = None
        self._clicks: list[tuple[float, float, bool]] = []
        self._wanted: tuple[tuple[Prompt, ...], tuple[npt.NDArray[Any], ...]] = ((), ())
        self._mask: Mask | None = None
        self._soon = QTimer(self)
        self._soon.setSingleShot(True)
        self._soon.timeout.connect(self._show)
        self._higher = QTimer(self)
        self._higher.setSingleShot(True)
        self._higher.timeout.connect(self._rise)
        viewer.layers.events.inserted.connect(self._on_inserted)
        viewer.layers.selection.events.active.connect(self._on_active)
        viewer.scene.camera.events.zoom.connect(self._on_zoom)

    @property
    def layers(self) -> list[Any]:
        """The layers that are there."""
        made = (self._preview and self._preview.layer, self._shapes, self._points)
        return [layer for layer in made if layer is not None and layer in self._viewer.layers]

    @property
    def active(self) -> bool:
        """Whether the mouse draws."""
        # Equal, and not the same: a plugin sees layers through napari's proxies.
        return self._points is not None and self._viewer.layers.selection.active == self._points

    def draw_on(self, image: Any, axes: tuple[int, int]) -> None:
        """Draw on another image; what was drawn goes.

        Parameters
        ----------
        image : Image layer or None
        axes : tuple of int
            Its rows and columns.
        """
        if image == self._image and axes == self._axes:
            return
        self._remove()
        self._wanted, self._mask = ((), ()), None
        self._image, self._axes = image, axes

    def take(self, tool: str | None) -> None:
        """Let the mouse draw with a tool; None leaves it to napari."""
        self.tool = tool
        if self._image is None or self._image not in self._viewer.layers:
            return
        if tool is None:
            if self.active:
                self._viewer.layers.selection.active = self._image
            return
        self._make()
        self._viewer.layers.selection.active = self._points
        self._points.mouse_pan = tool in ("points", "select")
        self._points.cursor = "cross" if tool in ("box", "scribble", "lasso") else "pointing"

    def show(
        self,
        prompts: Sequence[Prompt],
        lines: Sequence[npt.NDArray[Any]] = (),
        *,
        with_mask: bool = False,
    ) -> None:
        """Show the prompts of the object at work, as soon as the event loop turns.

        Parameters
        ----------
        prompts : sequence of Prompt
        lines : sequence of array
            Of (row, column).
        with_mask : bool
            Whether a mask was asked for: they are shown together, if it comes soon. Drawing twice
            would keep the model from the cores where OpenGL is software.
        """
        # A box that follows on a commit is one change and not two.
        self._wanted = (tuple(prompts), tuple(lines))
        self._soon.start(_PATIENCE if with_mask else 0)

    def show_waiting(self) -> None:
        """Show at once what waits for its mask."""
        if self._soon.isActive():
            self._soon.stop()
            self._show()

    def _show(self) -> None:
        prompts, lines = self._wanted
        if self._points is None or self._points not in self._viewer.layers:
            return
        boxes = [p.box for p in prompts if p.box is not None]
        clicks = [point for p in prompts for point in p.points]
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

    def preview(self, mask: Mask | None) -> None:
        """Show what an object would be; None or an empty mask shows nothing."""
        self._mask = mask
        if self._preview is not None:
            self._preview.show(mask, self._full(0, 0))

    @property
    def usual_length(self) -> float:
        """Length in pixels of the image that an object of a usual size on the screen has.

        People zoom until they see what they click on.
        """
        return _USUAL / _LINE * self._width

    def hide(self, hidden: bool) -> None:
        """Hide or show all that is drawn."""
        for layer in self.layers:
            half = self._preview is not None and layer is self._preview.layer
            layer.opacity = 0.0 if hidden else (0.5 if half else 1.0)

    def follow(self) -> None:
        """Lie where the image lies now."""
        for layer in (self._shapes, self._points):
            if layer is not None:
                lay_on(layer, self._image)
        if self._preview is not None:
            self._preview.follow()
        self._on_zoom()

    def let_go(self) -> None:
        """Take the layers away, and hear no more of the viewer."""
        self._viewer.layers.events.inserted.disconnect(self._on_inserted)
        self._viewer.layers.selection.events.active.disconnect(self._on_active)
        self._viewer.scene.camera.events.zoom.disconnect(self._on_zoom)
        self._remove()

    def _make(self) -> None:
        if len(self.layers) == 3:
            return
        self._remove()
        image = self._image
        placed = {
            "scale": image.scale,
            "translate": image.translate,
            "rotate": image.rotate,
            "shear": image.shear,
            "affine": image.affine,
            "units": image.units,
            "axis_labels": image.axis_labels,
        }
        ndim = image.ndim
        self._preview = Preview(image, self._axes, "Preview", PREVIEW, placed)
        self._shapes = Shapes(
            None,
            ndim=ndim,
            name="Prompts",
            edge_color=DRAWN,
            face_color="transparent",
            **placed,
        )
        self._points = Points(
            np.zeros((0, ndim)),
            name="Clicks",
            size=10,
            border_color="white",
            border_width=0.15,
            symbol="disc",
            canvas_size_limits=(9, 9),
            **placed,
        )
        self._points.mouse_drag_callbacks.append(self._on_drag)
        self._points.bind_key("Space", self._pan, overwrite=True)
        for layer in (self._preview.layer, self._shapes, self._points):
            self._viewer.add_layer(layer)
        # An object may be at work already.
        self._preview.show(self._mask, self._full(0, 0))
        self._soon.start(0)

    def _remove(self) -> None:
        layers, self._preview, self._shapes, self._points = self.layers, None, None, None
        self._drawn, self._clicks = None, []
        self._soon.stop()
        if self._image in self._viewer.layers:
            _take_away(self._viewer, layers)
        else:
            # The image goes, maybe with all layers that are selected: napari takes one after the
            # other, and stumbles over those that somebody else took meanwhile.
            QTimer.singleShot(0, partial(_take_away, self._viewer, layers))

    def _pan(self, layer: Any) -> Iterator[None]:
        """Move the view while Space is held."""
        before, layer.mouse_pan = layer.mouse_pan, True
        yield
        layer.mouse_pan = before

    def _on_active(self, event: object = None) -> None:
        if self.tool is not None and self._points is not None:
            self.paused.emit(not self.active)

    def _on_inserted(self, event: Any) -> None:
        # Results come on top of what is drawn; several at once, and napari is not done with each.
        if self.layers and event.value not in self.layers:
            self._higher.start(0)

    def _rise(self) -> None:
        """Lie above the layers that have come since."""
        layers = self._viewer.layers
        places = sorted(layers.index(layer) for layer in self.layers)
        if places and places[0] < len(layers) - len(places):
            layers.move_multiple(places, len(layers))

    def _on_zoom(self, event: object = None) -> None:
        if self._shapes is not None and len(self._shapes.data):
            self._shapes.edge_width = [self._width] * len(self._shapes.data)

    @property
    def _width(self) -> float:
        scale = float(np.abs(np.asarray(self._image.scale)[list(self._axes)]).mean())
        return _LINE / (float(self._viewer.scene.camera.zoom) * scale)

    def _set_points(self, clicks: list[tuple[float, float, bool]]) -> None:
        places = np.array([self._full(r, c) for r, c, _ in clicks]).reshape(-1, self._image.ndim)
        before, self._clicks = self._clicks, clicks
        same = before[: len(clicks)] == clicks[: len(before)]
        signs = {on for *_, on in clicks[len(before) :]}
        if signs:
            # The colour of points that come; napari draws all anew for any other way.
            self._points.current_face_color = POSITIVE if True in signs else NEGATIVE
        with _quiet(self._points):
            self._points.data = places
        if clicks and (not same or len(signs) > 1):
            self._points.face_color = [POSITIVE if on else NEGATIVE for *_, on in clicks]

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

    def _place(self, event: Any) -> tuple[float, float]:
        place = np.asarray(self._image.world_to_data(event.position[-self._image.ndim :]), float)
        return float(place[self._axes[0]]), float(place[self._axes[1]])

    def _on_drag(self, layer: Any, event: Any) -> Iterator[None]:
        if event.button != 1:
            return
        before = self._viewer.dims.ndim - self._image.ndim
        shown = [axis - before for axis in event.dims_displayed]
        if sorted(shown) != sorted(axis % self._image.ndim for axis in self._axes):
            self.refused.emit(
                f"The view does not show rows and columns of {self._image.name}: change the order "
                "of the axes, or go back to 2D (buttons below the list of layers)."
            )
            return
        tool, first = self.tool, self._place(event)
        further = "Shift" in event.modifiers or "Control" in event.modifiers
        if layer.mouse_pan and tool not in ("points", "select"):
            return  # the view is being moved
        start = np.asarray(event.pos, float)
        path = [first]
        moved = 0.0
        yield
        while event.type == "mouse_move":
            moved = max(moved, float(np.linalg.norm(np.asarray(event.pos, float) - start)))
            path.append(self._place(event))
            if moved > _STILL and tool == "box":
                self.rubber(_box(first, path[-1]))
            elif moved > _STILL and tool in ("scribble", "lasso"):
                self._set_shapes([np.array(path)], ["path"])
            yield
        if moved <= _STILL:
            # A click with any tool says: this.
            self.clicked.emit(*first, further)
        elif tool == "box":
            self.boxed.emit(_box(first, path[-1]))
        elif tool in ("scribble", "lasso"):
            self.drawn.emit(np.array(path))


def _box(one: tuple[float, float], other: tuple[float, float]) -> Box:
    """Box through two points in pixel centres, whichever comes first; in edges of pixels."""
    rows, columns = sorted((one[0], other[0])), sorted((one[1], other[1]))
    return rows[0] + 0.5, columns[0] + 0.5, rows[1] + 0.5, columns[1] + 0.5


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
