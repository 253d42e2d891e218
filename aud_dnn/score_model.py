"""Score a model against the auditory cortex, and write a report.

::

    python aud_dnn/score_model.py mypackage:build
    python aud_dnn/score_model.py model.py:build --taps taps.toml
    python aud_dnn/score_model.py hf:facebook/wav2vec2-base
    python aud_dnn/score_model.py model.onnx
    python aud_dnn/score_model.py activations.h5 --name mymodel
    python aud_dnn/score_model.py mypackage:build --checkpoints 'run/step_*.pt'
    python aud_dnn/score_model.py mymodel

Extracts the activations of a network and of its permuted control (or takes those that are there),
fits every layer to every target whose data are there, compares by RSA where there are voxels, and
ends with a table and one HTML report that needs no network. A run that was stopped goes on where it
was.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    if not __package__:  # run as a file: import from the repository, not from this folder
        sys.path[0] = str(Path(__file__).resolve().parents[1])
    from aud_dnn.terminal import start_script

    start_script()

from aud_dnn.arguments import add_bool, add_root, add_taps, script_parser
from aud_dnn.running import make_callable, run_script, show_log
from aud_dnn.targets.facts import TARGETS


def main(argv: list[str] | None = None) -> int:
    """The command line."""
    parser = script_parser(__doc__)
    parser.add_argument(
        "source",
        help="a model in model-actv/, a file of activations (.h5), or a function that returns a "
        "PyTorch network: mypackage:build or model.py:build; or a file that holds a network "
        "(.onnx, or .pt of TorchScript); or hf:FOLDER-OR-NAME (transformers)",
    )
    parser.add_argument(
        "--name", help="name of the model's folders (default: from the module or the file)"
    )
    add_taps(parser)
    weights = parser.add_mutually_exclusive_group()
    weights.add_argument("--checkpoint", type=Path, metavar="FILE", help="weights to load into it")
    weights.add_argument(
        "--checkpoints",
        nargs="+",
        metavar="FILE",
        help="a series of checkpoints of one network (or a pattern in quotes: 'run/*.pt'): scores "
        "against the training step, which is read from the names",
    )
    parser.add_argument(
        "--checkpoint_entry", metavar="NAME", help="entry of the files that holds the weights"
    )
    add_bool(parser, "--trust_checkpoint", False, "let a checkpoint run code while it is read")
    parser.add_argument(
        "--target",
        nargs="+",
        choices=TARGETS,
        metavar="TARGET",
        help=f"{' '.join(TARGETS)} (default: all whose data are there)",
    )
    parser.add_argument(
        "--sounds", type=Path, metavar="DIR", help="folder of the sounds (default: data/stimuli)"
    )
    add_bool(parser, "--control", True, "extract and fit the permuted control, too")
    parser.add_argument(
        "--compare", metavar="MODEL", help="another model with results, to put beside this one"
    )
    add_bool(parser, "--overwrite", False, "make activations and results again that are there")
    parser.add_argument(
        "--device", default="cpu", help="where the network runs (default: %(default)s)"
    )
    add_root(parser)
    options = vars(parser.parse_args(argv))
    show_log(verbose=False)
    options["targets"] = options.pop("target")
    source, checkpoints = options.pop("source"), options.pop("checkpoints")
    if checkpoints is not None:
        from aud_dnn.api.score_checkpoints import score_checkpoints

        del options["checkpoint"]
        print(score_checkpoints(source, checkpoints, **options))
        return 0
    from aud_dnn.api.score_model import score_model

    print(score_model(source, **options))
    return 0


make_callable(__name__, "aud_dnn.api.score_model")

if __name__ == "__main__":
    run_script(main)
