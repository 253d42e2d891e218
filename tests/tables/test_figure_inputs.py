"""From result folders to tables: the conformance inputs by way of the disk, and every kind of bad
input.
"""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import fake_results
import h5py
import numpy as np
import pandas as pd
import pytest
import roots
import vectors

from aud_dnn.analyze import AUD_plot_main, diagnostics_report, figures
from aud_dnn.errors import InputError, MissingDataError
from aud_dnn.io.digests import DigestMemo, array_digest
from aud_dnn.models.registry import MODELS
from aud_dnn.paths import ProjectPaths
from aud_dnn.store.regression_names import parse_folder, result_folder
from aud_dnn.store.regression_writing import write_provenance
from aud_dnn.store.schema import SCORES_FILE
from aud_dnn.tables import current_tables, model_files, model_results, own_models
from aud_dnn.tables import figure_inputs as inputs
from aud_dnn.tables import model_files as model_files_module
from aud_dnn.utils import Target


def write_vectors(paths: ProjectPaths, model: str, target: str, *, randnetw: bool = False) -> None:
    """The conformance scores as result folders."""
    metadata = vectors.metadata(target)
    scores = vectors.scores(model, target, randnetw=randnetw)
    responses = np.zeros((165, len(metadata), 1 if target == "NH2015comp" else 3))
    made = Target(
        target, responses, metadata["voxel_id"].to_numpy(), metadata, fake_results.fake_stimuli()
    )
    for place, layer in enumerate(MODELS[model].layer_names):
        fake_results.write_fake_layer(
            paths, model, layer, scores[:, place], made, randnetw=randnetw
        )


@pytest.fixture(scope="module")
def vector_root(tmp_path_factory) -> ProjectPaths:
    paths = ProjectPaths(tmp_path_factory.mktemp("vectors"))
    for model in ("metricGAN", "ZeroSpeech2020", "DCASE2020", "spectemp"):
        write_vectors(paths, model, "NH2015")
    write_vectors(paths, "metricGAN", "NH2015", randnetw=True)
    write_vectors(paths, "metricGAN", "NH2015comp")
    return paths


@pytest.fixture
def paths(vector_root, tmp_path) -> ProjectPaths:
    """A copy that a test may damage."""
    shutil.copytree(vector_root.root, tmp_path / "root")
    return ProjectPaths(tmp_path / "root")


def folder_of(paths: ProjectPaths, layer: str, model: str = "metricGAN") -> Path:
    return result_folder(paths, model, layer, "NH2015", False)


def test_the_conformance_table_by_way_of_the_disk(vector_root):
    models = ["metricGAN", "ZeroSpeech2020", "DCASE2020", "AST", "spectemp"]
    data = inputs.collect_scores(vector_root, models, "NH2015", False)
    assert data.missing == ("AST",) and list(data.scores.index) == ["0", "1", "2"]
    summary = data.summary()
    order = ["DCASE2020", "ZeroSpeech2020", "metricGAN", "spectemp"]
    np.testing.assert_allclose(
        summary.loc[order, "median_r2_test_c_mean"],
        [0.44583013868890703, 0.4378410913329571, 0.4236350273061544, 0.537933789519593],
        rtol=1e-15,
    )
    np.testing.assert_allclose(
        summary.loc["DCASE2020", "median_r2_test_c_yerr"], 0.005776895921812291, rtol=5e-14
    )


def test_permuted_tables_take_the_trained_baseline(vector_root):
    data = inputs.collect_scores(vector_root, ["metricGAN", "spectemp"], "NH2015", True)
    np.testing.assert_allclose(
        data.scores["metricGAN"],
        [0.45077502138912673, 0.4651220058090984, 0.4567614210862666],
        rtol=1e-15,
    )
    np.testing.assert_allclose(
        data.scores["spectemp"],
        [0.5172755569405852, 0.5676330477464944, 0.5288927638716996],
        rtol=1e-15,
    )
    assert not list((vector_root.results / "spectemp" / "outputs").glob("*randnetw*"))


def test_tables_have_the_published_names_and_unique_columns(vector_root):
    inputs.ensure_tables(vector_root, "metricGAN", "NH2015", False)
    inputs.ensure_tables(vector_root, "metricGAN", "NH2015comp", False)
    names = {path.name for path in (vector_root.results / "metricGAN" / "outputs").iterdir()}
    assert {
        "best-layer_CV-splits-nit-10_roi-None_metricGAN_NH2015_median_r2_test_c.csv",
        "best-layer_CV-splits-nit-10_roi-None_metricGAN_NH2015_median_r2_test_c_stats.csv",
        "across-layers_roi-None_metricGAN_NH2015_median_r2_test_c.csv",
        "across-layers_roi-Anterior_metricGAN_NH2015_median_r2_test_c.csv",
        "best-layer_barplot_roi_label_general_metricGAN_NH2015_within_subject_sem_rel_pos-median_median_r2_test_c_"
        "layer-exclude-None.csv",
        "best-layer-CV-splits-nit-10_per-comp_metricGAN_NH2015comp_median_r2_test.csv",
        "across-layers_metricGAN_NH2015comp_median_r2_test.csv",
        "best-layer-argmax_per-comp_metricGAN_NH2015comp_median_r2_test.csv",
    } <= names
    for name in names:
        header = (
            (vector_root.results / "metricGAN" / "outputs" / name)
            .read_text()
            .splitlines()[0]
            .split(",")
        )
        assert len(header) == len(set(header)), name


def test_iterations_and_chosen_layers_are_kept(vector_root):
    data = inputs.collect_components(vector_root, ["metricGAN"], False)
    assert data.layers["metricGAN"].loc[0, ["lowfreq", "music"]].tolist() == [
        "Linear_1",
        "Linear_2",
    ]
    assert data.iterations["metricGAN"].shape == (10, 6)
    np.testing.assert_allclose(
        data.mean.loc["lowfreq", "metricGAN"], 0.40978051656857134, rtol=1e-15
    )
    np.testing.assert_allclose(
        data.sem.loc["speech", "metricGAN"], 0.025146015282437446, rtol=1e-14
    )


def test_across_layers_and_regions(vector_root):
    table, error = inputs.collect_layers(vector_root, "metricGAN", "NH2015", False)
    np.testing.assert_allclose(
        table.loc["0"],
        [0.6073450952768326, 0.5862314935773612, 0.5865042379125953, 0.5871665152721107],
        rtol=1e-15,
    )
    np.testing.assert_allclose(error["Linear_1"], 0.007735067892370784, rtol=5e-14)
    regions = inputs.collect_regions(
        vector_root, ["metricGAN", "ZeroSpeech2020", "DCASE2020"], "NH2015", False
    )
    pair = regions.pair("Primary", "Anterior")
    np.testing.assert_allclose(
        pair.loc["ZeroSpeech2020", ["primary_mean", "primary_yerr"]].astype(float),
        [0.625, 0.10090043850788596],
        rtol=1e-14,
    )


def test_published_tables_are_read(tmp_path):
    """Repeated column names, as pandas brings them back, and no result folders beside."""
    paths = ProjectPaths(tmp_path)
    path = model_files_module.best_layer_path(paths, "AST", "NH2015", False)
    path.parent.mkdir(parents=True)
    path.write_text(
        "subj_idx,median_r2_test_c,pos,rel_pos,nit,median_r2_test_c_std_over_it,nit,roi,source_model,target,"
        "randnetw,datetag,method\n1,0.5,2,0.1,10,0.01,10,,AST,NH2015,False,20220101,regr\n"
        "2,0.6,3,0.2,10,0.01,10,,AST,NH2015,False,20220101,regr\n"
    )
    data = inputs.collect_scores(paths, ["AST"], "NH2015", False)
    assert data.scores["AST"].tolist() == [0.5, 0.6]


def stamps(paths: ProjectPaths, model: str) -> dict[str, int]:
    """When each table was made."""
    found = (paths.results / model / "outputs").glob(f"*_{model}_NH2015_*.csv")
    return {path.name: path.stat().st_mtime_ns for path in found}


def rewrite(folder: Path, values: np.ndarray, *, stamp: tuple[int, int] = (1, 1)) -> None:
    """Another result in the place of one, with old times on all of its files, as ``rsync -a`` or
    ``cp -p`` bring it.
    """
    shutil.rmtree(folder)
    metadata = vectors.metadata("NH2015")
    made = Target(
        "NH2015",
        np.zeros((165, 24, 3)),
        metadata["voxel_id"].to_numpy(),
        metadata,
        fake_results.fake_stimuli(),
    )
    key = parse_folder(folder)
    fake_results.write_fake_layer(
        ProjectPaths(folder.parents[2]), key.model, key.layer, values, made, randnetw=False
    )
    for path in (folder, *folder.iterdir()):
        os.utime(path, stamp)


def test_tables_are_made_again_when_results_are_others_whatever_the_time(paths):
    inputs.ensure_tables(paths, "metricGAN", "NH2015", False)
    first = stamps(paths, "metricGAN")
    later = max(first.values()) / 1e9 + 10
    os.utime(folder_of(paths, "Linear_1") / SCORES_FILE, (later, later))  # touched, not changed
    inputs.ensure_tables(paths, "metricGAN", "NH2015", False)
    assert stamps(paths, "metricGAN") == first
    before = inputs.collect_scores(paths, ["metricGAN"], "NH2015", False).scores
    rewrite(folder_of(paths, "Linear_1"), vectors.scores("metricGAN", "NH2015")[:, 2] + 0.25)
    after = inputs.collect_scores(paths, ["metricGAN"], "NH2015", False).scores
    assert (after["metricGAN"] > before["metricGAN"] + 0.1).all()
    assert all(now > first[name] for name, now in stamps(paths, "metricGAN").items())


@pytest.mark.parametrize("change", ["removed", "edited"])
@pytest.mark.parametrize("which", [{"by_hemisphere": True}, {"voxels": True}, {}])
def test_tables_that_are_missing_or_not_as_they_were_written_are_made_again(
    tmp_path, which, change
):
    paths = ProjectPaths(tmp_path)
    fake_results.write_fake_model(paths, "metricGAN", ["B2021"], conditions=(False,))
    inputs.ensure_tables(paths, "metricGAN", "B2021", False)
    path = model_files_module.region_path(paths, "metricGAN", "B2021", False, **which)
    content = path.read_bytes()
    if change == "removed":
        path.unlink()
        inputs.ensure_tables(paths, "metricGAN", "B2021", False)
    else:
        path.write_bytes(content.replace(b"0.", b"0.9", 1))
        with pytest.warns(
            UserWarning, match=f"changed after they were made: {re.escape(str(path))}"
        ):
            inputs.ensure_tables(paths, "metricGAN", "B2021", False)
    assert path.read_bytes() == content
    first = stamps(paths, "metricGAN")
    inputs.ensure_tables(paths, "metricGAN", "B2021", False)
    assert stamps(paths, "metricGAN") == first


def test_tables_of_results_that_were_here_before_do_not_stay(paths):
    """Voxels without labels of regions have fewer tables."""
    inputs.ensure_tables(paths, "metricGAN", "NH2015", False)
    assert model_files_module.region_path(paths, "metricGAN", "NH2015", False).is_file()
    metadata = vectors.metadata("NH2015").drop(
        columns=["roi_label_general", "roi_anat_hemi"], errors="ignore"
    )
    made = Target(
        "NH2015",
        np.zeros((165, 24, 3)),
        metadata["voxel_id"].to_numpy(),
        metadata,
        fake_results.fake_stimuli(),
    )
    for place, layer in enumerate(MODELS["metricGAN"].layer_names):
        shutil.rmtree(folder_of(paths, layer))
        fake_results.write_fake_layer(
            paths,
            "metricGAN",
            layer,
            vectors.scores("metricGAN", "NH2015")[:, place],
            made,
            randnetw=False,
        )
    inputs.ensure_tables(paths, "metricGAN", "NH2015", False)
    assert not model_files_module.region_path(paths, "metricGAN", "NH2015", False).exists()
    assert not model_files.across_layers_path(
        paths, "metricGAN", "NH2015", False, "Primary"
    ).exists()


def test_what_a_killed_run_left_beside_current_tables_is_removed(paths):
    inputs.ensure_tables(paths, "metricGAN", "NH2015", False)
    folder = paths.results / "metricGAN" / "outputs"
    path = model_files_module.best_layer_path(paths, "metricGAN", "NH2015", False)
    killed = (
        f"import os, signal; from pathlib import Path; from aud_dnn.io.atomic import atomic_file\n"
        f"with atomic_file(Path({str(path)!r})) as path:\n"
        f"    path.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    subprocess.run(
        [sys.executable, "-c", killed], cwd=Path(inputs.__file__).parents[2], check=False
    )
    assert list(folder.glob(".*")) or os.name != "posix"
    inputs.ensure_tables(paths, "metricGAN", "NH2015", False)
    assert not list(folder.glob(".*"))


def test_a_single_layer_and_half_a_hemisphere_need_no_further_tables(paths, monkeypatch):
    """The conformance voxels lack regions in one hemisphere; the baseline has one layer. Nothing is
    made twice for that.
    """
    for model in ("spectemp", "metricGAN"):
        inputs.ensure_tables(paths, model, "NH2015", False)
    monkeypatch.setattr(current_tables, "write_model_tables", lambda *_: pytest.fail("made again"))
    for model in ("spectemp", "metricGAN"):
        inputs.ensure_tables(paths, model, "NH2015", False)


# --- results that are not what they say ---------------------------------------------------------


def _edited(paths: ProjectPaths, folder: Path) -> None:
    with h5py.File(folder / SCORES_FILE, "r+") as file:
        file["r2_test_c"][3, :] = 0.999


def _other_model(paths: ProjectPaths, folder: Path) -> None:
    shutil.rmtree(folder)
    shutil.copytree(result_folder(paths, "ZeroSpeech2020", "ReLU_1", "NH2015", False), folder)


def _other_condition(paths: ProjectPaths, folder: Path) -> None:
    permuted = parse_folder(folder)
    shutil.rmtree(folder)
    shutil.copytree(result_folder(paths, permuted.model, permuted.layer, "NH2015", True), folder)


def _other_layer(paths: ProjectPaths, folder: Path) -> None:
    shutil.rmtree(folder)
    shutil.copytree(folder_of(paths, "Linear_2"), folder)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_edited, "not as it was written"),
        (_other_model, "model ZeroSpeech2020, not metricGAN"),
        (_other_condition, "condition True, not False"),
        (_other_layer, "layer Linear_2, not Linear_1"),
    ],
)
@pytest.mark.parametrize("with_tables", [False, True])
def test_results_that_are_not_what_they_say_are_refused_with_and_without_tables(
    paths, spoil, says, with_tables
):
    if with_tables:
        inputs.ensure_tables(paths, "metricGAN", "NH2015", False)
    spoil(paths, folder_of(paths, "Linear_1"))
    with pytest.raises(InputError, match=f"Linear_1.*{says}"):
        inputs.collect_scores(paths, ["metricGAN", "DCASE2020"], "NH2015", False)
    assert inputs.collect_scores(paths, ["DCASE2020"], "NH2015", False) is not None


def test_a_file_that_may_not_be_read_costs_only_its_model(paths, monkeypatch):
    read = DigestMemo.file

    def refuse(memo: DigestMemo, path: Path) -> str:
        if "Linear_1" in path.parent.name:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))
        return read(memo, path)

    monkeypatch.setattr(DigestMemo, "file", refuse)
    found = current_tables.aggregate_all(paths, ["NH2015"])
    errors = {
        model: error for (model, _, randnetw), error in found.items() if error and not randnetw
    }
    assert (
        list(errors) == ["metricGAN"] and "cannot be read: Permission denied" in errors["metricGAN"]
    )


def test_processes_make_the_same_tables(paths, monkeypatch):
    (folder_of(paths, "Linear_1") / SCORES_FILE).write_bytes(b"nothing")
    monkeypatch.setattr(current_tables, "_WORTH_PROCESSES", 2)
    made, written = {}, {}
    for jobs in (1, 2):
        for folder in paths.results.glob("*/outputs"):
            shutil.rmtree(folder)
        made[jobs] = current_tables.aggregate_all(paths, ["NH2015"], jobs=jobs)
        written[jobs] = roots.snapshot(paths.results)
    assert made[1] == made[2] and written[1] == written[2]
    assert [model for (model, _, randnetw), error in made[1].items() if error and not randnetw] == [
        "metricGAN"
    ]


@pytest.mark.parametrize(
    ("target", "change", "says"),
    [
        (
            "NH2015",
            lambda table: table.drop(columns="subj_idx"),
            "subj_idx must name the participant",
        ),
        (
            "NH2015",
            lambda table: table.assign(subj_idx=np.nan),
            "subj_idx must name the participant",
        ),
        ("NH2015", lambda table: table.assign(subj_idx=None), "subj_idx must name the participant"),
        ("NH2015comp", lambda table: table.assign(comp=None), "components must be lowfreq"),
        (
            "NH2015comp",
            lambda table: table.assign(comp=table["comp"].to_numpy()[::-1]),
            "components must be lowfreq",
        ),
    ],
)
def test_metadata_that_no_table_can_be_made_of_are_named(tmp_path, target, change, says):
    paths = ProjectPaths(tmp_path)
    fake_results.write_fake_model(paths, "spectemp", [target])
    folder = result_folder(paths, "spectemp", "avgpool", target, False)
    change(pd.read_parquet(folder / "df_output.parquet")).to_parquet(
        folder / "df_output.parquet", index=False
    )
    write_provenance(folder, json.loads((folder / "provenance.json").read_text()))
    (error,) = current_tables.aggregate_all(paths, [target]).values()
    assert error.startswith(str(folder)) and says in error and "--source_model spectemp" in error


def test_warnings_of_tables_are_shown_once_by_the_process_that_waits(paths, monkeypatch):
    def warn(*job: object) -> None:
        warnings.warn("mymodel: some layers", stacklevel=1)
        raise InputError("damaged")

    monkeypatch.setattr(current_tables, "ensure_tables", warn)
    monkeypatch.setattr(current_tables, "source_notes", lambda *_: [])
    with pytest.warns(UserWarning, match="mymodel: some layers") as shown:
        made = current_tables.aggregate_all(paths, ["NH2015", "B2021"])
    assert len(shown) == 1 and len(made) > 1 and set(made.values()) == {"damaged"}


def test_a_participant_without_a_region_costs_the_regions_only(tmp_path):
    paths = ProjectPaths(tmp_path)
    fake_results.write_fake_model(paths, "metricGAN", ["NH2015"], conditions=(False,))
    for layer in MODELS["metricGAN"].layer_names:
        folder = folder_of(paths, layer)
        table = pd.read_parquet(folder / "df_output.parquet")
        table.loc[
            (table["subj_idx"] == 3) & (table["roi_label_general"] == "Anterior"),
            "roi_label_general",
        ] = None
        table.to_parquet(folder / "df_output.parquet", index=False)
        write_provenance(folder, json.loads((folder / "provenance.json").read_text()))
    assert current_tables.aggregate_all(paths, ["NH2015"]) == {("metricGAN", "NH2015", False): None}
    assert inputs.collect_scores(paths, ["metricGAN"], "NH2015", False) is not None
    assert inputs.collect_regions(paths, ["metricGAN"], "NH2015", False) is None


# --- what is out of date ------------------------------------------------------------------------


@pytest.fixture
def mine(tmp_path) -> ProjectPaths:
    """A model with activations and components, and results made from these."""
    paths = ProjectPaths(tmp_path / "mine")
    fake_results.write_fake_data(paths)
    layers = {
        layer: np.random.default_rng(place).random((165, 3))
        for place, layer in enumerate(("conv1", "conv2"))
    }
    roots.write_h5(
        paths.root / "model-actv/mine/natsound_activations.h5",
        layers,
        layer_list=list(layers),
        sound_ids=list(fake_results.fake_stimuli().ids),
    )
    target = fake_results.fake_target("NH2015comp")
    for place, layer in enumerate(layers):
        values = fake_results.fake_scores("mine", target, place, 2, randnetw=False)
        made_from = {
            **fake_results.fake_provenance(target),
            "activations": {"sha256": array_digest(layers[layer])},
        }
        fake_results.write_fake_layer(
            paths, "mine", layer, values, target, randnetw=False, provenance=made_from
        )
    return paths


def _other_activations(paths: ProjectPaths) -> str:
    path = paths.root / "model-actv/mine/natsound_activations.h5"
    with h5py.File(path, "r+") as file:
        file["conv2"][:] = 0.5
    os.utime(path, (1, 1))
    return "other activations"


def _other_metadata(paths: ProjectPaths) -> str:
    path = paths.neural("NH2015comp") / "df_roi_meta.pkl"
    table = pd.read_pickle(path)
    table.assign(note=1).to_pickle(path, protocol=4)
    return "other metadata"


def _unrecorded(paths: ProjectPaths) -> str:
    for layer in ("conv1", "conv2"):
        path = result_folder(paths, "mine", layer, "NH2015comp", False) / "provenance.json"
        provenance = json.loads(path.read_text())
        del provenance["metadata"]
        path.write_text(json.dumps(provenance))
    return "metadata not recorded"


@pytest.mark.parametrize("change", [_other_activations, _other_metadata, _unrecorded])
def test_figures_say_that_results_are_not_of_the_data_that_are_there(mine, change):
    assert inputs.collect_components(mine, ["mine"], False).notes == ()
    expected = change(mine)
    (note,) = inputs.collect_components(mine, ["mine"], False).notes
    assert (
        note.startswith("Not current (")
        and expected in note
        and note.endswith("): mine. Fit again.")
    )


def test_the_pictures_say_it_too(mine):
    _other_activations(mine)
    options = figures.FigureOptions(own_models=("mine",), targets=(), conditions=(False,))
    said = "Not current (other activations): mine. Fit again."
    drawn = figures.figure_5(mine, options)
    assert any(said in text.get_text() for drawing in drawn for text in drawing.figure.texts)
    assert drawn.notes.count(said) == 1  # which scripts print
    assert said in figures.figure_4(mine, options, rows=[("mine", False)]).notes
    assert (
        f"mine (trained) on NH2015comp: {said}"
        in diagnostics_report.diagnostics(mine, options).notes
    )


def test_the_script_prints_what_is_on_the_pictures_once(mine, tmp_path, capsys):
    _other_activations(mine)
    arguments = [
        "--root",
        str(mine.root),
        "--figures",
        "5",
        "9",
        "--models",
        "mine",
        "--condition",
        "trained",
        "--formats",
        "svg",
        "--out",
        str(tmp_path / "out"),
        "--jobs",
        "1",
    ]
    assert AUD_plot_main.main(arguments) == 0
    said = capsys.readouterr().out
    assert said.count("Not current (other activations): mine. Fit again.") == 1


def test_data_that_are_not_there_any_longer_are_not_compared(mine):
    os.utime(
        mine.root / "model-actv/mine/natsound_activations.h5", (1, 1)
    )  # neither does a time stamp count
    assert inputs.collect_components(mine, ["mine"], False).notes == ()
    with h5py.File(mine.root / "model-actv/mine/natsound_activations.h5", "r+") as file:
        for layer in ("conv1", "conv2"):
            del file[layer]
            file[layer] = np.ones((165, 2))
    assert inputs.collect_components(mine, ["mine"], False).notes
    (mine.root / "model-actv/mine/natsound_activations.h5").unlink()
    (mine.neural("NH2015comp") / "components.mat").unlink()
    with pytest.warns(UserWarning, match="natural order"):
        assert inputs.collect_components(mine, ["mine"], False).notes == ()


def test_no_result_is_missing_data_with_the_command(paths):
    with pytest.raises(
        MissingDataError, match=r"AUD_main.py --source_model AST --source_layer all --target NH2015"
    ):
        model_results.load_model_results(paths, "AST", "NH2015", False)
    assert inputs.collect_scores(paths, ["AST"], "NH2015", False) is None


def test_a_missing_layer_is_named_with_its_command(paths):
    shutil.rmtree(folder_of(paths, "LSTM_2-cell"))
    with pytest.raises(
        InputError, match=r"1 of 4 layers have no result: LSTM_2-cell\. .*--source_layer all"
    ):
        inputs.collect_scores(paths, ["metricGAN"], "NH2015", False)


def test_another_alphalimit_is_refused(paths):
    folder = folder_of(paths, "Linear_2")
    folder.rename(folder.with_name(folder.name.replace("ALPHALIMIT-50", "ALPHALIMIT-20")))
    with pytest.raises(InputError, match=r"ALPHALIMIT-20.*--alphalimit 50"):
        inputs.collect_scores(paths, ["metricGAN"], "NH2015", False)


@pytest.mark.parametrize("change", [{"numerics": 99}, {"responses": {"sha256": "f" * 64}}])
def test_mixed_versions_are_refused_within_and_between_models(paths, change):
    file = folder_of(paths, "Linear_2") / "provenance.json"
    provenance = json.loads(file.read_text())
    file.write_text(json.dumps({**provenance, **change}))
    with pytest.raises(InputError, match="different versions of code or data"):
        inputs.collect_scores(paths, ["metricGAN"], "NH2015", False)
    for layer in MODELS["metricGAN"].layer_names:
        file = folder_of(paths, layer) / "provenance.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **change}))
    assert inputs.collect_scores(paths, ["metricGAN"], "NH2015", False) is not None
    with pytest.raises(InputError, match=r"metricGAN.*DCASE2020|DCASE2020.*metricGAN"):
        inputs.collect_scores(paths, ["metricGAN", "DCASE2020"], "NH2015", False)


def only_tables(paths: ProjectPaths, model: str) -> None:
    """As a download of published tables leaves it."""
    inputs.ensure_tables(paths, model, "NH2015", False)
    remove_results(paths, model)
    model_files_module.made_from_path(paths, model, "NH2015", False).unlink()


def remove_results(paths: ProjectPaths, model: str) -> None:
    for folder in (paths.results / model).glob("AUD-*"):
        shutil.rmtree(folder)


def test_tables_whose_results_were_removed_say_so_and_are_refused_once_changed(paths):
    fake_results.write_fake_data(paths)
    inputs.ensure_tables(paths, "DCASE2020", "NH2015", False)
    remove_results(paths, "DCASE2020")
    data = inputs.collect_scores(paths, ["DCASE2020"], "NH2015", False)
    assert (
        data.notes[0]
        == "Not current (made from results that are no longer there): DCASE2020. Fit again."
    )
    path = model_files_module.best_layer_path(paths, "DCASE2020", "NH2015", False)
    path.write_text(path.read_text().replace("0.4", "0.9"))
    with pytest.raises(
        InputError,
        match=rf"changed after they were made: {path}. Remove them.*--source_model DCASE2020",
    ):
        inputs.collect_scores(paths, ["DCASE2020"], "NH2015", False)


def test_other_participants_are_refused(paths):
    inputs.collect_scores(paths, ["metricGAN", "DCASE2020"], "NH2015", False)
    only_tables(paths, "DCASE2020")
    path = model_files_module.best_layer_path(paths, "DCASE2020", "NH2015", False)
    table = pd.read_csv(path)
    table.loc[2, "subj_idx"] = 7
    table.to_csv(path, index=False)
    with pytest.raises(InputError, match=r"different participants \(2, 7\)"):
        inputs.collect_scores(paths, ["metricGAN", "DCASE2020"], "NH2015", False)


def test_nan_is_refused(paths):
    metadata = vectors.metadata("NH2015")
    scores = vectors.scores("metricGAN", "NH2015")[:, 2].copy()
    scores[4, 4] = np.nan
    made = Target(
        "NH2015",
        np.zeros((165, 24, 3)),
        metadata["voxel_id"].to_numpy(),
        metadata,
        fake_results.fake_stimuli(),
    )
    shutil.rmtree(folder_of(paths, "Linear_1"))
    fake_results.write_fake_layer(paths, "metricGAN", "Linear_1", scores, made, randnetw=False)
    with pytest.raises(InputError, match=r"Linear_1.*NaN or inf for 1 voxel"):
        inputs.collect_scores(paths, ["metricGAN"], "NH2015", False)


def test_a_damaged_file_is_named(paths):
    (folder_of(paths, "Linear_1") / SCORES_FILE).write_bytes(b"not hdf5")
    with pytest.raises(InputError, match="Linear_1"):
        inputs.collect_scores(paths, ["metricGAN"], "NH2015", False)
    only_tables(paths, "DCASE2020")
    assert inputs.collect_scores(paths, ["DCASE2020"], "NH2015", False) is not None
    model_files_module.best_layer_path(paths, "DCASE2020", "NH2015", False).write_text(
        "subj_idx,pos\n0,1\n"
    )
    with pytest.raises(InputError, match=r"lacks the column\(s\) median_r2_test_c"):
        inputs.collect_scores(paths, ["DCASE2020"], "NH2015", False)


def test_an_own_model_has_its_layers_in_the_order_of_its_activations(tmp_path):
    paths = ProjectPaths(tmp_path)
    fake_results.write_fake_data(paths)
    folder = paths.root / "model-actv" / "mine"
    folder.mkdir(parents=True)
    with h5py.File(folder / "natsound_activations.h5", "w") as file:
        for layer in ("z_first", "a_last"):
            file[layer] = np.zeros((165, 3))
        file["layer_list"] = np.array([b"z_first", b"a_last"])
    fake_results.write_fake_model(
        paths, "mine", ["NH2015"], conditions=(False,), layers=("a_last", "z_first")
    )
    assert model_results.load_model_results(paths, "mine", "NH2015", False).layers == (
        "z_first",
        "a_last",
    )
    assert inputs.own_models(paths) == ("mine",)
    shutil.rmtree(folder)
    with pytest.warns(UserWarning, match="natural order"):
        assert model_results.load_model_results(paths, "mine", "NH2015", False).layers == (
            "a_last",
            "z_first",
        )


LAYERS = tuple(f"encoder.{number}" for number in range(12))


def _fake_own_model(paths: ProjectPaths, activations: dict | None, layers=LAYERS) -> None:
    """Results of a user's own model; ``encoder.2`` is the best layer of every voxel."""
    target = fake_results.fake_target("NH2015")
    provenance = fake_results.fake_provenance(target)
    if activations is not None:
        provenance["activations"] = activations
    for layer in layers:
        values = np.full((target.n_voxels, 10), 0.9 if layer == "encoder.2" else 0.1)
        fake_results.write_fake_layer(
            paths, "mine", layer, values, target, randnetw=False, provenance=provenance
        )


@pytest.mark.parametrize(
    ("recorded", "position"), [(None, 2 / 11), ([*LAYERS, "head"][::-1], 9 / 11)]
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_layer_positions_follow_what_results_recorded(recorded, position, tmp_path):
    """Activations are gone; alphabetical order would put ``encoder.2`` at 4/11."""
    paths = ProjectPaths(tmp_path)
    fake_results.write_fake_data(paths)
    doubts = ["layer positions (Figure 7) …: x", "rows are taken to be in stimulus order: x"]
    _fake_own_model(
        paths, None if recorded is None else {"layer_order": recorded, "remarks": doubts}
    )
    regions = inputs.collect_regions(paths, ["mine"], "NH2015", False)
    for values in regions.positions.values():
        np.testing.assert_allclose(values["mine"], position)
    if recorded is None:
        assert (
            len(regions.notes) == 1
            and "mine: the order of the layers is not stated" in regions.notes[0]
        )
    else:  # doubts about rows stand on every figure, doubts about the order only where it counts
        assert (
            regions.notes[:2] == tuple(f"mine: {doubt}" for doubt in doubts)
            and len(regions.notes) == 3
        )
        assert inputs.collect_scores(paths, ["mine"], "NH2015", False).notes == (
            f"mine: {doubts[1]}",
        )


@pytest.mark.parametrize(
    ("recorded", "names", "says"),
    [
        (None, LAYERS, "order of the layers is not stated"),
        ([3, {}], LAYERS, "order of the layers is not stated"),
        ("encoder.1", LAYERS, "order of the layers is not stated"),
        ([*LAYERS[2:], *LAYERS[:2]], (*LAYERS[2:], *LAYERS[:2]), None),
        (
            [*LAYERS, "head"],
            LAYERS,
            "only some layers have results; layer positions (Figure 7) are relative to these: 12 "
            "of 13",
        ),
        (list(LAYERS)[:11], LAYERS[:11], "not in the list of layers are left out: encoder.11"),
    ],
)
def test_the_order_that_results_recorded(recorded, names, says, tmp_path, monkeypatch):
    monkeypatch.setattr(own_models, "_about", lambda *asked: {"layer_order": recorded})
    order = own_models.own_layer_order(ProjectPaths(tmp_path), "mine", False, LAYERS[::-1])
    assert order.names == names
    assert (
        (says in str(order.remarks[0]) and len(order.remarks) == 1) if says else not order.remarks
    )


def test_a_long_table_reads_back_as_a_short_one_does(tmp_path):
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "rel_pos": rng.random(1_500),
            "pos": rng.integers(1, 9, 1_500),
            "randnetw": "False",
            "roi_label_general": np.where(rng.random(1_500) < 0.3, "Primary", None),
            "layer": 'a,"b" c',
        },
        index=pd.Index(np.arange(1_500) * 2, name="voxel_id"),
    )
    long, short = (
        model_files.read_table(
            model_files.write_table(tmp_path / f"{n}.csv", table[:n]), "voxel_id"
        )
        for n in (1_500, 900)
    )
    pd.testing.assert_frame_equal(long[:900], short)
    np.testing.assert_array_equal(long["rel_pos"], table["rel_pos"])  # to the last bit
    assert long["layer"].unique().tolist() == ['a,"b" c']
    assert long["roi_label_general"].isna().sum() == table["roi_label_general"].isna().sum()
