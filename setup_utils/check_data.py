"""Inspect the data, activations and results below a root: see ``aud_dnn/check_data.py``."""

from __future__ import annotations

import sys
from pathlib import Path

if __name__ == "__main__":
    if not __package__:  # run as a file: import from the repository, not from this folder
        sys.path[0] = str(Path(__file__).resolve().parents[1])
    from aud_dnn.terminal import start_script

    start_script()

from aud_dnn.check_data import main
from aud_dnn.running import run_script

if __name__ == "__main__":
    run_script(main)
