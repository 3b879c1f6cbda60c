"""Small Qt parts that docks share."""

from __future__ import annotations

from qtpy.QtWidgets import QComboBox, QLabel, QSizePolicy


def combo(tip: str) -> QComboBox:
    """Return a combo box that a long name does not widen."""
    box = QComboBox()
    box.setToolTip(tip)
    box.setSizeAdjustPolicy(QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon)
    box.setMinimumContentsLength(12)
    box.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return box


def note() -> QLabel:
    """Return a label that breaks its lines instead of widening the dock."""
    label = QLabel()
    label.setWordWrap(True)
    label.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
    return label
