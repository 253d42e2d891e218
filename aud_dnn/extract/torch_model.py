"""Any PyTorch model: what has to be said about it, and how its taps are read.

One hook per tapped module; the hook averages at once and keeps only the short vector, so memory
does not grow with the size of the activations or the number of sounds.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from aud_dnn.errors import InputError, is_memory_error, unknown_name
from aud_dnn.extract.precision import full_precision, half_precision
from aud_dnn.extract.randomness import RandomGenerators, watched_entropy
from aud_dnn.extract.tap_reports import (
    TapRow,
    describe,
    device_called,
    differ,
    format_table,
    modules_with_hooks,
    shape_of,
    wrong_number_of_calls,
)
from aud_dnn.extract.taps import EVERY_CALL, Tap
from aud_dnn.extract.torch_network import TorchModel
from aud_dnn.extract.user_code import describe_error, user_code


class TorchExtractor:
    """Runs a :class:`TorchModel`; see :class:`aud_dnn.extract.Extractor`.

    Parameters
    ----------
    model : TorchModel
        Its network is put into evaluation mode and onto ``device``.
    device : str
        ``"cpu"``, ``"cuda"``, ``"cuda:1"``, …

    Raises
    ------
    InputError
        A tap names a module that does not exist, the device is not there, or a part of the network
        stays in training mode.
    """

    def __init__(self, model: TorchModel, device: str = "cpu") -> None:
        self._model = model
        self._device = device_called(device)
        self._network = model.network.eval().to(self._device)
        if training := [
            name or "the network itself"
            for name, module in self._network.named_modules()
            if module.training
        ]:
            raise InputError(
                f"{len(training)} module(s) stay in training mode after eval(), for example "
                f"{training[0]}: dropout and batch statistics would be active. Let train(False) "
                "reach them."
            )
        self.layers = tuple(tap.key for tap in model.taps)
        self.sample_rate, self.duration, self.policy = (
            model.sample_rate,
            model.duration,
            model.policy,
        )
        batchable = all(tap.has_batch for tap in model.taps)
        if model.frames and not batchable:
            raise InputError(
                "A network that sees frames takes them as its batch: every tap must name its batch "
                "axis."
            )
        if self.duration is None and any(tap.seconds for tap in model.taps):
            raise InputError(
                "A tap with seconds belongs to a network whose sounds are brought to one length: "
                'say its duration, and policy = "pad".'
            )
        self.max_batch = model.max_batch if batchable and not model.frames else 1
        self.details = {**model.details, "taps": [describe(tap) for tap in model.taps]}
        if self._device.type != "cpu":
            self.details["device"] = self._device.type
        if model.stochastic:
            self.details["random_numbers"] = "seed 0 for every sound"
        self._generators = RandomGenerators(self._network, (model.prepare, model.forward))
        self._modules = self._tapped_modules()

    def _tapped_modules(self) -> dict[str, torch.nn.Module]:
        known = dict(
            self._network.named_modules(remove_duplicate=False)
        )  # a shared module has several names
        modules = {}
        for tap in self._model.taps:
            if not tap.module:
                continue
            if tap.module not in known:
                raise unknown_name(
                    f"module of tap {tap.name}",
                    tap.module,
                    [name for name in known if name],
                    "--list_layers shows them with their shapes.",
                )
            modules[tap.module] = known[tap.module]
            if isinstance(modules[tap.module], torch.jit.ScriptModule):
                raise InputError(
                    f"tap {tap.name}: {tap.module} belongs to a TorchScript program, which runs "
                    "outside of Python: nothing inside of it can be tapped. Build the network "
                    "from its Python class and load these weights "
                    "(torch.jit.load(FILE).state_dict()), or tap what it returns (returned = …)."
                )
        return modules

    def prepare(self, samples: np.ndarray, rate: int) -> torch.Tensor:
        """The model's input for one sound."""
        with self._random_numbers("The front end"), user_code("The function that prepares a sound"):
            prepared = self._model.prepare(samples, rate)
        if not isinstance(prepared, torch.Tensor):
            raise InputError(
                "The function that prepares a sound must return a torch.Tensor with a batch axis "
                f"of length 1; it returned {type(prepared).__name__}."
            )
        return prepared

    def run(self, prepared: Sequence[torch.Tensor]) -> list[dict[str, np.ndarray]]:
        """Stored key -> features, for each sound of the batch."""
        found, _ = self._forward(prepared)
        for tap in self._model.taps:
            if len(found[tap.key]) != len(prepared):
                raise InputError(
                    f"tap {tap.name}: {len(found[tap.key])} vectors for {len(prepared)} sounds. Is "
                    "its batch axis named right?"
                )
        return [
            {key: array[row].numpy() for key, array in found.items()}
            for row in range(len(prepared))
        ]

    def _forward(
        self, prepared: Sequence[torch.Tensor]
    ) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
        """One forward pass.

        For each key the collapsed tensor (n_sounds, n_features), and the shape that the tap saw.
        """
        if len(forms := {tuple(one.shape[1:]) for one in prepared}) > 1:
            raise InputError(
                "The sounds of a batch have inputs of different shapes "
                f"({' and '.join(map(str, forms))}). Use --batch 1."
            )
        inputs = prepared[0] if len(prepared) == 1 else torch.cat(list(prepared))
        inputs = inputs.to(self._device)
        found: dict[str, torch.Tensor] = {}
        shapes: dict[str, str] = {}
        with self._hooks(found, shapes) as calls, self._random_numbers("The network", inputs):
            try:
                returned = self._pass(inputs)
            except InputError:
                raise
            except Exception as error:
                if is_memory_error(error):
                    raise InputError(self._too_little_memory(len(prepared))) from error
                raise InputError(
                    f"The network cannot take its input of shape {tuple(inputs.shape)}, "
                    f"{inputs.dtype} ({describe_error(error)}). Is its shape (for a description in "
                    "TOML: input) right?"
                ) from error
        for tap in self._model.taps:
            if tap.returned:
                shapes[tap.key] = shape_of(returned, tap)
                found[tap.key] = self._features(tap, returned)
            elif tap.call == EVERY_CALL and calls[tap.module]:
                found[tap.key] = found[tap.key] / calls[tap.module]
            elif calls[tap.module] != tap.calls:
                raise InputError(wrong_number_of_calls(tap, calls[tap.module]))
        return {tap.key: found[tap.key] for tap in self._model.taps}, shapes

    def _features(
        self,
        tap: Tap,
        output: Any,
        module: torch.nn.Module | None = None,
        inputs: tuple[Any, ...] = (),
    ) -> torch.Tensor:
        """What a tap makes of an output; of frames of one sound, their average."""
        features = tap.collapsed(output, module, inputs, self.duration)
        if not self._model.frames:
            return features
        if tap.pooling == "rms":
            return features.square().mean(dim=0, keepdim=True).sqrt()
        return features.mean(dim=0, keepdim=True)

    def _pass(self, inputs: torch.Tensor) -> Any:
        with torch.inference_mode(), full_precision(self._device):
            return self._model.run(inputs)

    def _too_little_memory(self, n_sounds: int) -> str:
        where = "" if self._device.type == "cpu" else f" on {self._device}"
        remedy = (
            "Use a smaller --batch"
            if n_sounds > 1
            else "Close other programs, or ask the cluster for more (--mem)"
            if self._device.type == "cpu"
            else "Use --device cpu, or another GPU"
        )
        return (
            f"There is not enough memory{where} for {n_sounds} sound{'s' * (n_sounds > 1)} at "
            f"once. {remedy}, and run the same command again; the sounds that were finished are "
            "kept."
        )

    @contextlib.contextmanager
    def _hooks(
        self, found: dict[str, torch.Tensor], shapes: dict[str, str]
    ) -> Iterator[dict[str, int]]:
        """Hooks on the tapped modules for one forward pass.

        The counters of calls start again every time.
        """
        calls = dict.fromkeys(self._modules, 0)
        handles = []

        def hook_for(path: str, taps: list[Tap]) -> Callable:
            def hook(module: torch.nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
                for tap in taps:
                    if tap.call not in (calls[path], EVERY_CALL):
                        continue
                    shapes[tap.key] = shape_of(output, tap)
                    features = self._features(tap, output, module, inputs)
                    if tap.call == EVERY_CALL and calls[path]:
                        features = features + found[tap.key]
                    found[tap.key] = features
                calls[path] += 1

            return hook

        try:
            for path, module in self._modules.items():
                handles.append(
                    module.register_forward_hook(
                        hook_for(path, [tap for tap in self._model.taps if tap.module == path])
                    )
                )
            yield calls
        finally:
            for handle in handles:
                handle.remove()

    @contextlib.contextmanager
    def _random_numbers(self, who: str, inputs: torch.Tensor | None = None) -> Iterator[None]:
        """The same seed for every sound where random numbers are declared.

        Elsewhere whoever draws one is refused.
        """
        before = self._generators.states()
        with (
            watched_entropy() as asked,
            self._generators.seeded() if self._model.stochastic else contextlib.nullcontext(),
        ):
            yield
        if asked:
            raise InputError(
                f"{who} takes random numbers from the operating system (in {', '.join(asked)}), as "
                "a generator that is made without a seed does, so that two runs may differ, "
                "declared or not. Seed it."
            )
        if self._model.stochastic:
            return
        if drawn := self._generators.drawn_since(before):
            where = self._drawing_module(inputs) if inputs is not None else ""
            raise InputError(
                f"{who} draws random numbers in evaluation mode (from {', '.join(drawn)}{where}), "
                "so that two runs may differ. Turn it off (layer drop, dropout, dither), or "
                "declare stochastic = true: every sound gets the same seed then."
            )

    def _drawing_module(self, inputs: torch.Tensor) -> str:
        """Run once more and look at every module.

        The innermost one that draws, as a part of a sentence.
        """
        names = {module: name for name, module in modules_with_hooks(self._network)}
        before: list[dict[str, Any]] = []
        drawing: list[str] = []

        def begin(*_: Any) -> None:
            before.append(self._generators.states())

        def end(module: torch.nn.Module, *_: Any) -> None:
            if self._generators.drawn_since(before.pop()):
                drawing.append(names[module])

        handles = [
            handle
            for module in names
            for handle in (
                module.register_forward_pre_hook(begin),
                module.register_forward_hook(end),
            )
        ]
        try:
            self._pass(inputs)
        finally:
            for handle in handles:
                handle.remove()
        return f", in the module {drawing[0]}" if drawing and drawing[0] else ""

    def dry_run(self, batch: int = 1) -> list[TapRow]:
        """Try noise of the length that the model takes (else 2 s), and look for what would spoil
        the activations.

        Parameters
        ----------
        batch : int
            The batch size that will be used.

        Returns
        -------
        list of TapRow
            One row per tap, in order.

        Raises
        ------
        InputError
            The network cannot take its input; it draws random numbers without being declared; a tap
            never fires or fires another number of times than declared; the network computes in 16
            bits, gives NaN or inf, or other values the second time, or a sound's values depend on
            the other sounds of its batch.
        """
        rng = np.random.default_rng(0)
        length = round(self.sample_rate * (self.duration or 2.0))
        inputs = [
            self.prepare(0.1 * rng.standard_normal(length), self.sample_rate) for _ in range(2)
        ]
        with half_precision(self._network, self._device) as half:
            found, shapes = self._forward(inputs[:1])
        if half and not self._model.half_precision:
            raise InputError(
                f"{len(half)} module(s) compute in 16 bits, for example {half[0]} (half-precision "
                "weights or autocast): values would keep three digits. Turn it off "
                "(network.float()), or declare half_precision = true."
            )
        rows = [TapRow(tap, shapes[tap.key], found[tap.key].shape[1]) for tap in self._model.taps]
        first = {key: array[0].numpy() for key, array in found.items()}
        again, second = (self.run([sound])[0] for sound in inputs)
        for tap in self._model.taps:
            if not np.isfinite(first[tap.key]).all():
                raise InputError(
                    f"tap {tap.name}: noise gives NaN or inf. Are the weights damaged?"
                )
            if differ(first[tap.key], again[tap.key]):
                raise InputError(
                    f"tap {tap.name}: the same sound gives other values the second time, and no "
                    "known random generator was used. A generator made again in every pass, or "
                    "something that the network keeps from sound to sound? Give it a fixed seed, "
                    "or turn it off."
                )
            if len(second[tap.key]) != len(first[tap.key]):
                raise InputError(
                    f"tap {tap.name}: another sound of the same length gives another number of "
                    "values."
                )
        if batch > 1:
            together = self.run(inputs)
            for tap in self._model.taps:
                if any(
                    differ(alone[tap.key], row[tap.key])
                    for alone, row in zip((first, second), together)
                ):
                    raise InputError(
                        f"tap {tap.name}: a sound's values depend on the other sounds of its batch "
                        "(padding or batch statistics). Use --batch 1."
                    )
        return rows

    def check(self, batch: int = 1) -> str:
        """The dry run's table as text; see :meth:`dry_run` for what is refused."""
        return format_table(self.dry_run(batch))
