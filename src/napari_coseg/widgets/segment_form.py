"""What can be chosen in the Segment dock."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QCheckBox,
    QDoubleSpinBox,
    QFormLayout,
    QLabel,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_coseg.layers.channels import channel_axis
from napari_coseg.layers.composite import can_mix
from napari_coseg.types import CosegError
from napari_coseg.weights.card import ModelCard
from napari_coseg.weights.listing import segment_models
from napari_coseg.widgets.image_field import ImageField
from napari_coseg.widgets.parts import combo, note
from napari_coseg.widgets.pixel_size import PixelSizeField
from napari_coseg.widgets.planning import AREAS, Choices, stack_of
from napari_coseg.widgets.preferences import read_preferences, use_model_folder

if TYPE_CHECKING:
    import napari.viewer
    from napari.layers import Image

# Button and key of the sample; && is Qt's way to write &.
_SAMPLES = (
    ("Stained colon (real)", "immunohistochemistry"),
    ("Generated H&&E tile", "generated-tile"),
)
_DEVICES = (("Automatic", "auto"), ("CPU", "cpu"), ("CUDA", "cuda"), ("MPS", "mps"))


class SegmentForm(QWidget):
    """Image, model, area, pixel size, and what most people never touch.

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
        self._least: tuple[str, float] | None = None
        self._own_score = 0.0
        self._model = combo("The model, and what it knows.")
        self._about = note()
        self._area = combo("How much of the image is segmented.")
        for text, area in AREAS.items():
            self._area.addItem(text, area)
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
        self._form = QFormLayout()
        self._form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        self._form.setContentsMargins(0, 0, 0, 0)
        self._form.addRow("Image", self._image)
        self._form.addRow("Model", self._model)
        # Across both columns: beside an empty label, Qt keeps room for lines that are not there.
        self._form.addRow(self._about)
        self._form.addRow("Area", self._area)
        self._form.addRow("Channels", self._channels)
        self._form.addRow("Planes", self._planes)
        self._form.addRow("Pixel size", self._pixel_size)
        self._samples = self._build_samples()
        more = self._build_more()
        more.setVisible(False)
        self._more_button = QToolButton()
        self._more_button.setText("More")
        self._more_button.setCheckable(True)
        self._more_button.setToolTip("Settings that most people never need.")
        self._more_button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self._more_button.setArrowType(Qt.ArrowType.RightArrow)
        self._more_button.toggled.connect(more.setVisible)
        self._more_button.toggled.connect(self._turn_arrow)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._samples)
        layout.addLayout(self._form)
        layout.addWidget(self._more_button)
        layout.addWidget(more)

        self._model.currentIndexChanged.connect(self._on_model)
        self._device.currentIndexChanged.connect(self._on_device)
        self._image.chosen.connect(self._on_image)
        self._channels.currentIndexChanged.connect(self._on_channels)
        preferences = read_preferences()
        use_model_folder(preferences)
        self._device.setCurrentIndex(max(0, self._device.findData(preferences.device)))
        self.show_models(segment_models())
        self._on_image()

    @property
    def ready(self) -> bool:
        """Whether there is an image and a model."""
        return self._image.currentData() is not None and self._model.currentData() is not None

    @property
    def model(self) -> str:
        """Name of the chosen model."""
        return str(self._model.currentText())

    @property
    def device(self) -> str:
        """Name of the chosen device."""
        return str(self._device.currentData())

    def show_models(self, models: Sequence[tuple[str, ModelCard]]) -> None:
        """Offer other models; the chosen one stays where it is among them.

        Parameters
        ----------
        models : sequence of (name, card)
        """
        before = self.model
        self._model.blockSignals(True)
        self._model.clear()
        for name, card in models:
            self._model.addItem(name, card)
        self._model.setCurrentIndex(max(0, self._model.findText(before)) if models else -1)
        self._model.blockSignals(False)
        self._on_model()

    def choices(self) -> Choices:
        """Return what the fields say."""
        return Choices(
            image=self._image.currentData(),
            mix=self._mix,
            model=self.model,
            card=self._model.currentData(),
            area=self._area.currentData(),
            all_planes=self._planes.currentData(),
            mpp=self._pixel_size.mpp,
            mpp_origin=self._pixel_size.origin,
            device=self.device,
            min_region_um2=self._smallest.value(),
            tta=self._flips.isChecked(),
            min_score=None if self._surest.value() == self._own_score else self._surest.value(),
        )

    def let_go(self) -> None:
        """Hear no more of the viewer."""
        self._image.let_go()

    @property
    def _mix(self) -> bool:
        return self._form.isRowVisible(self._channels) and bool(self._channels.currentData())

    def _build_more(self) -> QWidget:
        more = QWidget()
        form = QFormLayout(more)
        form.setContentsMargins(12, 0, 0, 0)
        self._device = combo("Where the model runs. Automatic takes a GPU where there is one.")
        for text, name in _DEVICES:
            self._device.addItem(text, name)
        self._smallest = QDoubleSpinBox()
        self._smallest.setRange(0, 1e6)
        self._smallest.setDecimals(0)
        self._smallest.setSuffix(" µm²")
        self._smallest.setSpecialValueText("keep all")
        self._smallest.setToolTip("Smaller parts of regions, and holes, join what is around them.")
        self._surest = QDoubleSpinBox()
        self._surest.setRange(0, 0.99)
        self._surest.setSingleStep(0.05)
        self._surest.setSpecialValueText("keep all")
        self._surest.setToolTip(
            "Objects whose score (mean foreground probability, 0 to 1) is lower are left out. The "
            "model's own value is the best compromise; lower it where objects are missing, raise "
            "it where too much is found."
        )
        self._flips = QCheckBox("Average four orientations")
        self._flips.setToolTip("Slightly better outlines; takes four times as long.")
        form.addRow("Device", self._device)
        form.addRow("Least object score", self._surest)
        form.addRow("Smallest region", self._smallest)
        form.addRow("", self._flips)
        return more

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
        card = self._model.currentData()
        if card is not None:
            classes = ", ".join((*card.region_table.names, *card.instance_table.names))
            self._about.setText(f"Finds {classes}. Licence: {card.licence}. For research only.")
            self._about.setToolTip(f"{card.description}. {card.licence_note}")
            self._show_least_score(card)
            self.model_chosen.emit(self.model, self.device)
        self._on_image()

    def _show_least_score(self, card: ModelCard) -> None:
        """Show the model's own, unless a person has changed what that model said."""
        own = card.post_processing.get("min_score", 0.0)
        # What is wrong with a card is said when it is used.
        own = float(own) if isinstance(own, int | float) else 0.0
        if (self.model, own) != self._least:
            self._surest.setValue(own)
            self._least = self.model, own
            self._own_score = self._surest.value()

    def _on_image(self) -> None:
        layers = self._image.layers
        # What is wrong with the image is said when somebody presses Run.
        stack = None
        if layers:
            with suppress(CosegError):
                stack = stack_of(self._image.currentData(), False)
        # Channels that lie on each other as layers are mixed; there is nothing to choose.
        channels = stack is not None and len(layers) == 1 and can_mix(stack)
        known = self._form.isRowVisible(self._channels) and layers == self._shown
        self._form.setRowVisible(self._channels, channels)
        if channels and not known:
            found = channel_axis(layers[0])
            self._channels.setCurrentIndex(0 if found is not None and found.sure else 1)
        self._on_channels()
        # A size that somebody typed stays while a channel is hidden or shown.
        same = not set(map(id, layers)).isdisjoint(map(id, self._shown))
        self._shown = layers
        card = self._model.currentData()
        if same and self._pixel_size.origin == "given":
            pass
        elif stack is not None and stack.mpp is not None:
            self._pixel_size.show_size(stack.mpp, "image")
        elif card is not None:
            self._pixel_size.show_size(card.instance_mpp or card.region_mpp or 0.25, "assumed")
        self._samples.setVisible(not layers)
        self.ready_changed.emit(self.ready)

    def _on_channels(self) -> None:
        planes = 1
        if self._image.layers:
            with suppress(CosegError):
                planes = stack_of(self._image.currentData(), self._mix).planes
        self._form.setRowVisible(self._planes, planes > 1)
