"""Models and brains by ten measures of similarity."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from aud_dnn.api.reading import load_target
from aud_dnn.errors import InputError
from aud_dnn.io.progress import tell_finished
from aud_dnn.paths import ProjectPaths, find_root

if TYPE_CHECKING:
    import pandas as pd

    from aud_dnn.runs.similarity import Similarity


def similarity(
    models: Sequence[str] | str,
    target: str | Path,
    *,
    regions: Sequence[str] | None = None,
    randnetw: bool = False,
    n_null: int = 20,
    seed: int = 0,
    overwrite: bool = False,
    draw: bool = True,
    root: str | Path | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Compare every layer of models with a brain by ten measures, each with ceiling and null.

    The measures are in :mod:`aud_dnn.methods.similarity.suite`. Scores of every participant are
    kept in ``results/<model>/similarity/`` and are computed again only when something that they
    were made from has changed. Tables and pictures lie there, too; those of several models in
    ``results/similarity/``.

    Parameters
    ----------
    models : str or sequence of str
        Models with activations.
    target : str or path
        A published target, or a file with one of one's own. Where it names no participants, all
        its voxels are taken for one participant's, and there is no ceiling.
    regions : sequence of str, optional
        All voxels together if not given.
    randnetw : bool
        The permuted networks.
    n_null : int
        Draws of the null.
    seed : int
        Of the null.
    overwrite : bool
        Compute again what is there.
    draw : bool
        Also draw the layers and the agreement of the measures.
    root : path, optional
        See :func:`aud_dnn.paths.find_root`.
    progress : bool

    Returns
    -------
    pandas.DataFrame
        One row per model, part and measure: :func:`aud_dnn.tables.similarity.models_table`.

    Raises
    ------
    InputError
        Anything wrong with the models, the target or the regions.

    Examples
    --------
    >>> import aud_dnn
    >>> table = aud_dnn.similarity("spectemp", "NH2015", n_null=2, draw=False, progress=False)
    >>> table["measure"].tolist()[:4]
    ['Pearson', 'Spearman', 'cosine', 'rho-a']
    >>> bool((table.set_index("measure")["score"] < 1).all())
    True
    """
    from aud_dnn.runs.similarity import chosen_parts, run_similarity
    from aud_dnn.tables.parts import voxel_parts
    from aud_dnn.tables.similarity import models_table

    names = [models] if isinstance(models, str) else list(dict.fromkeys(models))
    if not names:
        raise InputError("Name at least one model.")
    paths = find_root(root)
    loaded = load_target(target, root=paths.root)
    found = []
    for one in run_similarity(
        paths,
        names,
        loaded,
        chosen_parts(
            voxel_parts(loaded.metadata),
            [regions] if isinstance(regions, str) else regions,
            loaded.name,
        ),
        randnetw=randnetw,
        n_null=n_null,
        seed=seed,
        overwrite=overwrite,
        progress=progress,
    ):
        found.append(one)
        how = "computed" if one.computed else "already there"
        tell_finished("%s / %s, %s: %s", one.model, one.target, one.part, how)
    write_similarity_tables(similarity_folder(paths, names), found, draw)
    return models_table(found)


def similarity_folder(paths: ProjectPaths, models: Sequence[str]) -> Path:
    """Where tables and pictures of these models lie."""
    from aud_dnn.store.similarity import FOLDER

    return paths.results / FOLDER if len(models) > 1 else paths.results / models[0] / FOLDER


def write_similarity_tables(folder: Path, found: Sequence[Similarity], draw: bool) -> None:
    """Tables, and pictures of every part: layers, models, agreement of the measures."""
    from aud_dnn.analyze.plotting.drawings import Drawings
    from aud_dnn.analyze.plotting.similarity import agreement_map, layer_lines
    from aud_dnn.conditions import Condition
    from aud_dnn.tables.model_files import write_table
    from aud_dnn.tables.parts import ALL
    from aud_dnn.tables.similarity import agreement_table, layers_table, models_table

    folder.mkdir(parents=True, exist_ok=True)
    drawings = Drawings()
    for part in dict.fromkeys(one.part for one in found):
        here = [one for one in found if one.part == part]
        name = part.replace(" ", "-") if part == ALL else quote(part, safe="")
        stem = f"{here[0].target}_{name}"
        stem += f"_{Condition.of(here[0].randnetw)}"
        layers, agreement = layers_table(here), agreement_table(here)
        for ending, table in (
            ("models", models_table(here)),
            ("layers", layers),
            ("agreement", agreement),
        ):
            write_table(folder / f"{stem}_{ending}.csv", table, index=False)
            for kind in ("png", "svg"):  # of what was there before
                (folder / f"{stem}_{ending}.{kind}").unlink(missing_ok=True)
        if not draw:
            continue
        drawings.append(layer_lines(layers, stem=f"{stem}_layers"))
        drawn = agreement_map(agreement, stem=f"{stem}_agreement")
        if drawn is not None:
            drawings.append(drawn)
    drawings.save(folder, None)
