"""The regression script, end to end."""

from __future__ import annotations

import dataclasses
import errno
import json
import logging
import os
import random
import shutil
import signal
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import bad_input
import h5py
import numpy as np
import pandas as pd
import pytest
import roots

from aud_dnn import AUD_main
from aud_dnn.AUD_main import main
from aud_dnn.demo import DemoTruth
from aud_dnn.errors import DamagedFileError, InputError
from aud_dnn.io import atomic, digests
from aud_dnn.methods.ridge.scores import LayerScores
from aud_dnn.models.registry import MODELS
from aud_dnn.paths import ProjectPaths
from aud_dnn.runs import fit as fitting
from aud_dnn.runs import fit_remarks
from aud_dnn.runs.fit_arguments import fit_parser
from aud_dnn.splits import published_splits
from aud_dnn.store import regression_names as regression_names_module
from aud_dnn.store import regression_writing, sources
from aud_dnn.store.regression import read_result, read_table
from aud_dnn.store.regression_names import result_folder
from aud_dnn.targets.facts import COMPONENTS, ROIS
from aud_dnn.utils import Target

REPOSITORY = Path(AUD_main.__file__).parents[1]
LAYERS = MODELS["Kell2018word"].layer_names
PERMUTED_LAYERS = LAYERS[
    :3
]  # the permuted network only loses what the sounds have from layer to layer


@pytest.fixture(autouse=True)
def _log_as_before() -> Iterator[None]:
    """The script sets up the project's logger; put it back for other tests."""
    log = logging.getLogger("aud_dnn")
    before = log.handlers, log.level, log.propagate
    yield
    log.handlers, log.level, log.propagate = before


def folder_of(
    root: Path, model: str, layer: str, target: str, randnetw: bool = False, alphalimit: int = 50
) -> Path:
    return result_folder(ProjectPaths(root), model, layer, target, randnetw, alphalimit)


def run_script(
    *argv: str, setup: str = "", timeout: float = 120, **environment: str
) -> subprocess.CompletedProcess:
    """The script as a process of its own; ``setup`` runs in it first."""
    command = (
        [sys.executable, str(REPOSITORY / "aud_dnn" / "AUD_main.py"), *argv]
        if not setup
        else [
            sys.executable,
            "-c",
            f"{setup}\nfrom aud_dnn import AUD_main, running\n"
            "running.run_script(lambda _: AUD_main.main(sys.argv[1:]))",
            *argv,
        ]
    )
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": str(REPOSITORY),
        **environment,
    }
    return subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, env=environment, check=False
    )


def read_all(folder: Path) -> tuple:
    """Scores, table and predictions, for comparing with what takes their place."""
    result = read_result(folder)
    return result.scores, result.table, result.predictions()


@pytest.fixture(scope="module")
def fitted(demo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo with the trained and the permuted network and the baseline fitted to NH2015 and the
    components.
    """
    root = roots.borrow(demo_root, tmp_path_factory.mktemp("fitted") / "root")
    log = logging.getLogger("aud_dnn")
    before = log.handlers, log.level, log.propagate
    for model, randnetw, layers in (
        ("Kell2018word", "False", ("all",)),
        ("Kell2018word", "TRUE", PERMUTED_LAYERS),
        ("spectemp", "false", ("all",)),
    ):
        assert (
            main(
                [
                    "--root",
                    str(root),
                    "--source_model",
                    model,
                    "--source_layer",
                    *layers,
                    "--target",
                    "NH2015",
                    "NH2015comp",
                    "--randnetw",
                    randnetw,
                    "--save_preds",
                    "False",
                ]
            )
            == 0
        )
    log.handlers, log.level, log.propagate = before
    return root


@pytest.fixture
def small(demo_root: Path, tmp_path: Path) -> Path:
    """A root for tests that write, without the many files of DCASE2020."""
    return roots.borrow(demo_root, tmp_path / "root", without=("DCASE2020",))


COMPONENTS_ONLY = ("--target", "NH2015comp")


# --- the command line ---------------------------------------------------------------------------


def test_defaults_are_the_published_ones() -> None:
    assert vars(fit_parser("").parse_args([])) == {
        "source_model": "Kell2018word",
        "source_layer": None,
        "target": ["NH2015"],
        "alphalimit": 50,
        "randnetw": False,
        "save_plot": False,
        "dry_run": False,
        "save_preds": True,
        "verbose": False,
        "legacy_pickles": False,
        "overwrite": False,
        "root": None,
        "layer_order": None,
        "assume_stimulus_order": False,
        "list_models": False,
        "list_layers": None,
    }


@pytest.mark.parametrize(
    "flag", ["--randnetw", "--save_plot", "--save_preds", "--verbose", "--legacy_pickles"]
)
def test_booleans_in_any_case(flag: str, capsys: pytest.CaptureFixture) -> None:
    name = flag.removeprefix("--")
    for text, value in (
        ("True", True),
        ("true", True),
        ("TRUE", True),
        ("False", False),
        ("fAlSe", False),
    ):
        assert getattr(fit_parser("").parse_args([flag, text]), name) is value
    assert getattr(fit_parser("").parse_args([flag]), name) is True
    for text in ("0", "yes", ""):
        with pytest.raises(SystemExit):
            fit_parser("").parse_args([flag, text])
        assert "expected True or False" in capsys.readouterr().err


def test_the_published_command_line_is_understood() -> None:
    arguments = [
        "--source_model",
        "Kell2018word",
        "--source_layer",
        "relu2",
        "--target",
        "NH2015",
        "--alphalimit",
        "50",
        "--randnetw",
        "False",
        "--save_plot",
        "False",
        "--save_preds",
        "True",
        "--verbose",
        "False",
    ]
    default = fit_parser("").parse_args([])
    default.source_layer = list(AUD_main.default_layers(ProjectPaths(Path()), default.source_model))
    assert fit_parser("").parse_args(arguments) == default


def test_help_needs_no_heavy_import() -> None:
    run = run_script(
        setup="import sys, atexit\n"
        "heavy = {'numpy', 'pandas', 'scipy', 'h5py', 'xarray', 'matplotlib', 'sklearn', "
        "'pyarrow'}\n"
        "atexit.register(lambda: print('LOADED', sorted(heavy & set(sys.modules))))\n"
        "sys.argv.append('--help')"
    )
    assert run.returncode == 0 and "--source_layer" in run.stdout and "LOADED []" in run.stdout


# --- what comes out -----------------------------------------------------------------------------


def test_script_as_a_process(small: Path) -> None:
    """All flags at their defaults but the root, which comes from the environment."""
    run = run_script(AUD_DNN_ROOT=str(small))
    assert run.returncode == 0, run.stderr
    assert "Traceback" not in run.stderr
    folder = folder_of(small, "Kell2018word", "relu2", "NH2015")
    assert (
        folder.name
        == "AUD-MAPPING-Ridge_TARGET-NH2015_SOURCE-Kell2018word-relu2_RANDNETW-False_ALPHALIMIT-50"
    )
    names = {path.name for path in folder.iterdir()}
    assert {"ds.nc", "df_output.parquet", "y_preds.nc", "provenance.json"} < names and len(
        names
    ) == 5
    result = read_result(folder)
    row = next(line for line in run.stdout.splitlines() if line.startswith("NH2015 "))
    assert row.split()[1:4] == [
        "relu2",
        f"{result.table['median_r2_test'].median():.3f}",
        f"{result.table['median_r2_test_c'].median():.3f}",
    ]
    assert str(folder.parent) in run.stdout
    (log,) = folder.glob("out-*.log")
    text = log.read_text(encoding="utf-8")
    assert "INFO" in text and "median R2" in text and "300 units" in text
    record = result.provenance
    assert (
        record["arguments"]["alphalimit"] == 50
        and record["split_seed"] == 0
        and record["seconds"] > 0
    )
    assert record["peak_memory_mb"] > 10 and set(record["packages"]) >= {"numpy", "scipy"}
    assert len(record["activations"]["sha256"]) == len(record["responses"]["sha256"]) == 64


def test_verbose_logs_to_the_terminal(small: Path, capsys: pytest.CaptureFixture) -> None:
    arguments = ["--root", str(small), *COMPONENTS_ONLY]
    main(arguments)
    assert "INFO" not in capsys.readouterr().err
    main([*arguments, "--verbose", "True", "--overwrite"])
    assert "INFO: " in capsys.readouterr().err


def test_several_layers_and_targets_equal_one_at_a_time(
    small: Path, capsys: pytest.CaptureFixture
) -> None:
    layers, targets = ["relu4", "avgpool"], ["NH2015comp", "NH2015"]
    main(["--root", str(small), "--source_layer", *layers, "relu4", "--target", *targets, "NH2015"])
    rows = [
        line.split()[:2]
        for line in capsys.readouterr().out.splitlines()
        if line.startswith("NH2015")
    ]
    assert rows == [[target, layer] for target in targets for layer in layers]
    together = {
        (target, layer): read_all(folder_of(small, "Kell2018word", layer, target))
        for target in targets
        for layer in layers
    }
    shutil.rmtree(small / "results")
    for (target, layer), expected in together.items():
        main(["--root", str(small), "--source_layer", layer, "--target", target])
        scores, table, predictions = read_all(folder_of(small, "Kell2018word", layer, target))
        assert scores.identical(expected[0])
        pd.testing.assert_frame_equal(table, expected[1])
        np.testing.assert_array_equal(predictions, expected[2])


def test_all_layers_come_in_the_order_of_the_registry(
    fitted: Path, capsys: pytest.CaptureFixture
) -> None:
    main(
        [
            "--root",
            str(fitted),
            "--source_layer",
            "all",
            "--target",
            "NH2015comp",
            "--save_preds",
            "False",
        ]
    )
    rows = [
        line.split()
        for line in capsys.readouterr().out.splitlines()
        if line.startswith("NH2015comp")
    ]
    assert [row[1] for row in rows] == list(LAYERS)
    assert all("already there" in " ".join(row) for row in rows)


def test_own_model_is_scored_under_any_name(small: Path, capsys: pytest.CaptureFixture) -> None:
    with h5py.File(roots.own(small / "model-actv/mymodel/natsound_activations.h5"), "r+") as file:
        del file["layer_list"]
        file["layer_list"] = np.array([b"recurrent", b"convolution"])
    main(
        [
            "--root",
            str(small),
            "--source_model",
            "mymodel",
            "--source_layer",
            "all",
            "--target",
            "all",
        ]
    )
    lines = capsys.readouterr().out.splitlines()
    rows = [tuple(line.split()[:2]) for line in lines if line.startswith(("NH2015", "B2021"))]
    layers = ("recurrent", "convolution")
    assert rows == [
        (target, layer) for target in ("NH2015", "B2021", "NH2015comp") for layer in layers
    ]
    for layer in layers:
        assert read_result(folder_of(small, "mymodel", layer, "B2021")).table.shape[0] == 600


def test_no_download_is_proposed_for_an_own_model(small: Path) -> None:
    roots.own(small / "model-actv/mymodel/natsound_activations.h5")
    with pytest.raises(
        InputError, match=r"no permuted.*of mymodel.*natsound_activations_randnetw.h5.*README"
    ) as caught:
        main(
            [
                "--root",
                str(small),
                "--source_model",
                "mymodel",
                "--source_layer",
                "all",
                "--randnetw",
                "True",
            ]
        )
    assert "download_files" not in str(caught.value)


def test_layer_names_with_slashes_have_folders_of_their_own(small: Path) -> None:
    rng = np.random.default_rng(0)
    layers = {"block/1": rng.standard_normal((165, 8)), "block--1": rng.standard_normal((165, 8))}
    roots.write_h5(
        small / "model-actv" / "net" / "natsound_activations.h5", layers, layer_list=list(layers)
    )
    main(["--root", str(small), "--source_model", "net", "--source_layer", "all", *COMPONENTS_ONLY])
    found = {
        key.layer: folder
        for key, folder in regression_names_module.find_results(ProjectPaths(small), "net")
    }
    assert set(found) == set(layers) and len(set(found.values())) == 2
    assert all(folder.parent == small / "results" / "net" for folder in found.values())
    assert str(read_result(found["block/1"]).scores["source_layer"].item()) == "block/1"


def test_pictures_predictions_and_pickles_only_when_asked_for(
    small: Path, capsys: pytest.CaptureFixture
) -> None:
    arguments = ["--root", str(small), "--source_layer", "avgpool", *COMPONENTS_ONLY]
    folder = folder_of(small, "Kell2018word", "avgpool", "NH2015comp")
    main([*arguments, "--save_preds", "False"])
    plain = read_result(folder)
    scores = plain.scores
    assert not {path.name for path in folder.iterdir()} & {
        "y_preds.nc",
        "plots",
        "ds.pkl",
        "df_output.pkl",
    }
    remade = plain.predictions()
    capsys.readouterr()
    everything = [*arguments, "--save_plot", "True", "--legacy_pickles", "True"]
    main(everything)  # kept, and said to lack what was asked for
    said = capsys.readouterr().err
    assert read_result(folder).provenance == plain.provenance
    assert all(
        what in said
        for what in (
            "lack predictions",
            "lack the published pickles",
            "lack pictures",
            "--overwrite",
        )
    )
    main([*everything, "--overwrite"])
    names = {path.name for path in folder.iterdir()}
    assert names >= {
        "y_preds.nc",
        "plots",
        "ds.pkl",
        "df_output.pkl",
        "y_preds_test.pkl",
        "y_preds_test_rescaled.pkl",
    }
    plots = list((folder / "plots").iterdir())
    assert {path.name for path in plots} == {
        "overview.png",
        *(f"component-{i}.png" for i in range(6)),
    }
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in plots)
    assert read_result(folder).scores.identical(scores)
    stored = read_result(folder).predictions()
    np.testing.assert_allclose(remade, stored, rtol=2.0**-24, atol=1e-13 * np.nanstd(stored))


def test_every_five_hundredth_voxel_has_its_picture(small: Path) -> None:
    main(
        [
            "--root",
            str(small),
            "--source_layer",
            "avgpool",
            "--target",
            "B2021",
            "--save_plot",
            "True",
            "--save_preds",
            "False",
        ]
    )
    plots = folder_of(small, "Kell2018word", "avgpool", "B2021") / "plots"
    assert {path.name for path in plots.iterdir()} == {
        "overview.png",
        "voxel-0.png",
        "voxel-500.png",
    }


def test_alphalimit_sets_the_grid(small: Path) -> None:
    main(["--root", str(small), "--alphalimit", "1", *COMPONENTS_ONLY])
    result = read_result(folder_of(small, "Kell2018word", "relu2", "NH2015comp", alphalimit=1))
    assert set(np.unique(result.scores["alphas"])) <= {1.0, 0.1}


def test_results_are_kept_unless_overwritten(
    small: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    arguments = ["--root", str(small), *COMPONENTS_ONLY]
    main(arguments)
    before = roots.snapshot(small / "results")
    with monkeypatch.context() as patch:
        patch.setattr(fitting, "reduce_features", None)  # nothing to fit
        main(arguments)
    assert roots.snapshot(small / "results") == before
    assert "already there" in capsys.readouterr().out
    with h5py.File(roots.own(small / bad_input.WORD), "r+") as file:
        file["relu2"][:] = file["relu1"][()][:, : file["relu2"].shape[1]]
    with pytest.raises(
        InputError, match=r"NH2015comp / relu2 \(other activations\)\..*--overwrite"
    ):
        main(arguments)
    assert roots.snapshot(small / "results") == before
    main([*arguments, "--overwrite"])
    folder = folder_of(small, "Kell2018word", "relu2", "NH2015comp")
    assert (folder / "ds.nc").read_bytes() != before[
        (folder / "ds.nc").relative_to(small / "results").as_posix()
    ]
    assert [path for path in folder.parent.iterdir() if path.name.startswith(".")] == []


def test_results_of_other_responses_or_other_numerics_are_not_kept(
    small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ["--root", str(small), *COMPONENTS_ONLY]
    main(arguments)
    with monkeypatch.context() as patch:
        patch.setattr(sources, "NUMERICS_VERSION", sources.NUMERICS_VERSION + 1)
        with pytest.raises(InputError, match=r"other version of the numerics"):
            main(arguments)
    load_target = sources.load_target

    def other_responses(*asked):
        target = load_target(*asked)
        return dataclasses.replace(target, responses=target.responses + 1)

    monkeypatch.setattr(sources, "load_target", other_responses)
    with pytest.raises(InputError, match=r"other responses"):
        main(arguments)


def _shuffled_regions(root: Path) -> None:
    roots.change_pickle(
        root / bad_input.COMPONENTS / "df_roi_meta.pkl",
        lambda table: table.assign(comp_idx=table["comp_idx"].to_numpy()[::-1]),
    )


def _older_activations(root: Path) -> None:
    """Other values with the times of the earlier file, as ``cp -p`` and archives bring them."""
    path = roots.own(root / bad_input.WORD)
    before = path.stat()
    with h5py.File(path, "r+") as file:
        file["relu2"][:] = file["relu1"][()][:, : file["relu2"].shape[1]]
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns - 10**12))


def _another_category(root: Path) -> None:
    roots.change_npy(
        root / bad_input.NEURAL / "neural_stim_meta.npy",
        lambda array: array["cat_assignment"].__setitem__(
            0,
            next(
                category
                for category in array["cat_assignment"]
                if category != array["cat_assignment"][0]
            ),
        ),
    )


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_shuffled_regions, "metadata"),
        (_older_activations, "activations"),
        (_another_category, "stimuli"),
    ],
)
def test_results_are_current_only_if_all_they_were_made_from_is(
    change, says: str, with_results: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    root = roots.borrow(with_results, tmp_path / "root", without=("*_activations*.pkl",))
    arguments = ["--root", str(root), *COMPONENTS_ONLY]
    assert main(arguments) == 0 and "already there" in capsys.readouterr().out
    change(root)
    with pytest.raises(InputError, match=rf"NH2015comp / relu2 \(other {says}\)\..*--overwrite"):
        main(arguments)


@pytest.mark.parametrize("name", ["activations", "responses", "metadata", "stimuli", "numerics"])
def test_what_a_result_does_not_record_counts_as_changed(
    name: str, with_results: Path, tmp_path: Path
) -> None:
    root = roots.borrow(with_results, tmp_path / "root", without=("*_activations*.pkl",))
    path = roots.own(folder_of(root, "Kell2018word", "relu2", "NH2015comp") / "provenance.json")
    provenance = json.loads(path.read_text())
    del provenance[name]
    path.write_text(json.dumps(provenance))
    said = "version of the numerics" if name == "numerics" else name
    with pytest.raises(InputError, match=rf"relu2 \({said} not recorded"):
        main(["--root", str(root), *COMPONENTS_ONLY])


def test_a_rerun_over_untouched_files_reads_none_of_them(
    with_results: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    root = roots.borrow(with_results, tmp_path / "root", without=("*_activations*.pkl",))
    monkeypatch.setattr(digests, "_SETTLED_NS", 0)
    arguments = ["--root", str(root), "--target", "NH2015", "NH2015comp"]
    main(arguments)
    monkeypatch.setattr(sources, "load_target", None)
    monkeypatch.setattr(sources, "array_digest", None)
    monkeypatch.setattr(digests, "file_digest", None)
    capsys.readouterr()
    assert main(arguments) == 0 and capsys.readouterr().out.count("already there") == 2


@pytest.mark.parametrize("name", ["ds.nc", "df_output.parquet", "y_preds.nc"])
def test_an_edited_result_is_not_already_there(
    name: str, with_results: Path, tmp_path: Path
) -> None:
    root = roots.borrow(with_results, tmp_path / "root", without=("*_activations*.pkl",))
    path = roots.own(folder_of(root, "Kell2018word", "relu2", "NH2015comp") / name)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(DamagedFileError, match=rf"{name} is not as it was written.*--overwrite"):
        main(["--root", str(root), *COMPONENTS_ONLY])


@pytest.mark.parametrize(
    "how", ["another grid", "another layer", "the other condition", "another target"]
)
def test_a_copied_or_renamed_result_is_not_already_there(
    how: str, with_results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = roots.borrow(with_results, tmp_path / "root", without=("*_activations*.pkl",))
    source = folder_of(root, "Kell2018word", "relu2", "NH2015comp")
    place, flags = {
        "another grid": (
            folder_of(root, "Kell2018word", "relu2", "NH2015comp", alphalimit=5),
            ["--alphalimit", "5"],
        ),
        "another layer": (
            folder_of(root, "Kell2018word", "relu1", "NH2015comp"),
            ["--source_layer", "relu1"],
        ),
        "the other condition": (
            folder_of(root, "Kell2018word", "relu2", "NH2015comp", True),
            ["--randnetw", "True"],
        ),
        "another target": (
            folder_of(root, "Kell2018word", "relu2", "B2021"),
            ["--target", "B2021"],
        ),
    }[how]
    source.rename(place)
    monkeypatch.setattr(fitting, "decompose_splits", None)
    with pytest.raises(InputError, match=r"holds another result than its name says.*--overwrite"):
        main(["--root", str(root), *COMPONENTS_ONLY, *flags])


def test_published_results_count_as_there(
    small: Path, golden_root: Path, capsys: pytest.CaptureFixture
) -> None:
    shutil.copytree(
        golden_root / "published_pickles" / "results" / "spectemp", small / "results" / "spectemp"
    )
    before = roots.snapshot(small / "results")
    main(
        [
            "--root",
            str(small),
            "--source_model",
            "spectemp",
            "--source_layer",
            "avgpool",
            "--target",
            "NH2015comp",
        ]
    )
    assert (
        "already there" in capsys.readouterr().out and roots.snapshot(small / "results") == before
    )


# --- what is planted ----------------------------------------------------------------------------


def medians(
    root: Path, model: str, layers: tuple[str, ...], target: str, randnetw: bool = False
) -> np.ndarray:
    """Median (noise-corrected, where there is noise) R² over splits, (n_layers, n_voxels)."""
    column = "median_r2_test" if target == "NH2015comp" else "median_r2_test_c"
    return np.array(
        [read_table(folder_of(root, model, layer, target, randnetw))[column] for layer in layers]
    )


def test_best_layer_of_every_region_is_the_planted_one(fitted: Path, demo_truth: DemoTruth) -> None:
    scores = medians(fitted, "Kell2018word", LAYERS, "NH2015")
    region = read_table(folder_of(fitted, "Kell2018word", "relu0", "NH2015"))[
        "roi_label_general"
    ].to_numpy()
    for roi in ROIS:
        own = region == roi
        assert LAYERS[np.median(scores[:, own], axis=1).argmax()] == demo_truth.roi_layers[roi]
        best = np.array(LAYERS)[scores[:, own].argmax(axis=0)]
        assert np.mean(best == demo_truth.roi_layers[roi]) > 0.8  # 0.93 to 1.0 with this seed


def test_best_layer_of_every_component_is_the_planted_one(
    fitted: Path, demo_truth: DemoTruth
) -> None:
    best = medians(fitted, "Kell2018word", LAYERS, "NH2015comp").argmax(axis=0)
    assert {
        name: LAYERS[layer] for name, layer in zip(COMPONENTS, best)
    } == demo_truth.component_layers


def test_explained_voxels_score_one_and_noise_scores_nothing(
    fitted: Path, demo_truth: DemoTruth
) -> None:
    scores, truth = medians(fitted, "Kell2018word", LAYERS, "NH2015"), demo_truth.voxels["NH2015"]
    driven = truth.layer != ""
    own = scores[[LAYERS.index(layer) for layer in truth.layer[driven]], np.flatnonzero(driven)]
    assert np.median(own) == pytest.approx(1, abs=0.05)
    # what noise is left after three repetitions scatters the single voxels
    assert np.mean((own > 0.8) & (own < 1.2)) > 0.95
    raw = np.array(
        [
            read_table(folder_of(fitted, "Kell2018word", layer, "NH2015"))["median_r2_test"]
            for layer in LAYERS
        ]
    )
    # chance level of r² over 82 sounds is 1/81; the correction cannot be trusted for a voxel
    # without any reliability
    assert np.median(raw[:, ~driven]) < 0.02 and raw[:, ~driven].mean() < 0.03


def test_permuted_network_is_below_the_trained_one(fitted: Path, demo_truth: DemoTruth) -> None:
    driven = demo_truth.voxels["NH2015"].layer != ""
    best = {
        randnetw: medians(fitted, "Kell2018word", layers, "NH2015", randnetw).max(axis=0)[driven]
        for randnetw, layers in ((False, LAYERS), (True, PERMUTED_LAYERS))
    }
    assert np.median(best[True]) < np.median(best[False]) - 0.3
    assert np.mean(best[True] < best[False]) > 0.99
    baseline = medians(fitted, "spectemp", ("avgpool",), "NH2015")[0, driven]
    assert (
        np.median(best[True]) < np.median(best[False])
        and np.median(baseline) < np.median(best[False]) - 0.2
    )


# --- real sounds --------------------------------------------------------------------------------

REAL_R2 = """
0.708 0.556 0.319
0.767 0.560 0.496
0.671 0.539 0.334
0.736 0.545 0.468
0.727 0.563 0.507
0.703 0.525 0.500
0.678 0.605 0.477
0.690 0.591 0.348
0.685 0.480 0.484
0.741 0.546 0.458
"""


def test_real_baseline_gives_the_published_scores(
    real_root: Path, capsys: pytest.CaptureFixture
) -> None:
    """Per split (lowfreq, highfreq, envsounds), tolerance of the specification; medians of all six
    components.
    """
    assert (
        main(
            [
                "--root",
                str(real_root),
                "--source_model",
                "spectemp",
                "--source_layer",
                "avgpool",
                "--target",
                "NH2015comp",
            ]
        )
        == 0
    )
    result = read_result(folder_of(real_root, "spectemp", "avgpool", "NH2015comp"))
    expected = np.array([line.split() for line in REAL_R2.split("\n") if line], dtype=float)
    np.testing.assert_allclose(
        result.scores["r2_test"].to_numpy()[:3].T, expected, rtol=0, atol=0.002
    )
    np.testing.assert_allclose(
        result.table["median_r2_test"],
        [0.706, 0.551, 0.473, 0.533, 0.655, 0.367],
        rtol=0,
        atol=0.002,
    )
    assert result.table["comp"].tolist() == list(COMPONENTS)


# --- bad input ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def with_results(demo_root: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo with earlier results of the layers that the bad-input cases ask for."""
    root = roots.borrow(demo_root, tmp_path_factory.mktemp("earlier") / "root")
    log = logging.getLogger("aud_dnn")
    before = log.handlers, log.level, log.propagate
    main(["--root", str(root), "--target", "NH2015comp", "NH2015"])
    main(
        [
            "--root",
            str(root),
            "--source_model",
            "DCASE2020",
            "--source_layer",
            "GRU_1",
            *COMPONENTS_ONLY,
        ]
    )
    log.handlers, log.level, log.propagate = before
    return root


@pytest.mark.parametrize("case", bad_input.CASES, ids=lambda case: case.name)
def test_bad_input_is_named_before_any_fit(
    case: bad_input.Case, with_results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = () if case.model == "DCASE2020" else ("*_activations*.pkl",)
    root = roots.borrow(with_results, tmp_path / "root", without=without)
    case.spoil(root)
    before = roots.snapshot(root / "results")
    monkeypatch.setattr(fitting, "decompose_splits", None)  # a fit would fail another way
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as error:
        main(["--root", str(root), "--overwrite", *case.argv])
    message = str(error.value)
    for words in case.says:
        assert words in message, message
    assert len(message) < 1500 and "\n" not in message
    assert roots.snapshot(root / "results") == before
    assert not list(tmp_path.rglob("owned.txt"))


def test_an_error_is_one_line_and_status_2(small: Path) -> None:
    run = run_script("--root", str(small), "--source_layer", "relu22")
    assert run.returncode == 2 and run.stdout == ""
    assert (
        run.stderr.startswith("error: Unknown layer of Kell2018word: 'relu22'")
        and run.stderr.count("\n") == 1
    )


def test_a_root_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="nowhere"):
        main(["--root", str(tmp_path / "nowhere")])


def test_a_folder_that_is_no_result_is_not_overwritten_unasked(small: Path) -> None:
    folder = folder_of(small, "Kell2018word", "relu2", "NH2015comp")
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("mine")
    with pytest.raises(InputError, match="holds no whole result"):
        main(["--root", str(small), *COMPONENTS_ONLY])
    assert (folder / "notes.txt").read_text() == "mine"


def test_a_layer_name_that_no_folder_can_have(small: Path) -> None:
    name = "x" * 200
    roots.write_h5(
        small / "model-actv" / "net" / "natsound_activations.h5", {name: np.ones((165, 2))}
    )
    with pytest.raises(InputError, match="too long"):
        main(
            [
                "--root",
                str(small),
                "--source_model",
                "net",
                "--source_layer",
                "all",
                *COMPONENTS_ONLY,
            ]
        )


def test_a_damaged_earlier_result_is_met_before_any_fit(
    with_results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = roots.borrow(with_results, tmp_path / "root", without=("*_activations*.pkl",))
    folder = folder_of(root, "Kell2018word", "relu2", "NH2015comp")
    roots.cut(folder / "df_output.parquet")
    monkeypatch.setattr(fitting, "decompose_splits", None)
    with pytest.raises(DamagedFileError, match=r"df_output\.parquet.*--overwrite"):
        main(["--root", str(root), "--source_layer", "relu1", "relu2", *COMPONENTS_ONLY])


# --- full disk, kill ----------------------------------------------------------------------------


def test_too_little_room_is_said_before_any_fit(
    with_results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = roots.borrow(with_results, tmp_path / "root", without=("*_activations*.pkl",))
    before = roots.snapshot(root / "results")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: types.SimpleNamespace(free=100_000))
    monkeypatch.setattr(fitting, "decompose_splits", None)
    with pytest.raises(InputError, match=r"MB.*0 MB free.*Free some space.*--save_preds False"):
        main(["--root", str(root), "--overwrite"])
    assert roots.snapshot(root / "results") == before


@pytest.mark.parametrize("function", ["_write_table", "_write_dataset", "_write_predictions"])
def test_full_disk_while_writing(
    function: str, with_results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = roots.borrow(with_results, tmp_path / "root", without=("*_activations*.pkl",))
    before = roots.snapshot(root / "results")
    original, calls = getattr(regression_writing, function), []

    def fail_the_second_time(*arguments: object) -> None:
        calls.append(arguments)
        if len(calls) == 2:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        original(*arguments)

    monkeypatch.setattr(regression_writing, function, fail_the_second_time)
    arguments = ["--root", str(root), "--source_layer", "relu1", "relu2", "relu3", *COMPONENTS_ONLY]
    with pytest.raises(
        InputError,
        match=r"relu2.*cannot be written: No space left.*Free some space.*same command again",
    ):
        main([*arguments, "--overwrite"])
    after = roots.snapshot(root / "results")
    finished = folder_of(root, "Kell2018word", "relu1", "NH2015comp")
    assert {name: content for name, content in after.items() if finished.name not in name} == before
    read_result(finished)
    monkeypatch.undo()
    assert main(arguments) == 0
    read_result(folder_of(root, "Kell2018word", "relu3", "NH2015comp"))


@pytest.mark.parametrize("limit", [20_000, 200_000])
def test_a_write_that_really_fails(limit: int, with_results: Path, tmp_path: Path) -> None:
    """The system refuses to let files grow: NH2015's table at 20 kB, its scores at 200 kB."""
    pytest.importorskip("resource")
    root = roots.borrow(with_results, tmp_path / "root", without=("*_activations*.pkl",))
    before = roots.snapshot(root / "results")
    run = run_script(
        "--root",
        str(root),
        "--overwrite",
        "--save_preds",
        "False",
        setup=f"import resource, sys\nresource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, "
        f"{limit}))",
    )
    assert run.returncode == 2, run.stderr
    assert (
        run.stderr.startswith("error: ")
        and "cannot be written" in run.stderr
        and "same command again" in run.stderr
    )
    assert roots.snapshot(root / "results") == before


KILL = """
import os, signal, sys
left = {after}
def count(event, arguments):
    global left
    watched = event in ("open", "os.rename", "os.mkdir", "os.remove", "os.rmdir")
    if watched and {results!r} in str(arguments[0]):
        left -= 1
        if left < 0:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(count)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
@pytest.mark.parametrize("overwrite", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_kill_at_any_moment_leaves_whole_results_or_none(overwrite: bool, small: Path) -> None:
    """Killed at random file operations, so at moments that matter. ``overwrite``: each earlier
    result is there or can be.
    """
    layers = ("avgpool", "relufc")
    arguments = ["--root", str(small), "--source_layer", *layers, *COMPONENTS_ONLY]
    main(arguments)
    folders = [folder_of(small, "Kell2018word", layer, "NH2015comp") for layer in layers]
    expected = {folder: read_all(folder) for folder in folders}
    rng, killed = random.Random(overwrite), 0
    # one after the other, without tidying up in between: a run meets what the killed ones before it
    # left
    for _ in range(3):
        if not overwrite:
            for folder in folders:
                shutil.rmtree(folder, ignore_errors=True)
        run = run_script(
            *arguments,
            *(["--overwrite"] if overwrite else []),
            setup=KILL.format(after=rng.randrange(40), results=str(small / "results")),
        )
        assert run.returncode in (0, -signal.SIGKILL), run.stderr
        killed += run.returncode != 0
        for folder in folders:
            if folder.exists():
                assert read_result(folder).scores.identical(expected[folder][0])
                np.testing.assert_array_equal(
                    read_result(folder).predictions(), expected[folder][2]
                )
            elif overwrite:
                assert list(folder.parent.glob(".*replaced*"))
    assert killed >= 2
    assert main(arguments) == 0
    for folder in folders:
        assert read_result(folder).scores.identical(expected[folder][0])
    assert sorted(folders) == sorted(folders[0].parent.iterdir())  # no leftovers


def test_a_run_with_nothing_to_do_tidies_up(small: Path) -> None:
    arguments = ["--root", str(small), "--source_layer", "relu2", *COMPONENTS_ONLY]
    assert main(arguments) == 0
    asked = folder_of(small, "Kell2018word", "relu2", "NH2015comp")
    not_asked = folder_of(small, "Kell2018word", "relu1", "NH2015")
    for path in (asked, not_asked, (small / bad_input.WORD).with_name("order.txt")):
        hidden = atomic._beside(path, atomic.STAGING_MARK, f"{atomic._host()}-dead")
        hidden.mkdir()
        (hidden / "half").write_bytes(b"x")
    assert main(arguments) == 0
    assert list(asked.parent.iterdir()) == [asked] and not list(small.rglob(".*partial*"))


# --- odd, but no errors -------------------------------------------------------------------------


def test_oddities_are_reported_and_stored(small: Path, capsys: pytest.CaptureFixture) -> None:
    meta = np.load(small / bad_input.NEURAL / "voxel_features_meta.npy")
    kept = np.flatnonzero(meta["n_reps"] == 3)
    half_silent, kept = kept[[20, 21, 22]], kept[[4, 9]]

    def silence(array: np.ndarray) -> None:
        array[:, kept] = 0.25
        for voxel, half in zip(
            half_silent,
            (published_splits().test[0], published_splits().test[3], published_splits().train[3]),
        ):
            array[half, voxel] = 0.5

    roots.change_npy(small / bad_input.NEURAL / "voxel_features_array.npy", silence)
    with h5py.File(roots.own(small / bad_input.WORD), "r+") as file:
        file["relu1"][:] = 2.5  # a layer that does not vary
        file["relu2"][:, :7] = 0.1  # units that do not vary
        file["relu2"][11] = file["relu2"][10]  # two sounds with the same features
        sounds = np.load(small / bad_input.NEURAL / "neural_stim_meta.npy")["filename"][[11, 10]]
    assert main(["--root", str(small), "--source_layer", "relu1", "relu2"]) == 0
    out = capsys.readouterr().out
    flat, odd = (
        read_result(folder_of(small, "Kell2018word", layer, "NH2015"))
        for layer in ("relu1", "relu2")
    )
    ids, half_ids = (
        ", ".join(map(str, meta["voxel_id"][voxels])) for voxels in (kept, half_silent)
    )
    first, second = (name.decode().removesuffix(".wav") for name in sounds)
    for words in (
        f"2 of 400, voxel_id {ids}",
        "layer does not vary over the sounds",
        f"1 in relu2: {first} = {second}",
        "chose the largest alpha (1e+49) in some split: in 1 result(s), e.g. relu1",
    ):
        assert words in out, words
    usual = ("7 of 300 units of relu2", "on a plateau", "noise-corrected R2 above 1")
    assert not any(words in out for words in usual)
    for words in (
        *usual,
        f"{first} = {second}",
        f"voxel_id {ids}",
        f"test sounds of some split (score 0 there): 3 of 400, 2 of 10 splits, voxel_id {half_ids}",
    ):
        assert words in " ".join(odd.provenance["remarks"])
        assert words in next(odd.folder.glob("out-*.log")).read_text(encoding="utf-8")
    assert (flat.scores["r2_test"] == 0).all() and (flat.scores["warning_constant_mean"] == 1).all()
    constant = odd.scores.isel(vox_idx=[4, 9])
    assert (constant["r2_test"] == 0).all() and (constant["r2_test_c"] == 0).all()
    assert constant["r_prior_zero"].isnull().all()
    assert (constant["alpha_on_plateau"] == 1).all() and (constant["warning_alphas"] == 1).all()
    assert (
        odd.table["mean_r_prior_zero_test"].isna().sum() == 2
    )  # NaN-ignoring mean of nothing, without a warning
    others = np.delete(np.arange(400), [4, 9])
    assert np.isfinite(odd.scores["r2_test_c"].to_numpy()).all()
    assert (odd.scores["r2_test"].to_numpy()[others] > 0).any(axis=1).mean() > 0.95


@pytest.mark.parametrize(
    ("field", "code", "usual", "many", "what"),
    [
        ("warning_alphas", 1, 0.5, 0.7, "largest alpha"),
        ("warning_alphas", 2, 0.03, 0.07, "smallest alpha"),
        ("alpha_on_plateau", 1, 0.45, 0.55, "plateau"),
        ("r2_test_c", 1.2, 0.15, 0.25, "above 1"),
    ],
)
def test_what_sound_fits_have_too_is_a_remark_but_no_warning(
    field: str, code: float, usual: float, many: float, what: str
) -> None:
    responses = np.random.default_rng(0).random((165, 100, 3))
    target = Target(
        "NH2015", responses, np.arange(100), pd.DataFrame({"voxel_id": np.arange(100)}), None
    )
    for share, kind in ((0, None), (usual, fit_remarks.UsualRemark), (many, fit_remarks.Remark)):
        scores = LayerScores.empty(100, 10)
        scores.y_test_std_mean[:] = scores.y_train_std_mean[:] = 1
        getattr(scores, field)[: round(100 * share)] = code
        remarks = list(fit_remarks.score_remarks(scores, target, np.array([1e49, 1e-50])))
        assert [type(remark) for remark in remarks] == ([] if kind is None else [kind])
        assert all(
            what in remark.what and f"{round(100 * share)} of 100" in remark.where
            for remark in remarks
        )


def test_a_healthy_layer_has_no_warning(
    with_results: Path, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    root = roots.borrow(with_results, tmp_path / "root", without=("*_activations*.pkl",))
    assert (
        main(["--root", str(root), "--source_layer", "relu2", "--target", "NH2015", "--overwrite"])
        == 0
    )
    assert "arning" not in capsys.readouterr().out
    assert read_result(folder_of(root, "Kell2018word", "relu2", "NH2015")).provenance["remarks"]


def test_metadata_of_text_and_numbers_are_kept_as_text(small: Path) -> None:
    path = small / bad_input.COMPONENTS / "df_roi_meta.pkl"
    table = pd.read_pickle(path)
    table["mixed"] = pd.Series(["a", 1, 2.5, None, np.nan, "b"], dtype=object)
    table[7] = 1
    path.unlink()
    table.to_pickle(path, protocol=4)
    main(["--root", str(small), *COMPONENTS_ONLY])
    stored = read_result(folder_of(small, "Kell2018word", "relu2", "NH2015comp")).table
    assert (
        stored["mixed"].dropna().tolist() == ["a", "1", "2.5", "b"]
        and stored["mixed"].isna().sum() == 2
    )
    assert (stored["7"] == 1).all()


def test_provenance_is_plain_json(with_results: Path) -> None:
    record = json.loads(
        (folder_of(with_results, "Kell2018word", "relu2", "NH2015") / "provenance.json").read_text()
    )
    assert record["arguments"]["source_layer"] == "relu2" and record["activations"]["shape"] == [
        165,
        300,
    ]
