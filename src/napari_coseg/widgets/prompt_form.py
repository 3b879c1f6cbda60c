"""What can be seen and chosen in the Prompt dock."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSize, Qt, Signal
from qtpy.QtGui import QColor, QIcon, QPixmap
from qtpy.QtWidgets import (
    QButtonGroup,
    QCheckBox,
    QFormLayout,
    QGridLayout,
    QHBoxLayout,
    QInputDialog,
    QListWidget,
    QListWidgetItem,
    QPushButton,
    QToolButton,
    QVBoxLayout,
    QWidget,
)

from napari_coseg.types import ClassTable
from napari_coseg.weights.card import ModelCard
from napari_coseg.widgets.image_field import ImageField
from napari_coseg.widgets.parts import combo, focus_canvas, note
from napari_coseg.widgets.prompt_canvas import TOOLS
from napari_coseg.widgets.prompt_tooth import ToothRow
from napari_coseg.widgets.prompt_walk_row import WalkRow

if TYPE_CHECKING:
    import napari.viewer

_TOOL_WORDS = {
    "box": ("Box", "Drag a box round the object."),
    "points": ("Points", "Click on the object; the other sign: on what does not belong to it."),
    "scribble": ("Scribble", "Draw a line along the object, or along what does not belong to it."),
    "lasso": ("Lasso", "Draw round the object."),
    "select": ("Select", "Click objects to work on them; with Shift several."),
}
_NEW_CLASS = "New class …"
# Six buttons in a row of a narrow dock; the rest of their looks is napari's.
#: Pixels that a button in a row of two has at least.
_ROOM = 130
_TIGHT = "QPushButton { padding: 4px 2px; }"


class PromptForm(QWidget):
    """Fields, buttons and lists; it knows no layer's pixels and asks no model.

    Attributes
    ----------
    tool_chosen : Signal
        A name of `TOOLS`, or an empty string when the tool was put down.
    sign_chosen : Signal
        Whether points and scribbles are on the object.
    action : Signal
        The name of a button that was pressed.
    target_chosen : Signal
        The row's data of the field "Into" was chosen by a person.
    class_added : Signal
        A name.
    """

    tool_chosen = Signal(str)
    sign_chosen = Signal(bool)
    action = Signal(str)
    target_chosen = Signal()
    class_chosen = Signal()
    class_added = Signal(str)
    object_chosen = Signal(int)

    def __init__(self, viewer: napari.viewer.Viewer, keys: Mapping[str, str]) -> None:
        super().__init__()
        self._keys = keys
        self.image = ImageField(viewer)
        self.image.setToolTip("The image to segment.")
        self.model = combo("The model that answers, and what it was made for.")
        self.into = combo("The layer that objects go into. A new one lies exactly on the image.")
        self.classes = combo("The class of the next object, and of those that are selected.")
        form = QFormLayout()
        form.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        form.setContentsMargins(0, 0, 0, 0)
        form.addRow("Image", self.image)
        form.addRow("Model", self.model)
        form.addRow("Into", self.into)
        form.addRow("Class", self.classes)
        self.about = note()
        form.insertRow(2, self.about)
        self._nothing = ""
        self.model.currentIndexChanged.connect(self._show_about)
        self._buttons: dict[str, Any] = {}
        self.status = note()
        self.status.setMinimumHeight(3 * self.fontMetrics().height())
        self.saved = note()
        self.objects = QListWidget()
        self.objects.setToolTip("The last objects: click to go there.")
        self.objects.setMinimumHeight(70)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addLayout(form)
        layout.addWidget(self._tools())
        layout.addWidget(self.status)
        layout.addWidget(self._row(("commit", "Commit"), ("discard", "Discard")))
        key = keys.get("propagate", "").split()
        self.walk = WalkRow(readable(key[0]) if key else "")
        layout.addWidget(self.walk)
        layout.addWidget(self._row(("undo", "Undo"), ("redo", "Redo")))
        self.selection = self._selection()
        layout.addWidget(self.selection)
        layout.addWidget(self.objects, 1)
        layout.addWidget(self.saved)
        layout.addWidget(self._more())

        for button in self._buttons.values():
            button.setFocusPolicy(Qt.FocusPolicy.TabFocus)
        for field in (self.image, self.model, self.into, self.classes):
            field.activated.connect(lambda row: focus_canvas(self))
        self.into.activated.connect(lambda row: self.target_chosen.emit())
        self.classes.activated.connect(self._on_class)
        self.objects.itemClicked.connect(
            lambda item: self.object_chosen.emit(int(item.data(Qt.ItemDataRole.UserRole)))
        )

    @property
    def class_id(self) -> int:
        """The chosen class, 0 for none."""
        chosen = self.classes.currentData()
        return int(chosen) if chosen is not None and chosen >= 0 else 0

    def show_models(
        self,
        models: Sequence[tuple[str, ModelCard]],
        nothing: str = "No model for boxes and points is on this machine.",
    ) -> None:
        """Offer models; the one that was chosen stays so, and `nothing` is said where none is."""
        self._nothing = nothing
        before = self.model.currentText()
        self.model.clear()
        for name, card in models:
            self.model.addItem(name, card)
        self.model.setCurrentIndex(max(0, self.model.findText(before)) if models else -1)
        self._show_about()

    def _show_about(self) -> None:
        """Say what the chosen model may be used for."""
        card = self.model.currentData()
        words = f"{self._nothing} Objects can still be edited."
        if card is not None:
            # Long sentences about data are a look away, and leave the room to the tools.
            words = f"{card.licence}. {card.licence_note.partition(':')[0]}".strip(" .") + "."
            self.about.setToolTip(f"{card.description}. {card.licence_note}")
        self.about.setText(words)

    def show_classes(self, table: ClassTable) -> None:
        """Offer the classes of a layer."""
        before = self.class_id
        self.classes.clear()
        for info in table:
            self.classes.addItem(_swatch(info.colour), info.name, info.id)
        self.classes.addItem(_NEW_CLASS, -1)
        self.classes.setCurrentIndex(max(0, self.classes.findData(before)))

    def choose_class(self, class_id: int) -> None:
        """Choose a class."""
        row = self.classes.findData(class_id)
        if row >= 0:
            self.classes.setCurrentIndex(row)

    def show_objects(self, rows: Sequence[tuple[int, str]]) -> None:
        """List objects, the youngest first."""
        self.objects.clear()
        for label, words in rows:
            item = QListWidgetItem(words)
            item.setData(Qt.ItemDataRole.UserRole, label)
            self.objects.addItem(item)

    def show_tool(self, tool: str | None, positive: bool) -> None:
        """Show which tool is in hand."""
        for name in TOOLS:
            self._buttons[name].setChecked(name == tool)
        self._sign.setText("+" if positive else "−")
        self._sign.setChecked(not positive)

    def enable(self, name: str, on: bool, words: str | None = None) -> None:
        """Enable a button; say on it what it would do."""
        button = self._buttons[name]
        button.setEnabled(on)
        if words is not None:
            # Cut at both ends it would tell neither what it does nor its key.
            room = max(button.width(), _ROOM) - 12
            button.setText(
                button.fontMetrics().elidedText(words, Qt.TextElideMode.ElideMiddle, room)
            )
            button.setToolTip(words)

    def _button(self, name: str, words: str, tip: str = "") -> QPushButton:
        button = QPushButton(words)
        key = self._keys.get(name, "").split()
        hint = f" ({readable(key[0])})" if key else ""
        button.setToolTip(f"{tip or words}{hint}")
        button.clicked.connect(lambda: self.action.emit(name))
        self._buttons[name] = button
        return button

    def _row(self, *buttons: tuple[str, str]) -> QWidget:
        row = QWidget()
        layout = QHBoxLayout(row)
        layout.setContentsMargins(0, 0, 0, 0)
        for name, words in buttons:
            key = self._keys.get(name, "").split()
            made = self._button(name, f"{words} ({readable(key[0])})" if key else words)
            layout.addWidget(made, 1)
        return row

    def _tools(self) -> QWidget:
        tools = QWidget()
        grid = QHBoxLayout(tools)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setSpacing(3)
        group = QButtonGroup(self)
        group.setExclusive(False)
        key = self._keys.get("tool", "")
        for name in TOOLS:
            words, tip = _TOOL_WORDS[name]
            button = QPushButton(words)
            button.setCheckable(True)
            button.setMinimumWidth(button.fontMetrics().horizontalAdvance(words) + 12)
            button.setStyleSheet(_TIGHT)
            button.setToolTip(f"{tip} ({readable(key)}: next tool)")
            button.clicked.connect(lambda on, name=name: self.tool_chosen.emit(name if on else ""))
            group.addButton(button)
            self._buttons[name] = button
            grid.addWidget(button, 1)
        self._sign = QPushButton("+")
        self._sign.setCheckable(True)
        self._sign.setFixedWidth(28)
        self._sign.setStyleSheet(_TIGHT)
        self._sign.setToolTip(
            "+: points and scribbles are on the object; −: they are on what does not belong to "
            f"it ({readable(self._keys.get('sign', ''))}; Shift for one click)."
        )
        self._sign.clicked.connect(lambda on: self.sign_chosen.emit(not on))
        grid.addWidget(self._sign)
        return tools

    def _selection(self) -> QWidget:
        chosen = QWidget()
        layout = QVBoxLayout(chosen)
        layout.setContentsMargins(0, 0, 0, 0)
        self.selected = note()
        layout.addWidget(self.selected)
        self.tooth = ToothRow()
        layout.addWidget(self.tooth)
        grid = QGridLayout()
        grid.setSpacing(3)
        for place, (name, words, tip) in enumerate(
            (
                ("reopen", "Reopen", "Go on with this object: boxes and clicks refine it."),
                ("split", "Split", "Draw a line across the object."),
                ("merge", "Merge", "Make one object of those that are selected."),
                ("class", "Set class", "Give them the class above."),
                ("relabel", "Id …", "Give the object another id."),
                ("delete", "Delete", "Delete them."),
            )
        ):
            grid.addWidget(self._button(name, words, tip), place // 3, place % 3)
        layout.addLayout(grid)
        chosen.setVisible(False)
        return chosen

    def _more(self) -> QWidget:
        holder = QWidget()
        layout = QVBoxLayout(holder)
        layout.setContentsMargins(0, 0, 0, 0)
        button = QToolButton()
        button.setText("More")
        button.setCheckable(True)
        button.setToolTip("Settings that most people never need.")
        button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        button.setArrowType(Qt.ArrowType.RightArrow)
        more = QWidget()
        inner = QVBoxLayout(more)
        inner.setContentsMargins(12, 0, 0, 0)
        self.each_box = QCheckBox("Each box a new object")
        self.each_box.setChecked(True)
        self.each_box.setToolTip(
            "A new box commits the object before it. Otherwise it takes the place of its box."
        )
        self.protect = QCheckBox("Protect other objects")
        self.protect.setChecked(True)
        self.protect.setToolTip("A new object takes no pixel of another one.")
        self.by_object = QCheckBox("Colour by object")
        self.by_object.setToolTip("Otherwise by class, where there are several.")
        for box in (self.each_box, self.protect, self.by_object):
            inner.addWidget(box)
        inner.addWidget(
            self._button(
                "all_boxes",
                "Segment all boxes of a Shapes layer",
                "Every rectangle of the selected Shapes layer becomes an object, in one step.",
            )
        )
        inner.addWidget(
            self._button(
                "take_run",
                "Take in the objects of a run",
                "Objects that the Segment dock found come into the layer above, in one step. With "
                "others protected, those that are there already are left out.",
            )
        )
        inner.addWidget(
            self._button("folder", "Keep the journal in …", "Choose the folder of the journal.")
        )
        more.setVisible(False)
        button.toggled.connect(more.setVisible)
        button.toggled.connect(
            lambda on: button.setArrowType(
                Qt.ArrowType.DownArrow if on else Qt.ArrowType.RightArrow
            )
        )
        layout.addWidget(button)
        layout.addWidget(more)
        return holder

    def _on_class(self, row: int) -> None:
        if self.classes.itemData(row) != -1:
            self.class_chosen.emit()
            return
        name, accepted = QInputDialog.getText(self, "New class", "Name of the class")
        self.classes.setCurrentIndex(0)
        if accepted and name.strip():
            self.class_added.emit(name.strip())


def readable(key: str) -> str:
    """Write a key as people do."""
    return key.replace("Control", "Ctrl").replace("-", "+").replace("Escape", "Esc")


def _swatch(colour: tuple[int, int, int]) -> QIcon:
    picture = QPixmap(QSize(12, 12))
    picture.fill(QColor(*colour))
    return QIcon(picture)
