"""Files on a share of several machines: made by one alone, appearing whole, gone with their disk.

No lock of the file system is used: on shares they hold on some systems only. What holds on all of
them is that a name is made once (a hard link, or an exclusive creation), and that a rename puts a
whole file into its place.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from napari_coseg.annotation.queue_cases import SHARED_FOLDER
from napari_coseg.imaging.files import PART_PREFIX, atomic_path
from napari_coseg.types import CosegError

#: Version of everything in the folder.
FORMAT = 1
_ABOUT = "queue.json"
_FOLDERS = ("claims", "seats", "labels", "conflicts")
#: Errors of systems that have no hard links.
_NO_LINKS = frozenset(
    {
        errno.EPERM,
        errno.EACCES,
        errno.EINVAL,
        errno.ENOSYS,
        errno.EMLINK,
        errno.EXDEV,
        errno.EOPNOTSUPP,
        getattr(errno, "ENOTSUP", errno.EOPNOTSUPP),
    }
)
_BLOCK = 1 << 20


class ShareGoneError(CosegError):
    """The shared folder cannot be reached."""


class Share:
    """The folder by which people share a queue; made by `begin` or `open`.

    Attributes
    ----------
    folder : Path
    id : str
        Of this share, random: another one in its place is not taken for it.
    claims, seats, labels, conflicts : Path
        Its folders.
    """

    def __init__(self, folder: Path, share_id: str) -> None:
        self.folder = folder
        self.id = share_id
        self.claims, self.seats, self.labels, self.conflicts = (folder / f for f in _FOLDERS)

    @classmethod
    def begin(cls, root: Path) -> tuple[Share, bool]:
        """Share the queue of a folder of images.

        Returns
        -------
        Share
        bool
            Whether it was made now; somebody else may have been first.

        Raises
        ------
        CosegError
            If it cannot be made.
        """
        folder = root / SHARED_FOLDER
        about = {"format": FORMAT, "id": secrets.token_hex(8)}
        try:
            mode = root.stat().st_mode & 0o7777
            for path in (folder, *(folder / name for name in _FOLDERS)):
                path.mkdir(exist_ok=True)
                # Who may write to the images' folder may write here, whatever one person's mask.
                with contextlib.suppress(OSError):
                    path.chmod(mode)
            made = create_once(folder / _ABOUT, json.dumps(about).encode())
        except OSError as error:
            raise CosegError(
                f"The queue cannot be shared: {folder} cannot be made ({error.strerror}). Choose a "
                "folder that all of you may write to."
            ) from error
        return cls.open(root), made

    @classmethod
    def open(cls, root: Path) -> Share:
        """Open the share of a folder of images.

        Raises
        ------
        ShareGoneError
            If there is none.
        CosegError
            If it is of a newer version, or damaged.
        """
        folder = root / SHARED_FOLDER
        share_id = _read_about(folder)
        return cls(folder, share_id)

    def check(self) -> None:
        """Make sure that this share is there.

        Raises
        ------
        ShareGoneError
            If it is not, or another one is in its place.
        """
        if _read_about(self.folder) != self.id:
            raise gone(self.folder)


def is_shared(root: Path) -> bool:
    """Whether the queue of a folder of images is shared."""
    return (root / SHARED_FOLDER / _ABOUT).is_file()


def gone(path: Path) -> ShareGoneError:
    """Return the sentence about a share that cannot be reached."""
    return ShareGoneError(
        f"The shared folder {path} cannot be reached: connect it again. Your work is on your own "
        "disk, and goes to the others as soon as the folder is back."
    )


@contextlib.contextmanager
def reaching(share: Share) -> Iterator[None]:
    """Take errors of the system in a block for a share that cannot be reached.

    Raises
    ------
    ShareGoneError
        With a sentence of its own where the disk is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise ShareGoneError(
                f"The disk of the shared folder {share.folder} is full: free some space. Your work "
                "is on your own disk, and goes to the others as soon as there is room."
            ) from error
        raise gone(share.folder) from error


def create_once(path: Path, data: bytes) -> bool:
    """Make a file, unless there is one of its name; whether it was made.

    Of several programs that try, on whatever machines, one alone succeeds. Where there are hard
    links the file appears whole; else it may be seen empty for a moment.

    Raises
    ------
    OSError
        If its folder cannot be written to.
    """
    part = path.with_name(f"{PART_PREFIX}{secrets.token_hex(8)}")
    try:
        _write_new(part, data)
        try:
            os.link(part, path)
        except FileExistsError:
            # Over NFS an answer may be lost, and the same question then finds our own link.
            return part.stat().st_nlink == 2
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            return _create_exclusively(path, data)
    finally:
        with contextlib.suppress(OSError):
            part.unlink(missing_ok=True)
    flush_folder(path.parent)
    return True


def _create_exclusively(path: Path, data: bytes) -> bool:
    try:
        _write_new(path, data)
    except FileExistsError:
        return False
    flush_folder(path.parent)
    return True


def _write_new(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        try:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        except BaseException:
            # Its name is ours: a full disk must not leave a half-written file under it.
            file.close()
            with contextlib.suppress(OSError):
                path.unlink()
            raise


def flush_folder(folder: Path) -> None:
    """Bring a new name to the disk, where a system can."""
    with contextlib.suppress(OSError, AttributeError):
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def copy_whole(source: Path, target: Path) -> tuple[int, str]:
    """Copy a file to a place where it appears whole; its size, and the digest of its bytes.

    Raises
    ------
    OSError, CosegError
        If that fails; nothing is at the target then that was not there before.
    """
    digest, size = hashlib.blake2b(digest_size=16), 0
    with source.open("rb") as read, atomic_path(target) as part, part.open("xb") as file:
        while block := read.read(_BLOCK):
            file.write(block)
            digest.update(block)
            size += len(block)
    flush_folder(target.parent)
    return size, digest.hexdigest()


def _read_about(folder: Path) -> str:
    path = folder / _ABOUT
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        version, share_id = int(about["format"]), str(about["id"])
    except OSError as error:
        raise gone(folder) from error
    except (ValueError, TypeError, KeyError) as error:
        raise CosegError(
            f"The file {path} is damaged: put a copy of it back, or move the folder away to share "
            "the queue anew."
        ) from error
    if version > FORMAT:
        raise CosegError(
            f"The shared queue {folder} was made by a newer napari-coseg (format {version}, this "
            f"one knows {FORMAT}); update napari-coseg to open it."
        )
    return share_id
