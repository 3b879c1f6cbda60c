"""What can be chosen in the Segment dock."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QFormLayout, QLabel, QPushButton, QToolButton, QVBoxLayout, QWidget

from napari_coseg.layers.channels import channel_axis
from napari_coseg.layers.composite import can_mix
from napari_coseg.layers.volume_kinds import LayerVolume, volume_or_none
from napari_coseg.types import CosegError
from napari_coseg.weights.card import ModelCard
from napari_coseg.weights.listing import segment_models
from napari_coseg.widgets.image_field import ImageField
from napari_coseg.widgets.model_field import ModelField
from napari_coseg.widgets.parts import combo, note
from napari_coseg.widgets.pixel_size import PixelSizeField
from napari_coseg.widgets.planning import AREAS, Choices, stack_of
from napari_coseg.widgets.preferences import read_preferences, use_model_folder
from napari_coseg.widgets.segment_more import MoreSettings
from napari_coseg.widgets.spacing_field import SpacingField
from napari_coseg.widgets.volume_planning import VolumeChoices

if TYPE_CHECKING:
    import napari.viewer
    from napari.layers import Image

# Button and key of the sample; && is Qt's way to write &.
_SAMPLES = (
    ("Stained colon (real)", "immunohistochemistry"),
    ("Generated H&&E tile", "generated-tile"),
)


class SegmentForm(QWidget):
    """Image, model, area, pixel size, and what most people never touch.

    For a picture, models of pictures are offered; for a volume, those of volumes first.

    Attributes
    ----------
    ready_changed : Signal
        Whether there is an image and a model.
    model_chosen : Signal
        Name of the model and of the device.
    """

    ready_changed = Signal(bool)
    model_chosen = Signal(str, str)

    def __init__(self, viewer: napari.viewer.Viewer, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._image = ImageField(viewer)
        self._shown: tuple[Image, ...] = ()
        self._volume: LayerVolume | None = None
        self._model = ModelField()
        self._about = note()
        self._area = combo("How much of the image is segmented.")
        for text, area in AREAS.items():
            self._area.addItem(text, area)
        self._whole = QLabel("Whole volume")
        self._whole.setToolTip("A model of volumes sees all planes, each with its neighbours.")
        self._channels = combo(
            "The axis of channels: mixed in colours (two: magenta, green; three: red, green, "
            "blue; else as napari splits them) with the layer's contrast limits, or each for "
            "itself, as it is shown."
        )
        self._channels.addItem("As one picture", True)
        self._channels.addItem("One at a time", False)
        self._planes = combo("Which planes of the stack are segmented.")
        self._planes.addItem("This plane", False)
        self._planes.addItem("All planes", True)
        self._pixel_size = PixelSizeField()
        self._spacing = SpacingField()
        self._form = QFormLayout()
        self._form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self._form.setContentsMargins(0, 0, 0, 0)
        self._form.addRow("Image", self._image)
        self._form.addRow("Model", self._model)
        # Across both columns: beside an empty label, Qt keeps room for lines that are not there.
        self._form.addRow(self._about)
        self._form.addRow("Area", self._area)
        self._form.addRow("Area", self._whole)
        self._form.addRow("Channels", self._channels)
        self._form.addRow("Planes", self._planes)
        self._form.addRow("Pixel size", self._pixel_size)
        self._form.addRow("Voxel size", self._spacing)
        self._samples = self._build_samples()
        self.more = MoreSettings()
        self.more.setVisible(False)
        self._more_button = QToolButton()
        self._more_button.setText("More")
        self._more_button.setCheckable(True)
        self._more_button.setToolTip("Settings that most people never need.")
        self._more_button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self._more_button.setArrowType(Qt.ArrowType.RightArrow)
        self._more_button.toggled.connect(self.more.setVisible)
        self._more_button.toggled.connect(self._turn_arrow)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._samples)
        layout.addLayout(self._form)
        layout.addWidget(self._more_button)
        layout.addWidget(self.more)

        self._model.currentIndexChanged.connect(self._on_model)
        self.more.device_chosen.connect(self._on_device)
        self._image.chosen.connect(self._on_image)
        self._channels.currentIndexChanged.connect(self._on_channels)
        preferences = read_preferences()
        use_model_folder(preferences)
        self.more.choose_device(preferences.device)
        self.show_models(segment_models())

    @property
    def ready(self) -> bool:
        """Whether there is an image and a model."""
        return self._image.currentData() is not None and self._model.card is not None

    @property
    def model(self) -> str:
        """Name of the chosen model."""
        return str(self._model.currentText())

    @property
    def device(self) -> str:
        """Name of the chosen device."""
        return self.more.device

    @property
    def whole_volume(self) -> bool:
        """Whether a model of volumes is chosen."""
        card = self._model.card
        return self._volume is not None and card is not None and card.planes is not None

    def show_models(self, models: Sequence[tuple[str, ModelCard]]) -> None:
        """Offer other models; the chosen one stays where it is among them.

        Parameters
        ----------
        models : sequence of (name, card)
        """
        self._volume = volume_or_none(self._image.currentData())
        self._model.fit(self._volume)
        self._model.show_models(models)
        self._on_model()

    def choices(self) -> Choices | VolumeChoices:
        """Return what the fields say."""
        if self.whole_volume:
            return VolumeChoices(
                image=self._image.currentData(),
                model=self.model,
                spacing=self._spacing.spacing,
                spacing_origin=self._spacing.origin,
                as_shown=self.more.as_shown,
                device=self.device,
                min_region_mm3=self.more.min_region_mm3,
                tta=self.more.tta,
                min_score=self.more.min_score,
            )
        card = self._model.card
        assert card is not None
        return Choices(
            image=self._image.currentData(),
            mix=self._mix,
            model=self.model,
            card=card,
            area=self._area.currentData(),
            all_planes=self._planes.currentData(),
            mpp=self._pixel_size.mpp,
            mpp_origin=self._pixel_size.origin,
            device=self.device,
            min_region_um2=self.more.min_region_um2,
            tta=self.more.tta,
            min_score=self.more.min_score,
        )

    def let_go(self) -> None:
        """Hear no more of the viewer."""
        self._image.let_go()

    @property
    def _mix(self) -> bool:
        return self._form.isRowVisible(self._channels) and bool(self._channels.currentData())

    def _build_samples(self) -> QWidget:
        box = QWidget()
        layout = QVBoxLayout(box)
        layout.setContentsMargins(0, 0, 0, 0)
        words = QLabel("No image is open. Drop one on the canvas, or try a sample:")
        words.setWordWrap(True)
        layout.addWidget(words)
        for text, key in _SAMPLES:
            button = QPushButton(text)
            button.clicked.connect(lambda _, key=key: self._open_sample(key))
            layout.addWidget(button)
        return box

    def _open_sample(self, key: str) -> None:
        self._viewer.open_sample("napari-coseg", key)

    def _turn_arrow(self, open_: bool) -> None:
        arrow = Qt.ArrowType.DownArrow if open_ else Qt.ArrowType.RightArrow
        self._more_button.setArrowType(arrow)

    def _on_device(self) -> None:
        self.model_chosen.emit(self.model, self.device)

    def _on_model(self) -> None:
        card = self._model.card
        if card is not None:
            self._model.remember()
            self._describe(card)
            self.more.show_model(self.model, card)
            self.model_chosen.emit(self.model, self.device)
        self._show_image()

    def _describe(self, card: ModelCard) -> None:
        classes = ", ".join((*card.region_table.names, *card.instance_table.names))
        words = f"Finds {classes}. Licence: {card.licence}. For research only."
        if self._model.kind == "volume" and card.planes is None:
            words += " A model of pictures: it sees each plane for itself."
        self._about.setText(words)
        self._about.setToolTip(f"{card.description}. {card.licence_note}")

    def _on_image(self) -> None:
        self._volume = volume_or_none(self._image.currentData())
        if self._model.fit(self._volume):
            self._on_model()
            return
        if self._model.card is not None:
            self._describe(self._model.card)
        self._show_image()

    def _show_image(self) -> None:
        """Show what goes with the image and the model."""
        layers = self._image.layers
        # A size that somebody typed stays while a channel is hidden or shown.
        same = not set(map(id, layers)).isdisjoint(map(id, self._shown))
        before, self._shown = self._shown, layers
        whole = self.whole_volume
        self._form.setRowVisible(self._area, not whole)
        self._form.setRowVisible(self._whole, whole)
        self._form.setRowVisible(self._pixel_size, not whole)
        self._form.setRowVisible(self._spacing, whole)
        self.more.fit(volume=whole)
        if whole:
            self._form.setRowVisible(self._channels, False)
            self._form.setRowVisible(self._planes, False)
            self._show_spacing(same)
        else:
            self._show_picture(layers, before, same)
        self._samples.setVisible(not layers)
        self.ready_changed.emit(self.ready)

    def _show_spacing(self, same: bool) -> None:
        card, volume = self._model.card, self._volume
        assert card is not None
        assert volume is not None
        if same and self._spacing.origin == "given":
            return
        if volume.spacing is not None:
            self._spacing.show_size(volume.spacing, "image")
        else:
            side = (card.instance_mpp or card.region_mpp or 400) / 1000
            self._spacing.show_size((side, side, side), "assumed")

    def _show_picture(
        self, layers: tuple[Image, ...], before: tuple[Image, ...], same: bool
    ) -> None:
        # What is wrong with the image is said when somebody presses Run.
        stack = None
        if layers:
            with suppress(CosegError):
                stack = stack_of(self._image.currentData(), False)
        # Channels that lie on each other as layers are mixed; there is nothing to choose.
        channels = stack is not None and len(layers) == 1 and can_mix(stack)
        known = self._form.isRowVisible(self._channels) and layers == before
        self._form.setRowVisible(self._channels, channels)
        if channels and not known:
            found = channel_axis(layers[0])
            self._channels.setCurrentIndex(0 if found is not None and found.sure else 1)
        self._on_channels()
        card = self._model.card
        if same and self._pixel_size.origin == "given":
            pass
        elif stack is not None and stack.mpp is not None:
            self._pixel_size.show_size(stack.mpp, "image")
        elif card is not None:
            self._pixel_size.show_size(card.instance_mpp or card.region_mpp or 0.25, "assumed")

    def _on_channels(self) -> None:
        planes = 1
        if self._image.layers and not self.whole_volume:
            with suppress(CosegError):
                planes = stack_of(self._image.currentData(), self._mix).planes
        self._form.setRowVisible(self._planes, planes > 1)
