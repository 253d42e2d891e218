"""Who draws random numbers while a sound is run.

A network that skips a layer now and then gives the same values most of the time, so that running a
sound twice finds it by chance only. The state of a random generator moves with every number that is
drawn; so the states are compared, of the generators that everybody shares (PyTorch on every device,
NumPy, ``random``) and of those that the model holds itself. A generator made again without a seed
asks the operating system for one; so that is watched, too (:func:`watched_entropy`).
"""

from __future__ import annotations

import contextlib
import functools
import os
import random
import sys
import types
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import numpy as np
import torch

from aud_dnn.extract.user_code import of_a_library

_HELD_KINDS = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)
_DEEPEST = 4  # objects within objects that are searched for generators
_MOST_OBJECTS = 100_000
_PLAIN = (
    type(None),
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    np.ndarray,
    torch.Tensor,
    type,
    types.ModuleType,
)


class RandomGenerators:
    """The random generators that a model can draw from.

    Parameters
    ----------
    network : torch.nn.Module
        Its modules are searched for generators of their own, and so are the global names of the
        files that are imported.
    functions : iterable of callables
        What else takes part in a pass: the front end, the forward function.
    """

    def __init__(self, network: torch.nn.Module, functions: Iterable[Callable | None] = ()) -> None:
        self._held = _held_generators(network, functions)

    def states(self) -> dict[str, Any]:
        """Name of a generator -> its state, in a form that can be compared."""
        return {name: _frozen(get()) for name, (get, _, _) in self._all().items()}

    def drawn_since(self, states: Mapping[str, Any]) -> list[str]:
        """Names of the generators whose state is no longer the one of ``states``."""
        return [
            name
            for name, state in self.states().items()
            if name in states and states[name] != state
        ]

    @contextlib.contextmanager
    def seeded(self) -> Iterator[None]:
        """All generators begin at seed 0 within the block, and go on afterwards as if it had not
        been.
        """
        generators = self._all()
        kept = {name: get() for name, (get, _, _) in generators.items()}
        try:
            for _, _, seed in generators.values():
                seed()
            yield
        finally:
            for name, (_, restore, _) in generators.items():
                restore(kept[name])

    def _all(self) -> dict[str, tuple[Callable, Callable, Callable]]:
        """Name -> how its state is read, set, and brought to seed 0."""
        shared = {"PyTorch": _access(torch.default_generator)}
        if torch.cuda.is_initialized():
            shared |= {
                f"PyTorch on cuda:{i}": _access(one)
                for i, one in enumerate(torch.cuda.default_generators)
            }
        if torch.backends.mps.is_available():
            shared["PyTorch on mps"] = (
                torch.mps.get_rng_state,
                torch.mps.set_rng_state,
                lambda: torch.mps.manual_seed(0),
            )
        shared["NumPy (np.random)"] = _access(np.random.mtrand._rand)
        shared["Python (random)"] = _access(random)
        return {**shared, **{name: _access(generator) for name, generator in self._held.items()}}


_PASS_ON = ("random", "secrets", "numpy")  # who asks on behalf of somebody
_ASK_FOR_NAMES = ("uuid", "tempfile", "multiprocessing", "joblib")  # no values come of that


@contextlib.contextmanager
def watched_entropy() -> Iterator[list[str]]:
    """Fill a list with the modules that ask the operating system for random bytes within the block.

    They do so through ``os.urandom``, ``secrets`` and ``SystemRandom``, or for the seed of a new
    NumPy generator.
    """
    asked: list[str] = []
    urandom = os.urandom

    def watched(size: int) -> bytes:
        names, frame = [], sys._getframe(1)
        while frame is not None:
            names.append(frame.f_globals.get("__name__", ""))
            frame = frame.f_back
        who = next((name for name in names if name.split(".")[0] not in _PASS_ON), "")
        if (
            who.split(".")[0] not in _ASK_FOR_NAMES
            and "importlib._bootstrap" not in names
            and who not in asked
        ):
            asked.append(who)
        return urandom(size)

    kept, os.urandom = random._urandom, watched
    random._urandom = watched
    try:
        yield asked
    finally:
        os.urandom, random._urandom = urandom, kept


def _access(generator: Any) -> tuple[Callable, Callable, Callable]:
    if isinstance(generator, torch.Generator):
        return generator.get_state, generator.set_state, lambda: generator.manual_seed(0)
    if isinstance(generator, np.random.Generator):
        bits = generator.bit_generator
        return (
            lambda: bits.state,
            lambda state: setattr(bits, "state", state),
            lambda: setattr(bits, "state", type(bits)(0).state),
        )
    if isinstance(generator, np.random.RandomState):
        return (
            lambda: generator.get_state(legacy=False),
            generator.set_state,
            lambda: generator.seed(0),
        )
    return generator.getstate, generator.setstate, lambda: generator.seed(0)


def _frozen(state: Any) -> Any:
    if isinstance(state, torch.Tensor):
        return state.numpy().tobytes()
    if isinstance(state, np.ndarray):
        return state.tobytes()
    if isinstance(state, dict):
        return tuple((name, _frozen(value)) for name, value in state.items())
    return state


def _held_generators(
    network: torch.nn.Module, functions: Iterable[Callable | None]
) -> dict[str, Any]:
    """Generators in the modules of a network, in the functions of a pass, and among global names.

    Global names are those of the files that define modules and functions, and of all files that
    belong to no library.
    """
    found: dict[str, Any] = {}
    modules = dict(network.named_modules())
    seen = {
        id(one)
        for one in (
            torch.default_generator,
            np.random.mtrand._rand,
            random._inst,
            *modules.values(),
        )
    }

    def look(value: Any, name: str, depth: int) -> None:
        if (
            isinstance(value, _PLAIN)
            or id(value) in seen
            or depth > _DEEPEST
            or len(seen) > _MOST_OBJECTS
        ):
            return
        seen.add(id(value))
        if isinstance(
            value, random.SystemRandom
        ):  # has no state; values are all there is to compare
            return
        if isinstance(value, _HELD_KINDS):
            found[f"{name} ({type(value).__name__})"] = value
        elif isinstance(value, dict):
            for key, inner in value.items():
                look(inner, f"{name}.{key}" if name else str(key), depth + 1)
        elif isinstance(value, (list, tuple, set)):
            for place, inner in enumerate(value):
                look(inner, f"{name}.{place}", depth + 1)
        elif isinstance(value, functools.partial):
            for inner in (value.func, value.args, value.keywords):
                look(inner, name, depth + 1)
        elif isinstance(value, types.MethodType):
            for inner in (value.__self__, value.__func__):
                look(inner, name, depth)
        elif isinstance(value, types.FunctionType):
            look_at_function(value, name, depth)
        elif isinstance(inside := getattr(value, "__dict__", None), dict):
            for kind in type(value).__mro__:
                look(vars(kind).get("__call__"), name, depth)
            for key, inner in inside.items():
                look(inner, f"{name}.{key}" if name else str(key), depth + 1)

    def look_at_function(function: Callable, name: str, depth: int) -> None:
        for cell in function.__closure__ or ():
            with contextlib.suppress(ValueError):  # a name that was never bound
                look(cell.cell_contents, name, depth + 1)
        look(function.__defaults__, name, depth + 1)
        look(function.__kwdefaults__, name, depth + 1)
        look_at_globals(function.__globals__, function.__module__)

    def look_at_globals(names: dict[str, Any], file: str) -> None:
        for key, value in list(names.items()):
            if isinstance(value, _HELD_KINDS):
                look(value, f"{file}.{key}", 0)

    for path, module in modules.items():
        for key, value in vars(module).items():
            if key not in ("_parameters", "_buffers", "_modules"):
                look(value, f"{path}.{key}" if path else key, 0)
        look(getattr(type(module), "forward", None), type(module).__name__, 0)
    for function in functions:
        look(function, getattr(function, "__name__", "front end"), 0)
    for file, module in list(sys.modules.items()):
        if isinstance(module, types.ModuleType) and not of_a_library(
            module.__dict__.get("__file__") or ""
        ):
            look_at_globals(vars(module), file)
    return found
