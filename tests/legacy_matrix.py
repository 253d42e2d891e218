"""Write every pickle that goes by a published name, and open it in the published environment and in
later ones.

    python tests/legacy_matrix.py [--folder .legacy_environments]

Makes the environments where they are not there (from wheels; needs the Pythons below, by pyenv or
on the PATH), scores the demo with the current one, and prints a line for each. ``make test-matrix``
runs it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from legacy_open import checksum

from aud_dnn.demo import make_demo
from aud_dnn.io.pickles.safe_pickle import load_pickle

ENVIRONMENTS = {
    "3.6": (
        "numpy==1.19.1",
        "pandas==1.1.4",
        "scipy==1.4.1",
        "xarray==0.12.0",
        "scikit-learn==0.24.1",
    ),
    "3.8": ("numpy==1.21.6", "pandas==1.3.5", "xarray==0.19.0"),
    "3.11": ("numpy==1.24.4", "pandas==2.0.3", "xarray==2023.6.0"),
}
_OPEN = Path(__file__).with_name("legacy_open.py")
_CODE = Path(__file__).resolve().parents[1] / "aud_dnn"
_READ_AS = {
    "ds.pkl": "dataset",
    "df_output.pkl": "tables",
    "df_roi_meta.pkl": "tables",
    "df_stimuli_meta.pkl": "tables",
}


def interpreter(version: str) -> str | None:
    """A Python of that version, from pyenv or the PATH."""
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    found = sorted(pyenv.glob(f"{version}.*/bin/python"))
    return str(found[-1]) if found else shutil.which(f"python{version}")


def environment(home: Path, version: str, made_from: str, installs: list[list[str]]) -> Path | None:
    """The Python of an environment, made if it is not there or was made from something else.

    None where that Python is not installed. ``installs`` are the arguments of ``pip install``, one
    call after the other.
    """
    python, made = home / "bin" / "python", home / ".made"
    if made.is_file() and made.read_text(encoding="utf-8") == made_from:
        return python
    source = interpreter(version)
    if source is None:
        return None
    shutil.rmtree(home, ignore_errors=True)
    subprocess.run([source, "-m", "venv", str(home)], check=True)
    for packages in installs:
        subprocess.run(
            [
                str(python),
                "-m",
                "pip",
                "install",
                "--quiet",
                "--disable-pip-version-check",
                *packages,
            ],
            check=True,
        )
    made.write_text(made_from, encoding="utf-8")
    return python


def _published_environment(folder: Path, version: str) -> Path | None:
    packages = ENVIRONMENTS[version]
    # the last pip for Python 3.6, whose own one cannot use every index
    first = [["pip==21.3.1"]] if version == "3.6" else []
    return environment(
        folder / f"python{version}",
        version,
        " ".join(packages),
        [*first, ["--only-binary=:all:", *packages]],
    )


def write_everything(root: Path) -> list[Path]:
    """Score the demo with every flag that writes such pickles; the demo's own input is of that
    kind, too.
    """
    make_demo(root, seed=0, sounds=False)
    environ = {**os.environ, "PYTHONPATH": str(_CODE.parent), "MPLBACKEND": "agg"}
    commands = (
        "AUD_main.py --source_model Kell2018word --source_layer relu0 --target all --save_preds "
        "True",
        "analyze/rsa_matrix_calculation_all_models.py --models Kell2018word spectemp --target "
        "NH2015 --roi All Primary --figures False --progress False",
    )
    for command in commands:
        script, *arguments = command.split()
        subprocess.run(
            [
                sys.executable,
                str(_CODE / script),
                "--root",
                str(root),
                *arguments,
                "--legacy_pickles",
                "True",
            ],
            check=True,
            env=environ,
            stdout=subprocess.DEVNULL,
        )
    written = sorted({*root.rglob("*.pkl"), *root.rglob("*.pckl")})
    activations = [
        path
        for path in written
        if path.name.endswith(("_activations.pkl", "_activations_randnetw.pkl"))
    ]
    return [
        path for path in written if path not in activations[2:-2]
    ]  # 330 of one kind: a few are enough


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--folder",
        type=Path,
        default=Path(".legacy_environments"),
        help="where the environments lie",
    )
    folder = parser.parse_args().folder.resolve()
    failed = False
    with tempfile.TemporaryDirectory() as scratch:
        paths = [str(path) for path in write_everything(Path(scratch) / "demo")]
        expected = {
            path: checksum(load_pickle(path, allow=_READ_AS.get(Path(path).name, "arrays")))
            for path in paths
        }
        for version in (*ENVIRONMENTS, ""):
            python = _published_environment(folder, version) if version else sys.executable
            if python is None:
                print(f"Python {version}: not installed here, left out")
                continue
            run = subprocess.run(
                [str(python), str(_OPEN), *paths],
                check=True,
                capture_output=True,
                text=True,
                cwd=scratch,
            )
            report = json.loads(run.stdout)
            wrong = {
                path: found for path, found in report["files"].items() if found != expected[path]
            }
            failed |= bool(wrong)
            print(
                f"{report['versions']}: {len(paths) - len(wrong)} of {len(paths)} files open and "
                "hold the same"
            )
            for path, found in wrong.items():
                print(f"    {Path(path).relative_to(Path(scratch) / 'demo')}: {found}")
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
