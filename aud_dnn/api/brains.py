"""How well another brain would do, and models among brains."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from aud_dnn.api.reading import load_target
from aud_dnn.errors import unknown_name
from aud_dnn.paths import ProjectPaths, find_root
from aud_dnn.targets.facts import VOXEL_TARGETS

if TYPE_CHECKING:
    import pandas as pd

BRAINS = "brains"
ONE_BRAIN = "brain:"


def brain_to_brain(
    target: str | Path,
    *,
    models: Sequence[str] = (),
    randnetw: bool = False,
    layer_choice: str = "published",
    overwrite: bool = False,
    root: str | Path | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Every participant of a target predicts every other, as a model would.

    The formulas are in :mod:`aud_dnn.methods.brains`. Scores of every voxel are kept in
    ``results/brains/`` and are computed again only when something that they were made from has
    changed; beside them lies the table.

    Parameters
    ----------
    target : str or path
        A published target with participants, or a file with one of one's own.
    models : sequence of str, optional
        Models with results: the table says where they stand among the brains, instead.
    randnetw : bool
        Their permuted networks.
    layer_choice : str
        How their layers are chosen (:mod:`aud_dnn.tables.layer_choice`).
    overwrite : bool
        Compute again what is there.
    root : path, optional
        See :func:`aud_dnn.paths.find_root`.
    progress : bool

    Returns
    -------
    pandas.DataFrame
        :func:`aud_dnn.tables.brains.brains_table`, or with ``models``
        :func:`aud_dnn.tables.brains.places_table`.

    Raises
    ------
    InputError
        The target has fewer than two participants.

    Examples
    --------
    >>> import aud_dnn
    >>> table = aud_dnn.brain_to_brain("NH2015", progress=False)
    >>> everywhere = table[table["part"] == "all voxels"]
    >>> everywhere.groupby("participant").size().unique().tolist()  # 7 others, and all together
    [8]
    """
    from aud_dnn.runs.brains import run_brains
    from aud_dnn.store.brains import brains_folder
    from aud_dnn.tables.brains import brains_table, places_table
    from aud_dnn.tables.model_files import write_table

    paths = find_root(root)
    brains = run_brains(
        paths, load_target(target, root=paths.root), overwrite=overwrite, progress=progress
    )
    table = brains_table(brains)
    write_table(brains_folder(paths) / f"{brains.target.name}.csv", table, index=False)
    if not models:
        return table
    return places_table(paths, brains, models, randnetw=randnetw, layer_choice=layer_choice)


def brains_report(
    source: str, targets: Sequence[str], paths: ProjectPaths, overwrite: bool = False
) -> str:
    """What ``AUD_main.py --source_model brains`` or ``brain:<participant>`` prints.

    Scores by target participant and region: the median over the others, or one of them.

    Raises
    ------
    InputError
        There is no such participant; the target has fewer than two.
    """
    from aud_dnn.store.brains import brains_folder
    from aud_dnn.tables.brains import TOGETHER

    said = []
    for target in VOXEL_TARGETS if "all" in targets else targets:
        table = brain_to_brain(target, root=paths.root, overwrite=overwrite)
        one, which = table[table["source"] != TOGETHER], "the median other brain"
        if source != BRAINS:
            asked, known = source.removeprefix(ONE_BRAIN), sorted(set(table["participant"]))
            if asked not in known:
                raise unknown_name(f"participant of {target}", asked, known)
            one, which = one[one["source"] == asked], f"participant {asked}"
        wide = one.pivot_table(
            index="participant", columns="part", values="score", aggfunc="median", sort=False
        )
        together = table[(table["source"] == TOGETHER) & (table["part"] == table["part"].iloc[0])]
        wide["all others together"] = together.set_index("participant")["score"]
        said.append(f"{target}: predicted by {which}\n{wide.round(3).to_string()}")
    return "\n\n".join([*said, f"Tables, and scores of every voxel: {brains_folder(paths)}"])
