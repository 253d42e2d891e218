"""Every script, and its name as a command: ``aud-dnn fit`` is ``python aud_dnn/AUD_main.py``."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass

PROGRAM = "aud-dnn"


@dataclass(frozen=True)
class Command:
    """A script.

    Attributes
    ----------
    script : str
        Its path in the repository, or ``-m`` and a module.
    module : str
        Where its ``main`` is.
    about : str
        What it does.
    """

    script: str
    module: str
    about: str


def _of(script: str, about: str) -> Command:
    return Command(script, script.removesuffix(".py").replace("/", "."), about)


COMMANDS = {
    "demo": Command("-m aud_dnn.demo", "aud_dnn.demo.__main__", "make a small data set to try all"),
    "download": Command(
        "setup_utils/download_files.py",
        "aud_dnn.download_files",
        "fetch the published data, activations and results",
    ),
    "check": Command(
        "setup_utils/check_data.py",
        "aud_dnn.check_data",
        "look at data, activations and results, and say what is wrong with them",
    ),
    "score": _of("aud_dnn/score_model.py", "a network on everything that is there, with a report"),
    "extract": _of("aud_dnn/extract_activations.py", "activations of a network to sounds"),
    "fit": _of("aud_dnn/AUD_main.py", "predict a target from layers by ridge regression"),
    "sweep": _of("aud_dnn/sweep.py", "every layer of many models, here or on a cluster"),
    "rsa": _of(
        "aud_dnn/analyze/rsa_matrix_calculation_all_models.py",
        "representational similarity analysis, CKA, and comparisons of your own",
    ),
    "similarity": _of("aud_dnn/similarity.py", "ten measures of similarity side by side"),
    "unique-variance": _of(
        "aud_dnn/unique_variance.py", "what a network explains that acoustics does not"
    ),
    "plot": _of("aud_dnn/analyze/AUD_plot_main.py", "the figures of the paper, and more"),
    "consistency": _of(
        "aud_dnn/analyze/CONSISTENCY_plot_main.py", "do data sets, methods and seeds agree"
    ),
    "dimensionality": _of(
        "aud_dnn/analyze/DIM_plot_main.py", "effective dimensionality against score"
    ),
    "leaderboard": _of("aud_dnn/leaderboard.py", "all models in one page"),
    "convert": Command(
        "-m aud_dnn.convert", "aud_dnn.convert", "published results in open formats"
    ),
}


def as_called(text: str) -> str:
    """A message with the commands that it names as ``aud-dnn COMMAND``, if that is what runs.

    Someone who installed the package has no ``aud_dnn/AUD_main.py`` to run.
    """
    if not sys.argv[0].startswith(f"{PROGRAM} "):
        return text
    for name, command in COMMANDS.items():
        text = re.sub(rf"python {re.escape(command.script)}\b", f"{PROGRAM} {name}", text)
    return text
