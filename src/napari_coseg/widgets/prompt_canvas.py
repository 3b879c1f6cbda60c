"""Where a person draws prompts: the tool in hand, and what the mouse does with it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from qtpy.QtCore import QObject, QTimer, Signal

from napari_coseg.types import Mask, Prompt
from napari_coseg.widgets.prompt_layers import Box, PromptLayers, screen_pixel

if TYPE_CHECKING:
    import napari.viewer

#: What the mouse draws.
TOOLS = ("box", "points", "scribble", "lasso", "select")
#: Pixels of the screen that the mouse may move in a click.
_STILL = 3.0
#: Milliseconds that prompts wait for their mask, to be drawn with it: the mouse is still there.
_PATIENCE = 150
#: Pixels of the screen: length of an object that a person clicks on.
_USUAL = 60.0


class PromptCanvas(QObject):
    """What a person draws on an image, and what is shown of it.

    Its layers come with the first tool and go with `let_go`. While the layer of clicks is the
    active one, the mouse draws; with Space held it moves the view.

    Attributes
    ----------
    boxed : Signal
        A box in pixels of the image: first row and column, last ones, exclusive.
    boxing : Signal
        A box that is still being drawn.
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
    boxing = Signal(tuple)
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
        self._layers: PromptLayers | None = None
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
        return [] if self._layers is None else self._layers.there

    @property
    def active(self) -> bool:
        """Whether the mouse draws."""
        # Equal, and not the same: a plugin sees layers through napari's proxies.
        made = self._layers
        return made is not None and self._viewer.layers.selection.active == made.clicks

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
        clicks = self._made().clicks
        self._viewer.layers.selection.active = clicks
        clicks.mouse_pan = tool in ("points", "select")
        clicks.cursor = "cross" if tool in ("box", "scribble", "lasso") else "pointing"

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
        if self._layers is None:
            return
        prompts, lines = self._wanted
        boxes = [p.box for p in prompts if p.box is not None]
        self._layers.show(boxes, lines, [point for p in prompts for point in p.points])

    def rubber(self, box: Box) -> None:
        """Show a box that is being drawn."""
        if self._layers is not None:
            self._layers.rubber(box)

    def preview(self, mask: Mask | None) -> None:
        """Show what an object would be; None or an empty mask shows nothing."""
        self._mask = mask
        if self._layers is not None:
            self._layers.show_mask(mask)

    @property
    def usual_length(self) -> float:
        """Length in pixels of the image that an object of a usual size on the screen has.

        People zoom until they see what they click on.
        """
        return _USUAL * screen_pixel(self._viewer, self._image, self._axes)

    def hide(self, hidden: bool) -> None:
        """Hide or show all that is drawn."""
        if self._layers is not None:
            self._layers.hide(hidden)

    def follow(self) -> None:
        """Lie where the image lies now."""
        if self._layers is not None:
            self._layers.follow()

    def let_go(self) -> None:
        """Take the layers away, and hear no more of the viewer."""
        self._viewer.layers.events.inserted.disconnect(self._on_inserted)
        self._viewer.layers.selection.events.active.disconnect(self._on_active)
        self._viewer.scene.camera.events.zoom.disconnect(self._on_zoom)
        self._remove()

    def _made(self) -> PromptLayers:
        """Return the layers; new ones, if one of them was taken away."""
        if self._layers is not None and self._layers.whole:
            return self._layers
        self._remove()
        self._layers = made = PromptLayers(self._viewer, self._image, self._axes)
        made.clicks.mouse_drag_callbacks.append(self._on_drag)
        made.clicks.bind_key("Space", self._pan, overwrite=True)
        self._on_active()
        # An object may be at work already.
        made.show_mask(self._mask)
        self._soon.start(0)
        return made

    def _remove(self) -> None:
        made, self._layers = self._layers, None
        self._soon.stop()
        if made is not None:
            made.remove()

    def _pan(self, layer: Any) -> Iterator[None]:
        """Move the view while Space is held."""
        before, layer.mouse_pan = layer.mouse_pan, True
        yield
        layer.mouse_pan = before

    def _on_active(self, event: object = None) -> None:
        if self.tool is not None and self._layers is not None:
            self.paused.emit(not self.active)

    def _on_inserted(self, event: Any) -> None:
        # Results come on top of what is drawn; several at once, and napari is not done with each.
        if self.layers and event.value not in self.layers:
            self._higher.start(0)

    def _rise(self) -> None:
        if self._layers is not None:
            self._layers.rise()

    def _on_zoom(self, event: object = None) -> None:
        if self._layers is not None:
            self._layers.zoom()

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
                box = _box(first, path[-1])
                self.rubber(box)
                self.boxing.emit(box)
            elif moved > _STILL and tool in ("scribble", "lasso") and self._layers is not None:
                self._layers.draw(np.array(path))
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
