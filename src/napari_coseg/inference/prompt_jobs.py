"""Which images boxes and points from tables are on. Torch-free."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from napari_coseg.imaging.prompt_tables import PromptedObject, PromptTable
from napari_coseg.inference.jobs import Job
from napari_coseg.types import CosegError


def assign(
    table: PromptTable, jobs: Sequence[Job]
) -> tuple[dict[str, list[PromptedObject]], list[Job], list[str]]:
    """Find the image of each prompt.

    Parameters
    ----------
    table : PromptTable
        Its images are named by file name, with or without ending, or by the end of the path.
    jobs : sequence of Job

    Returns
    -------
    objects : dict of str
        By the name of the job.
    asked : list of Job
        The jobs that have prompts.
    unknown : list of str
        Names of images that are not among the jobs.

    Raises
    ------
    CosegError
        If the files name no image and there are several, a name fits several images, two names
        mean one image, or no image has a prompt.
    """
    objects: dict[str, list[PromptedObject]] = {}
    unknown = []
    for name, wanted in table.objects.items():
        if name == "" and len(table.objects) == 1 and len(jobs) == 1:
            fitting = list(jobs)
        elif name == "":
            raise CosegError(
                f"Prompts without an image's name cannot be told apart on {len(jobs)} images: "
                "give the tables a column image with the files' names."
            )
        else:
            fitting = [job for job in jobs if _is_called(job, name)]
        if len(fitting) > 1:
            raise CosegError(
                f"The tables name the image {name}, and {fitting[0].path} and {fitting[1].path} "
                "are both called so: write more of the path in the column image."
            )
        if not fitting:
            unknown.append(name)
        elif fitting[0].name in objects:
            raise CosegError(
                f"The tables name {fitting[0].path} in two ways, one of them {name}: use one."
            )
        else:
            objects[fitting[0].name] = wanted
    asked = [job for job in jobs if job.name in objects]
    if not asked:
        listed = ", ".join(unknown[:3])
        raise CosegError(f"None of the images is one that the tables name ({listed}).")
    return objects, asked, unknown


def are_volumes(jobs: Sequence[Job], objects: Mapping[str, Sequence[PromptedObject]]) -> bool:
    """Whether prompts are on volumes; False for pictures.

    Parameters
    ----------
    jobs : sequence of Job
        At least one.
    objects : mapping of str
        By the name of the job.

    Raises
    ------
    CosegError
        If there are both, a prompt in a volume has no plane, or one on a picture has.
    """
    volumes = [job for job in jobs if job.volume]
    pictures = [job for job in jobs if not job.volume]
    if volumes and pictures:
        raise CosegError(
            f"{volumes[0].path} is a volume and {pictures[0].path} a picture: prompt them one "
            "after the other."
        )
    for job in jobs:
        for one in objects[job.name]:
            if job.volume and one.plane is None:
                raise CosegError(
                    f"{job.path} is a volume, and the tables do not say on which of its planes the "
                    "prompts are: give them a column plane, counted from 0."
                )
            if not job.volume and one.plane is not None:
                raise CosegError(
                    f"{job.path} is a picture, and the tables have a column plane: leave it out, "
                    "or name a volume."
                )
    return bool(volumes)


def _is_called(job: Job, name: str) -> bool:
    # A table may come from another system than this one.
    wanted = Path(name.replace("\\", "/")).as_posix()
    path = job.path.as_posix()
    return wanted in (path, job.path.name, job.path.stem, job.name) or path.endswith(f"/{wanted}")
