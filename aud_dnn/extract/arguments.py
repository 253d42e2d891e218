"""The command line of extract_activations.py."""

from __future__ import annotations

import argparse
from pathlib import Path

from aud_dnn.arguments import STATUSES, add_bool, add_root, add_taps
from aud_dnn.extract.cochleagram import ENVELOPE_FLOORS
from aud_dnn.extract.registry import (
    AVAILABLE_MODELS,
    FROM_LIBRARIES,
    IN_HOUSE,
    UNTRAINED,
    WRITTEN_HERE,
)
from aud_dnn.extract.spectemp import POOLINGS
from aud_dnn.extract.store import FORMATS
from aud_dnn.models.registry import BASELINE_MODEL

_DESCRIPTION = """\
Run a model on a folder of sounds and write its activations to model-actv/<model>/, where
AUD_main.py reads them.
Given again, the same command goes on where it was stopped."""


_EPILOG = """\
models
  acoustic baseline, no weights:
      {baseline}
  in-house networks, --checkpoint FILE (5_checkpoint.pt of the CochDNN archive):
{in_house}
  the same two architectures untrained, no weights:
      {untrained}
  external networks written here, --checkpoint FILE (the original checkpoint):
      {written}
  external networks from transformers and speechbrain, from their hub or with --checkpoint FOLDER:
      {libraries}
  The genre networks (Kell2018music, ResNet50music) are public as activations only.
  --random_weights True runs any of them without its weights. Where weights are: docs/extraction.md.

examples
  the baseline, on the sounds in data/stimuli/:
      python aud_dnn/extract_activations.py --model spectemp
  a network, and its permuted control:
      python aud_dnn/extract_activations.py --model Kell2018word \\
          --checkpoint kell2018_word/5_checkpoint.pt
      python aud_dnn/extract_activations.py --model Kell2018word \\
          --checkpoint kell2018_word/5_checkpoint.pt --randnetw True
  a look at the stages of a network, their shapes and lengths, without weights or sounds:
      python aud_dnn/extract_activations.py --model VGGish --random_weights True --dry_run True
  a model of your own (docs/own_model.md):
      python aud_dnn/extract_activations.py --model mypackage:build --taps taps.toml
"""


def _columns(names: tuple[str, ...], per_line: int = 4) -> str:
    return "\n".join(
        "      " + "".join(name.ljust(25) for name in names[i : i + per_line]).rstrip()
        for i in range(0, len(names), per_line)
    )


def extraction_parser() -> argparse.ArgumentParser:
    """Which model is run on which sounds, and where its activations go."""
    epilog = _EPILOG.format(
        baseline=BASELINE_MODEL,
        untrained=", ".join(UNTRAINED),
        written=", ".join(WRITTEN_HERE),
        libraries=", ".join(FROM_LIBRARIES),
        in_house=_columns(tuple(name for name in IN_HOUSE if name not in UNTRAINED)),
    )
    parser = argparse.ArgumentParser(
        description=_DESCRIPTION,
        epilog=f"{epilog}\n{STATUSES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--list_models",
        action="version",
        version="\n".join(AVAILABLE_MODELS),
        help="print the models that can be extracted by name, and stop",
    )
    parser.add_argument(
        "--list_layers",
        metavar="MODEL",
        help="print what can be tapped in a model (a name, or "
        "mypackage:build): modules, their classes and the shapes that they return for one sound, "
        "and stop",
    )
    parser.add_argument(
        "--model",
        metavar="MODEL",
        help="a name of the list below, or mypackage:build for a model of your own",
    )
    add_bool(parser, "--randnetw", False, "permute the weights: the control network")

    where = parser.add_argument_group("input and output")
    where.add_argument(
        "--sounds",
        type=Path,
        metavar="DIR",
        help="folder of wav files (default: data/stimuli of the root)",
    )
    add_root(where)
    where.add_argument(
        "--name",
        help="folder below model-actv/, and the --source_model of the analyses (default: the "
        "model's name)",
    )
    where.add_argument(
        "--format",
        choices=FORMATS,
        help="h5: one file; pickle: one file per sound (default: as published)",
    )
    add_bool(where, "--overwrite", False, "replace activations that were made with other settings")

    weights = parser.add_argument_group("weights")
    weights.add_argument(
        "--checkpoint",
        type=Path,
        metavar="FILE",
        help="the weights; for models from a library a folder, the copy of its hub repository",
    )
    weights.add_argument(
        "--checkpoint_entry",
        metavar="NAME",
        help="what to take of a checkpoint that holds several state dicts, for example net or ema",
    )
    add_bool(
        weights, "--random_weights", False, "leave the network as it is initialised; for trials"
    )
    add_bool(weights, "--trust_checkpoint", False, "let a checkpoint run code while it is read")
    weights.add_argument(
        "--seed", type=int, help="of the permutation (default: the published one, else 0)"
    )
    weights.add_argument(
        "--permutation_index",
        type=Path,
        nargs="+",
        default=[],
        metavar="FILE",
        help="published orders of the permutation, instead of a seed",
    )

    running = parser.add_argument_group("running")
    running.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    running.add_argument(
        "--batch", type=int, default=1, metavar="N", help="sounds per forward pass (default: 1)"
    )
    add_taps(running)
    add_bool(running, "--dry_run", False, "print the table of taps, shapes and lengths, and stop")
    running.add_argument(
        "--pooling",
        choices=POOLINGS,
        default="power",
        help="what spectemp does with the pooled power; power is the published one (default: "
        "power)",
    )
    running.add_argument(
        "--envelope_floor",
        choices=ENVELOPE_FLOORS,
        default="none",
        help="least envelope of the cochleagram (spectemp, in-house networks): none, or the 1e-8 "
        "of the published training code, which only digital silence reaches (default: none)",
    )
    return parser
