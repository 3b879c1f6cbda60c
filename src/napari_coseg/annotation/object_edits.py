"""Edits of objects: committed, deleted, parted, joined, named."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_coseg.annotation import edits
from napari_coseg.annotation.change import (
    Change,
    Commit,
    count_name,
    tool_name,
)
from napari_coseg.annotation.records import ObjectRecord, Row, without_masks
from napari_coseg.annotation.state import State
from napari_coseg.types import FDI_NUMBERS, CosegError, Mask, Prompt


class ObjectEdits:
    """The part of a case that changes objects.

    Parameters
    ----------
    state : State
        What is open.
    """

    def __init__(self, state: State) -> None:
        self._state = state

    def commit(
        self,
        mask: Mask,
        *,
        label: int | None = None,
        class_id: int | None = None,
        score: float = math.nan,
        prompts: Sequence[Prompt] = (),
        planes: Sequence[int] | None = None,
        protect: bool = True,
        model: str = "",
        settings: Mapping[str, Any] | None = None,
        name: str | None = None,
    ) -> Change:
        """Make an object of a mask, or give a new one to an object that was opened again.

        Parameters
        ----------
        mask : Mask
            Its pixels; those outside the image are left out.
        label, class_id, score, prompts, planes, model
            As in `Commit`.
        protect : bool
            Whether pixels of other objects stay theirs.
        settings : mapping, optional
            Of the model, for the journal. No names of files: they can tell who the patient is.
        name : str, optional
            What the person reads; by default for example "box: object 12".

        Raises
        ------
        CosegError
            If the object would have no pixel; nothing has changed then.
        """
        item = Commit(mask, label, class_id, score, prompts, planes, model)
        return self.commit_many([item], protect=protect, settings=settings, name=name)

    def commit_many(
        self,
        items: Sequence[Commit],
        *,
        protect: bool = True,
        strict: bool = True,
        settings: Mapping[str, Any] | None = None,
        name: str | None = None,
    ) -> Change:
        """Commit several objects as one step of undo.

        Parameters
        ----------
        items : sequence of Commit
            The objects. Where they overlap, the first one keeps its pixels with `protect`, the
            last one gets them without.
        protect, settings, name
            As in `commit`.
        strict : bool
            Whether one object without a pixel stops all; otherwise it is left out, as
            `Change.left_out` says, unless all are.

        Raises
        ------
        CosegError
            If an object would have no pixel, or an id does not fit; nothing has changed then.
        """
        draft = self._state.draft()
        told: dict[int, ObjectRecord] = {}
        left_out = []
        for number, item in enumerate(items):
            label = item.label
            label = self._state.fresh(told) if label is None else self._state.checked(label)
            if label in told:
                raise ValueError(f"object {label} is committed twice")
            old = self._state.objects.get(label)
            kept = None if old is None else draft.read(old.window)
            try:
                part = None if old is None else _replaced(old, item)
                if part is not None:
                    edits.erase(draft, [part])
                edits.paint(draft, item.mask, label, protect)
            except CosegError:
                if strict or (number == len(items) - 1 and not told):
                    raise
                left_out.append(number)
                if old is not None and kept is not None:
                    draft.put(old.window, kept)
                continue
            class_id = item.class_id
            if class_id is None:
                class_id = 0 if old is None else old.class_id
            told[label] = ObjectRecord(
                label,
                class_id,
                item.score,
                prompts=without_masks(item.prompts),
                planes=item.placed(),
                model=item.model,
                axes=(item.axis,) * len(item.placed()),
            )
            if old is not None:
                told[label] = dataclasses.replace(
                    told[label], fdi=old.fdi, fdi_confidence=old.fdi_confidence, jaw=old.jaw
                )
                told[label] = _with_other_planes(told[label], old, item)
        if not told:
            raise CosegError("There is no object to commit; draw one first.")
        if name is None:
            tools = {tool_name(item.prompts) for item in items}
            tool = tools.pop() if len(tools) == 1 else "prompts"
            name = f"{tool}: {count_name(list(told))}"
        models = {item.model for item in items}
        change = self._state.drawn(
            "commit",
            name,
            draft,
            told,
            model=models.pop() if len(models) == 1 else "",
            settings=settings,
            must_stay=told,
        )
        return dataclasses.replace(change, left_out=tuple(left_out))

    def delete(self, labels: Sequence[int]) -> Change:
        """Delete objects.

        Raises
        ------
        CosegError
            If there is no such object; nothing has changed then.
        """
        records = self._state.known(labels)
        draft = self._state.draft()
        edits.erase(draft, records)
        name = f"delete {count_name([record.label for record in records])}"
        return self._state.drawn("delete", name, draft)

    def split(self, label: int, line: npt.ArrayLike, width: float = 1) -> Change:
        """Part an object along a drawn line.

        The largest part keeps the id and the FDI number; the parts keep the class, and have no
        prompts.

        Parameters
        ----------
        label : int
            The object.
        line : array-like of float, (n, axes)
            Points in pixel centres; in a volume the line cuts through all planes of the object.
        width : float
            Thickness of the line in pixels; the pixels under it go to the nearest part.

        Raises
        ------
        CosegError
            If the line does not part the object; nothing has changed then.
        """
        (record,) = self._state.known([label])
        taken: set[int] = set()

        def fresh() -> int:
            taken.add(found := self._state.fresh(taken))
            return found

        draft = self._state.draft()
        parts = edits.cut(draft, record, np.asarray(line, float), width, fresh)
        plain = dataclasses.replace(
            record, score=math.nan, prompts=(), planes=(), axes=(), origin="split", model=""
        )
        told = {label: plain}
        for part in parts:
            told[part] = dataclasses.replace(plain, label=part, fdi=0, fdi_confidence=0.0)
        return self._state.drawn("split", f"split object {label}", draft, told, must_stay=told)

    def merge(self, labels: Sequence[int]) -> Change:
        """Make one object of several: the first, which keeps its class and gets all prompts.

        It keeps its FDI number too; where it has none, it gets that of the next one that has.

        Raises
        ------
        CosegError
            If there are fewer than two, or one does not exist; nothing has changed then.
        """
        records = self._state.known(labels)
        if len(records) < 2:
            raise CosegError("Choose two objects or more to merge them.")
        first = records[0]
        draft = self._state.draft()
        edits.replace(draft, records[1:], first.label)
        numbered = next((record for record in records if record.fdi), first)
        told = dataclasses.replace(
            first,
            fdi=numbered.fdi,
            fdi_confidence=numbered.fdi_confidence,
            score=math.nan,
            prompts=tuple(prompt for record in records for prompt in record.prompts),
            planes=tuple(plane for record in records for plane in record.planes),
            axes=tuple(axis for record in records for *_, axis in record.placed),
            origin="merge",
            model="",
        )
        name = f"merge {len(records)} objects into {first.label}"
        return self._state.drawn("merge", name, draft, {first.label: told})

    def relabel(self, label: int, new: int) -> Change:
        """Give an object another id.

        Raises
        ------
        CosegError
            If the id is taken or does not fit; nothing has changed then.
        """
        (record,) = self._state.known([label])
        if self._state.checked(new) in self._state.objects:
            raise CosegError(f"There is an object {new} already; choose another id, or merge them.")
        draft = self._state.draft()
        edits.replace(draft, [record], new)
        told = {new: dataclasses.replace(record, label=new)}
        return self._state.drawn("relabel", f"object {label} becomes {new}", draft, told)

    def set_class(self, labels: Sequence[int], class_id: int) -> Change:
        """Set the class of objects.

        Raises
        ------
        CosegError
            If there is no such object; nothing has changed then.
        """
        records = self._state.known(labels)
        rows: dict[int, Row] = {
            record.label: (record, dataclasses.replace(record, class_id=class_id))
            for record in records
            if record.class_id != class_id
        }
        name = f"class of {count_name([record.label for record in records])}"
        return self._state.done("class", name, (), rows)

    def set_fdi(self, numbers: Mapping[int, int]) -> Change:
        """Give teeth their FDI numbers, as a person says, with a confidence of 1.

        Parameters
        ----------
        numbers : mapping of int to int
            By label; 0 for none.

        Raises
        ------
        CosegError
            If there is no such object, or no such number; nothing has changed then.
        """
        records = self._state.known(numbers)
        rows: dict[int, Row] = {}
        for record in records:
            fdi = int(numbers[record.label])
            if fdi not in (0, *FDI_NUMBERS):
                raise CosegError(
                    f"{fdi} is no FDI number: they are 11 to 48, and 51 to 85 for milk teeth."
                )
            after = dataclasses.replace(record, fdi=fdi, fdi_confidence=1.0 if fdi else 0.0)
            if after != record:
                rows[record.label] = (record, after)
        one = records[0].label
        words = count_name([record.label for record in records])
        if len(records) == 1 and numbers[one]:
            words += f" is {numbers[one]}"
        return self._state.done("fdi", f"FDI number: {words}", (), rows)


def _replaced(old: ObjectRecord, item: Commit) -> ObjectRecord | None:
    """Return the part of an object that a mask stands for: in a volume, that in its planes."""
    axes = len(item.mask.origin)
    if axes < 3:
        return old
    planes, box = item.stands_for, list(old.box)
    box[item.axis] = max(planes.start, box[item.axis])
    box[item.axis + axes] = min(planes.stop, box[item.axis + axes])
    if box[item.axis] >= box[item.axis + axes]:
        return None
    return dataclasses.replace(old, box=tuple(box))


def _with_other_planes(new: ObjectRecord, old: ObjectRecord, item: Commit) -> ObjectRecord:
    """Keep the prompts of planes that a mask says nothing of."""
    if len(item.mask.origin) < 3:
        return new
    planes = item.stands_for
    kept = [one for one in old.placed if one[2] != item.axis or one[1] not in planes]
    placed = (*kept, *new.placed)
    return dataclasses.replace(
        new,
        prompts=tuple(prompt for prompt, *_ in placed),
        planes=tuple(plane for _, plane, _ in placed),
        axes=tuple(axis for *_, axis in placed),
    )
