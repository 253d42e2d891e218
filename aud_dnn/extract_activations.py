"""Run a model on the sounds and write its activations.

``python aud_dnn/extract_activations.py --model spectemp``.
"""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    if not __package__:  # run as a file: import from the repository, not from this folder
        sys.path[0] = str(Path(__file__).resolve().parents[1])
    from aud_dnn.terminal import start_script

    start_script()

from aud_dnn.arguments import with_underscores
from aud_dnn.extract.arguments import extraction_parser
from aud_dnn.extract.registry import (
    build_extractor,
    default_format,
    default_name,
    is_own_model,
    list_modules,
    proposed_taps_file,
)
from aud_dnn.extract.run import check_name, check_request, extract
from aud_dnn.paths import find_root
from aud_dnn.running import run_script, show_log


def main(arguments: list[str] | None = None) -> int:
    parser = extraction_parser()
    options = parser.parse_args(with_underscores(arguments))
    show_log(verbose=False)
    if options.list_layers:
        print(list_modules(options.list_layers, options.taps))
        return 0
    if options.model is None:
        parser.error(
            "--model is needed: a name of --list_models, or mypackage:build for a model of your own"
        )
    paths = find_root(options.root)
    name = options.name or default_name(options.model, options.pooling)
    if is_own_model(options.model) and options.taps is None:
        check_name(name)
        options.taps = proposed_taps_file(
            options.model,
            paths.model_activations(name) / "taps.toml",
            sample_rate=options.sample_rate,
            all_modules=options.all_modules,
        )
    extractor = build_extractor(
        options.model,
        randnetw=options.randnetw,
        checkpoint=options.checkpoint,
        taps=options.taps,
        random_weights=options.random_weights,
        seed=options.seed,
        index_files=tuple(options.permutation_index),
        trust=options.trust_checkpoint,
        device=options.device,
        pooling=options.pooling,
        floor=options.envelope_floor,
        entry=options.checkpoint_entry,
    )
    format = options.format or default_format(options.model)
    if options.dry_run:
        check_request(extractor, name, format, options.batch)
        print(extractor.check(options.batch))
        return 0
    done = extract(
        extractor,
        name,
        paths,
        sounds=options.sounds,
        randnetw=options.randnetw,
        format=format,
        batch=options.batch,
        overwrite=options.overwrite,
        tell=lambda remark: print(f"note: {remark}", file=sys.stderr),
    )
    print(f"{done.path}: {len(extractor.layers)} layers; {done.n_done} sounds run now.")
    return 0


if __name__ == "__main__":
    run_script(main)
