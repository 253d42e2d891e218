"""What can be downloaded: addresses, sizes, limits, and where each archive belongs.

The published archives come without checksums and with rounded sizes. The SHA-256 of the first
complete download is recorded in ``downloads/`` below the root and compared ever after; put a value
here once one is published.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

PUBLISHED_ADDRESS = "https://mcdermottlab.mit.edu/tuckute_feather_2023/"
STIMULI_ADDRESS = "https://github.com/snormanhaignere/natsound165-neuron2015/archive/HEAD.tar.gz"
_MB = 1_000_000

# where the wanted files of the sounds' repository go, below data/
_STIMULI_FILES = {
    ("sounds", "category_labels.csv"): PurePosixPath("stimuli/category_labels.csv"),
    ("data", "components.mat"): PurePosixPath("neural/NH2015comp/components.mat"),
}


@dataclass(frozen=True)
class Source:
    """One archive.

    Attributes
    ----------
    name : str
        As in the flag ``--get_<name>``.
    file : str
        File name, also on a mirror and in a folder of archives carried by hand.
    url : str
    about_bytes : int
        Rounded size, as published.
    destination : str
        Folder below the root that everything goes into.
    prefixes : tuple
        Leading folders inside the archive that stand for the destination; they are dropped.
    brings : str
        What it is, for people.
    max_members : int
        Most members that the archive may hold.
    sha256 : str, optional
        Published checksum.
    stable : bool
        Whether the same contents always come in the same bytes. GitHub packs its archives again, so
        there the checksums of the files are compared, not that of the archive.
    """

    name: str
    file: str
    url: str
    about_bytes: int
    destination: str
    prefixes: tuple[tuple[str, ...], ...]
    brings: str
    max_members: int = 1000
    sha256: str | None = None
    stable: bool = True

    @property
    def max_bytes(self) -> int:
        """Most bytes that the archive may have, packed or unpacked: twice what is stated for it."""
        return 2 * self.about_bytes

    def place(self, member: PurePosixPath) -> PurePosixPath | None:
        """Where a member goes, below ``destination``; None: nowhere."""
        parts = tuple(part for part in member.parts if part != ".")
        if self.name == "stimuli":
            return self._place_stimulus(parts)
        target = self._below_destination(parts)
        return (
            None if target == PurePosixPath("README.md") else target
        )  # this repository has one of its own there

    def _below_destination(self, parts: tuple[str, ...]) -> PurePosixPath:
        for skipped in (0, 1):  # some archives wrap everything in one more folder
            for prefix in sorted(self.prefixes, key=len, reverse=True):
                if parts[skipped : skipped + len(prefix)] == prefix and len(parts) > skipped + len(
                    prefix
                ):
                    return PurePosixPath(*parts[skipped + len(prefix) :])
        return PurePosixPath(*parts)

    @staticmethod
    def _place_stimulus(parts: tuple[str, ...]) -> PurePosixPath | None:
        inner = parts[1:]  # the first folder is the name of the repository and the version
        if len(inner) == 3 and inner[:2] == ("sounds", "wav") and inner[2].endswith(".wav"):
            return PurePosixPath("stimuli", inner[2])
        return _STIMULI_FILES.get(inner)


def _published(
    name: str,
    file: str,
    megabytes: int,
    destination: str,
    prefixes: tuple[tuple[str, ...], ...],
    brings: str,
    max_members: int = 1000,
) -> Source:
    return Source(
        name,
        file,
        PUBLISHED_ADDRESS + file,
        megabytes * _MB,
        destination,
        prefixes,
        brings,
        max_members,
    )


_SURFACE = (("data", "fsavg_surf"), ("fsavg_surf",))

SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        _published("data", "data.tar", 180, "data", (("data",),), "neural data and stimuli", 5_000),
        _published(
            "model_actv",
            "model_actv.tar",
            2700,
            "model-actv",
            (("model_actv",), ("model-actv",)),
            "model activations",
            50_000,
        ),
        _published(
            "results",
            "results.tar",
            2100,
            "results",
            (("results",),),
            "published regression and RSA results",
            100_000,
        ),
        _published(
            "fsavg_surf",
            "fsavg_surf.tar",
            480,
            "data/fsavg_surf",
            _SURFACE,
            "surface projections",
            20_000,
        ),
        _published(
            "vox_matrix",
            "voxel_matrix_for_alex.tar",
            200,
            "data/fsavg_surf",
            (*_SURFACE, ("voxel_matrix_for_alex",)),
            "voxel matrix for the surface projections",
        ),
        Source(
            "stimuli",
            "natsound165-neuron2015.tar.gz",
            STIMULI_ADDRESS,
            100 * _MB,
            "data",
            (),
            "the 165 sounds, their categories and the components, from their public repository",
            5_000,
            stable=False,
        ),
    )
}
"""Every archive, by name, in the order in which they are fetched."""
