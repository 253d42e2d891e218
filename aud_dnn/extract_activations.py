"""Run a model on the sounds and write its activations: ``python aud_dnn/extract_activations.py --model spectemp``."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

if __package__ in (None, ""):
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from aud_dnn.arguments import add_bool, add_root, run_script
from aud_dnn.extract.registry import AVAILABLE_MODELS, build_extractor, default_format, default_name
from aud_dnn.extract.run import extract
from aud_dnn.extract.store import FORMATS
from aud_dnn.paths import find_root
from aud_dnn.spectemp import POOLINGS


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True,
                        help=f"{', '.join(AVAILABLE_MODELS)}; or mypackage:build for a model of your own")
    add_bool(parser, "--randnetw", False, "permute the weights")
    parser.add_argument("--sounds", type=Path, metavar="DIR", help="folder of wav files (default: data/stimuli)")
    add_root(parser)
    parser.add_argument("--checkpoint", type=Path, metavar="FILE", help="the weights; for models from a library a folder")
    parser.add_argument("--format", choices=FORMATS, help="h5: one file; pickle: one file per sound (default: as published)")
    parser.add_argument("--device", default="cpu", help="cpu or cuda (default: cpu)")
    parser.add_argument("--batch", type=int, default=1, metavar="N", help="sounds per forward pass (default: 1)")
    parser.add_argument("--name", help="folder below model-actv/ (default: the model's name)")
    parser.add_argument("--taps", type=Path, metavar="TOML", help="where to read a model of your own (docs/own_model.md)")
    add_bool(parser, "--dry_run", False, "print the table of taps, shapes and lengths, and stop")
    parser.add_argument("--pooling", choices=POOLINGS, default="power",
                        help="what spectemp does with the pooled power; power is the published one (default: power)")
    parser.add_argument("--seed", type=int, help="of the permutation (default: the published one, else 0)")
    parser.add_argument("--permutation-index", "--permutation_index", type=Path, nargs="+", default=[], metavar="FILE",
                        help="published orders of the permutation, instead of a seed")
    add_bool(parser, "--random-weights", False, "external models as they are initialised, for trials")
    add_bool(parser, "--trust-checkpoint", False, "let a checkpoint run code while it is read")
    add_bool(parser, "--overwrite", False, "replace activations that were made with other settings")
    return parser


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    paths = find_root(options.root)
    extractor = build_extractor(
        options.model, randnetw=options.randnetw, checkpoint=options.checkpoint, taps=options.taps,
        random_weights=options.random_weights, seed=options.seed, index_files=tuple(options.permutation_index),
        trust=options.trust_checkpoint, device=options.device, pooling=options.pooling)
    if options.dry_run:
        print(extractor.check(options.batch))
        return 0
    done = extract(extractor, options.name or default_name(options.model, options.pooling), paths, sounds=options.sounds,
                   randnetw=options.randnetw, format=options.format or default_format(options.model), batch=options.batch,
                   overwrite=options.overwrite)
    for remark in done.remarks:
        print(f"note: {remark}", file=sys.stderr)
    print(f"{done.path}: {len(extractor.layers)} layers; {done.n_done} sounds run now.")
    return 0


if __name__ == "__main__":
    run_script(main)
