"""``aud-dnn COMMAND``: the scripts, by another name."""

from __future__ import annotations

import importlib
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import aud_dnn
from aud_dnn import console
from aud_dnn.commands import COMMANDS, as_called
from aud_dnn.errors import InputError

REPOSITORY = Path(aud_dnn.__file__).parents[1]


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["pytest"])


def test_every_script_is_a_command() -> None:
    scripts = {
        str(path.relative_to(REPOSITORY))
        for folder in ("aud_dnn", "setup_utils")
        for path in (REPOSITORY / folder).rglob("*.py")
        if re.search(r"^    run_script\(main\)", path.read_text(encoding="utf-8"), re.MULTILINE)
    }
    named = {command.script for command in COMMANDS.values()}
    as_modules = {f"-m {path[:-3].replace('/', '.').replace('.__main__', '')}" for path in scripts}
    assert named <= scripts | as_modules
    left = scripts - named - {f"{one[3:].replace('.', '/')}.py" for one in named}
    assert left - {"aud_dnn/demo/__main__.py"} <= {"aud_dnn/demo/report.py", "aud_dnn/console.py"}
    for command in COMMANDS.values():
        assert callable(importlib.import_module(command.module).main)


def test_a_command_is_its_script(demo_root: Path, capsys: pytest.CaptureFixture) -> None:
    arguments = ["--root", str(demo_root), "--models", "spectemp"]
    assert console.main(["check", *arguments]) == 0
    by_command = capsys.readouterr().out
    run = subprocess.run(
        [sys.executable, REPOSITORY / "setup_utils/check_data.py", *arguments],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert by_command == run.stdout and "spectemp" in by_command
    with pytest.raises(SystemExit):
        console.main(["fit", "--help"])
    assert "usage: aud-dnn fit" in capsys.readouterr().out


def test_what_is_said_without_a_command(capsys: pytest.CaptureFixture) -> None:
    assert console.main([]) == 0
    listed = capsys.readouterr().out
    assert all(re.search(rf"(?m)^  {name} ", listed) for name in COMMANDS)
    assert console.main(["--version"]) == 0
    assert capsys.readouterr().out == f"aud-dnn {aud_dnn.__version__}\n"
    with pytest.raises(InputError, match=r"command.*'swep'.*sweep"):
        console.main(["swep"])


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_tab_completes_commands_and_flags(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    assert console.main(["--completion"]) == 0
    script = capsys.readouterr().out
    (tmp_path / "aud-dnn").write_text(
        f'#!/bin/bash\nexec {sys.executable} -m aud_dnn.console "$@"\n', encoding="utf-8"
    )
    (tmp_path / "aud-dnn").chmod(0o755)

    def completed(*words: str) -> list[str]:
        lines = [
            script,
            f"COMP_WORDS=({' '.join(map(repr, words))})",
            f"COMP_CWORD={len(words) - 1}",
            "_aud_dnn",
            "echo ${COMPREPLY[@]}",
        ]
        run = subprocess.run(
            ["bash", "-c", "\n".join(lines)], capture_output=True, text=True, check=True,
            env={"PATH": f"{tmp_path}:/usr/bin:/bin", "PYTHONPATH": str(REPOSITORY)},
        )  # fmt: skip
        return run.stdout.split()

    assert completed("aud-dnn", "s") == ["score", "sweep", "similarity"]
    assert completed("aud-dnn", "sweep", "--sh") == ["--shard"]


def test_messages_name_the_commands_that_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "Run python aud_dnn/AUD_main.py --overwrite, then python -m aud_dnn.demo."
    assert as_called(text) == text
    monkeypatch.setattr(sys, "argv", ["aud-dnn plot"])
    assert as_called(text) == "Run aud-dnn fit --overwrite, then aud-dnn demo."
