"""What an ONNX graph holds: its weights, the values that depend on the sound, and its blocks."""

from __future__ import annotations

import ast
import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

_ACTIVATIONS = frozenset({
    "Relu", "LeakyRelu", "PRelu", "Elu", "Selu", "Celu", "Gelu", "FastGelu", "QuickGelu",
    "BiasGelu", "Sigmoid", "HardSigmoid", "HardSwish", "Swish", "Tanh", "Softplus", "Softsign",
    "Mish", "ThresholdedRelu",
})  # fmt: skip
_GATES = ("Sigmoid", "HardSigmoid", "Tanh", "Softplus", "Erf")
_ELEMENTWISE = ("Mul", "Add", "Sub", "Div", "Tanh")
_LEARNED = frozenset({
    "Conv", "ConvTranspose", "DeformConv", "FusedConv", "ConvInteger", "QLinearConv",
    "Gemm", "MatMul", "FusedMatMul", "MatMulInteger", "QLinearMatMul", "LSTM", "GRU", "RNN",
})  # fmt: skip
_FLOATS = (1, 10, 11, 16)  # float, float16, double, bfloat16 of onnx.TensorProto.DataType
_QUANTISED = (2, 3)  # uint8, int8
_NUMBERED = re.compile(r"(.*?)[._]?(\d+)")


@dataclass(frozen=True)
class GraphPart:
    """A value of the graph.

    Attributes
    ----------
    name : str
        As in the file.
    operator : str
        What makes it: ``Conv``, ``Relu``, …
    kind : {"learned", "norm", "activation", "other"}
    label : str
        A name for tables and files: what the exporter has put around the module's own name is gone.
    in_block, closes_block : bool
        Whether it belongs to one of several blocks of the same kind, and is the last of it.
    """

    name: str
    operator: str
    kind: str
    label: str
    in_block: bool = False
    closes_block: bool = False


def weights_of_graph(graph: Any, place: str = "") -> dict[str, Any]:
    """Weights by name: floating-point tensors with an axis, and 8-bit ones with two.

    Stored as initialisers or as constants, in branches and loops, too (then with the name of the
    branch before their own). Scalars, shapes and indices are part of the program.

    Returns
    -------
    dict
        Name -> ``onnx.TensorProto``; changing it changes the graph.
    """
    found = {f"{place}{tensor.name}": tensor for tensor in graph.initializer if _is_weight(tensor)}
    for node in graph.node:
        for attribute in node.attribute:
            if node.op_type == "Constant" and attribute.name == "value" and _is_weight(attribute.t):
                found[f"{place}{node.output[0]}"] = attribute.t
            for inner in (attribute.g, *attribute.graphs):
                branch = f"{place}{node.name or node.output[0]}.{attribute.name}/"
                found |= weights_of_graph(inner, branch)
    return found


def _is_weight(tensor: Any) -> bool:
    size = 1
    for side in tensor.dims:
        size *= side
    if tensor.data_type in _QUANTISED:
        return len(tensor.dims) > 1
    return tensor.data_type in _FLOATS and len(tensor.dims) > 0 and size > 1


def parts_of_graph(
    graph: Any, weights: Collection[str], fixed: Collection[str] = ()
) -> list[GraphPart]:
    """The values that depend on an input, in the order in which they are computed.

    Parameters
    ----------
    graph : onnx.GraphProto
    weights : collection of str
        Names of the weights (:func:`weights_of_graph`).
    fixed : collection of str
        Those that were not learned (Fourier bases, filter banks); what multiplies a sound with them
        is no learned layer.
    """
    constant = {tensor.name for tensor in graph.initializer} | set(weights)
    nodes = []
    for node in graph.node:
        if all(name in constant for name in node.input if name) and not _holds_graph(node):
            constant |= set(node.output)
            if any(name in fixed for name in node.input):
                fixed = {*fixed, *node.output}
        else:
            nodes.append(node)
    closing = _gated_activations(nodes, constant)
    places = [_block_place(node) for node in nodes]
    repeated = _repeated(nodes, places, constant)
    last = {place: i for i, place in enumerate(places) if place is not None}
    parts = []
    for i, node in enumerate(nodes):
        place = places[i]
        inside = place is not None and place in repeated
        for position, name in enumerate(node.output):
            if not name:
                continue
            kind = _kind(node, constant) if position == 0 else "other"
            if kind == "learned" and any(given in fixed for given in node.input):
                kind = "other"
            if position == 0 and i in closing:
                kind = "activation" if closing[i] else "other"
            closes = inside and place is not None and last[place] == i and position == 0
            label = _label(name, node.op_type)
            if closes and place is not None:
                label = f"{place[0].replace('/', '.')}.{place[1]}"
            parts.append(GraphPart(name, node.op_type, kind, label, inside, closes))
    return _with_unique_labels(parts)


def _with_unique_labels(parts: list[GraphPart]) -> list[GraphPart]:
    """A number behind labels that come again; stages keep theirs before what stands between."""
    labels: Counter[str] = Counter()
    named = list(parts)
    for i in sorted(range(len(parts)), key=lambda i: parts[i].kind == "other"):
        label = parts[i].label
        labels[label] += 1
        if labels[label] > 1:
            named[i] = replace(parts[i], label=f"{label}_{labels[label]}")
    return named


def _label(value: str, operator: str) -> str:
    """``model/conv2d_1/Relu;model/…`` and ``/conv2d_1/Relu_output_0`` as ``conv2d_1.Relu``."""
    first = value.split(";")[0].removesuffix("_output_0").rpartition(":")
    path = [
        part
        for part in (first[0] or first[2]).split("/")
        if part and part != "StatefulPartitionedCall"
    ]
    label = re.sub(r"[^\w.-]+", "_", ".".join(path)).strip(".")
    return f"{operator}_{label}" if not label or label.isdigit() else label


def _holds_graph(node: Any) -> bool:
    return any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute)


def _kind(node: Any, constant: Collection[str]) -> str:
    if node.op_type in _LEARNED:
        return "learned" if any(name in constant for name in node.input) else "other"
    if node.op_type in _ACTIVATIONS:
        return "activation"
    return "norm" if "Normalization" in node.op_type else "other"


def _gated_activations(nodes: list[Any], constant: Collection[str]) -> dict[int, bool]:
    """Activations that are written as several operations (SiLU, GELU): number of the node ->
    whether it is the last of them.
    """
    readers: dict[str, list[int]] = {}
    for i, node in enumerate(nodes):
        for name in node.input:
            readers.setdefault(name, []).append(i)
    found: dict[int, bool] = {}
    for i, node in enumerate(nodes):
        chain = [i]
        multiplied = False
        if node.op_type in _GATES and i not in found:
            while len(next_ones := readers.get(nodes[chain[-1]].output[0], [])) == 1:
                following = nodes[next_ones[0]]
                fixed = any(name in constant for name in following.input)
                if following.op_type not in _ELEMENTWISE or not (
                    fixed or following.op_type in ("Mul", "Tanh")
                ):
                    break
                multiplied |= following.op_type == "Mul" and not fixed
                chain.append(next_ones[0])
        if multiplied:
            found |= dict.fromkeys(chain[:-1], False)
            found[chain[-1]] = True
    return found


def _block_place(node: Any) -> tuple[str, int] | None:
    """The outermost numbered module that a node belongs to: ``("encoder/layers", 3)``."""
    scopes = [part for part in node.name.split("/")[:-1] if part]
    for entry in node.metadata_props:  # newer exports of PyTorch
        if entry.key == "pkg.torch.onnx.name_scopes":
            scopes = [str(scope) for scope in _literal_list(entry.value) if scope][:-1]
    for i, scope in enumerate(scopes):
        if match := _NUMBERED.fullmatch(scope):
            return "/".join((*scopes[:i], match[1])), int(match[2])
    return None


def _literal_list(text: str) -> list[Any]:
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return []
    return list(value) if isinstance(value, (list, tuple)) else []


def _repeated(
    nodes: list[Any], places: list[tuple[str, int] | None], constant: Collection[str]
) -> set[tuple[str, int]]:
    """Places of blocks: several of the same name, of more than one learned layer each."""
    learned: Counter[tuple[str, int]] = Counter(
        place
        for node, place in zip(nodes, places)
        if place is not None and _kind(node, constant) == "learned"
    )
    groups: dict[str, set[int]] = {}
    for (group, number), count in learned.items():
        if count > 1:
            groups.setdefault(group, set()).add(number)
    return {place for place in filter(None, places) if len(groups.get(place[0], ())) > 1}
