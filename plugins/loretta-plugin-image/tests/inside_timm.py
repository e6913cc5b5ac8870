"""What `image.timm` does where timm is installed; run by `test_image_timm.py` in another process."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from loretta_plugin_image.encoder.modality import TimmImages
from loretta_plugin_image.encoder.network import TimmNetwork
from loretta_plugin_image.encoder.settings import TimmSettings
from PIL import Image
from safetensors.torch import save_file
from torch import Tensor

import loretta_framework as loretta
from loretta_framework.api import InputError, generator, import_guarded
from loretta_framework.testing.conformance.checks import Check
from loretta_framework.testing.conformance.running import checks_of, run_check
from loretta_framework.testing.conformance.subject import subjects

timm = import_guarded("timm", "")
(SUBJECT,) = [subject for subject in subjects("image") if subject.spec.name == "image.timm"]


def settings(**changes: Any) -> TimmSettings:
    small = {"height": 32, "width": 48, "model": "test_vit", "tokens": 6}
    return TimmSettings(**{**small, **changes})


def network(**changes: Any) -> TimmNetwork:
    torch.manual_seed(0)
    return TimmImages(settings(**changes)).network()


def pictures(height: int = 32, width: int = 48, channels: int = 3) -> np.ndarray:
    return generator(0, "test/timm").integers(0, 256, (2, height, width, channels)).astype(np.uint8)


def reference(name: str = "test_vit", **options: Any) -> Any:
    torch.manual_seed(1)
    return timm.create_model(name, pretrained=False, **options).eval()


def saved(model: Any, folder: Path) -> str:
    save_file(model.state_dict(), folder / "weights.safetensors")
    return str(folder / "weights.safetensors")


@pytest.mark.parametrize("check", checks_of(SUBJECT), ids=lambda check: check.id)
def test_conformance(check: Check) -> None:
    result = run_check(SUBJECT, check)
    assert not result.failed, str(result)
    if check.kind == "encoder":
        assert result.outcome == "passed", str(result)


@pytest.mark.parametrize("name", ["test_vit", "test_convnext", "vit_tiny_patch16_224.augreg_in21k"])
def test_what_the_network_sees_is_what_timm_makes_of_the_same_picture(name: str) -> None:
    built = TimmImages(settings(model=name, height=64, width=64, vectors="pooled", tokens=None))
    net = built.network()
    config = timm.data.resolve_model_data_config(net.body)
    config |= {"input_size": (3, 64, 64), "crop_pct": 1.0}
    transform = timm.data.create_transform(**config, is_training=False)
    for pixels in pictures(64, 64):
        picture = Image.fromarray(pixels)
        file = io.BytesIO()
        picture.save(file, "PNG")
        for value in (built.parse(pixels), built.read(file.getvalue(), "png")):
            features = built.preprocess(value)
            assert (features.shape, features.dtype) == ((3, 64, 64), np.float32)
            seen = (torch.from_numpy(features) - net.mean_C11) / net.std_C11
            assert torch.allclose(seen, transform(picture), atol=1e-6)


FAMILIES = {
    "test_vit": (32, 4),
    "test_vit3": (32, 4),  # attention pooling
    "eva02_tiny_patch14_224": (28, 4),
    "test_convnext": (64, 4),
    "test_resnet": (64, 4),
    "test_efficientnet": (64, 4),
    "mobilenetv3_small_050": (64, 4),
}


@pytest.mark.parametrize("vectors", ["patches", "pooled"])
@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_gives_vectors_and_trains(name: str, vectors: str) -> None:
    side, tokens = FAMILIES[name]
    number = tokens if vectors == "patches" else 1
    net = network(model=name, height=side, width=side, vectors=vectors, tokens=number)
    made = net(torch.rand(2, 3, side, side))
    assert made.shape == (2, number, net.width)
    made.square().sum().backward()
    assert all(parameter.grad is not None for parameter in net.parameters())


@pytest.mark.parametrize("name", ["test_vit", "test_convnext", "test_mambaout"])
def test_vectors_are_those_of_timm(name: str, tmp_path: Path) -> None:
    """A class token first, channels first, channels last: the three forms of a network's output."""
    model = reference(name, **({"img_size": 64} if name == "test_vit" else {}))
    options = {"model": name, "height": 64, "width": 96 if name != "test_vit" else 64}
    x_NCHW = torch.rand(2, 3, options["height"], options["width"])
    tokens = {"test_vit": 16, "test_convnext": 6, "test_mambaout": 6}[name]
    options["weights"] = saved(model, tmp_path)
    pooled = network(**options, vectors="pooled", tokens=1).eval()
    patches = network(**options, tokens=tokens).eval()
    normal = (x_NCHW - pooled.mean_C11) / pooled.std_C11
    with torch.no_grad():
        wanted = model.forward_head(model.forward_features(normal), pre_logits=True)
        assert torch.allclose(pooled(x_NCHW)[:, 0], wanted, atol=1e-5)
        model.reset_classifier(0, "")
        maps = model.forward_head(model.forward_features(normal), pre_logits=True)
        if name == "test_convnext":
            maps = maps.permute(0, 2, 3, 1)
        wanted = maps[:, 1:] if name == "test_vit" else maps.flatten(1, 2)
        assert torch.allclose(patches(x_NCHW), wanted, atol=1e-5)


def test_weights_of_another_size_are_adapted_as_timm_does(tmp_path: Path) -> None:
    path = saved(reference(), tmp_path)
    overlay = {"file": path}  # a local file: nothing is downloaded
    wanted = timm.create_model(
        "test_vit", pretrained=True, pretrained_cfg_overlay=overlay, img_size=(32, 48)
    ).eval()
    net = network(weights=path).eval()
    x_NCHW = torch.rand(2, 3, 32, 48)
    with torch.no_grad():
        features = wanted.forward_features((x_NCHW - net.mean_C11) / net.std_C11)
    assert torch.allclose(net(x_NCHW), features[:, 1:], atol=1e-5)


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    state = reference().state_dict()
    kinds: dict[str, dict[str, Tensor]] = {
        r"1 are missing \(norm.bias\)": {k: v for k, v in state.items() if k != "norm.bias"},
        r"1 are unknown \(stray\)": {**state, "stray": torch.zeros(1)},
        r"1 are of another shape \(norm.bias must be \(64,\), but is \(3,\)\)": {
            **state,
            "norm.bias": torch.zeros(3),
        },
        "the weights are not those of this network": {"a": torch.zeros(1)},
    }
    path = tmp_path / "weights.safetensors"
    for message, tensors in kinds.items():
        save_file(tensors, path)
        with pytest.raises(InputError, match=message) as raised:
            network(weights=str(path))
        assert raised.value.where == str(path)
        assert "take the file of this very network" in raised.value.fix
    save_file(state, path)
    with pytest.raises(InputError, match=r"patch_embed.proj.weight must be \(64, 1, 16, 16\)"):
        network(weights=str(path), channels=1)
    path.write_bytes(b"no tensors")
    with pytest.raises(InputError, match="the weights cannot be read"):
        network(weights=str(path))
    path.unlink()
    with pytest.raises(InputError, match=r"the weights cannot be read: .*No such file"):
        network(weights=str(path))


@pytest.mark.parametrize(
    ("changes", "message", "fix"),
    [
        (
            {"tokens": 7},
            "tokens must be 6, .* that 'test_vit' makes of 32 x 48 .* is 7",
            "tokens: 6",
        ),
        ({"model": "test_vi"}, r"no network 'test_vi' \(did you mean 'test_vi", "list_models"),
        ({"height": 40}, "multiples of the 16 x 16 pixels of a patch .* but are 40 x 48", "height"),
        (
            {"model": "deit_tiny_distilled_patch16_224"},
            "cannot make vectors: patches of 3 channels of 32 x 48 pixels: .* vectors: pooled",
            "vectors",
        ),
        (
            {"model": "test_convnext", "height": 8, "width": 8},
            "pixels: Calculated padded input",
            "height",
        ),
    ],
)
def test_what_a_network_cannot_do_is_said_with_what_it_can(
    changes: dict[str, Any], message: str, fix: str
) -> None:
    with pytest.raises(InputError, match=message) as raised:
        network(**changes)
    assert fix in raised.value.fix


def test_a_frozen_network_stays_as_it_is() -> None:
    side = {"model": "test_resnet", "height": 64, "width": 64, "tokens": 4}
    x_NCHW = torch.rand(2, 3, 64, 64)
    for freeze in (True, False):
        net = network(**side, freeze=freeze)
        before = {name: value.clone() for name, value in net.state_dict().items()}
        made = net.train()(x_NCHW)
        after = net.state_dict()
        assert made.requires_grad != freeze
        assert all(torch.equal(after[name], value) for name, value in before.items()) == freeze
        assert torch.equal(net.eval()(x_NCHW), made) == freeze


def test_grey_images_are_normalised_by_the_average_unless_told_otherwise() -> None:
    net = network(channels=1, model="test_resnet", height=64, width=64, tokens=4)
    config = timm.data.resolve_model_data_config(net.body)
    assert net.mean_C11.flatten().tolist() == pytest.approx([sum(config["mean"]) / 3])
    assert net(torch.rand(2, 1, 64, 64)).shape == (2, 4, net.width)
    own = network(mean=(0.1, 0.2, 0.3), std=(1.0, 2.0, 3.0))
    assert own.std_C11.flatten().tolist() == [1, 2, 3]
    assert own.mean_C11.flatten().tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert not any("C11" in name for name in own.state_dict())


def write_world(folder: Path) -> Path:
    """A recipe over pictures that are light above or below, and texts that say which."""
    random = generator(0, "test/world")
    for name in ("train", "test"):
        with tarfile.open(folder / f"{name}-0.tar", "w") as archive:
            for number in range(48):
                pixels = random.integers(0, 99, (32, 32)).astype(np.uint8)
                half, text = ((slice(16), b"up"), (slice(16, 32), b"down"))[number % 2]
                pixels[half] += 150
                file = io.BytesIO()
                Image.fromarray(pixels).save(file, "PNG")
                for member, data in (("image.png", file.getvalue()), ("text.txt", text)):
                    info = tarfile.TarInfo(f"{number:03d}.{member}")
                    info.size = len(data)
                    archive.addfile(info, io.BytesIO(data))
    sets = [{"shards": f"{n}-*.tar", "modalities": ["image", "text"]} for n in ("train", "test")]
    image = {"model": "test_vit", "height": 32, "width": 32, "tokens": 4}
    recipe = {
        "schema_version": 1,
        "name": "halves",
        "modalities": {
            "image": {"kind": "image.timm", "settings": image},
            "text": {"kind": "text_bytes", "settings": {"max_tokens": 4}},
        },
        "data": {"train": [{"name": "train", **sets[0]}], "test": [{"name": "test", **sets[1]}]},
        "backbone": {"kind": "transformer", "settings": {"width": 32, "depth": 1, "heads": 2}},
        "objectives": [{"kind": "causal"}],
        "train": {"steps": 10, "batch_tokens": 400, "threads": 1},
        "optimizer": {"lr": 0.02},
    }
    (folder / "halves.yaml").write_text(json.dumps(recipe))
    return folder / "halves.yaml"


def test_a_model_trains_with_it(tmp_path: Path) -> None:
    """Ten steps; then the run is loaded, and answers a picture with a text."""
    loretta.train(loretta.load_recipe(write_world(tmp_path)), run_dir=tmp_path / "run")
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    losses = [json.loads(line)["loss"] for line in lines if "loss" in json.loads(line)]
    assert losses[-1] < 0.7 * losses[0]
    model = loretta.load(tmp_path / "run")
    answers = model.generate({"image": pictures(20, 20, 1)[0][..., 0]}, to="text", num_samples=2)
    assert all(isinstance(answer, str) for answer in answers)
