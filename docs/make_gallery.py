r"""Make docs/gallery/ and docs/gallery.md from the fitted demo.

    python -m aud_dnn.demo --root demo
    for each model of Kell2018word DCASE2020 mymodel spectemp (and --randnetw True for the first
    two): python aud_dnn/AUD_main.py --source_model <model> --source_layer all --target all \
        --root demo
    python aud_dnn/analyze/rsa_matrix_calculation_all_models.py --root demo \
        --models Kell2018word DCASE2020 mymodel spectemp
    python docs/make_gallery.py --root demo
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
sys.path.insert(0, str(DOCS.parent))

from aud_dnn.analyze import (  # noqa: E402
    consistency_layers,
    diagnostics_report,
    dimensionality_figures,
    figures,
    rsa_panels,
    supplement,
    surface_maps,
)
from aud_dnn.analyze.figure_options import FigureOptions  # noqa: E402
from aud_dnn.analyze.plotting.print_style import paper_style  # noqa: E402
from aud_dnn.analyze.plotting.similarity import layer_lines  # noqa: E402
from aud_dnn.arguments import add_root  # noqa: E402
from aud_dnn.paths import find_root  # noqa: E402
from aud_dnn.running import run_script  # noqa: E402
from aud_dnn.runs.similarity import chosen_parts, run_similarity  # noqa: E402
from aud_dnn.tables.parts import voxel_parts  # noqa: E402
from aud_dnn.tables.similarity import layers_table  # noqa: E402
from aud_dnn.utils import load_target  # noqa: E402

INTRODUCTION = """# Gallery

Every picture here comes from the small demo data set (`python -m aud_dnn.demo --root demo`), made
by `python docs/make_gallery.py --root demo`. The demo has three networks and the baseline, so the
pictures say what is missing; with the published results the same calls draw the full figures.
[figures.md](figures.md) explains what is shown.
"""


def _pictures(paths, options):
    """Name, heading, sentence, drawing."""
    trained = FigureOptions(own_models=options.own_models, conditions=(False,))
    safe = FigureOptions(own_models=options.own_models, palette="colorblind", participants=True)
    two = figures.figure_2(paths, options)
    yield (
        "figure2",
        "Figure 2, regression",
        "Bars are means over participants; the grey line is the baseline.",
        two[0],
    )
    yield (
        "figure2_colorblind",
        "The same with `--palette colorblind --participants True`",
        "Colour is the training task; dots are participants.",
        figures.figure_2(paths, safe)[0],
    )
    yield (
        "figure2_rsa",
        "Figure 2, RSA",
        "With the noise ceiling (dashed).",
        rsa_panels.figure_2_rsa(paths, options)[2],
    )
    yield (
        "figure4",
        "Figure 4",
        "One dot per sound. The layer is the one chosen most often over ten halvings.",
        figures.figure_4(paths, FigureOptions(), [("Kell2018word", False)])[4],
    )
    yield "figure5", "Figure 5", "The six response components.", figures.figure_5(paths, options)[0]
    seven = figures.figure_7(paths, trained)
    yield (
        "figure7",
        "Figure 7, regression",
        "The demo plants an early layer in primary cortex and a late one in anterior "
        "cortex; both networks that follow it lie above the line.",
        seven[0],
    )
    yield (
        "figure7_rsa",
        "Figure 7, RSA",
        "The same from RSA.",
        rsa_panels.figure_7_rsa(paths, options)[0],
    )
    nine = figures.figure_9(paths, options)
    yield "figure9a", "Figure 9A", "In-house networks on the components.", nine[0]
    yield "figure9b", "Figure 9B", "All components of a model side by side.", nine[1]
    layers = supplement.layer_figures(paths, trained)
    yield (
        "layers",
        "Supplement: scores across layers",
        "",
        supplement.layer_figures(paths, options)[0],
    )
    yield (
        "layers_by_region",
        "Supplement: by region",
        "Each region peaks at the layer that was planted in it.",
        layers[1],
    )
    yield "regions", "Supplement: best layer by region", "", layers[2]
    surfaces = surface_maps.surface_figures(
        paths, FigureOptions(targets=("NH2015",), conditions=(False,))
    )
    yield (
        "surface",
        "Figure 6: preferred layers on the voxel grid",
        "With `voxel_matrix_for_alex.mat` and nilearn the same values go onto the inflated "
        "fsaverage.",
        next(d for d in surfaces if "PLOTVAL=pos_" in d.stem),
    )
    yield "histogram", "Preferred layers", "", surfaces[0]
    report = diagnostics_report.diagnostics(
        paths, FigureOptions(targets=("NH2015",), conditions=(False,))
    )
    yield (
        "diagnostics",
        "Supplement: how the fits went",
        "Every layer has a page of its own beside this overview.",
        report[0],
    )
    yield (
        "consistency",
        "Supplement: do the data sets agree?",
        "One point per layer.",
        consistency_layers.layer_wise(paths, options)[0],
    )
    yield (
        "best_layers",
        "Supplement: do the methods agree on the best layer?",
        "One point per model and region.",
        consistency_layers.best_layers(paths, options)[0],
    )
    yield (
        "dimensionality",
        "Supplement: effective dimensionality against score",
        "One point per layer.",
        dimensionality_figures.dimensionality_figures(paths, options, ["regression"])[0],
    )
    target = load_target(paths, "NH2015")
    everything = chosen_parts(voxel_parts(target.metadata), None, target.name)
    compared = run_similarity(paths, ["Kell2018word"], target, everything, progress=False)
    yield (
        "similarity",
        "Supplement: ten measures of similarity",
        "`similarity.py`; see [methods](methods.md#does-the-measure-matter).",
        layer_lines(layers_table(list(compared)), stem="similarity"),
    )


def main(argv: list[str] | None = None) -> int:
    """Draw all pictures and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_root(parser)
    paths = find_root(parser.parse_args(argv).root)
    folder = DOCS / "gallery"
    folder.mkdir(exist_ok=True)
    page = [INTRODUCTION]
    for name, heading, sentence, drawing in _pictures(
        paths, FigureOptions(own_models=("mymodel",))
    ):
        with paper_style():
            drawing.figure.savefig(
                folder / f"{name}.png",
                dpi=60 if drawing.figure.get_figwidth() > 12 else 80,
                bbox_inches="tight",
                metadata={"Software": None},
            )
        page.append(
            f"## {heading}\n\n{sentence}\n\n![{heading}](gallery/{name}.png)\n".replace(
                "\n\n\n\n", "\n\n"
            )
        )
    (DOCS / "gallery.md").write_text("\n".join(page), encoding="utf-8")
    return 0


if __name__ == "__main__":
    run_script(main)
