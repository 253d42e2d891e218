"""Open published pickles without being able to run what is in them.

No other module may open pickles.

The authors' activations, results and metadata are pickles, written by Python 3.6 with NumPy 1.19,
pandas 1.1 and xarray
0.12. A plain unpickle runs whatever a file asks for, and some of these files no longer open that
way at all. Here a file is read in two steps. :mod:`aud_dnn.io.pickles.machine` reads its
instructions and makes nothing but plain values and inert records of the calls that were asked for,
all of them on a short list. Then this module, with :mod:`aud_dnn.io.pickles.tables`, decides what
the records mean and makes new arrays, tables and datasets from them:

* a dtype is read from a small grammar (booleans, integers, floats, complex numbers, text, bytes,
  objects; no fields, no
  subclasses), and its bytes must fit the shape exactly; arrays of objects hold plain scalars only;
* tables and datasets are taken apart into columns and variables and made again by the public
  constructors, so the file's
  version of pandas or xarray does not matter and its internal state never reaches the installed
  one;
* containers and arrays may be shared, but containers not contain themselves, be nested deeply, or
  stand for much more than
  the file's length; neither would any list become enormous as an array, as one long text among many
  numbers would.

So a file can at worst be refused, or hold wrong numbers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Literal, NoReturn

import numpy as np

from aud_dnn.errors import DamagedFileError, InputError, MissingDataError, UnsafePickleError

from .arrays import ARRAY_BUILDERS, ATOMS, require_modest, require_modest_text, scalar
from .machine import PickleMachine, key_of
from .records import Budget, Call, DamageError, Name, RefusalError

Allowed = Literal["arrays", "tables", "dataset", "tensors"]

MAX_DEPTH = 64
_OPEN = object()  # stands for a container while its contents are built

ARRAY_NAMES = {
    **{(f"numpy.{core}.multiarray", "_reconstruct"): "_reconstruct" for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): "scalar" for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): "_frombuffer" for core in ("core", "_core")},
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): "dtype",
    ("collections", "OrderedDict"): "OrderedDict",
    ("_codecs", "encode"): "encode",  # how protocol 2 writes bytes
    **{
        (module, name): name
        for module in ("builtins", "__builtin__")
        for name in ("set", "slice", "complex", "bytes", "bytearray")
    },
}


def load_pickle(path_or_file: str | Path | BinaryIO, *, allow: Allowed = "arrays") -> Any:
    """Open a pickle of plain data.

    Parameters
    ----------
    path_or_file : path or binary file
        What to read; a file is read to its end.
    allow : {"arrays", "tables", "dataset", "tensors"}
        What the pickle may hold: plain containers of scalars and NumPy arrays; also pandas
        DataFrames, Series and indexes; also xarray Datasets. Take the first that suffices.
        ``tensors``: plain containers, arrays, and PyTorch tensors of one number.

    Returns
    -------
    object
        What the pickle describes, in objects of the installed libraries. Arrays are new and
        writable; an ordered dictionary comes back as a plain one, a byte array as bytes.

    Raises
    ------
    UnsafePickleError
        The file asks for anything else; the message names it.
    DamagedFileError
        The file is empty, cut short, corrupt, or not a pickle.
    MissingDataError
        The file is not there.
    """
    names, builders = _allowed(allow)
    name, data = _read(path_or_file)
    if not data:
        raise DamagedFileError(f"{name} is empty. Download it or write it again.")
    budget = Budget(len(data))
    at_once = {**_AT_ONCE, "scalar": lambda arguments: scalar(arguments, budget)}
    at_once |= {
        kind: _paying(_AT_ONCE[kind], budget) for kind in ("encode", "bytes", "bytearray", "set")
    }
    try:
        content = PickleMachine(data, names, at_once, budget).run()
        return Builder(builders, budget).build(content)
    except RefusalError as refusal:
        hint = _wider_hint(str(refusal), allow)
        raise UnsafePickleError(
            f"{name} {refusal}.{hint} The file was not opened, and nothing in it was run. If you "
            "trust where it comes from, export it again as plain arrays, numbers and text, with "
            "the versions that wrote it."
        ) from None
    except DamageError as damage:
        raise DamagedFileError(f"{name} {damage}. Download it or write it again.") from None
    except MemoryError:
        raise
    except Exception as error:
        # NumPy, pandas or xarray do not accept the pieces: the file's fault, whatever they raise
        raise DamagedFileError(
            f"{name} contradicts itself ({str(error)[:200]}). Download it or write it again."
        ) from error


def _read(path_or_file: str | Path | BinaryIO) -> tuple[str, bytes]:
    if not isinstance(path_or_file, str | Path):
        return str(getattr(path_or_file, "name", "The file")), path_or_file.read()
    try:
        return str(path_or_file), Path(path_or_file).read_bytes()
    except FileNotFoundError:
        raise MissingDataError(f"{path_or_file} is not there.") from None
    except OSError as error:
        raise InputError(f"{path_or_file} cannot be read: {error.strerror}.") from None


def _allowed(
    allow: Allowed,
) -> tuple[dict[tuple[str, str], str], dict[str, Callable[[Builder, Any], Any]]]:
    names, builders = dict(ARRAY_NAMES), dict(ARRAY_BUILDERS)
    if allow == "arrays":
        return names, builders
    if allow == "tensors":
        from . import tensors

        return names | tensors.TENSOR_NAMES, builders | tensors.TENSOR_BUILDERS
    from . import tables  # imported late: pandas and xarray take a second that arrays do not need

    names |= tables.TABLE_NAMES
    builders |= tables.TABLE_BUILDERS
    if allow == "dataset":
        from . import datasets

        names |= datasets.DATASET_NAMES
        builders |= datasets.DATASET_BUILDERS
    elif allow != "tables":
        raise ValueError(
            f'allow must be "arrays", "tables", "dataset" or "tensors", not {allow!r}.'
        )
    return names, builders


def _wider_hint(refusal: str, allow: Allowed) -> str:
    if allow == "arrays" and "`pandas" in refusal:
        return " It holds a pandas table, where plain arrays are expected."
    if allow != "dataset" and "`xarray" in refusal:
        return f" It holds an xarray Dataset, where plain {allow} are expected."
    return ""


# Calls whose result is plain: made while the pickle is read.


def _ordered_dict(arguments: tuple) -> dict:
    if arguments:
        raise TypeError
    return {}


def _set(arguments: tuple) -> set:
    (items,) = arguments
    if type(items) is not list:
        raise TypeError
    return set(map(key_of, items))


def _complex(arguments: tuple) -> complex:
    real, imaginary = arguments
    if type(real) is not float or type(imaginary) is not float:
        raise TypeError
    return complex(real, imaginary)


def _encode(arguments: tuple) -> bytes:
    if not arguments:
        return b""
    text, *encoding = arguments
    if type(text) in (memoryview, bytes) and not encoding:
        return bytes(text)
    if type(text) is not str or encoding not in (["latin1"], ["latin-1"]):
        raise TypeError
    return text.encode("latin-1")


_AT_ONCE: dict[str, Callable[[tuple], Any]] = {
    "OrderedDict": _ordered_dict,
    "set": _set,
    "complex": _complex,
    "encode": _encode,
    "bytes": _encode,
    "bytearray": _encode,
}


def _paying(make: Callable[[tuple], Any], budget: Budget) -> Callable[[tuple], Any]:
    """``make``, after paying for the length of its first argument, which it copies."""

    def pay_and_make(arguments: tuple) -> Any:
        budget.spend(len(arguments[0]) if arguments else 0)
        return make(arguments)

    return pay_and_make


class Builder:
    """Make real objects of what a :class:`~aud_dnn.io.pickles.machine.PickleMachine` returned.

    Parameters
    ----------
    builders : mapping of str to callable
        For each kind of record that stands for an object: a function from this builder and the
        record to that object.
    budget : Budget
        Pays for arrays.
    """

    def __init__(
        self, builders: Mapping[str, Callable[[Builder, Any], Any]], budget: Budget
    ) -> None:
        self._builders = builders
        self._done: dict[int, tuple[Any, int, int, int]] = {}
        self._depth = 0
        self.budget = budget

    def build(self, value: Any) -> Any:
        """Return the object for one value, record or container; shared ones are made once."""
        return self._sized(value)[0]

    def atom(self, value: Any) -> Any:
        """Return a plain scalar, or refuse anything else."""
        if type(value) in ATOMS or isinstance(value, np.generic):
            return value
        if type(value) is memoryview:
            self.budget.spend(len(value))
            return bytes(value)
        if type(value) is Name:
            return self._record(value)
        raise RefusalError(f"holds {_article(value)} where a plain scalar belongs")

    def _sized(self, value: Any) -> tuple[Any, int, int, int]:
        """The object, two counts of what is in it, and the letters of its longest text.

        The first count takes each thing as often as it is met; the second counts arrays by their
        bytes and dictionaries as one thing, as an array of it would.
        """
        kind = type(value)
        if kind in ATOMS or kind is memoryview or kind is Name or isinstance(value, np.generic):
            atom = self.atom(value)
            return atom, 1, 1, len(atom) if isinstance(atom, str | bytes) else 1
        done = self._done.get(id(value))
        if done is None:
            self._done[id(value)] = (_OPEN, 0, 0, 0)
            self._depth += 1
            if self._depth > MAX_DEPTH:
                raise RefusalError(f"nests containers more than {MAX_DEPTH} deep")
            done = self._done[id(value)] = self._made(value)
            self._depth -= 1
        if done[0] is _OPEN:
            raise RefusalError("holds a container that contains itself")
        return done

    def _made(self, value: Any) -> tuple[Any, int, int, int]:
        kind = type(value)
        if kind is Call:
            made = self._record(value)
            return (
                (made, 1, made.nbytes, made.itemsize)
                if type(made) is np.ndarray
                else (made, 1, 1, 1)
            )
        if kind in (set, frozenset):
            return value, len(value) + 1, 1, 1
        if kind is dict:
            require_modest_text(value)
            if set(map(type, value.values())) <= ATOMS:
                return value, self._total([len(value)]), 1, 1
            parts = {key: self._sized(item) for key, item in value.items()}
            return (
                {key: part[0] for key, part in parts.items()},
                self._total(part[1] for part in parts.values()),
                1,
                1,
            )
        if kind not in (list, tuple):
            raise RefusalError(f"holds {_article(value)}")
        if set(map(type, value)) <= ATOMS:
            return value, self._total([len(value)]), len(value), require_modest_text(value)
        parts = [self._sized(item) for item in value]
        things, weight = (
            self._total(part[1] for part in parts),
            self._total(part[2] for part in parts),
        )
        longest = max((part[3] for part in parts), default=1)
        require_modest(things, longest)
        return kind(part[0] for part in parts), things, weight, longest

    def _total(self, counts: Iterable[int]) -> int:
        total = 1 + sum(counts)
        if total > self.budget.total:
            raise RefusalError(
                "repeats containers within containers until they stand for far more than the "
                "file's length"
            )
        return total

    def _record(self, record: Call | Name) -> Any:
        build = self._builders.get(record.kind)
        if build is None:
            _refuse_record(record)
        return build(self, record)


def _refuse_record(record: Call | Name) -> NoReturn:
    raise RefusalError(f"holds `{record.asked}` where data belong")


def _article(value: Any) -> str:
    return f"`{value.asked}`" if isinstance(value, Call | Name) else f"a {type(value).__name__}"
