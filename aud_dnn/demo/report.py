"""What the pipeline found in the demo, beside what was planted.

``python -m aud_dnn.demo.report --root demo``.
"""

from __future__ import annotations

if __name__ == "__main__":
    from aud_dnn.terminal import start_script

    start_script()

from aud_dnn.arguments import script_parser
from aud_dnn.paths import find_root
from aud_dnn.running import run_script


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    parser = script_parser(__doc__, prog="python -m aud_dnn.demo.report")
    parser.add_argument(
        "--root", default="demo", metavar="DIR", help="the demo's folder (default: demo)"
    )
    arguments = parser.parse_args(argv)
    from aud_dnn.demo.summaries import (
        RSA_FIGURE,
        best_layers,
        extracted_scores,
        plot_overview,
        rsa_summary,
        score_summary,
    )

    paths = find_root(arguments.root)
    print(
        "Median noise-corrected R2 over voxels (NH2015, B2021), median R2 over components "
        "(NH2015comp):\n"
    )
    print(score_summary(paths).to_string(float_format="{:.2f}".format, na_rep=""))
    extracted = extracted_scores(paths)
    if len(extracted):
        print(
            "\nExtracted from the demo's sounds (the small network's weights are random, not "
            "learned):\n"
        )
        print(extracted.to_string(float_format="{:.2f}".format))
    print("\nBest layer of the trained network, planted and found:\n")
    print(best_layers(paths).to_string())
    print(f"\nFigure: {plot_overview(paths)}")
    print("\nSimilarity (RSA) of the trained models and the participants, NH2015:\n")
    print(rsa_summary(paths).to_string(float_format="{:.2f}".format))
    print(f"\nFigure: {paths.rsa_results / RSA_FIGURE}.pdf")
    return 0


if __name__ == "__main__":
    run_script(main)
