"""How a prediction is made; what of it decides the labels, and what only decides speed."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from napari_coseg.imaging.windows import manual_window
from napari_coseg.inference.instances import InstanceSettings
from napari_coseg.types import CosegError
from napari_coseg.weights.card import ModelCard

#: Fields that leave the labels as they are, or change them by no more than another device does.
_SPEED_ONLY = frozenset(
    {"precision", "batch", "block", "halo", "max_halo", "cache_bytes", "workers"}
)


@dataclass(frozen=True)
class PredictSettings:
    """How a prediction is made.

    Attributes
    ----------
    overlap : int or None
        Pixels by which neighbouring tiles overlap at least, at each task's own scale; a multiple
        of 4, at most half a tile. None takes a sixth of the tile.
    tta : bool
        Average over the four flips; four times the work.
    padding : {"white", "black", "reflect"} or None
        What surrounds an image that is smaller than a tile: white or black, or the image mirrored.
        None takes what training had: black for a model of volumes, white for one of pictures.
    window : (float, float) or None
        Of volumes: grey values that become black and white. None takes the volume's automatic
        window, as training does.
    min_region_um2 : float
        Region parts (and holes) below this area in µm² take the class around them; 0 keeps all.
        Where the pixel size is unknown it is the model's.
    min_region_mm3 : float
        Of jaws and pharynx in volumes: connected parts below this volume become background; 0
        keeps all.
    instances : InstanceSettings or None
        How maps become objects, in pixels of the model's own scale; None takes what the model's
        card says.
    precision : {"auto", "float32", "bfloat16"}
        In which numbers the network computes, see `napari_coseg.inference.precision`.
    batch : int or None
        Tiles that run through the network together at most; None chooses by device.
    block : int
        Side in pixels (of the model's scale) of the blocks in which an image is post-processed.
        Decides the memory.
    halo, max_halo : int
        Pixels (of the model's scale) seen around a block: an object on its edge is whole up to
        that size. A block that finds an object cut by its halo looks again with a wider one, up
        to `max_halo`.
    cache_bytes : int
        Most memory for network outputs that are kept for the next block.
    workers : int or None
        Blocks that are post-processed beside the network; None chooses by device.

    Raises
    ------
    CosegError
        If a value is out of its range.
    """

    overlap: int | None = None
    tta: bool = False
    padding: Literal["white", "black", "reflect"] | None = None
    window: tuple[float, float] | None = None
    min_region_um2: float = 0.0
    min_region_mm3: float = 100.0
    instances: InstanceSettings | None = None
    precision: str = "auto"
    batch: int | None = None
    block: int = 2048
    halo: int = 128
    max_halo: int = 512
    cache_bytes: int = 512 << 20
    workers: int | None = None

    def __post_init__(self) -> None:
        if self.overlap is not None and (self.overlap < 0 or self.overlap % 4):
            raise CosegError(f"overlap must be a multiple of 4 and not negative: {self.overlap}.")
        if self.padding not in (None, "white", "black", "reflect"):
            raise CosegError(f'padding must be "white", "black" or "reflect": {self.padding!r}.')
        if self.window is not None:
            manual_window(*self.window)
        if not 0 <= self.min_region_um2 < float("inf"):
            raise CosegError(f"min_region_um2 must not be negative: {self.min_region_um2}.")
        if not 0 <= self.min_region_mm3 < float("inf"):
            raise CosegError(f"min_region_mm3 must not be negative: {self.min_region_mm3}.")
        if self.batch is not None and self.batch < 1:
            raise CosegError(f"batch must be at least 1: {self.batch}.")
        if self.block < 16:
            raise CosegError(f"block must be at least 16 pixels: {self.block}.")
        if not 0 <= self.halo <= self.max_halo:
            raise CosegError(
                f"halo must lie between 0 and max_halo: {self.halo} and {self.max_halo}."
            )
        if self.workers is not None and self.workers < 0:
            raise CosegError(f"workers must not be negative: {self.workers}.")

    def overlap_of(self, tile: int) -> int:
        """Return the overlap of tiles of a side.

        Raises
        ------
        CosegError
            If it was set to more than half of the side.
        """
        overlap = tile // 24 * 4 if self.overlap is None else self.overlap
        if overlap * 2 > tile:
            raise CosegError(
                f"An overlap of {overlap} pixels is more than half of the model's tile of "
                f"{tile}: choose a smaller one."
            )
        return overlap

    def for_model(self, card: ModelCard) -> PredictSettings:
        """Return these settings with the model's padding and post-processing where none is given.

        Raises
        ------
        CosegError
            If the card names a setting that does not exist or a value out of its range.
        """
        padding = self.padding or ("white" if card.planes is None else "black")
        if self.instances is not None:
            return replace(self, padding=padding)
        try:
            chosen = InstanceSettings(**card.post_processing)
        except TypeError:
            raise CosegError(
                f"The model {card.name} wants a post-processing that this version does not know: "
                f"{', '.join(card.post_processing)}. Use a newer napari-coseg."
            ) from None
        return replace(self, padding=padding, instances=chosen)

    def as_dict(self) -> dict[str, Any]:
        """Return all settings as plain values, for records."""
        return asdict(self)

    def identity(self) -> dict[str, Any]:
        """Return the settings that decide the labels: two results may stand side by side."""
        return {key: value for key, value in asdict(self).items() if key not in _SPEED_ONLY}
