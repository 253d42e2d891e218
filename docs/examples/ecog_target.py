"""Human ECoG as a target of one's own: convert the song-ecog data, score a model of the sounds.

    python docs/examples/ecog_target.py /path/to/song_ecog --root /path/to/root

``song_ecog`` is a copy of the public repository snormanhaignere/song-ecog-current-biology
(Norman-Haignere et al. 2022: responses to the 165 sounds of the paper). Targets are written to
``<root>/data/own/``, results of ``spectemp`` and of the acoustic features that come with the ECoG
to ``<root>/results/``.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import h5py
import numpy as np

from aud_dnn.AUD_main import main as fit
from aud_dnn.io.files import mat_strings, read_mat
from aud_dnn.targets.arrays import target_from_arrays
from aud_dnn.targets.loading import Target
from aud_dnn.targets.target_files import write_target

ABOUT = {
    "what": "human ECoG responses",
    "source": "Norman-Haignere et al. 2022, Current Biology, "
    "https://doi.org/10.1016/j.cub.2022.01.069",
}
WINDOW = (0.0, 2.0)  # seconds: the sounds last 2 s


def sound_ids(names: np.ndarray, where: Path) -> list[str]:
    """Sound ids as in the activations: without ``.wav``."""
    return [name.removesuffix(".wav") for name in mat_strings(names, str(where))]


def component_targets(folder: Path) -> list[Target]:
    """The 15 components, averaged over the sound, and at all 75 times."""
    path = folder / "ecog_component_responses.mat"
    content = read_mat(path, ("R", "t", "stim_names"))
    responses, times = (
        content["R"].transpose(0, 2, 1),
        content["t"].ravel(),
    )  # sounds × components × times
    stimuli = sound_ids(content["stim_names"], path)
    components = {"neuroid": [f"component{number}" for number in range(1, responses.shape[1] + 1)]}
    during = (times >= WINDOW[0]) & (times < WINDOW[1])
    return [
        target_from_arrays(
            responses[:, :, during].mean(axis=2),
            stimuli,
            name="ecog-components-mean",
            neuroids=components,
            about=ABOUT,
        ),
        target_from_arrays(
            responses,
            stimuli,
            name="ecog-components",
            neuroids=components,
            times=times,
            about=ABOUT,
        ),
    ]


def electrode_target(folder: Path) -> Target:
    """33 single electrodes at 300 times; the kind of selectivity is their region."""
    files = sorted(
        folder.glob("electrodes/*-elec*-response.mat"),
        key=lambda path: (
            path.name.split("-")[0],
            int(path.name.split("-")[1].removeprefix("elec")),
        ),
    )
    contents = [read_mat(path, ("R", "t", "stim_names")) for path in files]
    stimuli = sound_ids(contents[0]["stim_names"], files[0])
    for path, content in zip(files, contents):
        if sound_ids(content["stim_names"], path) != stimuli:
            raise ValueError(f"{path} lists the sounds in another order than {files[0]}")
    return target_from_arrays(
        np.stack([content["R"] for content in contents], axis=1),
        stimuli,
        name="ecog-electrodes",
        neuroids={
            "neuroid": [path.name.removesuffix("-response.mat") for path in files],
            "region": [path.name.split("-")[0] for path in files],
        },
        times=contents[0]["t"].ravel(),
        about=ABOUT,
    )


def write_acoustic_model(folder: Path, path: Path) -> None:
    """The acoustic features as the activations of a model: frequency, modulation, and both."""
    content = read_mat(folder / "acoustic_features.mat", ("F_coch", "F_mod"))
    names = read_mat(folder / "ecog_component_responses.mat", ("stim_names",))["stim_names"]
    frequency = content["F_coch"]
    modulation = content["F_mod"].reshape(len(frequency), -1)
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["sound_ids"] = sound_ids(names, folder)
        file["layer_list"] = ["frequency", "modulation", "frequency-and-modulation"]
        file["frequency"] = frequency
        file["modulation"] = modulation
        file["frequency-and-modulation"] = np.hstack([frequency, modulation])


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("song_ecog", type=Path, help="folder of the ECoG data")
    parser.add_argument(
        "--root", type=Path, required=True, help="folder with data/ and model-actv/spectemp/"
    )
    arguments = parser.parse_args(argv)
    own = arguments.root / "data" / "own"
    own.mkdir(parents=True, exist_ok=True)
    targets = [*component_targets(arguments.song_ecog), electrode_target(arguments.song_ecog)]
    files = [str(write_target(own / f"{target.name}.nc", target)) for target in targets]
    write_acoustic_model(
        arguments.song_ecog, arguments.root / "model-actv" / "acoustics" / "natsound_activations.h5"
    )
    root = ["--root", str(arguments.root)]
    for model, chosen in (("spectemp", files), ("acoustics", [files[0], "NH2015comp"])):
        fit(["--source_model", model, "--source_layer", "all", "--target", *chosen, *root])
    return 0


if __name__ == "__main__":
    sys.exit(main())
