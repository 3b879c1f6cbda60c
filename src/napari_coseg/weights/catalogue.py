"""Which models there are, where their files lie, and under which licence. Torch-free.

Three kinds: bundled models (files inside the package), the user's own (files in the user's
folder: trained, imported or fetched), and public starting weights of other groups, which are
known by name and come to this machine only when somebody asks for them.
"""

from __future__ import annotations

import difflib
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from napari_coseg.types import CosegError
from napari_coseg.weights.card import ModelCard, read_card

__all__ = [
    "DEFAULT_MODEL",
    "DEFAULT_VOLUME_MODEL",
    "PUBLIC",
    "PublicWeights",
    "bundled_models",
    "default_model",
    "find_weights",
    "known_names",
    "public_by_hash",
    "public_by_name",
    "public_path",
    "read_card",
    "sha256_of",
    "user_folder",
    "user_models",
]

#: Models that are used where none is named: of pictures, and of volumes.
DEFAULT_MODEL = "coseg-lite-histology"
DEFAULT_VOLUME_MODEL = "coseg-lite-dental"
#: Environment variable that moves the user's folder.
FOLDER_VARIABLE = "NAPARI_COSEG_WEIGHTS"
#: Ending of our own weights files.
SUFFIX = ".safetensors"

_BUNDLED = Path(__file__).resolve().parent / "bundled"
_SAM = "https://dl.fbaipublicfiles.com/segment_anything"
_SAM2 = "https://dl.fbaipublicfiles.com/segment_anything_2"


@dataclass(frozen=True)
class PublicWeights:
    """Starting weights that another group has published.

    Attributes
    ----------
    name : str
        Name in this catalogue.
    url : str
        Where their authors publish them.
    size : int or None
        Bytes; None where it could not be confirmed.
    sha256 : str or None
        Hash of the file, lower-case hexadecimal; None where it could not be confirmed. A file
        without one is fetched only with ``--accept-unverified``.
    licence : str
        SPDX name of the weights' licence.
    description : str
        What they are.
    verified : str
        Where size and hash were confirmed, or that they were not.
    """

    name: str
    url: str
    size: int | None
    sha256: str | None
    licence: str
    description: str
    verified: str

    @property
    def filename(self) -> str:
        """Name of the file as its authors gave it."""
        return self.url.rsplit("/", 1)[-1]

    @property
    def pinned(self) -> bool:
        """Whether size and hash are known, so that a download can be checked."""
        return self.sha256 is not None and self.size is not None


# None of these could be downloaded where this list was made. Size and hash are those that
# independent public records state: Git LFS pointers (which hold the SHA-256 and the size of the
# file) and manifests of programs that check what they download.
_LFS_OF_AUTHORS = "Git LFS record of the authors' own repository, and other programs' manifests"
_LFS_AND_MANIFESTS = "several Git LFS records, and manifests of programs that fetch from this URL"


def _sam2(version: str, size_name: str, size: int, sha256: str, verified: str) -> PublicWeights:
    short = {"2": "sam2", "2.1": "sam2.1"}[version]
    day = {"2": "072824", "2.1": "092824"}[version]
    return PublicWeights(
        name=f"{short}-hiera-{size_name.replace('_', '-')}",
        url=f"{_SAM2}/{day}/{short}_hiera_{size_name}.pt",
        size=size,
        sha256=sha256,
        licence="Apache-2.0",
        description=f"SAM {version}, Hiera {size_name.replace('_', ' ')} (Ravi et al. 2024)",
        verified=verified,
    )


#: Public starting weights.
PUBLIC: tuple[PublicWeights, ...] = (
    PublicWeights(
        name="sam-vit-b",
        url=f"{_SAM}/sam_vit_b_01ec64.pth",
        size=375_042_383,
        sha256="ec2df62732614e57411cdcf32a23ffdf28910380d03139ee0f4fcbe91eb8c912",
        licence="Apache-2.0",
        description="Segment Anything, ViT-B (Kirillov et al. 2023)",
        verified=_LFS_AND_MANIFESTS,
    ),
    PublicWeights(
        name="medsam-vit-b",
        url="https://zenodo.org/records/10689643/files/medsam_vit_b.pth",
        size=375_049_145,
        sha256="34b34b78c1d18cb8c6bf84cf9c00e135d6d6c965699f3c0e31ef1bc9dcb5be74",
        licence="Apache-2.0",
        description=(
            "MedSAM, ViT-B (Ma et al. 2024); the authors' code repository is Apache-2.0, the "
            "Zenodo record may state its own licence"
        ),
        verified=(
            "a Git LFS record and a manifest of the copy that the authors link; size also from a "
            "manifest for this URL"
        ),
    ),
    _sam2(
        "2",
        "tiny",
        155_906_050,
        "65b50056e05bcb13694174f51bb6da89c894b57b75ccdf0ba6352c597c5d1125",
        _LFS_OF_AUTHORS,
    ),
    _sam2(
        "2",
        "small",
        184_309_650,
        "95949964d4e548409021d47b22712d5f1abf2564cc0c3c765ba599a24ac7dce3",
        _LFS_OF_AUTHORS,
    ),
    _sam2(
        "2",
        "base_plus",
        323_493_298,
        "d0bb7f236400a49669ffdd1be617959a8b1d1065081789d7bbff88eded3a8071",
        _LFS_OF_AUTHORS,
    ),
    _sam2(
        "2",
        "large",
        897_952_466,
        "7442e4e9b732a508f80e141e7c2913437a3610ee0c77381a66658c3a445df87b",
        _LFS_AND_MANIFESTS,
    ),
    _sam2(
        "2.1",
        "tiny",
        156_008_466,
        "7402e0d864fa82708a20fbd15bc84245c2f26dff0eb43a4b5b93452deb34be69",
        _LFS_AND_MANIFESTS,
    ),
    _sam2(
        "2.1",
        "small",
        184_416_285,
        "6d1aa6f30de5c92224f8172114de081d104bbd23dd9dc5c58996f0cad5dc4d38",
        _LFS_AND_MANIFESTS,
    ),
    _sam2(
        "2.1",
        "base_plus",
        323_606_802,
        "a2345aede8715ab1d5d31b4a509fb160c5a4af1970f199d9054ccfb746c004c5",
        _LFS_AND_MANIFESTS,
    ),
    _sam2(
        "2.1",
        "large",
        898_083_611,
        "2647878d5dfa5098f2f8649825738a9345572bae2d4350a2468587ece47dd318",
        _LFS_AND_MANIFESTS,
    ),
)


def user_folder() -> Path:
    """Folder of the user's own and fetched weights; it may not exist yet."""
    moved = os.environ.get(FOLDER_VARIABLE)
    if moved:
        return Path(moved).expanduser()
    return platformdirs.user_data_path("napari-coseg", appauthor=False) / "weights"


def bundled_models() -> dict[str, Path]:
    """Names and files of the models inside the package."""
    return _models_in(_BUNDLED)


def user_models() -> dict[str, Path]:
    """Names and files of the models in the user's folder."""
    return _models_in(user_folder())


def default_model(*, volumes: bool) -> str:
    """Name of the model that is used where none is named.

    Parameters
    ----------
    volumes : bool
        Whether it is for volumes, not for pictures.

    Raises
    ------
    CosegError
        If it is not on this machine.
    """
    name = DEFAULT_VOLUME_MODEL if volumes else DEFAULT_MODEL
    if name not in bundled_models() and name not in user_models():
        kind = "volumes" if volumes else "pictures"
        raise CosegError(
            f"{name}, the usual model of {kind}, is not on this machine: name another one, or the "
            "weights file of a model that you have trained."
        )
    return name


def known_names() -> list[str]:
    """Names that `find_weights` knows: bundled, the user's, public."""
    return list(dict.fromkeys([*bundled_models(), *user_models(), *(p.name for p in PUBLIC)]))


def public_by_name(name: str) -> PublicWeights | None:
    """Public weights of this name, if there are any."""
    return next((entry for entry in PUBLIC if entry.name == name), None)


def public_by_hash(sha256: str) -> PublicWeights | None:
    """Public weights of this hash, if there are any."""
    return next((entry for entry in PUBLIC if entry.sha256 == sha256), None)


def public_path(entry: PublicWeights) -> Path:
    """Where public weights lie once they were fetched or imported."""
    return user_folder() / entry.filename


def find_weights(name_or_path: str | Path) -> Path:
    """Return the file of a model.

    A name of the catalogue comes before a file of the same name in the current folder; a path
    says so by its ending or by a separator.

    Raises
    ------
    CosegError
        If there is no such model or file, or public weights are not on this machine.
    """
    name = str(name_or_path)
    for models in (bundled_models(), user_models()):
        if name in models:
            return models[name]
    entry = public_by_name(name)
    if entry is not None:
        path = public_path(entry)
        if path.is_file():
            return path
        raise CosegError(
            f"{name} is not on this machine: fetch it with `napari-coseg models fetch {name}`, or "
            f"bring the file {entry.filename} with `napari-coseg models import FILE`."
        )
    path = Path(name_or_path).expanduser()
    if path.is_file():
        return path
    if path.is_dir():
        raise CosegError(f"{path} is a folder, not a weights file: name the file inside it.")
    if path.suffix.lower() in {SUFFIX, ".pt", ".pth"} or path.name != name:
        raise CosegError(f"There is no weights file {path}.")
    near = difflib.get_close_matches(name, known_names(), n=1)
    hint = f" Did you mean {near[0]}?" if near else ""
    raise CosegError(f"There is no model named {name}.{hint} See `napari-coseg models list`.")


def sha256_of(path: Path | str) -> str:
    """SHA-256 of a file, lower-case hexadecimal.

    Raises
    ------
    CosegError
        If the file cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CosegError(f"Cannot read {path}: {error.strerror or error}.") from error


def _models_in(folder: Path) -> dict[str, Path]:
    try:
        files = sorted(folder.glob(f"*{SUFFIX}"))
    except OSError:
        return {}
    return {path.name.removesuffix(SUFFIX): path for path in files if path.name[0] != "."}


def card_or_problem(path: Path) -> ModelCard | str:
    """Card of a file, or the sentence that says why there is none; for lists of models."""
    try:
        return read_card(path)
    except CosegError as error:
        return str(error)
