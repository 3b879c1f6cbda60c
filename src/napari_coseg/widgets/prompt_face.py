"""What the buttons and lists of the Prompt dock show."""

from __future__ import annotations

from collections.abc import Mapping

from napari_coseg.widgets.prompt_desk import Desk
from napari_coseg.widgets.prompt_drawing import Drawing
from napari_coseg.widgets.prompt_editing import Editing
from napari_coseg.widgets.prompt_form import PromptForm, readable
from napari_coseg.widgets.prompt_words import key_words, words_for

#: Objects in the list of the last ones.
_LISTED = 50


class PromptFace:
    """Brings buttons and lists to the state of things.

    Parameters
    ----------
    form : PromptForm
        What is seen.
    desk, drawing, editing : Desk, Drawing, Editing
        What is so.
    keys : mapping of str to str
        Keys of the actions.
    """

    def __init__(
        self,
        form: PromptForm,
        desk: Desk,
        drawing: Drawing,
        editing: Editing,
        keys: Mapping[str, str],
    ) -> None:
        self._form = form
        self._desk = desk
        self._drawing = drawing
        self._editing = editing
        self._keys = keys

    def show(self) -> None:
        """Show things as they are now."""
        form, target, drawing = self._form, self._desk.target, self._drawing
        mask = drawing.work.mask
        some = mask is not None and mask.area > 0
        form.enable("commit", some or (not drawing.idle and drawing.waiting > 0))
        form.enable("discard", not drawing.idle)
        undo = "stroke" if drawing.work.steps else (target.case.undo_name if target else None)
        redo = target.case.redo_name if target and drawing.idle else None
        for name, what in (("undo", undo), ("redo", redo)):
            key = readable(self._keys[name].split()[0]) if self._keys[name] else ""
            words = f"{name.capitalize()} {what or ''}".strip()
            form.enable(name, what is not None, f"{words} ({key})" if key else words)
        chosen = self._editing.selected
        form.selection.setVisible(bool(chosen))
        if target is None:
            form.show_objects([])
            return
        classes, mpp = target.classes, self._desk.mpp
        if chosen:
            last = target.record(chosen[-1])
            one = last is not None and len(chosen) == 1
            words = words_for(last, classes, mpp) if one and last else f"{len(chosen)} objects"
            alignment = self._desk.alignment() if one and last and last.planes else None
            if alignment is not None and last is not None:
                words = " · ".join(filter(None, [words, key_words(last, alignment.axis)]))
            form.selected.setText(words)
            tooth = last if one and target.may_be_teeth else None
            form.tooth.show_tooth(tooth, target.case.objects)
            form.enable("merge", len(chosen) > 1)
        past = [label for edit in target.case.history(_LISTED) for label in edit.labels[:_LISTED]]
        records = [target.record(label) for label in dict.fromkeys(past)]
        listed = [record for record in records if record is not None][:_LISTED]
        form.show_objects([(one.label, words_for(one, classes, mpp)) for one in listed])
