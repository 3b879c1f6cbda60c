"""Large arrays for a host on the same machine: through memory that both processes see.

Encrypting a picture for the way to a process of the same user costs more than all the rest of a
message. So the client lays it into a file that it has mapped (on Linux in memory, else in the
folder for temporary files), and the message names the block. The folder can be entered by its
owner alone; the host learns of it when it is started, so that no message can lead it elsewhere. The
client owns the blocks: it makes them, uses them again, and takes them away. Torch-free.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from napari_coseg.types import CosegError

#: Smaller arrays go with their message: making a block would take longer.
SMALLEST = 1 << 16
#: Most bytes of all blocks together; beyond, arrays go with their messages again.
LARGEST = 512 << 20
_MEMORY = Path("/dev/shm")


def make_folder() -> Path | None:
    """Make a folder for blocks; None where none can be made, and arrays go with their messages."""
    in_memory = _MEMORY if os.access(_MEMORY, os.W_OK) else None
    try:
        return Path(tempfile.mkdtemp(prefix="napari-coseg-", dir=in_memory))
    except OSError:
        return None


def remove_folder(folder: Path | None) -> None:
    """Take the folder away, with what is in it."""
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


class Shelf:
    """The client's side: lays arrays down, and uses a block again when the host has read it.

    Parameters
    ----------
    folder : Path
        From `make_folder`.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._blocks: list[mmap.mmap] = []
        self._free: set[int] = set()
        self._bytes = 0

    def lay(self, array: npt.NDArray[Any]) -> int | None:
        """Copy an array into a block.

        Returns
        -------
        int or None
            The block's number; None where there is no room for it.
        """
        if array.nbytes < SMALLEST:
            return None
        number = self._block(array.nbytes)
        if number is None:
            return None
        target = np.frombuffer(self._blocks[number], array.dtype, array.size)
        target.reshape(array.shape)[...] = array
        return number

    def _block(self, size: int) -> int | None:
        fitting = [n for n in self._free if size <= len(self._blocks[n])]
        if fitting:
            number = min(fitting, key=lambda n: len(self._blocks[n]))
            self._free.remove(number)
            return number
        # Tiles at an image's edges differ a little: with room, their blocks fit the others too.
        size = -(-size // (1 << 20)) << 20
        if self._bytes + size > LARGEST:
            return None
        try:
            self._blocks.append(_mapped(self._folder / str(len(self._blocks)), size))
        except (OSError, ValueError):
            # No room in memory or on the disk, or somebody has taken the folder away.
            return None
        self._bytes += size
        return len(self._blocks) - 1

    def give_back(self, number: int) -> None:
        """Note that the host has read a block."""
        if 0 <= number < len(self._blocks):
            self._free.add(number)
            # Both have it mapped: without a name it ends with them, however they end. Windows
            # takes no file away that is in use.
            with contextlib.suppress(OSError):
                (self._folder / str(number)).unlink()

    def close(self) -> None:
        """Let all blocks go; the folder is taken away when the host has ended."""
        for number, block in enumerate(self._blocks):
            with contextlib.suppress(BufferError):
                block.close()
            with contextlib.suppress(OSError):
                (self._folder / str(number)).unlink()
        self._blocks.clear()
        self._free.clear()


class ShelfReader:
    """The host's side.

    Parameters
    ----------
    folder : Path
        The one that the host was started with.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._blocks: dict[int, mmap.mmap] = {}
        self._taken: list[int] = []

    def take(self, number: int, size: int) -> npt.NDArray[np.uint8]:
        """Return a copy of the first bytes of a block.

        Raises
        ------
        CosegError
            If there is no such block, or it is smaller.
        """
        try:
            if number not in self._blocks:
                with (self._folder / str(number)).open("rb") as file:
                    self._blocks[number] = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            # Given back once it is mapped here: the client takes its name away then. One that
            # could not be mapped stays lent.
            self._taken.append(number)
            block = self._blocks[number]
            if len(block) < size:
                raise ValueError(f"{len(block)} bytes")
        except (OSError, ValueError) as error:
            raise CosegError(f"There is no block {number} of {size} bytes: {error}.") from error
        return np.frombuffer(block, np.uint8, size).copy()

    def taken(self) -> list[int]:
        """Return the blocks that were read since the last call: the client has them again."""
        taken, self._taken = self._taken, []
        return taken


def _mapped(path: Path, size: int) -> mmap.mmap:
    descriptor = os.open(
        path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o600
    )
    try:
        # All of it is there before it is written to: a mapping without room kills its process.
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(descriptor, 0, size)
        else:
            for _ in range(size >> 20):
                os.write(descriptor, bytes(1 << 20))
        return mmap.mmap(descriptor, size)
    except BaseException:
        with contextlib.suppress(OSError):
            path.unlink()
        raise
    finally:
        os.close(descriptor)
