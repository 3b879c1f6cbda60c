"""A queue begins to be shared, and is opened: the project on one's own disk, and the share."""

from __future__ import annotations

import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

from napari_coseg.annotation.claim_watch import PATIENCE
from napari_coseg.annotation.claims import Published, chain_key
from napari_coseg.annotation.queue_cases import OWN_FOLDER
from napari_coseg.annotation.queue_places import FILE, local_home_of
from napari_coseg.annotation.queue_project import QueueProject
from napari_coseg.annotation.queue_store import QueueCase, QueueStore
from napari_coseg.annotation.share_files import Share
from napari_coseg.annotation.shared_publishing import resume
from napari_coseg.annotation.shared_queue import CaseView, SharedQueue
from napari_coseg.imaging.files import PART_PREFIX
from napari_coseg.types import CosegError


@dataclass(frozen=True)
class OpenedShared:
    """An open queue that is shared.

    Attributes
    ----------
    project : QueueProject
    shared : SharedQueue
    copies : tuple of Path
        What became of work on cases that others took over since this program ended.
    troubles : tuple of str
        Why other work from then could not be published, a sentence each.
    """

    project: QueueProject
    shared: SharedQueue
    copies: tuple[Path, ...]
    troubles: tuple[str, ...]


def begin_sharing(root: Path, home: Path | None = None) -> None:
    """Share the queue of a folder; nobody may have it open.

    A queue that lies beside the images is copied to this program's own disk first, since it goes
    on there; `publish_all` then publishes what was done in it.

    Parameters
    ----------
    root : Path
    home : Path, optional
        Of the queue's own files, by default in the user's data folder.

    Raises
    ------
    CosegError
        If the queue is open, or a folder cannot be made.
    """
    home = local_home_of(root) if home is None else home
    before = root / OWN_FOLDER
    if (before / FILE).exists() and not (home / FILE).exists():
        # Fails where it is open; and leaves one whole file, without a -wal beside it.
        QueueStore(before / FILE).close()
        part = home.with_name(f"{PART_PREFIX}{secrets.token_hex(8)}")
        try:
            home.parent.mkdir(parents=True, exist_ok=True)
            shutil.copytree(before, part)
            part.rename(home)
        except (OSError, shutil.Error) as error:
            shutil.rmtree(part, ignore_errors=True)
            raise CosegError(
                f"The queue in {before} cannot be copied to {home}, where it is to go on ({error})."
            ) from error
    Share.begin(root)


def open_shared(
    root: Path | str, name: str = "", *, home: Path | None = None, patience: float = PATIENCE
) -> OpenedShared:
    """Open a queue that is shared.

    What this program had when it ended is published and given back.

    Parameters
    ----------
    root : Path or str
        Folder of the images.
    name : str
        What the person is called, by default what was said before.
    home : Path, optional
        Of the queue's own files, by default in the user's data folder.
    patience : float
        As of `SharedQueue`.

    Raises
    ------
    CosegError
        If the queue or its share cannot be opened.
    """
    root = Path(root).absolute()
    share = Share.open(root)
    home = local_home_of(root) if home is None else home
    # First: it makes sure that no other program uses the same files.
    project = QueueProject.open(root, home=home)
    try:
        shared = SharedQueue(share, home, name=name, patience=patience)
        shared.beat()
        copies, troubles = resume(shared, all_facts(project))
        adopt(project, shared.look())
    except BaseException:
        project.close()
        raise
    return OpenedShared(project, shared, tuple(copies), tuple(troubles))


def facts_of(case: QueueCase) -> Published:
    """Return what is published of a case; that it cannot be read may be so here only."""
    return Published(case.stands, case.note, case.seconds)


def all_facts(project: QueueProject) -> dict[str, Published]:
    """Return what is to be published of all cases, by their keys."""
    return {case.key: facts_of(case) for case in project.cases}


def adopt(project: QueueProject, views: dict[str, CaseView]) -> None:
    """Take over what others published, but for cases that are this program's at the moment."""
    for case in project.cases:
        view = views.get(chain_key(case.key))
        if view is None or view.mine or not view.state.by:
            continue
        state = view.state
        project.adopt(case.id, state.status, state.note, state.seconds)
