"""What a run of the regression did, in words and as records beside each result."""

from __future__ import annotations

import logging
import platform
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from aud_dnn import NUMERICS_VERSION, __version__
from aud_dnn.methods.threads import available_cores
from aud_dnn.runs.fit_plan import FitOptions
from aud_dnn.store.regression import RegressionResult
from aud_dnn.targets.facts import facts_of
from aud_dnn.utils import Remark

log = logging.getLogger("aud_dnn")

_PACKAGES = ("numpy", "scipy", "pandas", "h5py", "xarray")


@dataclass(frozen=True)
class Outcome:
    """One line of the closing table."""

    layer: str
    target: str
    status: str  # "fitted", "already there", "finished by another run"
    folder: Path
    median_r2: float  # over voxels, of the medians over splits
    median_r2_c: float | None  # None where there is no noise correction
    warnings: tuple[Remark, ...] = ()


def outcome_on_disk(
    target: str,
    layer: str,
    result: RegressionResult,
    status: str,
    warnings: tuple[Remark, ...] = (),
) -> Outcome:
    """The line of the closing table about a result that was there already."""
    table = result.columns("median_r2_test", "median_r2_test_c")
    r2, r2_c = medians(
        table["median_r2_test"].to_numpy(),
        table["median_r2_test_c"].to_numpy(),
        facts_of(target, result.provenance).noise_corrected,
    )
    return Outcome(layer, target, status, result.folder, r2, r2_c, warnings)


def medians(r2: np.ndarray, r2_c: np.ndarray, has_repetitions: bool) -> tuple[float, float | None]:
    """Medians over voxels, raw and noise-corrected; None where there is no correction."""
    corrected = r2_c[~np.isnan(r2_c)]  # of a single repetition there is no correction
    return float(np.median(r2)), float(
        np.median(corrected)
    ) if has_repetitions and corrected.size else None


def outcome_table(outcomes: Sequence[Outcome]) -> str:
    """The closing table."""
    first = max([9, *(len(outcome.target) for outcome in outcomes)]) + 2
    width = max([5, *(len(outcome.layer) for outcome in outcomes)])
    lines = [
        f"{'target':<{first}}{'layer':<{width + 2}}{'median R2':>10}{'noise-corrected':>17}  status"
    ]
    for outcome in outcomes:
        corrected = "–" if outcome.median_r2_c is None else f"{outcome.median_r2_c:.3f}"
        count = f", {len(outcome.warnings)} warning(s)" if outcome.warnings else ""
        lines.append(
            f"{outcome.target:<{first}}{outcome.layer:<{width + 2}}{outcome.median_r2:>10.3f}"
            f"{corrected:>17}  "
            f"{outcome.status}{count}"
        )
    first_of = {
        remark.what: (outcome, remark)
        for outcome in reversed(outcomes)
        for remark in outcome.warnings
    }
    counts = Counter(remark.what for outcome in outcomes for remark in outcome.warnings)
    if counts:
        lines.append(
            "Warnings (with all other remarks in provenance.json and the log file of each result):"
        )
        lines += [
            f"  {what}: in {count} result(s), e.g. {first_of[what][0].layer} / "
            f"{first_of[what][0].target}: {first_of[what][1].where}"
            for what, count in counts.items()
        ]
    lines += [
        f"Results in {folder}"
        for folder in dict.fromkeys(outcome.folder.parent for outcome in outcomes)
    ]
    return "\n".join(lines)


# --- records beside a result ---------------------------------------------------------------------


def provenance_of(options: FitOptions, layer: str, target: str) -> dict[str, Any]:
    """Versions, arguments and circumstances of a fit."""
    return {
        "aud_dnn": __version__,
        "numerics": NUMERICS_VERSION,
        "python": platform.python_version(),
        "packages": {name: metadata.version(name) for name in _PACKAGES},
        "platform": platform.platform(),
        "arguments": {
            "source_model": options.model,
            "source_layer": layer,
            "target": target,
            "randnetw": options.randnetw,
            "alphalimit": options.alphalimit,
            "save_preds": options.save_preds,
            "save_plot": options.save_plot,
            "legacy_pickles": options.legacy_pickles,
        },
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "threads": available_cores(),
    }


def peak_memory_mb() -> float | None:
    """Largest memory of this process so far; None where the system does not say."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(peak / (1e6 if sys.platform == "darwin" else 1e3), 1)


@contextmanager
def log_file(folder: Path) -> Iterator[None]:
    """What is logged inside the block also goes into ``out-<date>.log`` there."""
    handler = logging.FileHandler(
        folder / f"out-{datetime.now():%Y%m%d-%H%M%S}.log", encoding="utf-8"
    )
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.setLevel(level)
        log.removeHandler(handler)
        handler.close()
