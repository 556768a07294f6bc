"""The training loop against plain PyTorch, and against itself when it is cut off."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from archsearch.architecture import Architecture, Stage
from archsearch.blocks.classifier import Classifier
from archsearch.blocks.convnext import ConvNeXtBlock, PatchStem
from archsearch.blocks.plain import ConvNormAct
from archsearch.data.dataset import Arrays, Data, Split
from archsearch.errors import BadFile, UserError
from archsearch.nets.build import build
from archsearch.training.augment import Augment
from archsearch.training.average import WeightAverage
from archsearch.training.checkpoint import load_checkpoint, save_checkpoint
from archsearch.training.devices import Place, layout
from archsearch.training.distributed import on_devices
from archsearch.training.feed import Feed, in_order, shuffled
from archsearch.training.loop import Training, distillation_loss
from archsearch.training.optimiser import decays, make_optimiser
from archsearch.training.recipe import Recipe

torch.set_num_threads(1)

NET = Architecture(
    ConvNormAct(8, 1), (Stage.of(ConvNormAct(12), 2, stride=2),), Classifier(4), (1, 8, 8)
)
NORMLESS = Architecture(PatchStem(8, 2), (Stage.of(ConvNeXtBlock(8), 1),), Classifier(4), (1, 8, 8))
"""Without batch norm: a batch may be cut into parts, and the gradient stays the same."""

PLAIN = Recipe(epochs=2, batch_size=16, augment=Augment(), ema=0.0, clip=None, label_smoothing=0.0)


def drawn_data(count: int = 96, seed: int = 0) -> Data:
    """Noise with bright stripes: upright or lying, narrow or wide."""
    rng = np.random.default_rng(seed)

    def split(count: int) -> Split:
        labels = rng.integers(0, 4, count)
        pixels = rng.integers(0, 120, (count, 1, 8, 8)).astype(np.uint8)
        stripes = [(np.arange(8) // width % 2 * 100).astype(np.uint8) for width in (1, 2)]
        for picture, label in zip(pixels, labels, strict=True):
            stripe = stripes[label // 2]
            picture[0] += stripe if label % 2 else stripe[:, None]
        return Split(Arrays(pixels), labels.astype(np.int64))

    return Data(
        name="stripes",
        train=split(count),
        validation=split(32),
        test=split(32),
        classes=("a", "b", "c", "d"),
        mean=(0.3,),
        deviation=(0.2,),
        mirrored=False,
        record={"source": "drawn"},
    )


def training(architecture: Architecture = NET, recipe: Recipe = PLAIN, seed: int = 0) -> Training:
    torch.manual_seed(seed)
    return Training(build(architecture), drawn_data(), recipe, seed)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_the_loop_is_a_plain_loop(optimizer: str) -> None:
    recipe = replace(PLAIN, optimizer=optimizer, label_smoothing=0.1, clip=0.5)
    ours = training(recipe=recipe)
    ours.run()

    torch.manual_seed(0)
    net, data = build(NET), drawn_data()
    weights = [p for n, p in net.named_parameters() if p.dim() > 1]
    others = [p for n, p in net.named_parameters() if p.dim() == 1]
    if optimizer == "sgd":
        groups = [{"params": weights, "weight_decay": 5e-4}, {"params": others}]
        plain: torch.optim.Optimizer = torch.optim.SGD(groups, 1.0, momentum=0.9, nesterov=True)
        peak = 0.1 * 16 / 128
    else:
        groups = [
            {"params": weights, "weight_decay": 0.05},
            {"params": others, "weight_decay": 0.0},
        ]
        plain = torch.optim.AdamW(groups, 1.0)
        peak = 3e-3 * math.sqrt(16 / 128)
    steps = 12
    for step in range(steps):
        batch = shuffled(96, 16, 0, step // 6)[step % 6]
        x = (torch.from_numpy(data.train.images.batch(batch)).float() / 255 - 0.3) / 0.2
        loss = functional.cross_entropy(
            net(x), torch.from_numpy(data.train.labels[batch]), label_smoothing=0.1
        )
        plain.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 0.5)
        rising = round(0.1 * steps)
        rate = (step + 1) / (rising + 1)
        if step >= rising:
            rate = 0.5 * (1 + math.cos(math.pi * (step - rising) / (steps - rising)))
        for group in plain.param_groups:
            group["lr"] = peak * rate
        plain.step()
    for name, tensor in net.state_dict().items():
        torch.testing.assert_close(
            ours.net.state_dict()[name], tensor, rtol=1e-4, atol=1e-5, msg=name
        )


def test_it_learns() -> None:
    own = training(recipe=replace(PLAIN, epochs=25, learning_rate=0.02, ema=0.9))
    assert own.run() == "finished"
    assert own.history[-1]["validation_accuracy"] > 0.9 > own.history[0]["train_accuracy"]
    assert [row["epoch"] for row in own.history] == list(range(1, 26))


EVERYTHING = Recipe(
    epochs=2,
    batch_size=16,
    mixup=0.2,
    cutmix=1.0,
    accumulate=2,
    augment=Augment(crop=1, rotate=9.0),
)


@pytest.mark.parametrize("recipe", [EVERYTHING, replace(PLAIN, optimizer="sgd")])
def test_cut_off_after_any_step_it_comes_to_the_same(recipe: Recipe, tmp_path: Path) -> None:
    whole = training(recipe=recipe)
    whole.run()
    for cut in range(whole.steps):
        first = training(recipe=recipe)

        class Cut(Exception):
            pass

        def stop(now: Training, cut: int = cut) -> None:
            if now.step == cut:
                save_checkpoint(tmp_path / "checkpoint", now, NET)
                raise Cut

        if cut:
            with pytest.raises(Cut):
                first.run(on_step=stop)
        else:
            save_checkpoint(tmp_path / "checkpoint", first, NET)
        second = training(recipe=recipe, seed=0)
        second.net.apply(lambda m: [p.data.fill_(7) for p in m.parameters(recurse=False)])
        load_checkpoint(tmp_path / "checkpoint", second, NET)
        assert second.run() == "finished"
        expected = whole.tensors()
        for name, tensor in second.tensors().items():
            assert torch.equal(tensor, expected[name]), (cut, name)
        for row, other in zip(second.history, whole.history, strict=True):
            differing = {name for name in row if row[name] != other[name]}
            assert differing <= {"seconds", "pictures_per_second"}


def test_a_seed_reproduces_and_another_does_not() -> None:
    runs = [training(recipe=EVERYTHING, seed=seed) for seed in (3, 3, 4)]
    for run in runs:
        run.run()
    first, again, other = (run.tensors()["model.stem.conv.weight"] for run in runs)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_accumulated_parts_make_the_gradient_of_the_whole() -> None:
    whole, parts = (
        training(NORMLESS, replace(PLAIN, accumulate=n, optimizer="sgd")) for n in (1, 4)
    )
    whole.run()
    parts.run()
    for name, tensor in whole.net.state_dict().items():
        torch.testing.assert_close(parts.net.state_dict()[name], tensor, rtol=1e-4, atol=1e-6)


def test_divergence_is_a_result() -> None:
    own = training(recipe=replace(PLAIN, optimizer="sgd", learning_rate=1e30))
    assert own.run() == "diverged"
    assert "learning rate" in own.reason
    assert own.step < own.steps


def test_only_weights_decay() -> None:
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.LayerNorm(2), nn.Linear(2, 2))
    decaying = {name for name, parameter in net.named_parameters() if decays(name, parameter)}
    assert decaying == {"0.weight", "3.weight"}
    groups = make_optimiser(net, Recipe()).param_groups
    assert [group["weight_decay"] for group in groups] == [0.05, 0.0]
    assert sum(len(group["params"]) for group in groups) == len(list(net.parameters()))


def test_the_average_is_its_recurrence() -> None:
    net = nn.Linear(1, 1, bias=False)
    values = [1.0, 3.0, -2.0, 5.0]
    net.weight.data.fill_(values[0])
    average, mean = WeightAverage(net, 0.9), values[0]
    for step, value in enumerate(values[1:]):
        net.weight.data.fill_(value)
        average.update(step)
        decay = min(0.9, (1 + step) / (10 + step))
        mean = decay * mean + (1 - decay) * value
    assert average.net.weight.item() == pytest.approx(mean)


def test_the_average_takes_in_statistics_and_counters() -> None:
    own = training(recipe=replace(PLAIN, ema=0.9))
    own.run()
    state = own.result.state_dict()
    assert own.result is not own.net
    norm = next(n for n in state if n.endswith("running_mean"))
    assert 0 < (state[norm] - own.net.state_dict()[norm]).abs().max() < 1
    counter = next(n for n in state if n.endswith("num_batches_tracked"))
    assert int(state[counter]) == own.steps


@given(steps=st.integers(2, 500), warmup=st.floats(0, 0.9))
def test_the_rate_rises_then_falls_to_nothing(steps: int, warmup: float) -> None:
    recipe = Recipe(learning_rate=1.0, warmup=warmup)
    rates = [recipe.rate(step, steps) for step in range(steps)]
    top = min(round(warmup * steps), steps - 1)
    assert rates[:top] == sorted(rates[:top])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert min(rates) > 0 and max(rates) <= 1.0
    assert recipe.rate(steps, steps) == pytest.approx(0, abs=1e-12)


@given(count=st.integers(1, 200), size=st.integers(1, 64), epoch=st.integers(0, 5))
def test_an_epoch_shows_no_picture_twice(count: int, size: int, epoch: int) -> None:
    batches = shuffled(count, size, 0, epoch)
    seen = np.concatenate(batches)
    assert len(set(seen.tolist())) == len(seen)
    assert len(seen) == (count if count < size else count // size * size)
    assert np.array_equal(np.concatenate(in_order(count, size)), np.arange(count))


def test_a_feed_gives_pictures_with_their_labels_wherever_they_lie() -> None:
    split = drawn_data().train

    class Decoded:
        """Pictures that are made when they are asked for."""

        shape = split.images.shape

        def __len__(self) -> int:
            return len(split.images)

        def batch(self, indices: np.ndarray) -> np.ndarray:
            return split.images.batch(indices)

    order = shuffled(96, 16, 1, 0)
    memory = list(Feed(split, torch.device("cpu")).batches(order))
    decoded = list(Feed(Split(Decoded(), split.labels), torch.device("cpu")).batches(order))
    assert len(memory) == len(decoded) == 6
    for (x, y), (u, v), chosen in zip(memory, decoded, order, strict=True):
        assert torch.equal(x, u) and torch.equal(y, v)
        assert np.array_equal(y.numpy(), split.labels[chosen])


def test_distillation_is_the_divergence_from_the_teacher() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, hints = torch.randn(2, 5, 3, generator=generator, dtype=torch.float64)
    p, q = (hints / 2.5).softmax(1), (logits / 2.5).softmax(1)
    expected = 2.5**2 * (p * (p / q).log()).sum(1).mean()
    torch.testing.assert_close(distillation_loss(logits, hints, 2.5), expected)
    assert distillation_loss(hints, hints, 2.5).abs() < 1e-15


def test_a_network_learns_from_its_teacher_alone() -> None:
    torch.manual_seed(5)
    teacher = build(NET).eval()
    recipe = replace(PLAIN, epochs=30, distillation=1.0, temperature=1.0)
    torch.manual_seed(0)
    own = Training(build(NET), drawn_data(), recipe, 0, teacher=teacher)
    own.run()
    x = (torch.from_numpy(drawn_data().test.images.batch(np.arange(32))).float() / 255 - 0.3) / 0.2
    with torch.no_grad():
        taught = teacher(x).softmax(1)
        own.net.eval()
        learnt, fresh = own.net(x).softmax(1), torch.full_like(taught, 0.25)
    assert (learnt - taught).abs().mean() < 0.5 * (fresh - taught).abs().mean()
    assert all(parameter.grad is None for parameter in teacher.parameters())


def test_channels_last_where_it_is_safe() -> None:
    cpu = torch.device("cpu")
    safe = nn.Sequential(nn.Conv2d(8, 8, 3, 2), nn.Conv2d(8, 8, 1), nn.Conv2d(16, 8, 1, 2))
    assert layout(cpu, safe) is torch.channels_last
    assert layout(cpu, safe, channels_last=False) is torch.contiguous_format
    assert layout(cpu, nn.Sequential(safe, nn.Conv2d(8, 8, 1, 2))) is torch.contiguous_format


def test_half_precision_trains_too() -> None:
    own = training(recipe=replace(PLAIN, epochs=25, learning_rate=0.02, precision="bfloat16"))
    assert own.run() == "finished"
    assert own.history[-1]["validation_accuracy"] > 0.8
    assert own.net.state_dict()["stem.conv.weight"].dtype == torch.float32


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"epochs": 0}, "epochs"),
        ({"batch_size": 10, "accumulate": 3}, "3 accumulated"),
        ({"learning_rate": math.nan}, "learning rate"),
        ({"optimizer": "adam"}, "adamw"),
        ({"label_smoothing": 1.0}, "label smoothing"),
        ({"precision": "float8"}, "float8"),
        ({"temperature": 0.0}, "temperature"),
    ],
)
def test_a_recipe_says_what_it_cannot_be(changes: dict[str, object], named: str) -> None:
    with pytest.raises(UserError, match=named):
        Recipe(**changes)  # type: ignore[arg-type]


def test_a_recipe_survives_json() -> None:
    import json

    recipe = EVERYTHING.resolved(Augment())
    assert Recipe.from_dict(json.loads(json.dumps(recipe.as_dict()))) == recipe
    with pytest.raises(UserError, match="no knob"):
        Recipe.from_dict({"epoch": 3})


def test_a_checkpoint_of_something_else_is_refused(tmp_path: Path) -> None:
    own = training()
    path = tmp_path / "checkpoint.safetensors"
    save_checkpoint(path, own, NET)
    with pytest.raises(BadFile, match="another architecture"):
        load_checkpoint(path, training(NORMLESS), NORMLESS)
    with pytest.raises(BadFile, match="another training"):
        load_checkpoint(path, training(recipe=replace(PLAIN, ema=0.9)), NET)
    content = path.read_bytes()
    for broken in (b"", content[: len(content) // 2], b"\x80\x04cos\nsystem\n(S'echo'\ntR."):
        path.write_bytes(broken)
        with pytest.raises(BadFile):
            load_checkpoint(path, training(), NET)


def _train_shared(place: Place, folder: Path) -> None:
    torch.manual_seed(0)
    recipe = replace(PLAIN, optimizer="sgd")
    own = Training(build(NORMLESS), drawn_data(), recipe, 0, place)
    own.run()
    if place.leads:
        save_checkpoint(folder / "shared", own, NORMLESS)


def test_two_processes_train_as_one(tmp_path: Path) -> None:
    on_devices([torch.device("cpu")] * 2, _train_shared, tmp_path)
    alone = training(NORMLESS, replace(PLAIN, optimizer="sgd"))
    alone.run()
    shared = training(NORMLESS, replace(PLAIN, optimizer="sgd"))
    load_checkpoint(tmp_path / "shared", shared, NORMLESS)
    for name, tensor in alone.net.state_dict().items():
        torch.testing.assert_close(shared.net.state_dict()[name], tensor, rtol=1e-4, atol=1e-6)
    for row, other in zip(shared.history, alone.history, strict=True):
        assert row["train_loss"] == pytest.approx(other["train_loss"], rel=1e-4)
        assert row["train_accuracy"] == other["train_accuracy"]


def _refuse(place: Place) -> None:
    raise UserError(f"rank {place.rank} refuses")


def test_an_error_of_one_process_ends_all() -> None:
    with pytest.raises(UserError, match="refuses"):
        on_devices([torch.device("cpu")] * 2, _refuse)
