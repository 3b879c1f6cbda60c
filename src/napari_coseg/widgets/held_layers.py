"""The labels of a queue's open case, lent to another dock that wants to edit them.

A case has one journal for its objects, and one dock owns it: the queue. The Prompt dock works on
the same open `Target` while it looks at that image, so that no second journal comes to be.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from napari_coseg.widgets.prompt_target import Target


@dataclass(eq=False)
class HeldCase:
    """The objects of an open case.

    Attributes
    ----------
    image : Image layer
        What they are drawn on.
    renew : callable
        Puts a new, empty layer in the place of one that was taken away, and returns it under the
        case's journal. Raises a `CosegError` where that cannot be.
    target : Target or None
        None while the layer is being read, or was taken away.
    """

    image: Any
    renew: Callable[[], Target]
    target: Target | None = None
    _editors: list[Callable[[], bool]] = field(default_factory=list)

    @property
    def busy(self) -> bool:
        """Whether something is being drawn, or is on its way into the layer."""
        return any(works() for works in self._editors)

    def change(self, target: Target | None) -> None:
        """Exchange the layer, and let others know."""
        self.target = target
        _tell(self)

    def lend(self, at_work: Callable[[], bool]) -> None:
        """Hear that a dock edits the layer from now on.

        Parameters
        ----------
        at_work : callable
            Whether a person is in the middle of an object there, which the layer does not show
            yet.
        """
        self._editors.append(at_work)

    def returned(self, at_work: Callable[[], bool]) -> None:
        """Hear that the dock which was lent the layer is done with it."""
        self._editors.remove(at_work)
        if self.target is not None:
            self.target.catch_up()
            self.target.bind_keys()


_held: list[HeldCase] = []
_listeners: list[Callable[[HeldCase], None]] = []


def hold(held: HeldCase) -> None:
    """Let others know of a case."""
    _held.append(held)
    _tell(held)


def forget(held: HeldCase) -> None:
    """Lend a case's layer no more: whoever has it lets go of it before this returns."""
    if held in _held:
        _held.remove(held)
    held.change(None)


def held_on(image: Any) -> HeldCase | None:
    """Return the case whose image a layer is, None for none."""
    return next((held for held in _held if held.image == image), None)


def listen(heard: Callable[[HeldCase], None]) -> None:
    """Call back whenever the layer of a case comes, goes or is exchanged."""
    _listeners.append(heard)


def listen_no_more(heard: Callable[[HeldCase], None]) -> None:
    """End `listen`."""
    with suppress(ValueError):
        _listeners.remove(heard)


def _tell(held: HeldCase) -> None:
    for heard in list(_listeners):
        heard(held)
