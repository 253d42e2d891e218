"""What all scripts share: how they start, stop, speak, and where they look for data."""

from __future__ import annotations

import errno
import io
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
import roots

from aud_dnn import AUD_main, arguments, errors, paths
from aud_dnn import running as running_module
from aud_dnn.analyze.plotting import diagnostics
from aud_dnn.analyze.plotting.drawings import Drawings, save_figure
from aud_dnn.errors import FAULT, InputError, MissingDataError, doing, unknown_name
from aud_dnn.io import atomic
from aud_dnn.models.registry import MODELS
from aud_dnn.paths import ProjectPaths, find_root
from aud_dnn.running import run_script
from aud_dnn.splits import published_splits
from aud_dnn.store.regression import read_result
from aud_dnn.store.regression_names import is_complete, result_folder

REPOSITORY = Path(AUD_main.__file__).parents[1]
SCRIPTS = (
    "aud_dnn/AUD_main.py",
    "aud_dnn/extract_activations.py",
    "aud_dnn/analyze/AUD_plot_main.py",
    "aud_dnn/analyze/CONSISTENCY_plot_main.py",
    "aud_dnn/analyze/DIM_plot_main.py",
    "aud_dnn/analyze/rsa_matrix_calculation_all_models.py",
    "setup_utils/check_data.py",
    "setup_utils/download_files.py",
    "aud_dnn.demo",
    "aud_dnn.demo.report",
    "aud_dnn.convert",
)
ARGUMENTS = {
    "aud_dnn/extract_activations.py": ("--model", "spectemp"),
    "setup_utils/download_files.py": ("--verify",),
    "aud_dnn.convert": ("here", "there"),
}


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Scripts set up the project's logger and the environment; put them back for other tests."""
    log = logging.getLogger("aud_dnn")
    before = log.handlers, log.level, log.propagate
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.delenv(paths.ROOT_VARIABLE, raising=False)
    yield
    log.handlers, log.level, log.propagate = before


@pytest.fixture
def small(demo_root: Path, tmp_path: Path) -> Path:
    return roots.borrow(demo_root, tmp_path / "root", without=("*_activations*.pkl",))


def environment(**more: str) -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY), **more}


def program(text: str) -> list[str]:
    """A script whose ``main`` is ``text``."""
    indented = "\n".join("    " + line for line in text.splitlines())
    return [
        sys.executable,
        "-c",
        f"import os, sys\nfrom aud_dnn.running import run_script\n\n"
        f"def main(argv):\n{indented}\n    return 0\n\nrun_script(main)",
    ]


def shell(command: list[str], redirections: str, **more: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["bash", "-c", f'"$@" {redirections}', "bash", *command],
        capture_output=True,
        timeout=60,
        env=environment(**more),
        check=False,
    )


# --- output never ends a run --------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "cp437", "cp932"])
def test_every_terminal_gets_something_readable(encoding: str) -> None:
    run = shell(program("print('1 – 2 … 3 × 4 − 5 α ▲ 音 \\udcff')"), "", PYTHONIOENCODING=encoding)
    assert (run.returncode, run.stderr) == (0, b"")
    shown = run.stdout.decode(encoding)
    assert re.fullmatch(
        r"1 [–-] 2 (…|\.\.\.) 3 (×|x) 4 [−－-] 5 (α|alpha) (▲|\^) (音|\\u97f3) \\xff\s*", shown
    ), shown


@pytest.mark.parametrize("encoding", ["ascii", "cp932"])
def test_help_in_any_encoding(encoding: str) -> None:
    run = shell(
        [sys.executable, str(REPOSITORY / "aud_dnn/AUD_main.py"), "--help"],
        "",
        PYTHONIOENCODING=encoding,
    )
    assert (run.returncode, run.stderr) == (0, b"") and b"exit status" in run.stdout


WRITES = "for line in range(20000):\n    print('line', line)\nopen('done', 'w').close()"


@pytest.mark.parametrize(
    ("redirections", "said"),
    [
        ("| head -1; exit ${PIPESTATUS[0]}", ""),
        (">/dev/full", "warning: Part of the output could not be written (No space"),
        (">&-", ""),
        ("2>&-", ""),
        (">&- 2>&- <&-", ""),
    ],
    ids=["head", "full", "no stdout", "no stderr", "nothing"],
)
def test_output_that_goes_nowhere_changes_nothing(
    redirections: str, said: str, tmp_path: Path
) -> None:
    run = shell(program(f"os.chdir({str(tmp_path)!r})\n{WRITES}"), redirections)
    assert (run.returncode, (tmp_path / "done").exists()) == (0, True)
    assert run.stderr.decode().startswith(said) and run.stderr.count(b"\n") == bool(said)


def test_data_never_get_the_descriptors_of_closed_streams(tmp_path: Path) -> None:
    text = (
        f"file = open({str(tmp_path / 'file')!r}, "
        "'w')\nfile.write(str(file.fileno()))\nfile.close()\nprint('hello')"
    )
    assert shell(program(text), ">&- 2>&- <&-").returncode == 0
    assert int((tmp_path / "file").read_text()) > 2


def test_a_log_file_gets_a_line_for_what_is_finished(small: Path) -> None:
    command = [
        sys.executable,
        str(REPOSITORY / "aud_dnn/AUD_main.py"),
        "--root",
        str(small),
        "--source_layer",
        "relu0",
        "relu1",
        "--target",
        "NH2015comp",
    ]
    run = shell(command, "")
    lines = run.stderr.decode().splitlines()
    assert run.returncode == 0 and len(lines) == 2
    assert re.match(r"relu0 / NH2015comp: median R2 0\.\d+, ", lines[0]), lines


# --- what the system refuses --------------------------------------------------------------------


def ended(capsys: pytest.CaptureFixture, error: BaseException) -> tuple[int, str]:
    def main(_: object) -> int:
        raise error

    with pytest.raises(SystemExit) as end:
        run_script(main)
    return end.value.code, capsys.readouterr().err


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        (errno.ENOSPC, "Free some space"),
        (errno.EDQUOT, "quota"),
        (errno.EROFS, "--root"),
        (errno.EACCES, "permissions"),
        (errno.ENAMETOOLONG, "shorter"),
        (errno.EMFILE, "ulimit -n"),
        (errno.EIO, "disk"),
        (errno.ESTALE, "mount"),
        (errno.EAGAIN, "--jobs 1"),
        (errno.EFBIG, "ulimit -f"),
        (errno.ENOTDIR, "folder"),
        (errno.EEXIST, "folder"),
        (errno.ENOLCK, "same command again"),
    ],
)
def test_every_refusal_is_one_line(
    code: int, advice: str, capsys: pytest.CaptureFixture, tmp_path: Path
) -> None:
    for named in ((), (str(tmp_path / "file"),)):
        status, said = ended(capsys, OSError(code, os.strerror(code), *named))
        assert status == 2 and said.startswith("error: ") and said.count("\n") == 1
        assert os.strerror(code) in said and advice in said and all(name in said for name in named)


@pytest.mark.parametrize(
    "error",
    [
        OSError("no number\nat all"),
        OSError(),
        TimeoutError("late"),
        OSError("Can't write data (file write failed: errno = 28, error message = 'x')"),
    ],
)
def test_refusals_without_a_number(error: OSError, capsys: pytest.CaptureFixture) -> None:
    status, said = ended(capsys, error)
    assert (
        status == 2
        and said.startswith("error: The system refused to go on: ")
        and said.count("\n") == 1
    )
    assert ("No space left" in said) == ("28" in str(error))


def test_the_file_that_was_written_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch
) -> None:
    """``fsync`` reports a used-up quota without a file name."""

    def full(_: object) -> None:
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))

    monkeypatch.setattr(atomic, "_sync", full)
    with pytest.raises(OSError) as caught, atomic.atomic_file(tmp_path / "scores.nc") as staging:
        staging.write_text("x")
    status, said = ended(capsys, caught.value)
    assert (
        status == 2
        and f"{tmp_path / 'scores.nc'} cannot be written: Disk quota exceeded. Your quota" in said
    )


def test_hdf5_that_cannot_close_a_file_is_a_refusal(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    said = (
        "Can't decrement id ref count (file write failed: errno = 28, error message = 'No space "
        "left on device')"
    )
    with pytest.raises(OSError) as caught, atomic.atomic_file(tmp_path / "scores.nc"):
        raise RuntimeError(said)
    status, said = ended(capsys, caught.value)
    assert (
        status == 2
        and f"{tmp_path / 'scores.nc'} cannot be written: No space left on device. Free some space"
        in said
    )
    with pytest.raises(RuntimeError, match="ours"), atomic.atomic_file(tmp_path / "scores.nc"):
        raise RuntimeError("a fault of ours")


def test_another_file_keeps_its_name(tmp_path: Path) -> None:
    with pytest.raises(OSError) as caught, doing("written", tmp_path / "out" / "file"):
        (tmp_path / "in" / "missing").read_text()
    assert errors.describe_os_error(caught.value).startswith(
        f"{tmp_path / 'in' / 'missing'}: No such file"
    )


def test_a_link_to_nothing_is_called_so(tmp_path: Path) -> None:
    (tmp_path / "model").symlink_to(tmp_path / "gone")
    with pytest.raises(FileExistsError) as caught:
        (tmp_path / "model").mkdir(exist_ok=True)
    assert errors.describe_os_error(caught.value).startswith(
        f"{tmp_path / 'model'} is a link to {tmp_path / 'gone'}, which does not exist"
    )


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        OSError(errno.ENOMEM, "x"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory"),
        (np._core if int(np.__version__[0]) > 1 else np.core)._exceptions._ArrayMemoryError(
            (10**9,), np.dtype("f8")
        ),
    ],
)
def test_too_little_memory_is_one_line(error: BaseException, capsys: pytest.CaptureFixture) -> None:
    status, said = ended(capsys, error)
    assert (
        status == 2 and said.startswith("error: There is not enough memory") and "--jobs 1" in said
    )
    assert said.count("\n") == 1 and ("7.45 GiB" in said) == ("GiB" in str(error))


def test_a_warning_is_one_line_each_text_once() -> None:
    text = """
import sys, types, warnings
from aud_dnn import errors, terminal
errors.plain_warnings()
for line in (1, 2):
    warnings.warn_explicit("mymodel: some\x1b[2J", UserWarning, terminal.__file__, line)
warnings.warn_explicit("theirs", UserWarning, "/elsewhere/library.py", 3)
"""
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[0] == "warning: mymodel: some\\x1b[2J"
    assert done.stderr.splitlines()[1] == "/elsewhere/library.py:3: UserWarning: theirs"


def test_a_fault_of_ours_keeps_its_traceback(capsys: pytest.CaptureFixture) -> None:
    status, said = ended(capsys, KeyError("x"))
    assert status == 3 and "Traceback" in said and said.endswith(f"KeyError: 'x'\nerror: {FAULT}\n")


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is not kept elsewhere")
@pytest.mark.parametrize("script", SCRIPTS)
def test_too_little_address_space_is_said_before_the_libraries(script: str, tmp_path: Path) -> None:
    run = subprocess.run(
        ["bash", "-c", 'ulimit -v 500000; "$@"', "bash", *started(script)],
        capture_output=True,
        text=True,
        env=environment(),
        cwd=tmp_path,
        timeout=60,
        check=False,
    )
    assert run.returncode == 2, run.stderr
    assert re.fullmatch(
        r"error: This process may use 0\.5 GB of address space .*`ulimit -v unlimited`.*\n",
        run.stderr,
    )


# --- signals ------------------------------------------------------------------------------------


def started(script: str) -> list[str]:
    where = [str(Path(__file__).parents[1] / script)] if script.endswith(".py") else ["-m", script]
    return [sys.executable, *where, *ARGUMENTS.get(script, ())]


@pytest.mark.parametrize("name", ["SIGINT", pytest.param("SIGTERM", marks=pytest.mark.slow)])
@pytest.mark.parametrize("script", SCRIPTS)
def test_stopped_while_the_libraries_are_imported(
    script: str, name: str, small: Path, tmp_path: Path
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import os, signal, sys\n"
        "class Watch:\n"
        "    def find_spec(self, name, *rest):\n"
        "        if name == 'numpy':\n"
        "            sys.meta_path.remove(self)\n"
        f"            os.kill(os.getpid(), signal.{name})\n"
        "sys.meta_path.insert(0, Watch())\n"
    )
    run = subprocess.run(
        started(script),
        capture_output=True,
        text=True,
        timeout=60,
        cwd=small,
        check=False,
        env=environment(PYTHONPATH=f"{tmp_path}{os.pathsep}{REPOSITORY}"),
    )
    assert (run.returncode, run.stderr.count("\n")) == (128 + getattr(signal, name), 1), run.stderr
    assert run.stderr.startswith("Stopped. ")


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
@pytest.mark.parametrize(
    "text",
    [
        "os.kill(os.getpid(), number)\nimport time\ntime.sleep(30)",
        # where Python drops exceptions
        "class Dropped:\n    def __del__(self):\n        os.kill(os.getpid(), number)\n        for "
        "_ in range(100):\n"
        "            pass\nDropped()\nimport time\ntime.sleep(30)",
        # turned into another exception, as compiled modules do
        "try:\n    os.kill(os.getpid(), number)\n    import time\n    time.sleep(30)\n"
        "except BaseException:\n    raise ImportError('numpy.core.multiarray failed to import')",
        # in a library that does not come back
        "from aud_dnn import terminal\nterminal._GRACE_S = 0.3\nimport hashlib, threading\n"
        "threading.Timer(0.2, os.kill, [os.getpid(), "
        "number]).start()\nhashlib.pbkdf2_hmac('sha256', b'', b'', 10**9)",
    ],
    ids=["anywhere", "dropped", "changed", "deaf"],
)
def test_stopped_with_one_line_and_its_status(text: str, name: str) -> None:
    run = shell(program(f"import signal\nnumber = signal.{name}\n{text}"), "")
    assert (run.returncode, run.stderr.count(b"\n")) == (128 + getattr(signal, name), 1), run.stderr
    assert run.stderr.startswith(b"Stopped. ")


# --- where the root is --------------------------------------------------------------------------


def folders(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).mkdir(parents=True)
    return root


@pytest.mark.parametrize(
    "names", [("data", "model-actv"), ("results", "model_actv"), ("data/neural",)]
)
def test_the_root_that_one_stands_in_or_below(
    names: tuple[str, ...], tmp_path: Path, monkeypatch
) -> None:
    root = folders(tmp_path / "root", *names, "notes/deep")
    for here in (root, root / "notes" / "deep"):
        monkeypatch.chdir(here)
        assert find_root().root == root
    other = folders(tmp_path / "other", "data", "model-actv")
    monkeypatch.setenv(paths.ROOT_VARIABLE, str(other))
    assert find_root().root == other
    assert find_root(root).root == root


def test_other_projects_are_no_roots(tmp_path: Path, monkeypatch) -> None:
    """Many projects have data/ and results/."""
    monkeypatch.chdir(folders(tmp_path / "project", "data", "results"))
    assert find_root().root == REPOSITORY


def test_installed_code_is_no_root(tmp_path: Path) -> None:
    shutil.copytree(
        REPOSITORY / "aud_dnn",
        tmp_path / "site-packages" / "aud_dnn",
        ignore=shutil.ignore_patterns("__pyc*"),
    )
    run = subprocess.run(
        [sys.executable, "-c", "from aud_dnn.paths import find_root; find_root()"],
        capture_output=True,
        text=True,
        env=environment(PYTHONPATH=str(tmp_path / "site-packages")),
        cwd=tmp_path,
        check=False,
    )
    assert re.search(
        r"MissingDataError: Where are the data\? .*--root DIR.*find_root\(.*AUD_DNN_ROOT",
        run.stderr,
    )


@pytest.mark.parametrize(
    "part", ["data", "data/neural/NH2015", "model-actv", "results/Kell2018word"]
)
def test_a_part_of_a_root_is_no_root(part: str, tmp_path: Path, monkeypatch) -> None:
    folders(tmp_path, "data/neural/NH2015", "model-actv", "results/Kell2018word")
    with pytest.raises(
        InputError, match=rf"\(from --root\) lies in .*Did you mean {re.escape(str(tmp_path))}\?"
    ):
        find_root(tmp_path / part)
    monkeypatch.chdir(tmp_path / part)
    assert find_root().root == tmp_path


def test_a_results_link_to_a_scratch_that_is_gone(tmp_path: Path) -> None:
    folders(tmp_path, "data", "model-actv")
    (tmp_path / "results").symlink_to("/scratch/gone")
    with pytest.raises(
        MissingDataError, match=r"results is a link to /scratch/gone, which does not exist"
    ):
        find_root(tmp_path)


@pytest.mark.skipif(sys.platform != "linux", reason="names are text elsewhere")
def test_a_root_whose_name_is_no_text(tmp_path: Path) -> None:
    root = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    folders(root, "data", "model-actv")
    with pytest.raises(InputError, match="not valid text"):
        find_root(root)
    run = subprocess.run(
        [sys.executable, str(REPOSITORY / "aud_dnn/AUD_main.py"), "--root", str(root)],
        capture_output=True,
        env=environment(),
        check=False,
    )
    assert run.returncode == 2 and run.stderr.startswith(b"error: The path ")
    assert b"caf\\udce9" in run.stderr or b"caf\\xe9" in run.stderr


def test_a_current_folder_that_is_gone(tmp_path: Path) -> None:
    command = f'cd {folders(tmp_path / "here")}; mkdir gone; cd gone; rmdir ../gone; "$@"'
    (tmp_path / "here").mkdir(exist_ok=True)
    run = subprocess.run(
        ["bash", "-c", command, "bash", sys.executable, str(REPOSITORY / "aud_dnn/AUD_main.py")],
        capture_output=True,
        text=True,
        env=environment(),
        check=False,
    )
    assert (
        run.returncode == 2
        and run.stderr.count("\n") == 1
        and "current folder does not exist" in run.stderr
    )


# --- names and listings -------------------------------------------------------------------------


def test_long_lists_of_names_are_cut() -> None:
    message = str(unknown_name("model", "Kell2018wrd", MODELS))
    assert "Did you mean Kell2018word" in message and len(message) < 300
    assert f"({len(MODELS)} in all; --list_models shows them)" in message
    assert "--list_layers AST shows them" in str(
        unknown_name("layer of AST", "x", MODELS["AST"].layer_names)
    )
    assert str(unknown_name("target", "x", ["a", "b"])).endswith("Known: a, b.")


@pytest.mark.parametrize(
    ("model", "layers"), [("spectemp", ("avgpool",)), ("Kell2018word", ("relu2",))]
)
def test_a_model_with_one_layer_needs_no_name(
    model: str, layers: tuple[str, ...], small: Path, capsys
) -> None:
    assert (
        AUD_main.main(["--root", str(small), "--source_model", model, "--target", "NH2015comp"])
        == 0
    )
    assert is_complete(result_folder(ProjectPaths(small), model, layers[0], "NH2015comp", False))


@pytest.mark.parametrize("model", ["AST", "mymodel"])
def test_which_layer_is_asked_where_there_are_several(model: str, small: Path) -> None:
    with pytest.raises(
        InputError, match=rf"Which layer of {model}\? It has \d+.*--list_layers {model}"
    ):
        AUD_main.main(["--root", str(small), "--source_model", model])


def test_models_and_layers_are_listed(small: Path, capsys: pytest.CaptureFixture) -> None:
    from aud_dnn.analyze import AUD_plot_main, CONSISTENCY_plot_main, DIM_plot_main
    from aud_dnn.analyze import rsa_matrix_calculation_all_models as rsa_main

    for script in (AUD_main, AUD_plot_main, CONSISTENCY_plot_main, DIM_plot_main, rsa_main):
        assert script.main(["--root", str(small), "--list_models"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == 1 + len(MODELS) + 1
        assert "Kell2018word            CochCNN9-Word             trained, permuted" in lines
        assert lines[-1].split() == ["mymodel", "(your", "own)", "trained"]
        assert script.main(["--root", str(small), "--list_layers", "mymodel"]) == 0
        assert capsys.readouterr().out.split() == ["convolution", "recurrent", "embedding"]
    with pytest.raises(InputError, match="Unknown model"):
        arguments.model_layers(ProjectPaths(small), "nobody")


# --- pictures -----------------------------------------------------------------------------------


def picture(folder: Path) -> bytes:
    rng = np.random.default_rng(0)
    splits = published_splits()
    figure = diagnostics.plot_predicted_against_measured(
        rng.random(165), rng.random((len(splits), 165)), splits, title="x"
    )
    save_figure(figure, folder / "picture", formats=("png", "svg"))
    return (folder / "picture.png").read_bytes() + (folder / "picture.svg").read_bytes()


def test_a_users_matplotlibrc_changes_no_figure(tmp_path: Path) -> None:
    plain = picture(tmp_path)
    with mpl.rc_context(
        {
            "axes.grid": True,
            "font.sans-serif": ["DejaVu Serif"],
            "savefig.transparent": True,
            "text.usetex": True,
            "axes.facecolor": "red",
            "figure.facecolor": "black",
            "lines.linewidth": 9,
            "svg.fonttype": "path",
            "savefig.pad_inches": 2,
            "axes.titlesize": 30,
        }
    ):
        assert picture(tmp_path) == plain


def test_no_backend_of_the_environment_matters(tmp_path: Path) -> None:
    run = shell(
        program(
            "import matplotlib.pyplot as "
            f"plt\nplt.figure().savefig({str(tmp_path / 'picture.png')!r})"
        ),
        "",
        MPLBACKEND="module://no_such_backend",
    )
    assert (run.returncode, run.stderr) == (0, b"") and (tmp_path / "picture.png").is_file()
    for path in (REPOSITORY / "aud_dnn").rglob("*.py"):  # in notebooks, where the backend is theirs
        assert "pyplot" not in path.read_text(encoding="utf-8").replace("outside pyplot", ""), path


@pytest.mark.parametrize(
    "error", [ValueError("no LaTeX"), OSError(errno.ENOSPC, "full"), KeyboardInterrupt()]
)
def test_failed_pictures_leave_the_result(
    error: BaseException, small: Path, monkeypatch, capsys
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(diagnostics, "save_diagnostics", fail)
    call = [
        "--root",
        str(small),
        "--source_layer",
        "relu2",
        "--target",
        "NH2015comp",
        "--save_plot",
        "True",
    ]
    if isinstance(error, KeyboardInterrupt):
        with pytest.raises(KeyboardInterrupt):
            AUD_main.main(call)
    else:
        assert AUD_main.main(call) == 0
        assert "the result is whole, but its pictures could not be drawn" in capsys.readouterr().err
    folder = result_folder(ProjectPaths(small), "Kell2018word", "relu2", "NH2015comp", False)
    assert len(read_result(folder).table) == 6
    assert not list(folder.glob("*plots*"))


def test_a_fault_costs_one_picture(capsys: pytest.CaptureFixture) -> None:
    drawings = Drawings()
    with drawings.attempt():
        raise ZeroDivisionError("x")
    assert (
        len(drawings.errors) == 1
        and "ZeroDivisionError: x" in drawings.errors[0]
        and FAULT in drawings.errors[0]
    )
    assert "Traceback" in capsys.readouterr().err
    with pytest.raises(OSError), drawings.attempt():
        raise OSError(errno.ENOSPC, "full")


def test_no_home_and_an_unknown_user(tmp_path: Path) -> None:
    text = "import pwd\nassert 'MPLCONFIGDIR' in os.environ\nimport matplotlib.font_manager"
    command = program(text)
    command[2] = (
        "import pwd\ndef unknown(*_):\n    raise KeyError\npwd.getpwuid = unknown\n"
    ) + command[2]
    bare = {
        name: value
        for name, value in environment(TMPDIR=str(tmp_path)).items()
        if name not in ("HOME", "MPLCONFIGDIR")
    }
    run = subprocess.run(command, capture_output=True, text=True, env=bare, timeout=60, check=False)
    assert run.returncode == 0, run.stderr
    assert not list(tmp_path.iterdir())


# --- documentation ------------------------------------------------------------------------------


@pytest.fixture
def cluster_job(tmp_path: Path) -> Path:
    """The job of docs/cluster.md, with a root, and a ``python`` that notes its calls and fails
    where it is told to.
    """
    page = (REPOSITORY / "docs" / "cluster.md").read_text(encoding="utf-8")
    job = page.split("```bash\n")[1].split("```")[0].replace("/path/to/root", str(tmp_path))
    (tmp_path / "job").write_text(job)
    (tmp_path / "python").write_text(
        f'#!/bin/bash\n[ "$1" = -c ] && exec {sys.executable} "$@"\n'
        f'echo "$@" >> {tmp_path}/calls\n[[ "$*" = *"$FAILING"* ]] && exit 2\nexit 0\n'
    )
    (tmp_path / "python").chmod(0o755)
    return tmp_path / "job"


@pytest.mark.parametrize(("failing", "status"), [("nothing", 0), ("--shard 3/32", 2)])
def test_the_array_job_of_the_page_does_its_part_and_tells_failures(
    failing: str, status: int, cluster_job: Path
) -> None:
    run = subprocess.run(
        ["bash", str(cluster_job)],
        check=False,
        timeout=60,
        env=environment(
            PATH=f"{cluster_job.parent}:{os.environ['PATH']}",
            SLURM_ARRAY_TASK_ID="3",
            SLURM_CPUS_PER_TASK="1",
            FAILING=failing,
        ),
    )
    assert run.returncode == status
    [call] = (cluster_job.parent / "calls").read_text().splitlines()
    assert call.startswith("aud_dnn/sweep.py --models all") and call.endswith("--shard 3/32")


def test_the_options_of_the_page_can_be_read(tmp_path: Path) -> None:
    from aud_dnn.runs.cluster import read_slurm_options

    page = (REPOSITORY / "docs" / "cluster.md").read_text(encoding="utf-8")
    (tmp_path / "cluster.toml").write_text(page.split("```toml\n")[1].split("```")[0])
    options = read_slurm_options(tmp_path / "cluster.toml")
    assert options.workers == 32 and options.setup == ("module load python",)


def test_the_own_model_of_the_readme_twice(small: Path, monkeypatch) -> None:
    readme = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    code = next(
        block
        for block in re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
        if "layer_list" in block
    )
    monkeypatch.chdir(small)
    activations = {
        "conv1": np.random.default_rng(0).random((165, 5)),
        "transformer": np.ones((165, 2)),
    }
    for _ in range(2):
        exec(code, {"activations": activations})
    assert arguments.model_layers(ProjectPaths(small), "my_model") == ("conv1", "transformer")


@pytest.mark.parametrize(
    "script", ["aud_dnn/AUD_main.py", "aud_dnn/extract_activations.py", "setup_utils/check_data.py"]
)
def test_a_python_without_the_packages_is_told_so(script: str) -> None:
    """The commands of the README given to another Python than that of ``make demo``."""
    done = subprocess.run(
        [sys.executable, "-S", REPOSITORY / script, "--list_models"],
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"]},
    )
    assert done.returncode == 2 and done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert re.match(
        r"error: numpy is not installed for this Python \(.+\)\..*pip install -e \.", line
    )


def test_a_package_that_is_missing_later_is_named(capsys: pytest.CaptureFixture) -> None:
    def main(_: list[str] | None) -> int:
        import aud_dnn_needs_this  # noqa: F401

        return 0

    with pytest.raises(SystemExit) as ended:
        run_script(main)
    assert (
        ended.value.code == 2
        and "error: aud_dnn_needs_this is not installed" in capsys.readouterr().err
    )


def test_a_module_of_ours_that_is_missing_is_our_fault(capsys: pytest.CaptureFixture) -> None:
    def main(_: list[str] | None) -> int:
        import aud_dnn.not_there  # noqa: F401

        return 0

    with pytest.raises(SystemExit) as ended:
        run_script(main)
    assert ended.value.code == 3 and FAULT in capsys.readouterr().err


def test_the_log_goes_to_what_stderr_is_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """A script called from Python leaves its log behind; the stream that it found may be closed by
    then.
    """
    first, second = io.StringIO(), io.StringIO()
    logger = logging.getLogger("aud_dnn")
    kept = logger.handlers, logger.level, logger.propagate
    try:
        monkeypatch.setattr(sys, "stderr", first)
        running_module.show_log(verbose=False)
        first.close()
        monkeypatch.setattr(sys, "stderr", second)
        logger.warning("now here")
        monkeypatch.setattr(sys, "stderr", None)
        logger.warning("nowhere")
    finally:
        logger.handlers, logger.level, logger.propagate = kept
    assert second.getvalue() == "WARNING: now here\n"
