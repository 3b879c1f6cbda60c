"""Weights that come to this machine because somebody asked: by download, or from a file.

Nothing here runs unless a person calls for it. Torch-free.
"""

from __future__ import annotations

import errno
import http.client
import os
import re
import shutil
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from pathlib import Path

from napari_coseg.imaging.files import PART_PREFIX, atomic_path
from napari_coseg.types import CosegError
from napari_coseg.weights.card import NAME_PATTERN, read_card
from napari_coseg.weights.catalogue import (
    PUBLIC,
    SUFFIX,
    PublicWeights,
    bundled_models,
    public_by_hash,
    public_by_name,
    public_path,
    sha256_of,
    user_folder,
    user_models,
)

#: Called with the bytes that are there and the bytes there will be (None: unknown).
Progress = Callable[[int, int | None], None]

_CHUNK = 1 << 20
_TIMEOUT = 30.0  # seconds without an answer
# What tells a full or write-protected disk from a broken connection: both raise OSError.
_DISK = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EACCES})


def fetch(name: str, *, accept_unverified: bool = False, progress: Progress | None = None) -> Path:
    """Download public weights into the user's folder, or find them there.

    An interrupted download goes on where it stopped. The file gets its name only after its size
    and SHA-256 were found right.

    Parameters
    ----------
    name : str
        Name in the catalogue of public weights.
    accept_unverified : bool
        Also take a file whose hash the catalogue does not know.
    progress : callable, optional
        See `Progress`.

    Raises
    ------
    CosegError
        If the name is unknown, the server cannot be reached, the download breaks off, or the
        file is not the one that the catalogue describes.
    """
    entry = public_by_name(name)
    if entry is None:
        if name in bundled_models() or name in user_models():
            raise CosegError(f"{name} is on this machine already: there is nothing to fetch.")
        names = ", ".join(item.name for item in PUBLIC)
        raise CosegError(f"There are no public weights named {name}; there are: {names}.")
    if not entry.pinned and not accept_unverified:
        raise CosegError(
            f"The size and hash of {name} could not be confirmed, so a download cannot be checked: "
            "repeat with --accept-unverified if you trust its source."
        )
    target = public_path(entry)
    if target.is_file():
        _check(entry, target, f"{target} is there already but")
        return target
    _make(target.parent)
    part = target.parent / f"{PART_PREFIX}{target.name}"
    _download(entry, part, progress)
    try:
        _check(entry, part, f"What {_host(entry)} sent as {entry.filename}")
    except CosegError:
        part.unlink(missing_ok=True)
        raise
    os.replace(part, target)
    return target


def import_file(source: Path | str, name: str | None = None) -> Path:
    """Copy a weights file into the user's folder, under a name of the catalogue.

    Our own files keep the name in their card unless `name` is given; public weights are known by
    their SHA-256.

    Returns
    -------
    Path
        The copy, or the file that was there already with the same content.

    Raises
    ------
    CosegError
        If the file is neither one of ours nor public weights that the catalogue knows, is not
        what `name` says, or the name is taken by another file.
    """
    source = Path(source).expanduser()
    if not source.is_file():
        raise CosegError(f"There is no weights file {source}.")
    digest = sha256_of(source)
    wanted = public_by_name(name) if name is not None else None
    entry = public_by_hash(digest)
    if wanted is not None and wanted.sha256 is not None and entry is not wanted:
        raise CosegError(
            f"{source} is not {wanted.name}: its SHA-256 is {digest}, not {wanted.sha256}."
        )
    entry = wanted or entry
    if entry is not None:
        if name not in (None, entry.name):
            raise CosegError(f"{source} is {entry.name}, it cannot be imported as {name}.")
        target = public_path(entry)
    else:
        target = _target_of_ours(source, name)
    if target.is_file():
        if sha256_of(target) == digest:
            return target
        raise CosegError(
            f"{target} is there already with other content: import under another name with "
            "--name, or delete that file first."
        )
    _make(target.parent)
    with atomic_path(target) as part:
        shutil.copyfile(source, part)
    return target


def _target_of_ours(source: Path, name: str | None) -> Path:
    if source.suffix.lower() != SUFFIX:
        raise CosegError(
            f"{source} is neither a napari-coseg weights file ({SUFFIX}) nor public weights that "
            "the catalogue knows by their hash; as starting weights of a training it can be named "
            "by its path."
        )
    card = read_card(source)
    name = card.name if name is None else name
    if re.match(NAME_PATTERN, name) is None:
        raise CosegError(
            f"A model's name is letters, digits, dots, dashes and underscores, not {name!r}."
        )
    if name in bundled_models() or public_by_name(name) is not None:
        raise CosegError(
            f"{name} is the name of a model in the catalogue: import this one under another name "
            "with --name."
        )
    return user_folder() / f"{name}{SUFFIX}"


def _download(entry: PublicWeights, part: Path, progress: Progress | None) -> None:
    # Without a hash nothing tells whether an old part belongs to what the server has now.
    done = part.stat().st_size if part.is_file() and entry.pinned else 0
    if entry.size is not None and done >= entry.size:
        return
    request = urllib.request.Request(entry.url, headers={"User-Agent": "napari-coseg"})
    if done:
        request.add_header("Range", f"bytes={done}-")
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
            if answer.status != http.HTTPStatus.PARTIAL_CONTENT:
                done = 0  # the server sends the whole file again
            length = answer.headers.get("Content-Length")
            total = done + int(length) if length else entry.size
            with part.open("ab" if done else "wb") as file:
                while chunk := answer.read(_CHUNK):
                    file.write(chunk)
                    done += len(chunk)
                    if progress is not None:
                        progress(done, total)
                    if entry.size is not None and done > entry.size:
                        break  # not the file we know: the check that follows says so
    except urllib.error.HTTPError as error:
        raise CosegError(
            f"{_host(entry)} answered {error.code} ({error.reason}) for {entry.filename}: get it "
            f"from {entry.url} by other means and bring it with `napari-coseg models import`."
        ) from error
    except (OSError, http.client.HTTPException) as error:
        if isinstance(error, OSError) and error.errno in _DISK:
            raise CosegError(f"Cannot write {part}: {error.strerror}.") from error
        reason = getattr(error, "reason", None) or error
        kept = f" {done:,} bytes are kept; the next try goes on from there." if done else ""
        raise CosegError(
            f"Cannot reach {_host(entry)} ({reason}): try again with a connection, or get "
            f"{entry.url} elsewhere and bring it with `napari-coseg models import FILE`.{kept}"
        ) from error
    if total is not None and done < total:
        raise CosegError(
            f"The connection broke after {done:,} of {total:,} bytes: run the same command again, "
            "it goes on from there."
        )


def _check(entry: PublicWeights, path: Path, subject: str) -> None:
    size = path.stat().st_size
    if entry.size is not None and size != entry.size:
        raise CosegError(
            f"{subject} is not {entry.name}: {size:,} bytes, not {entry.size:,}; delete it and try "
            "again, or report that the published file has changed."
        )
    if entry.sha256 is not None and (digest := sha256_of(path)) != entry.sha256:
        raise CosegError(
            f"{subject} is not {entry.name}: its SHA-256 is {digest}, not {entry.sha256}; delete "
            "it and try again, or report that the published file has changed."
        )


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CosegError(f"Cannot make the folder {folder}: {error.strerror or error}.") from error


def _host(entry: PublicWeights) -> str:
    return urllib.parse.urlsplit(entry.url).hostname or entry.url
