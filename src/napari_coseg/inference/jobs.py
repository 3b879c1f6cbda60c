"""Which images a prediction is asked for, and what each one's results are called. Torch-free."""

from __future__ import annotations

import glob
import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_coseg.imaging.volume_headers import VOLUME_SUFFIXES, is_volume
from napari_coseg.imaging.volume_opening import holds_dicom, input_name, is_volume_input
from napari_coseg.inference.records import FOLDER as RECORDS
from napari_coseg.inference.records import RUN_FILE
from napari_coseg.types import CosegError

#: Endings of the files that a folder is searched for. A file that is named itself may have any.
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")

_RESULTS = ("_regions", "_instances")


@dataclass(frozen=True)
class Job:
    """One image and the name of its results.

    Attributes
    ----------
    path : Path
        The image; of a DICOM series its folder, or one of its pictures.
    name : str
        Results are OUT/NAME_regions.tif and so on; with folders, parted by ``/``, where images
        of several folders have one name.
    volume : bool
        Whether it is a volume.
    """

    path: Path
    name: str
    volume: bool = False


def find_jobs(inputs: Sequence[Path], out: Path, *, volumes: bool = False) -> list[Job]:
    """List the images of a prediction, sorted by name.

    Parameters
    ----------
    inputs : sequence of Path
        Images, folders (the images directly in them; hidden files and our own results are left
        out) and patterns that the shell has not expanded.
    out : Path
        Folder of the results.
    volumes : bool
        Whether volumes are looked for too: files, and folders that are DICOM series, also such
        folders in a folder that holds neither images nor volume files.

    Raises
    ------
    CosegError
        If nothing is found, a folder holds no image, none of the files exists, or the results
        of two images would have one name. A single file that is missing beside others is left
        to fail on its own.
    """
    paths: list[Path] = []
    for path in inputs:
        if path.is_dir():
            paths += _found_in(path, out, volumes)
        elif not path.exists() and glob.has_magic(str(path)):
            paths += [Path(match) for match in sorted(glob.glob(str(path), recursive=True))]
        else:
            paths.append(path)
    unique = list({_absolute(path): path for path in paths}.values())
    if not unique:
        raise CosegError("No image was named: give files or folders.")
    if not any(path.exists() for path in unique):
        more = f" (nor do {len(unique) - 1} others)" if len(unique) > 1 else ""
        raise CosegError(f"{unique[0]} does not exist{more}: check the name and the folder.")
    return sorted(name_jobs(unique), key=lambda job: job.name)


def name_jobs(paths: Iterable[Path]) -> list[Job]:
    """Name the results of images: by the file, where that is not enough by folder and file.

    Raises
    ------
    CosegError
        If two results would still have one name.
    """
    alike: defaultdict[str, list[Path]] = defaultdict(list)
    for path in paths:
        # Some file systems do not tell upper from lower case.
        alike[input_name(path).casefold()].append(path)
    jobs = [job for group in alike.values() for job in _name_group(group)]
    seen: dict[str, Path] = {}
    for job in jobs:
        other = seen.setdefault(job.name.casefold(), job.path)
        if other != job.path:
            raise CosegError(
                f"The results of {other} and {job.path} would have one name: rename one of them."
            )
    return jobs


def parse_shard(text: str | None) -> tuple[int, int]:
    """Read ``i/n``: the i-th of n parts, from 1; where nothing is given, the one that is all.

    Raises
    ------
    CosegError
        If it is something else.
    """
    if text is None:
        return 1, 1
    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal() and 1 <= int(index) <= int(count)):
        raise CosegError(f"A shard is written i/n, from 1/n to n/n, for example 2/4: {text!r}.")
    return int(index), int(count)


def shard_of(jobs: Sequence[Job], index: int, count: int) -> list[Job]:
    """Every `count`-th job, beginning with number `index` (from 1)."""
    return list(jobs[index - 1 :: count])


def _found_in(folder: Path, out: Path, volumes: bool) -> list[Path]:
    """Images of a folder; with `volumes` these too, or the DICOM series that it is or holds."""
    results = _absolute(folder) == _absolute(out) or _holds_results(folder)
    found = _files_in(folder, volumes, results)
    if volumes and found and not any(map(is_volume, found)) and holds_dicom(folder):
        raise CosegError(
            f"{folder} holds pictures and a DICOM series: name the pictures, or move them away."
        )
    if not found and volumes:
        if holds_dicom(folder):
            return [folder]
        found = [
            path
            for path in sorted(folder.iterdir())
            if path.is_dir() and path.name[0] != "." and holds_dicom(path, below=True)
        ]
    if not found and results:
        raise CosegError(
            f"{folder} holds results of napari-coseg and no image: name the folder of the images."
        )
    if not found:
        kinds = IMAGE_SUFFIXES + VOLUME_SUFFIXES if volumes else IMAGE_SUFFIXES
        more = ", nor a DICOM series" if volumes else ""
        raise CosegError(
            f"{folder} has no image in it ({', '.join(kinds)}; folders inside it are not "
            f"searched){more}: name the files or another folder."
        )
    return found


def _holds_results(folder: Path) -> bool:
    """Whether somebody has predicted into a folder."""
    return (folder / RUN_FILE).is_file() and (folder / RECORDS).is_dir()


def _files_in(folder: Path, volumes: bool, results: bool) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if (path.suffix.lower() in IMAGE_SUFFIXES or (volumes and is_volume(path)))
        and not path.name.startswith(".")
        and not (results and input_name(path).endswith(_RESULTS))
        and path.is_file()
    )


def _job(path: Path, name: str) -> Job:
    return Job(path, name, is_volume_input(path))


def _name_group(paths: list[Path]) -> list[Job]:
    if len(paths) == 1:
        return [_job(paths[0], input_name(paths[0]))]
    folders = [_absolute(path).parent for path in paths]
    try:
        shared = Path(os.path.commonpath(folders))
    except ValueError:
        # On different drives.
        relative = [Path(*folder.parts[1:]) for folder in folders]
    else:
        relative = [folder.relative_to(shared) for folder in folders]
    names = [
        (folder / input_name(path)).as_posix() for folder, path in zip(relative, paths, strict=True)
    ]
    folded = [name.casefold() for name in names]
    jobs = []
    for path, folder, name in zip(paths, relative, names, strict=True):
        if folded.count(name.casefold()) > 1:
            name = (folder / path.name).as_posix()
        jobs.append(_job(path, name))
    return jobs


def _absolute(path: Path) -> Path:
    # Not resolved: a link's own name is the one that a person knows.
    return Path(os.path.abspath(path))
