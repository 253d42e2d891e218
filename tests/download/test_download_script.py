"""``setup_utils/download_files.py`` from the command line to the checked installation, on made
archives.
"""

from __future__ import annotations

import gzip
import json
import re
import runpy
import shutil
import subprocess
import sys
import tarfile
import time
from pathlib import Path, PurePosixPath

import made_data
import numpy as np
import pytest
from misbehaving_server import MisbehavingServer

from aud_dnn.download import installation
from aud_dnn.download.manifest import SOURCES
from aud_dnn.download.records import exclusive
from aud_dnn.download.transfer import remote_size
from aud_dnn.errors import InputError
from aud_dnn.io import atomic
from aud_dnn.paths import ProjectPaths

SCRIPT = Path(__file__).resolve().parents[2] / "setup_utils" / "download_files.py"
DATA = made_data.pack(made_data.data_files())
ACTIVATIONS = made_data.pack(made_data.activation_files())
REPOSITORY = made_data.pack(made_data.repository_files(), "gz")


@pytest.fixture(scope="module")
def main():
    return runpy.run_path(str(SCRIPT))["main"]


@pytest.fixture
def server(monkeypatch):
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    with MisbehavingServer() as running:
        running.put("data.tar", DATA)
        running.put("model_actv.tar", ACTIVATIONS)
        running.put("natsound165-neuron2015.tar.gz", REPOSITORY)
        yield running


@pytest.fixture
def fetch(main, server, tmp_path):
    def run(*arguments, root="root"):
        (tmp_path / root).mkdir(exist_ok=True)
        return main(["--root", str(tmp_path / root), "--base-url", server.url, *arguments])

    return run


def tree(root: Path) -> dict[str, bytes]:
    return {
        p.relative_to(root).as_posix(): p.read_bytes()
        for p in root.rglob("*")
        if p.is_file() and not p.is_relative_to(root / "downloads")
    }


def no_leftovers(root: Path, *records: str) -> None:
    """Nothing but the records is left of a finished download."""
    assert {p.name for p in (root / "downloads").iterdir()} == {f"{name}.json" for name in records}
    assert not [p for p in root.rglob("*") if "partial" in p.name or p.name.endswith(".part")]


def test_published_counts_pass_the_check(main, server, tmp_path, capsys):
    """Full numbers of voxels: 7,694 of 8 participants, 26,792 of 20."""
    server.put("data.tar", made_data.pack(made_data.data_files(7694, 26792)))
    assert main(["--root", str(tmp_path), "--base-url", server.url]) == 0
    shown = capsys.readouterr().out
    assert "7,694 voxels × 3 repetitions, 8 participants" in shown
    assert "26,792 voxels × 3 repetitions, 20 participants" in shown
    assert "165 sounds × 6 components" in shown and "165 sounds in 11 categories" in shown
    assert "recorded now; none is published" in shown
    no_leftovers(tmp_path, "data")


def test_other_counts_are_reported_and_fail(fetch, tmp_path, capsys):
    assert fetch() == 1
    shown = capsys.readouterr().out
    assert "PROBLEM: the published data have 7,694 voxels of 8 participants" in shown
    assert tree(tmp_path / "root") == made_data.data_files()
    no_leftovers(tmp_path / "root", "data")


def test_a_run_with_nothing_to_do_tidies_up(fetch, tmp_path):
    fetch()
    root = tmp_path / "root"
    for path in (root / "downloads/data.json", root / "data/.unpack"):
        hidden = atomic._beside(path, atomic.STAGING_MARK, f"{atomic._host()}-dead")
        hidden.mkdir()
        (hidden / "half").write_bytes(b"x")
    fetch()
    no_leftovers(root, "data")


def test_flags_and_defaults_are_the_published_ones(main, capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    shown = re.sub(r"\s+", " ", capsys.readouterr().out)
    for name, default in [
        ("data", True),
        ("model_actv", False),
        ("results", False),
        ("fsavg_surf", False),
        ("vox_matrix", False),
        ("stimuli", False),
    ]:
        assert re.search(rf"--get_{name} \[True\|False\] [^-]*\(default: {default}\)", shown), name


@pytest.mark.parametrize(
    "name, member, target",
    [
        ("data", "data/neural/x.npy", "neural/x.npy"),
        ("data", "./data/neural/x.npy", "neural/x.npy"),
        ("data", "wrapped/data/neural/x.npy", "neural/x.npy"),
        ("data", "neural/x.npy", "neural/x.npy"),
        ("data", "data/README.md", None),
        ("model_actv", "model_actv/AST/a.pkl", "AST/a.pkl"),
        ("model_actv", "model-actv/AST/a.pkl", "AST/a.pkl"),
        ("results", "results/m/i/ds.pkl", "m/i/ds.pkl"),
        ("fsavg_surf", "data/fsavg_surf/lh.white", "lh.white"),
        ("vox_matrix", "voxel_matrix_for_alex.mat", "voxel_matrix_for_alex.mat"),
        ("stimuli", "repo-v1/sounds/wav/a.wav", "stimuli/a.wav"),
        ("stimuli", "repo-v1/sounds/wav/sub/a.wav", None),
        ("stimuli", "repo-v1/code/a.m", None),
        ("stimuli", "sounds/wav/a.wav", None),
    ],
)
def test_where_members_go(name, member, target):
    placed = SOURCES[name].place(PurePosixPath(member))
    assert placed == (None if target is None else PurePosixPath(target))


def test_activations_get_the_documented_folder_name_and_are_checked(fetch, tmp_path, capsys):
    fetch()
    assert fetch("--get_data", "False", "--get_model_actv", "True") == 0
    expected = {name.replace("model_actv/", "model-actv/") for name in made_data.activation_files()}
    assert {name for name in tree(tmp_path / "root") if name.startswith("model")} == expected
    shown = capsys.readouterr().out
    assert re.search(r"Kell2018word \(permuted\): relufc +165 × 13 float32 +ok", shown)
    assert re.search(r"DCASE2020: GRU_1 +165 × 5 float32 +ok", shown)


def test_only_some_models(fetch, tmp_path, server):
    fetch("--get_model_actv", "True", "--only", "spectemp,DCASE2020")
    models = {p.name for p in (tmp_path / "root/model-actv").iterdir()}
    assert models == {"spectemp", "DCASE2020"}
    asked = len(server.pages["model_actv.tar"].requests)
    assert fetch("--get_data", "False", "--get_model_actv", "True", "--only", "spectemp") == 0
    assert len(server.pages["model_actv.tar"].requests) == asked  # it is here: not fetched again
    assert fetch("--get_data", "False", "--get_model_actv", "True", "--only", "Kell2018word") == 0
    record = installation.read_record(ProjectPaths(tmp_path / "root"), "model_actv")
    assert record.only == ["DCASE2020", "Kell2018word", "spectemp"]
    assert len(record.files) == 330 + 2 + 1


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--get_model_actv", "True", "--only", "Kell2018wrd"], "Did you mean Kell2018wor"),
        (
            ["--get_model_actv", "True", "--only", "ASTT"],
            "Unknown model in --only: 'ASTT'. Did you mean AST",
        ),
        (
            ["--get_model_actv", "True", "--only", "VGGishSL10"],
            "model in model_actv.tar: 'VGGishSL10'",
        ),
        (
            ["--get_model_actv", "True", "--only", "VGGish"],
            "model in model_actv.tar: 'VGGish'.*Known: DCASE2020",
        ),
        (["--only", "AST"], "add --get_model_actv True"),
        (["--get_data", "False"], "Nothing to download"),
        (["--get_results", "True"], "404"),
    ],
)
def test_what_cannot_be_fetched_is_said(fetch, tmp_path, arguments, words):
    with pytest.raises(InputError, match=words):
        fetch(*arguments)


def test_a_second_run_fetches_nothing_and_the_checksum_is_compared_ever_after(
    fetch, server, tmp_path, capsys
):
    fetch()
    page = server.pages["data.tar"]
    fetch()
    assert len(page.requests) == 1 and "already here since" in capsys.readouterr().out
    changed = made_data.data_files(sounds=False)
    server.put("data.tar", made_data.pack(changed))
    (tmp_path / "root/data/stimuli/stim5_sound.wav").unlink()
    before = tree(tmp_path / "root")
    with pytest.raises(InputError, match=r"SHA-256 is .*; expected .*--overwrite"):
        fetch()
    assert tree(tmp_path / "root") == before


def test_a_differing_file_is_kept_unless_overwrite(fetch, tmp_path):
    mine = tmp_path / "root/data/stimuli/stim5_sound.wav"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    with pytest.raises(InputError, match=r"1 files .* differ .*stim5_sound"):
        fetch()
    assert tree(tmp_path / "root") == {"data/stimuli/stim5_sound.wav": b"mine"}
    fetch("--overwrite")
    assert tree(tmp_path / "root") == made_data.data_files()
    no_leftovers(tmp_path / "root", "data")


@pytest.mark.parametrize(
    "damage", ["cut tar", "garbage", "corrupt gzip", "empty", "link", "escape", "huge"]
)
def test_a_damaged_or_hostile_archive_leaves_the_root_as_it_was(fetch, server, tmp_path, damage):
    def hostile(**fields):
        info = tarfile.TarInfo(fields.pop("name"))
        for key, value in fields.items():
            setattr(info, key, value)
        return made_data.pack({"data/a": b"a"})[: 3 * 512] + info.tobuf() + bytes(1024)

    server.put(
        "data.tar",
        {
            "cut tar": DATA[: len(DATA) // 2],
            "garbage": bytes(range(256)) * 40,
            "empty": b"",
            "corrupt gzip": gzip.compress(DATA)[:-3000] + b"x" * 3000,
            "link": hostile(name="data/link", type=tarfile.SYMTYPE, linkname="/etc"),
            "escape": hostile(name="../escape"),
            "huge": hostile(name="data/huge", size=10**12),
        }[damage],
    )
    (tmp_path / "root/data").mkdir(parents=True)
    (tmp_path / "root/data/README.md").write_text("mine")
    with pytest.raises(InputError, match=r"data\.tar .*[Nn]othing was unpacked|damaged"):
        fetch()
    assert tree(tmp_path / "root") == {"data/README.md": b"mine"}
    assert not list(
        (tmp_path / "root/downloads").iterdir()
    )  # also no checksum was recorded, and no lock is left
    assert not (tmp_path / "escape").exists()
    server.put("data.tar", DATA)
    fetch()
    assert tree(tmp_path / "root").keys() == made_data.data_files().keys() | {"data/README.md"}


def test_archives_carried_by_hand(main, tmp_path, capsys):
    carried = tmp_path / "carried"
    carried.mkdir()
    (carried / "data.tar").write_bytes(DATA)
    (carried / "model_actv.tar.gz").write_bytes(gzip.compress(ACTIVATIONS))
    (tmp_path / "root").mkdir()
    arguments = [
        "--root",
        str(tmp_path / "root"),
        "--from-dir",
        str(carried),
        "--get_model_actv",
        "True",
    ]
    assert main([*arguments, "--dry-run"]) == 0
    assert "unpacked from" in capsys.readouterr().out and not tree(tmp_path / "root")
    main(arguments)
    assert len(tree(tmp_path / "root")) == len(made_data.data_files()) + len(
        made_data.activation_files()
    )
    assert (carried / "data.tar").read_bytes() == DATA
    with pytest.raises(InputError, match=r"holds no results\.tar"):
        main([*arguments, "--get_results", "True"])


def test_verify_finds_what_changed(fetch, tmp_path, capsys):
    fetch()
    root = tmp_path / "root"
    assert fetch("--verify") == 0
    assert "175 of 175 files are as on" in capsys.readouterr().out
    path = root / "data/neural/B2021/voxel_features_meta.npy"
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    (root / "data/stimuli/stim6_sound.wav").unlink()
    assert fetch("--verify") == 1
    shown = capsys.readouterr().out
    assert "173 of 175" in shown
    assert (
        "voxel_features_meta.npy has other contents" in shown
        and "stim6_sound.wav is missing" in shown
    )


def test_dry_run_shows_sizes_and_free_disk_and_changes_nothing(fetch, tmp_path, capsys, server):
    assert fetch("--dry-run", "--get_results", "True") == 0
    shown = capsys.readouterr().out
    assert f"data.tar: {len(DATA) / 1e6:,.1f} MB, from {server.url}/data.tar" in shown
    assert "results.tar: about 2,100 MB (not confirmed" in shown and "Free in" in shown
    assert not list((tmp_path / "root").iterdir())


def test_the_sounds_from_their_repository_are_enough_for_spectemp_and_the_components(
    fetch, tmp_path, server, capsys
):
    from aud_dnn.utils import load_stimuli, load_target

    assert fetch("--get_data", "False", "--get_stimuli", "True") == 0
    root = tmp_path / "root"
    paths = ProjectPaths(root)
    stimuli = load_stimuli(paths)
    assert stimuli.ids == tuple(made_data.NAMES) and stimuli.categories == tuple(
        made_data.CATEGORIES
    )
    target = load_target(paths, "NH2015comp", stimuli)
    assert target.responses.shape == (165, 6, 1)
    assert list(target.metadata["comp"]) == [
        "lowfreq",
        "highfreq",
        "envsounds",
        "pitch",
        "speech",
        "music",
    ]
    assert len(list((root / "data/stimuli").glob("*.wav"))) == 165
    assert not list(root.rglob("*.md")) and not list(root.rglob("plot.m"))
    shown = capsys.readouterr().out
    assert "165 sounds × 6 components" in shown and "0 problems" in shown
    # the same contents packed anew are the same; the published table replaces the one made here
    server.put(
        "natsound165-neuron2015.tar.gz",
        made_data.pack(dict(reversed(made_data.repository_files().items())), "gz"),
    )
    (root / "data/stimuli/stim5_sound.wav").unlink()
    assert fetch("--get_data", "False", "--get_stimuli", "True") == 0
    fetch()
    published = made_data.data_files()["data/neural/NH2015/neural_stim_meta.npy"]
    assert (root / "data/neural/NH2015/neural_stim_meta.npy").read_bytes() == published


def test_changed_sounds_in_the_repository_are_noticed(fetch, tmp_path, server):
    fetch("--get_data", "False", "--get_stimuli", "True")
    files = made_data.repository_files()
    changed = next(name for name in files if name.endswith("stim9_sound.wav"))
    server.put(
        "natsound165-neuron2015.tar.gz",
        made_data.pack(files | {changed: made_data.made_wav(999)}, "gz"),
    )
    (tmp_path / "root/data/stimuli/stim9_sound.wav").unlink()
    with pytest.raises(InputError, match=r"1 files .* are not those of .*stim9"):
        fetch("--get_data", "False", "--get_stimuli", "True")


def test_surfaces_and_the_voxel_matrix_go_into_one_folder(fetch, tmp_path, server):
    matrix = made_data._mat({"m": np.eye(3)})
    server.put(
        "fsavg_surf.tar",
        made_data.pack(
            {
                "fsavg_surf/lh.inflated": b"surface",
                "fsavg_surf/sub/x.npy": made_data._npy(np.arange(3)),
            }
        ),
    )
    server.put("voxel_matrix_for_alex.tar", made_data.pack({"voxel_matrix_for_alex.mat": matrix}))
    assert fetch("--get_data", "False", "--get_fsavg_surf", "True", "--get_vox_matrix") == 0
    assert set(tree(tmp_path / "root")) == {
        "data/fsavg_surf/lh.inflated",
        "data/fsavg_surf/sub/x.npy",
        "data/fsavg_surf/voxel_matrix_for_alex.mat",
    }


def test_two_downloads_at_once(fetch, tmp_path):
    (tmp_path / "root").mkdir()
    with (
        exclusive(tmp_path / "root/downloads/.lock"),
        pytest.raises(InputError, match="Another download"),
    ):
        fetch()
    assert not (tmp_path / "root/downloads/.lock").exists()
    fetch()


def test_without_a_network_the_first_line_says_so(main, tmp_path, capsys, monkeypatch):
    """It took two minutes of silence; and one server that is out of reach is not asked for every
    archive.
    """
    begun, asked = time.monotonic(), []
    monkeypatch.setattr(
        installation, "remote_size", lambda url: (asked.append(url), remote_size(url))[1]
    )
    with pytest.raises(
        InputError, match=r"failed 3 times in a row: its name cannot be looked up.*--from_dir"
    ):
        main(
            [
                "--root",
                str(tmp_path),
                "--get_data",
                "True",
                "--get_results",
                "True",
                "--base_url",
                "http://nowhere.invalid/x",
            ]
        )
    assert time.monotonic() - begun < 30
    shown = capsys.readouterr()
    assert shown.out.startswith("http://nowhere.invalid/x/data.tar: its name cannot be looked up")
    assert "fetching http://nowhere.invalid/x/data.tar" in shown.out
    assert len(asked) == 1


def test_an_archive_that_was_downloaded_but_not_unpacked_is_used(fetch, tmp_path, server, capsys):
    (tmp_path / "root/downloads").mkdir(parents=True)
    (tmp_path / "root/downloads/data.tar").write_bytes(DATA)
    fetch()
    assert "downloaded before" in capsys.readouterr().out and not server.pages["data.tar"].requests
    no_leftovers(tmp_path / "root", "data")


def test_a_disk_without_room_is_refused_before_the_download(fetch, server, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: type("Usage", (), {"free": len(DATA)}))
    with pytest.raises(InputError, match="MB are needed"):
        fetch()
    assert not server.pages["data.tar"].requests


def test_a_damaged_record_says_so(fetch, tmp_path):
    fetch()
    (tmp_path / "root/downloads/data.json").write_text('{"files": 3}')
    with pytest.raises(InputError, match=r"data\.json is damaged"):
        fetch()


def test_the_record_is_plain(fetch, tmp_path):
    fetch()
    stored = json.loads((tmp_path / "root/downloads/data.json").read_text())
    assert re.fullmatch("[0-9a-f]{64}", stored["sha256"]) and stored["n_bytes"] == len(DATA)
    assert stored["files"]["data/neural/B2021/stim_info_v4.mat"]["sha256"]


def test_the_script_prints_errors_without_a_traceback(tmp_path):
    done = subprocess.run(
        [sys.executable, SCRIPT, "--root", tmp_path / "nowhere"], capture_output=True, text=True
    )
    assert (
        done.returncode == 2
        and done.stderr.startswith("error: The root folder")
        and "Traceback" not in done.stderr
    )
