"""Permuted controls and safe checkpoints."""

import pickle
import tarfile
from collections import OrderedDict

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from aud_dnn.errors import InputError, MissingDataError  # noqa: E402
from aud_dnn.extract.checkpoints import load_weights, read_checkpoint, read_tensors  # noqa: E402
from aud_dnn.extract.permute import (  # noqa: E402
    in_house_seed,
    named_indices,
    permute_network,
    published_indices,
    read_index_file,
)
from aud_dnn.io.digests import file_digest  # noqa: E402


class Network(nn.Module):
    def __init__(self, seed=0):
        super().__init__()
        torch.manual_seed(seed)
        self.front = nn.Conv1d(1, 6, 3, bias=False)
        self.conv = nn.Conv1d(6, 8, 3)
        self.norm = nn.BatchNorm1d(8)
        self.head = nn.Linear(8, 2)
        self.norm.running_mean.copy_(torch.randn(8))
        self.register_buffer("codebook", torch.randn(5, 4))


# --- permutation --------------------------------------------------------------------------------


@pytest.mark.parametrize("scheme", ["named", "published"])
def test_every_entry_keeps_its_values_and_changes_their_order(scheme):
    network = Network()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    report = permute_network(network, seed=0, scheme=scheme)
    after = network.state_dict()
    for name, tensor in before.items():
        np.testing.assert_array_equal(
            np.sort(tensor.numpy(), axis=None), np.sort(after[name].numpy(), axis=None)
        )
        assert after[name].shape == tensor.shape
    assert {
        "front.weight",
        "conv.weight",
        "conv.bias",
        "norm.running_mean",
        "head.weight",
        "codebook",
    } <= set(report.changed)
    # initialised to ones or zeros throughout, or a single number: there is no other order
    assert {"norm.weight", "norm.bias", "norm.running_var", "norm.num_batches_tracked"} <= set(
        report.unchanged
    )
    assert set(report.changed) | set(report.unchanged) == set(before)
    assert all(not torch.equal(before[name], after[name]) for name in report.changed)


def test_values_never_move_between_entries_and_entries_are_permuted_independently():
    network = nn.Module()
    for name in ("a", "b"):
        network.register_buffer(name, torch.arange(50.0) + (100 if name == "b" else 0))
    permute_network(network)
    assert network.a.max() < 100 <= network.b.min()
    assert not torch.equal(network.a.argsort(), network.b.argsort())


def test_an_entry_s_order_depends_on_seed_and_name_alone():
    state = Network().state_dict()
    alone = named_indices({"conv.weight": state["conv.weight"]}, 3)["conv.weight"]
    among_others = named_indices(dict(reversed(state.items())), 3)["conv.weight"]
    np.testing.assert_array_equal(alone, among_others)
    assert not np.array_equal(alone, named_indices(state, 4)["conv.weight"])


def test_the_named_orders_are_pinned():
    # recorded with NumPy 2.4; a change here would change every permuted control made so far
    index = named_indices({"conv0.weight": torch.arange(8.0)}, 0)["conv0.weight"]
    assert index.tolist() == [6, 3, 1, 7, 2, 0, 5, 4]


def test_two_values_always_change_places():
    for seed in range(20):
        network = nn.Module()
        network.register_buffer("pair", torch.tensor([1.0, 2.0]))
        assert permute_network(network, seed=seed).changed == ("pair",)


def test_the_published_scheme_is_randperm_in_order_of_the_entries():
    network, state = Network(), Network().state_dict()
    torch.manual_seed(1)
    expected = {
        name: tensor.flatten()[torch.randperm(tensor.numel())].reshape(tensor.shape)
        for name, tensor in state.items()
    }
    before = torch.random.get_rng_state()
    permute_network(network, seed=1, scheme="published")
    assert torch.equal(before, torch.random.get_rng_state())
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, expected[name]), name


@pytest.mark.parametrize(
    ("model", "seed"),
    [
        ("Kell2018word", 0),
        ("Kell2018wordSeed2", 1),
        ("ResNet50multitaskSeed2", 1),
        ("Kell2018wordCleanSeed2", 1),
        ("Kell2018speakerCleanSeed2", 0),
        ("ResNet50speakerCleanSeed2", 0),
        ("ResNet50speakerClean", 0),
    ],
)
def test_published_seeds(model, seed):
    assert in_house_seed(model) == seed


def test_what_is_kept_stays_as_it_is():
    network = Network()
    before = network.front.weight.detach().clone()
    report = permute_network(network, keep=lambda name: name.startswith("front."))
    assert torch.equal(network.front.weight, before)
    assert report.kept == ("front.weight",)


def test_a_kept_entry_that_shares_memory_with_a_permuted_one_is_noticed():
    network = Network()
    network.twin = network.front
    with pytest.raises(InputError, match="shares its memory"):
        permute_network(network, keep=lambda name: name.startswith("front."))


def test_a_network_without_weights_or_with_equal_weights_has_no_control():
    with pytest.raises(InputError, match="no weights"):
        permute_network(nn.ReLU())
    network = nn.Module()
    network.register_buffer("ones", torch.ones(5))
    with pytest.raises(InputError, match="one value over and over"):
        permute_network(network)


@pytest.mark.parametrize("kind", ["pickle", "torch", "npz"])
def test_index_files_reproduce_a_permutation(tmp_path, kind):
    reference, state = Network(), Network().state_dict()
    indices = published_indices(state, 7)
    permute_network(reference, seed=7, scheme="published")
    tensors = {f"module.model.1.{name}": torch.as_tensor(index) for name, index in indices.items()}
    tensors |= {
        f"module.attacker.model.1.{name}": torch.as_tensor(index) for name, index in indices.items()
    }
    path = tmp_path / "orders"
    if kind == "pickle":
        path.write_bytes(pickle.dumps(tensors))
    elif kind == "torch":
        torch.save(tensors, path)
    else:
        path = tmp_path / "orders.npz"
        np.savez(path, **{name: tensor.numpy() for name, tensor in tensors.items()})
    network = Network()
    permute_network(network, indices=read_index_file(path, "model.1."))
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, reference.state_dict()[name])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda orders: orders.pop("conv.weight"), "no order for conv.weight"),
        (lambda orders: orders.update({"conv.bias": np.arange(7)}), "not an order of its 8 values"),
        (lambda orders: orders.update({"conv.bias": np.zeros(8, int)}), "not an order"),
    ],
)
def test_index_files_that_do_not_fit_are_refused_before_anything_changes(change, message):
    network = Network()
    orders = named_indices(network.state_dict(), 0)
    change(orders)
    before = network.conv.weight.detach().clone()
    with pytest.raises(InputError, match=message):
        permute_network(network, indices=orders)
    assert torch.equal(network.conv.weight, before)


# --- checkpoints --------------------------------------------------------------------------------


class Evil:
    """Pickled, it asks for a file to be made while it is read."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


class Recipe:
    """An object of a class that the reader lacks, with state, items and callables inside."""

    def __init__(self):
        self.setting = {"rate": 1}


def same(tensors, state):
    assert set(tensors) == set(state)
    assert all(torch.equal(tensors[name], state[name]) for name in state)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("entry", [None, "model", "state_dict"])
def test_checkpoints_of_torch_are_read(tmp_path, legacy, entry):
    state = Network().state_dict()
    content = (
        state
        if entry is None
        else {"epoch": 5, entry: state, "optimizer": {"state": {0: torch.ones(3)}}}
    )
    torch.save(content, tmp_path / "c.pt", _use_new_zipfile_serialization=not legacy)
    same(read_tensors(tmp_path / "c.pt"), state)


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("plain", [False, True])
def test_nothing_that_a_checkpoint_asks_for_is_run(tmp_path, legacy, plain):
    state, target = Network().state_dict(), tmp_path / "made_by_the_pickle"
    content = {
        "model": state,
        "evil": Evil(target),
        "recipe": Recipe(),
        "loss": nn.functional.relu,
        "args": (print, [max]),
    }
    if plain:
        (tmp_path / "c.pt").write_bytes(pickle.dumps(content))
    else:
        torch.save(content, tmp_path / "c.pt", _use_new_zipfile_serialization=not legacy)
    same(read_tensors(tmp_path / "c.pt"), state)
    assert not target.exists()
    if not plain:
        read_tensors(tmp_path / "c.pt", trust=True)
        assert target.exists()


def test_a_class_made_on_the_fly_stays_inert(tmp_path):
    # as dill writes classes: a call that makes a type, then an object of that type with state and
    # items
    evil = (
        b"\x80\x04}(\x8c\x05modelccollections\nOrderedDict\n)R\x8c\x01x"
        b"cdill._dill\n_create_type\n(cbuiltins\ntype\n\x8c\x04Evil)tR)\x81}\x8c\x01ycos\nsystem\n\x8c\x04true\x85Rsbu."
    )
    (tmp_path / "c.pt").write_bytes(evil)
    with pytest.raises(InputError, match="no tensors by name"):
        read_tensors(tmp_path / "c.pt")


def test_whole_networks_are_read_only_on_trust(tmp_path):
    torch.save(nn.Linear(2, 2), tmp_path / "c.pt")
    with pytest.raises(InputError, match="--trust_checkpoint"):
        read_tensors(tmp_path / "c.pt")
    assert set(read_tensors(tmp_path / "c.pt", trust=True)) == {"weight", "bias"}


def test_twins_that_share_their_memory_are_read(tmp_path):
    state = Network().state_dict()
    twins = OrderedDict(
        [
            *((f"model.{name}", tensor) for name, tensor in state.items()),
            *((f"attacker.{name}", tensor) for name, tensor in state.items()),
        ]
    )
    torch.save({"model": twins}, tmp_path / "c.pt")
    same(read_checkpoint(tmp_path / "c.pt")[0], twins)


def test_what_was_named_is_what_is_loaded(tmp_path):
    """A conversion beside the checkpoint, with the digest of the checkpoint in it, is none of its
    business.
    """
    safetensors = pytest.importorskip("safetensors.torch")
    path, planted = tmp_path / "c.pt", tmp_path / "c.pt.safetensors"
    torch.save({"model": Network().state_dict()}, path)
    digest = file_digest(path)
    safetensors.save_file(Network(seed=1).state_dict(), planted, metadata={"source_sha256": digest})
    tensors, origin = read_checkpoint(path)
    same(tensors, Network().state_dict())
    assert origin == {"file": "c.pt", "sha256": digest}
    tensors, origin = read_checkpoint(planted)
    same(tensors, Network(seed=1).state_dict())
    assert origin == {"file": "c.pt.safetensors", "sha256": file_digest(planted)}
    planted.unlink()
    read_checkpoint(path)
    assert not planted.exists()


def test_an_object_where_the_weights_should_be_is_not_taken_for_another_models_checkpoint(tmp_path):
    path = tmp_path / "c.pt"
    torch.save({"mean": torch.ones(2), "model": nn.Linear(2, 2)}, path)
    with pytest.raises(InputError, match="--trust_checkpoint"):
        read_checkpoint(path)
    assert set(read_checkpoint(path, trust=True)[0]) == {"weight", "bias"}


STATE = dict(Network().state_dict())
OTHER = {
    name: tensor + 1 if tensor.is_floating_point() else tensor for name, tensor in STATE.items()
}
MOMENTS = {"state": {0: {"exp_avg": torch.ones(3), "exp_avg_sq": torch.ones(3)}}, "lr": 0.1}


@pytest.mark.parametrize("trust", [False, True])
@pytest.mark.parametrize(
    ("content", "entry", "named"),
    [
        (
            {"net": STATE, "ema": OTHER, "optimizer": MOMENTS, "epoch": 3},
            "ema",
            "net .* ema .* optimizer.state.0",
        ),
        ({"net": OTHER, "step": torch.tensor(3)}, "net", "net"),
        ({"ema": {"decay": 0.9, "shadow": OTHER}}, "ema.shadow", "ema.shadow"),
        ((STATE, OTHER, 3), "1", "0 .* 1 "),
        ([MOMENTS, {"w": OTHER}], "1.w", "1.w"),
        ({"model": {"width": 3}, "weights": OTHER}, "weights", "weights"),
    ],
)
def test_entries_are_listed_and_one_can_be_chosen(tmp_path, content, entry, named, trust):
    path = tmp_path / "c.pt"
    torch.save(content, path)
    with pytest.raises(
        InputError, match=f"holds tensors under {named}.*--checkpoint_entry"
    ) as error:
        read_tensors(path, trust=trust)
    assert "--trust" not in str(error.value)
    tensors, origin = read_checkpoint(path, entry=entry, trust=trust)
    same(tensors, OTHER)
    assert origin["entry"] == entry
    with pytest.raises(InputError, match=f"Unknown entry of .*{entry}"):
        read_tensors(path, entry="elsewhere", trust=trust)


@pytest.mark.parametrize(
    ("content", "trust", "message"),
    [
        ([torch.ones(2), torch.ones(3)], False, "tensors without names"),
        (torch.ones(2), False, "tensors without names"),
        ({0: torch.ones(2)}, False, "tensors without names"),
        ((1, "a"), False, "a tuple of int, str"),
        ({"epoch": 3, "loss": 0.1}, False, "a dict with epoch, loss"),
        ({}, False, "an empty dict"),
        (5, False, "int"),
        ({"model": nn.ReLU}, True, "a dict with model"),
        ({"epoch": 3, "loss": 0.1}, True, "a dict with epoch, loss"),
    ],
)
def test_trust_is_never_advised_where_it_cannot_help(tmp_path, content, trust, message):
    torch.save(content, tmp_path / "c.pt")
    with pytest.raises(InputError, match=message) as error:
        read_tensors(tmp_path / "c.pt", trust=trust)
    assert "--trust" not in str(error.value)
    assert "network.state_dict()" in str(error.value)


@pytest.mark.parametrize(
    "wrapped",
    [
        "module.{}",
        "model.{}",
        "_orig_mod.{}",
        "module._orig_mod.{}",
        "_orig_mod.module.{}",
        "model.module.{}",
        "module.model.{}",
        "model._orig_mod.model.{}",
    ],
)
def test_what_wrappers_put_before_names_is_left_out_where_every_name_fits_then(wrapped):
    network = Network(seed=1)
    note = load_weights(
        network, {wrapped.format(name): tensor for name, tensor in STATE.items()}, "file.pt"
    )
    same(network.state_dict(), STATE)
    first = next(iter(STATE))
    assert note == {"names": f"names of wrappers were matched: {wrapped.format(first)} is {first}"}


def test_a_wrapped_network_takes_bare_names_and_parts_may_be_wrapped():
    network = nn.DataParallel(Network(seed=1))
    assert load_weights(network, STATE, "file.pt")
    same(network.module.state_dict(), STATE)
    part = Network(seed=1)
    load_weights(
        part,
        {name.replace("conv.", "conv.module."): tensor for name, tensor in STATE.items()},
        "file.pt",
    )
    same(part.state_dict(), STATE)
    assert load_weights(part, STATE, "file.pt") == {}


def test_names_that_do_not_all_fit_are_left_as_they_are():
    names = {f"module.{name}": tensor for name, tensor in STATE.items()}
    for wrong in (
        {**names, "criterion.weight": torch.ones(1)},
        {**names, next(iter(STATE)): torch.ones(1)},
    ):
        with pytest.raises(InputError, match=r"not known: module\."):
            load_weights(Network(), wrong, "file.pt")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "cannot be read"),
        (b"not a checkpoint at all", "cannot be read"),
        (pickle.dumps([1, 2]), "no tensors by name"),
        (pickle.dumps({"model": {"a": 1}}), "no tensors by name"),
    ],
)
def test_other_files_are_refused(tmp_path, content, message):
    (tmp_path / "c.pt").write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_tensors(tmp_path / "c.pt")


def test_truncated_missing_tar_and_torchscript_files_are_refused(tmp_path):
    torch.save(Network().state_dict(), tmp_path / "c.pt")
    (tmp_path / "c.pt").write_bytes((tmp_path / "c.pt").read_bytes()[:-500])
    with pytest.raises(InputError, match="download complete"):
        read_tensors(tmp_path / "c.pt")
    with pytest.raises(MissingDataError, match="does not exist"):
        read_tensors(tmp_path / "nowhere.pt")
    with tarfile.open(tmp_path / "t.pt", "w") as archive:
        archive.add(tmp_path / "c.pt", "storages")
    with pytest.raises(InputError, match="tar archive"):
        read_tensors(tmp_path / "t.pt")
    torch.jit.trace(nn.ReLU(), torch.ones(2)).save(str(tmp_path / "s.pt"))
    with pytest.raises(InputError, match="TorchScript"):
        read_tensors(tmp_path / "s.pt")


@pytest.mark.parametrize("dtype", [torch.int8, torch.complex64, torch.bool])
def test_weights_of_another_kind_of_number_are_refused_and_shorter_floats_taken(dtype):
    state = Network().state_dict()
    with pytest.raises(
        InputError,
        match=rf"1 of another kind of number: conv.bias {dtype} instead of torch.float32",
    ):
        load_weights(Network(), {**state, "conv.bias": state["conv.bias"].to(dtype)}, "file.pt")
    network = Network(seed=1)
    load_weights(network, {**state, "conv.bias": state["conv.bias"].half()}, "file.pt")
    assert network.conv.bias.dtype is torch.float32


def test_weights_must_fit_completely():
    network = Network()
    state = dict(network.state_dict())
    state.pop("conv.bias")
    state["extra"] = torch.ones(1)
    state["head.weight"] = torch.ones(3, 3)
    with pytest.raises(InputError) as error:
        load_weights(network, state, "file.pt")
    for part in (
        "file.pt",
        "1 missing: conv.bias",
        "1 not known: extra",
        "head.weight (3, 3) instead of (2, 8)",
    ):
        assert part in str(error.value)
