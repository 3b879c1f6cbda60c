"""The legend in a narrow dock."""

from __future__ import annotations

from typing import Any

from napari_coseg.layers.legend import LegendRow
from napari_coseg.widgets.legend import Legend


def test_names_fit_into_a_narrow_dock(qtbot: Any) -> None:
    legend = Legend()
    qtbot.addWidget(legend)
    names = ("miscellaneous", "inflammatory", "epithelial")
    rows = [
        LegendRow(number, name, (0, 0, 0), 1234, 40_000, 37_486.0)
        for number, name in enumerate(names, 1)
    ]
    legend.show_rows([("instances", "Instances", rows, ())])
    legend.resize(302, 200)
    legend.show()
    assert legend.columnWidth(0) >= legend.sizeHintForColumn(0)
    # Of a name that is longer than that, the tip tells all.
    assert legend.topLevelItem(0).child(0).toolTip(0).startswith("miscellaneous")
