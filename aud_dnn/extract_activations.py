"""Run a model on the sounds and write its activations: ``python aud_dnn/extract_activations.py --model spectemp``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from aud_dnn.arguments import add_bool, add_root, run_script
from aud_dnn.extract.registry import AVAILABLE_MODELS, build_extractor
from aud_dnn.extract.run import extract
from aud_dnn.extract.store import FORMATS
from aud_dnn.paths import find_root
from aud_dnn.resources import MODELS
from aud_dnn.spectemp import POOLINGS


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help=f"one of {', '.join(AVAILABLE_MODELS)}")
    add_bool(parser, "--randnetw", False, "permute the weights")
    parser.add_argument("--sounds", type=Path, metavar="DIR", help="folder of wav files (default: data/stimuli)")
    add_root(parser)
    parser.add_argument("--format", choices=FORMATS, help="h5: one file; pickle: one file per sound (default: as published)")
    parser.add_argument("--batch", type=int, default=1, metavar="N", help="sounds per forward pass (default: 1)")
    parser.add_argument("--name", help="folder below model-actv/ (default: the model's name)")
    parser.add_argument("--pooling", choices=POOLINGS, default="power",
                        help="what spectemp does with the pooled power; power is the published one (default: power)")
    add_bool(parser, "--overwrite", False, "replace activations that were made with other settings")
    options = parser.parse_args(arguments)

    paths = find_root(options.root)
    extractor = build_extractor(options.model, randnetw=options.randnetw, pooling=options.pooling)
    name = options.name or (options.model if options.pooling == "power" else f"{options.model}_{options.pooling}")
    format = options.format or (MODELS[options.model].storage if options.model in MODELS else "h5")
    done = extract(extractor, name, paths, sounds=options.sounds, randnetw=options.randnetw, format=format,
                   batch=options.batch, overwrite=options.overwrite)
    for remark in done.remarks:
        print(f"note: {remark}", file=sys.stderr)
    print(f"{done.path}: {len(extractor.layers)} layers; {done.n_done} sounds run now.")
    return 0


if __name__ == "__main__":
    run_script(main)
