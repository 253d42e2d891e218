"""What a method of analysis says of itself; store, tables and figures follow from it.

A method is one file of this folder (or a folder with ``method.py``) with a constant ``METHOD``.
Whoever needs a method finds it by that (:func:`find_method`), so nothing else has to be edited for
a new one. Two kinds:

* a :class:`Method` scores every voxel (component, electrode, …) by itself, as ridge regression;
* a :class:`Comparison` compares a layer with all voxels of a participant together, as RSA.

``docs/methods.md`` shows how to write one.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from aud_dnn.errors import InputError, unknown_name
from aud_dnn.methods.comparing.similarity import similarities
from aud_dnn.methods.comparing.triangles import Moments, Triangles
from aud_dnn.splits import Splits


@dataclass(frozen=True)
class Field:
    """One array that a method gives.

    Attributes
    ----------
    name : str
        Attribute of what ``score`` returns.
    stored : str
        Name of the variable on disk.
    dims : tuple of str
        Among ``voxel``, ``participant``, ``split``, ``layer``.
    meaning : str
        One sentence for readers of the file.
    dtype : {"float64", "int64"}
    unit : str
        Empty for plain numbers, such as correlations.
    summaries : tuple of str
        How tables summarise it over splits: ``mean``, ``median``, ``std``; none by default.
    column : str
        What stands behind ``mean_`` in the columns of tables; ``stored`` by default.
    source : str
        ``stored`` of another field that this one is a function of, if it is: then results per voxel
        do not hold it, and whoever reads them makes it again.
    derive : callable, optional
        That function, from array to array.
    dtype_on_disk : str
        Where fewer digits do; ``dtype`` by default.
    """

    name: str
    stored: str
    dims: tuple[str, ...]
    meaning: str
    dtype: str = "float64"
    unit: str = ""
    summaries: tuple[str, ...] = ()
    column: str = ""
    source: str = ""
    derive: Callable[[np.ndarray], np.ndarray] | None = None
    dtype_on_disk: str = ""

    @property
    def columns(self) -> tuple[str, ...]:
        """Of the table with one row per voxel."""
        return tuple(f"{how}_{self.column or self.stored}" for how in self.summaries)


@dataclass(frozen=True, kw_only=True)
class Method:
    """A method of analysis.

    Attributes
    ----------
    name : str
        Names folders and ``--methods``: letters, digits, ``-``.
    label : str
        On the axes of figures.
    limits : (low, high)
        Of the axis where figures show the score.
    fields : tuple of Field
        What ``score`` gives.
    prepare : callable
        ``prepare(features, splits)``: what depends on the representation alone, features of shape
        (n_sounds, n_units). Pure: arrays in, arrays out.
    score : callable
        ``score(prepared, target)``: the fields.
    """

    name: str
    label: str
    limits: tuple[float, float]
    fields: tuple[Field, ...]
    prepare: Callable[..., Any]
    score: Callable[..., Any]


@dataclass(frozen=True)
class Ceiling:
    """A noise ceiling of a comparison: each participant against the mean of the others.

    Attributes
    ----------
    name : str
        In tables: ``pearson``.
    stored : str
        In names of variables on disk: ``r``.
    label : str
        In sentences: ``Pearson``.
    vector : callable
        As :attr:`Comparison.vector`.
    """

    name: str
    stored: str
    label: str
    vector: Callable[[np.ndarray], np.ndarray]

    @property
    def variable(self) -> str:
        """On disk, (participant, split)."""
        return f"leave_one_out_neural_{self.stored}_cv_test_splits"

    @property
    def variable_all_sounds(self) -> str:
        """On disk, (participant,)."""
        return f"leave_one_out_neural_{self.stored}_all_sounds"


@dataclass(frozen=True, kw_only=True)
class Comparison(Method):
    """A method that compares representations of the same sounds.

    Attributes
    ----------
    prepare : callable
        (features of shape (n_sounds, n_units), Splits) -> Triangles.
    triangle : callable
        Moments over all sounds -> triangle (n_pairs,): how layers side by side are compared, whose
        moments are the sum of those of the layers.
    vector : callable
        Triangles (..., n_pairs) -> vectors of unit length (..., n_pairs), NaN where undefined. The
        similarity of two representations is the inner product of their vectors.
    ceilings : tuple of Ceiling
        The published one first, the one in the measure of the scores last; may be the same.
    correlations : bool
        Triangles are correlations between sounds: pictures show them as RDMs (1 - r).
    score : callable
        (vectors of some representations, vectors of others) -> their similarities.
    """

    triangle: Callable[[Moments], np.ndarray]
    vector: Callable[[np.ndarray], np.ndarray]
    ceilings: tuple[Ceiling, ...]
    correlations: bool = False
    score: Callable[..., Any] = similarities
    prepare: Callable[[np.ndarray, Splits], Triangles]

    @property
    def own_ceiling(self) -> Ceiling:
        """The ceiling in the measure of the scores."""
        return self.ceilings[-1]


def comparison_fields(measure: str) -> tuple[Field, ...]:
    """The fields of a comparison, in the order of the published record and under its names.

    Parameters
    ----------
    measure : str
        ``Spearman similarity``.
    """
    by_split, by_layer = ("participant", "split"), ("participant", "layer")
    return (
        Field(
            "layer_train",
            "all_layer_train_correlations",
            (*by_split, "layer"),
            f"{measure} of each layer on the training sounds",
        ),
        Field(
            "layer_test",
            "all_layer_test_correlations",
            (*by_split, "layer"),
            f"{measure} of each layer on the test sounds",
            summaries=("median",),
        ),
        Field(
            "best_index",
            "best_layer_idx",
            by_split,
            "layer chosen on the training sounds, from 0; -1 for none",
            "int64",
        ),
        Field(
            "best_value",
            "best_layer_test_value",
            by_split,
            "test similarity of the layer chosen",
            summaries=("median",),
        ),
        Field(
            "best_median",
            "best_layer_rsa_median_across_splits",
            ("participant",),
            "the score: median over splits of best_layer_test_value",
        ),
        Field(
            "best_median_index",
            "splits_median_best_layer_idx",
            ("participant",),
            "median over splits of best_layer_idx",
        ),
        Field(
            "layer_test_median",
            "splits_median_distance_all_layers",
            by_layer,
            "median over splits of all_layer_test_correlations",
        ),
        Field(
            "layer_all_sounds",
            "all_data_rsa_for_best_layer",
            by_layer,
            f"{measure} of each layer, all sounds",
        ),
        Field(
            "concatenated_all_sounds",
            "all_model_features_rsa",
            ("participant",),
            f"{measure} of all layers concatenated, all sounds",
        ),
        Field(
            "best_layer_position",
            "best_layer_position",
            ("participant",),
            "argmax of all_data_rsa_for_best_layer / (number of layers - 1); undefined for one "
            "layer",
        ),
    )


# --- finding methods ----------------------------------------------------------------------------

_FOLDER = Path(__file__).parent
_Kind = TypeVar("_Kind", bound=Method)


def known_methods(kind: type[_Kind] = Method) -> dict[str, _Kind]:  # type: ignore[assignment]
    """The methods of this folder by name: of one kind, all by default."""
    found = {}
    for path in sorted(_FOLDER.iterdir()):
        if (path / "method.py").is_file():
            module = f"aud_dnn.methods.{path.name}.method"
        elif path.suffix == ".py" and path != Path(__file__) and path.stem != "__init__":
            module = f"aud_dnn.methods.{path.stem}"
        else:
            continue
        method = getattr(importlib.import_module(module), "METHOD", None)
        if isinstance(method, kind):
            found[method.name] = method
    return found


def find_method(name: str, kind: type[_Kind] = Method) -> _Kind:  # type: ignore[assignment]
    """A method by its name, or from a file of one's own.

    Parameters
    ----------
    name : str
        ``CKA``; or the path of a Python file with a constant ``METHOD``. The file is run.
    kind : type
        :class:`Comparison` where only such a method will do.

    Raises
    ------
    InputError
        There is no such method or file; the file has no ``METHOD`` of that kind, or cannot be run;
        its method has the name of another one.
    """
    known = known_methods(kind)
    if not name.endswith(".py"):
        by_case = {known_name.casefold(): method for known_name, method in known.items()}
        if name.casefold() not in by_case:
            raise unknown_name("method", name, list(known))
        return by_case[name.casefold()]
    path = Path(name).resolve()
    if not path.is_file():
        raise InputError(f"{path}, which should hold a method, is not there.")
    spec = importlib.util.spec_from_file_location(f"_method_{path.stem}", path)
    assert spec is not None and spec.loader is not None  # the name ends in .py
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look themselves up
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise InputError(f"{path} cannot be run ({type(error).__name__}: {error}).") from error
    method = getattr(module, "METHOD", None)
    if not isinstance(method, kind):
        raise InputError(
            f"{path} has no METHOD that is a {kind.__name__} (aud_dnn.methods.method); it has "
            f"{type(method).__name__}. docs/methods.md shows one."
        )
    if method.name.casefold() in {known_name.casefold() for known_name in known_methods()}:
        raise InputError(f"{path}: {method.name} is the name of another method. Choose another.")
    return method
