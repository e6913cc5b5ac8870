"""Both image modalities through their public doors."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from loretta_plugin_image.patch_codes import PatchCodes
from loretta_plugin_image.pixels import Pixels
from loretta_plugin_image.settings import PatchCodesSettings, PixelsSettings, WarpSettings
from PIL import Image
from pydantic import ValidationError

from loretta_framework.api.random import generator

DATA = os.environ.get("LORETTA_TEST_DATA")


def pixels(**changes: object) -> Pixels:
    return Pixels(PixelsSettings(**{"height": 4, "width": 6, **changes}), None)


def codes(**changes: object) -> PatchCodes:
    return PatchCodes(PatchCodesSettings(**{"height": 4, "width": 6, **changes}), None)


def pictures(count: int = 40, channels: int = 1) -> list[np.ndarray]:
    draw = generator(0, "test/pictures", channels)
    return [draw.random((4, 6, channels), np.float32) for _ in range(count)]


def fitted(**changes: object) -> PatchCodes:
    built = codes(**{"codebook_size": 16, **changes})
    built.fit(iter(pictures(channels=int(str(changes.get("channels", 1))))), 0)
    return built


def png(array: np.ndarray, **options: object) -> bytes:
    return saved(Image.fromarray(array), "PNG", **options)


def saved(picture: Image.Image, form: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, format=form, **options)
    return file.getvalue()


@settings(max_examples=60, deadline=None)
@given(
    height=st.integers(1, 9),
    width=st.integers(1, 9),
    channels=st.sampled_from([1, 3]),
    levels=st.sampled_from([2, 17, 256]),
    seed=st.integers(0, 99),
)
def test_pixels_come_back_to_the_nearest_level(
    height: int, width: int, channels: int, levels: int, seed: int
) -> None:
    built = pixels(height=height, width=width, channels=channels, levels=levels)
    value = generator(seed, "test/pixels").random((height, width, channels), np.float32)
    ids = built.encode(value)
    assert ids.dtype == np.int64
    assert ids.shape == (height * width * channels,)
    assert ids.min() >= 0
    assert ids.max() < levels
    back = built.decode(ids)
    assert np.abs(back - value).max() <= 0.5 / (levels - 1) + 1e-6
    assert np.array_equal(built.encode(back), ids)


def test_pixels_are_in_reading_order_with_channels_last() -> None:
    built = pixels(height=2, width=2, channels=3, levels=12)
    value = (np.arange(12, dtype=np.float32) / 11).reshape(2, 2, 3)
    assert np.array_equal(built.encode(value), np.arange(12))


@pytest.mark.parametrize("channels", [1, 3])
def test_patches_are_in_reading_order_and_come_back(channels: int) -> None:
    value = pictures(1, channels)[0]
    built = codes(codebook_size=6, channels=channels)
    figures = built.fit([value], 0)
    assert figures == {"vectors": 6, "distortion": 0, "explained": 1, "codes_used": 6}
    ids = built.encode(value)
    assert sorted(ids) == list(range(6))
    assert np.array_equal(built.decode(ids), value)
    left = built.decode(np.full(6, ids[3]))[:2, :2]
    assert np.array_equal(left, value[2:4, :2])  # the fourth patch begins the second row


@pytest.mark.parametrize(
    "value",
    [np.zeros((4, 6, 1)), np.ones((4, 6, 1)), np.full((4, 6, 1), 0.5)],
    ids=["black", "white", "grey"],
)
def test_constant_images_stay_in_bounds(value: np.ndarray) -> None:
    built = fitted()
    ids = built.encode(value.astype(np.float32))
    assert ids.min() >= 0
    assert ids.max() < 16
    assert len(set(ids)) == 1
    alone = codes(codebook_size=16)
    assert alone.fit([value.astype(np.float32)], 0)["codes_used"] == 1
    assert np.array_equal(alone.decode(np.arange(6) + 10), value.astype(np.float32))


def test_what_cannot_be_loaded_is_refused(tmp_path: Path) -> None:
    built = fitted()
    with pytest.raises(ValueError, match=r"the codebook cannot be read: .*No such file"):
        built.load(tmp_path)
    built.save(tmp_path)
    with pytest.raises(ValueError, match=r"must be finite and \(8, 4\), but is \(16, 4\)"):
        codes(codebook_size=8).load(tmp_path)
    with pytest.raises(ValueError, match=r"'patch': 2.* but the settings ask for .*'patch': 1"):
        codes(codebook_size=16, patch=1).load(tmp_path)
    good = (tmp_path / "codebook.npy").read_bytes()
    objects = io.BytesIO()
    np.save(objects, np.array([{}], object), allow_pickle=True)
    for damaged in (good[:-9], b"", b"no array", objects.getvalue()):
        (tmp_path / "codebook.npy").write_bytes(damaged)
        with pytest.raises(ValueError, match="the codebook cannot be read"):
            built.load(tmp_path)
    np.save(tmp_path / "codebook.npy", np.zeros((16, 4)))
    with pytest.raises(ValueError, match="must be one float32 array"):
        built.load(tmp_path)
    np.save(tmp_path / "codebook.npy", np.full((16, 4), np.nan, np.float32))
    with pytest.raises(ValueError, match="must be finite"):
        built.load(tmp_path)
    (tmp_path / "codebook.json").write_text("{")
    with pytest.raises(ValueError, match="the codebook cannot be read"):
        built.load(tmp_path)


def test_augmentation_follows_its_generator_and_its_bounds() -> None:
    value = pictures()[0]
    changed = codes(
        augment=WarpSettings(shift=0.5, rotate=0.2, scale=0.1, intensity=0.1, noise=0.1)
    )
    first = changed.augment(value, generator(0, "a"))
    assert np.array_equal(changed.checked(first), first)
    assert not np.array_equal(first, value)
    assert np.array_equal(first, changed.augment(value, generator(0, "a")))
    assert not np.array_equal(first, changed.augment(value, generator(1, "a")))
    assert np.array_equal(codes().augment(value, generator(0, "a")), value)
    still = codes(augment=WarpSettings()).augment(value, generator(0, "a"))
    assert np.allclose(still, value, atol=1e-6)


def test_a_shift_moves_the_image_and_brings_in_black() -> None:
    class WholePixel:
        """A generator whose bounds are always reached."""

        def uniform(self, low: float, high: float, size: int | None = None) -> object:
            return high if size is None else np.full(size, high)

        def standard_normal(self, shape: tuple[int, ...], kind: type) -> np.ndarray:
            return np.ones(shape, kind)

    value = pictures()[0]
    moved = codes(augment=WarpSettings(shift=1.0)).augment(value, WholePixel())  # type: ignore[arg-type]
    assert np.allclose(moved[1:, 1:], value[:-1, :-1], atol=1e-6)
    assert not moved[0].any()
    assert not moved[:, 0].any()
    turn = WarpSettings(rotate=np.pi / 2)
    square = PatchCodes(PatchCodesSettings(height=4, width=4, augment=turn))
    grid = np.ascontiguousarray(value[:, :4])
    turned = square.augment(grid, WholePixel())  # type: ignore[arg-type]
    assert np.allclose(turned, np.rot90(grid, -1), atol=1e-5)
    bright = codes(augment=WarpSettings(intensity=1.0)).augment(value, WholePixel())  # type: ignore[arg-type]
    assert np.allclose(bright, np.clip(value * 2, 0, 1), atol=1e-6)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_written_image_is_read_back(channels: int) -> None:
    built = pixels(channels=channels)
    for value in pictures(5, channels):
        data, extension = built.write(value)
        assert extension == "png"
        assert np.abs(built.read(data, extension) - value).max() <= 0.5 / 255 + 1e-6


def test_show_enlarges_without_blurring() -> None:
    value = pictures()[0]
    (shown,) = pixels().show(value)
    picture = Image.open(io.BytesIO(shown.data))
    assert (shown.extension, picture.size) == ("png", (96, 64))
    assert np.array_equal(np.asarray(picture)[8::16, 8::16], np.round(value[..., 0] * 255))
    (large,) = pixels(height=70, width=90).show(np.zeros((70, 90, 1), np.float32))
    assert Image.open(io.BytesIO(large.data)).size == (90, 70)


def test_features_are_the_pixels_channels_first() -> None:
    value = pictures(1, 3)[0]
    features = pixels(channels=3).features(value)
    assert (features.shape, features.dtype) == ((3, 4, 6), np.float32)
    assert np.array_equal(features[1], value[..., 1])


def test_every_usual_form_is_parsed() -> None:
    built, colour = pixels(), pixels(channels=3)
    grey = np.arange(24, dtype=np.uint8).reshape(4, 6) * 10
    expected = (grey / 255).astype(np.float32)[..., None]
    forms = [grey, grey[..., None], grey / 255, Image.fromarray(grey), png(grey)]
    forms.append(np.repeat(grey[..., None], 3, 2))
    for form in forms:
        assert np.allclose(built.parse(form), expected, atol=1e-6)
        assert np.allclose(colour.parse(form), np.repeat(expected, 3, 2), atol=1e-6)
    red = np.zeros((4, 6, 3), np.uint8)
    red[..., 0] = 255
    assert np.allclose(built.parse(red), 0.299, atol=1e-6)
    assert np.allclose(built.read(png(red), "png"), 0.299, atol=1e-6)
    assert np.allclose(colour.parse(red), red / 255)


def test_other_sizes_are_resized() -> None:
    large = np.kron(np.arange(24, dtype=np.uint8).reshape(4, 6) * 10, np.ones((3, 5), np.uint8))
    expected = np.arange(24).reshape(4, 6, 1) * 10 / 255
    assert np.allclose(pixels().parse(large), expected, atol=1e-5)
    small = pixels().parse(np.full((1, 1), 51, np.uint8))
    assert np.allclose(small, 0.2, atol=1e-6)


def test_unusual_modes_of_files_are_read() -> None:
    deep = np.full((4, 6), 32_768, np.uint16)
    assert np.allclose(pixels().read(png(deep), "png"), 32_768 / 65_535, atol=1e-6)
    clear = np.zeros((4, 6, 4), np.uint8)
    clear[:, :3] = (255, 255, 255, 255)
    black, white = (
        pixels().read(png(clear), "png"),
        pixels(background="white").read(png(clear), "png"),
    )
    assert (black[:, :3].min(), black[:, 3:].max(), white.min()) == (1, 0, 1)
    bits = saved(Image.fromarray(np.eye(4, 6, dtype=bool)), "PNG")
    assert np.array_equal(pixels().read(bits, "png")[..., 0], np.eye(4, 6))
    wide = Image.fromarray(np.arange(24, dtype=np.uint8).reshape(4, 6))
    orientation = Image.Exif()
    orientation[0x0112] = 3  # upside down
    turned = pixels().read(saved(wide, "PNG", exif=orientation), "png")
    assert np.allclose(turned[..., 0] * 255, np.asarray(wide)[::-1, ::-1], atol=1e-4)
    for form in ("JPEG", "WEBP"):
        flat = Image.new("RGB", (20, 20), (100, 100, 100))
        assert np.allclose(pixels().read(saved(flat, form), "jpg"), 100 / 255, atol=0.02)


def animation() -> bytes:
    frames = [Image.new("L", (6, 4), colour) for colour in (0, 255)]
    return saved(frames[0], "PNG", save_all=True, append_images=frames[1:])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "it is none of PNG, JPEG, WEBP"),
        (b"\x89PNG\r\n\x1a\n", "cannot be read: "),
        (saved(Image.new("L", (6, 4)), "GIF"), "it is none of PNG, JPEG, WEBP"),
        (saved(Image.new("L", (6, 4)), "TIFF"), "it is none of PNG, JPEG, WEBP"),
        (saved(Image.new("L", (6, 4)), "PNG")[:40], "cannot be read: "),
        (
            saved(Image.new("L", (101, 100)), "PNG"),
            r"at most 10000 pixels \(max_pixels\), but has 101 x 100",
        ),
        (animation(), "must hold one picture, but holds several"),
    ],
    ids=["empty", "signature", "gif", "tiff", "cut", "large", "animated"],
)
def test_files_that_are_not_decoded(data: bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pixels(max_pixels=10_000).read(data, "png")


def test_a_bomb_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = saved(Image.new("1", (6000, 6000)), "PNG")
    assert len(bomb) < 10_000

    def never(self: object) -> None:
        raise AssertionError("the pixels were decoded")

    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.load", never)
    with pytest.raises(ValueError, match="but has 6000 x 6000"):
        pixels().read(bomb, "png")


@settings(max_examples=150, deadline=None)
@given(place=st.integers(0, 10_000), byte=st.integers(0, 255), cut=st.integers(0, 10_000))
def test_a_damaged_file_is_read_or_refused(place: int, byte: int, cut: int) -> None:
    built = pixels()
    data = bytearray(png(np.arange(240, dtype=np.uint8).reshape(12, 20)))
    data[place % len(data)] = byte
    for damaged in (bytes(data), bytes(data[: cut % len(data)])):
        try:
            value = built.read(damaged, "png")
        except ValueError:
            continue
        assert np.array_equal(built.checked(value), value)


@pytest.mark.parametrize(
    ("form", "message"),
    [
        ("seven", r"\(height, width\), \(\.\.\., 1\) or \(\.\.\., 3\), but is \(\)"),
        (np.zeros((4, 6, 2)), r"but is \(4, 6, 2\)"),
        (np.zeros((0, 6)), r"but is \(0, 6\)"),
        (np.zeros(24), r"but is \(24,\)"),
        (np.zeros((4, 6), np.int64), "must be uint8 or float, but is int64"),
        (np.full((4, 6), 1.5), r"must lie in 0\.\.1, but spans 1\.5\.\.1\.5"),
        (np.full((4, 6), -0.5), r"must lie in 0\.\.1, but spans -0\.5\.\.-0\.5"),
        (np.full((4, 6), np.nan), r"must lie in 0\.\.1, but spans nan"),
    ],
)
def test_what_is_no_image_is_refused(form: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        pixels().parse(form)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (np.zeros((4, 6, 1)), r"must be float32 \(4, 6, 1\), but is float64 \(4, 6, 1\)"),
        (np.zeros((4, 6), np.float32), r"but is float32 \(4, 6\)"),
        (np.zeros((6, 4, 1), np.float32), r"but is float32 \(6, 4, 1\)"),
        ([[0.0]], r"but is <class 'list'>; `parse` it first"),
        (np.full((4, 6, 1), 2, np.float32), r"must lie in 0\.\.1, but spans 2\.\.2"),
        (np.full((4, 6, 1), np.nan, np.float32), r"must lie in 0\.\.1, but spans nan"),
    ],
)
def test_what_is_no_value_is_refused_everywhere(value: object, message: str) -> None:
    built = fitted()
    doors = (pixels().encode, built.encode, built.features, built.write, built.show)
    for door in (
        *doors,
        lambda value: built.fit([value], 0),
        lambda v: built.augment(v, generator(0, "a")),
    ):
        with pytest.raises(ValueError, match=message):
            door(value)  # type: ignore[arg-type]


def test_ids_that_are_no_image_are_refused() -> None:
    for built, tokens in ((pixels(levels=16), 24), (fitted(), 6)):
        with pytest.raises(ValueError, match=rf"must have {tokens} tokens, but has {tokens - 1}"):
            built.decode(np.zeros(tokens - 1, np.int64))
        with pytest.raises(ValueError, match=r"ids must lie in 0\.\.15, but span 0\.\.16"):
            built.decode(np.array([0] * (tokens - 1) + [16]))
        with pytest.raises(ValueError, match=r"ids must be integers \(T,\), but are float64"):
            built.decode(np.zeros(tokens))


def test_before_the_fit_nothing_is_encoded(tmp_path: Path) -> None:
    built = codes()
    value = pictures()[0]
    for call in (
        lambda: built.encode(value),
        lambda: built.decode(np.zeros(6, np.int64)),
        lambda: built.save(tmp_path),
    ):
        with pytest.raises(ValueError, match="must be fitted or loaded before it is used"):
            call()
    with pytest.raises(ValueError, match="at least one value to fit on"):
        built.fit([], 0)


def test_settings_that_cannot_work_are_refused() -> None:
    with pytest.raises(ValidationError, match="patch must divide height and width, but 3 does not"):
        codes(patch=3)
    for changes in ({"height": 0}, {"channels": 2}, {"levels": 1}, {"augment": {}}):
        with pytest.raises(ValidationError):
            pixels(**changes)
    with pytest.raises(ValidationError):
        codes(augment={"shift": -1.0})


def digits() -> tuple[np.ndarray, np.ndarray]:
    datasets = pytest.importorskip("sklearn.datasets")
    images, labels = datasets.load_digits(return_X_y=True)
    order = generator(0, "test/digits").permutation(len(images))
    return (images[order] / 16).astype(np.float32).reshape(-1, 8, 8, 1), labels[order]


def test_digits_stay_what_they_are() -> None:
    """A judge of real digits must lose at most 0.03 of its accuracy on encoded and decoded ones."""
    images, labels = digits()
    svm = pytest.importorskip("sklearn.svm")
    judge = svm.SVC(gamma=0.256).fit(images[:1200].reshape(-1, 64), labels[:1200])
    for augment in (None, WarpSettings(shift=0.4, rotate=0.1, scale=0.05)):
        built = PatchCodes(PatchCodesSettings(height=8, width=8, augment=augment))
        figures = built.fit(images[:1200], 0)
        assert figures["codes_used"] == 64
        assert figures["explained"] > 0.9
        back = np.stack([built.decode(built.encode(image)) for image in images[1200:]])
        real = judge.score(images[1200:].reshape(-1, 64), labels[1200:])
        after = judge.score(back.reshape(-1, 64), labels[1200:])
        assert real > 0.97
        assert after > real - 0.03


def members(name: str) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(Path(DATA or "") / "odd_media" / name) as tar:
        for member in tar:
            file = tar.extractfile(member)
            assert file is not None
            yield member.name, file.read()


_ODD = """
import pathlib, resource, sys, warnings
warnings.simplefilter("ignore")
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
from loretta_plugin_image.pixels import Pixels
from loretta_plugin_image.settings import PixelsSettings
built = Pixels(PixelsSettings(height=8, width=8, channels=3))
for path in sorted(pathlib.Path(sys.argv[1]).iterdir()):
    try:
        built.checked(built.read(path.read_bytes(), path.suffix[1:]))
        print("read")
    except ValueError:
        print("refused")
"""


@pytest.mark.skipif(not DATA, reason="LORETTA_TEST_DATA is unset")
def test_malformed_images_are_read_or_refused(tmp_path: Path) -> None:
    """In a child process: a crash, a hang or 2 GiB of memory must not pass for a refusal."""
    for number, (_, data) in enumerate(members("images_malformed_pillow.tar")):
        (tmp_path / f"{number:03d}.png").write_bytes(data)
    command = [sys.executable, "-c", _ODD, str(tmp_path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=True, env=environment
    )
    verdicts = done.stdout.split()
    assert len(verdicts) == 92
    assert 60 < verdicts.count("refused") < 92


@pytest.mark.skipif(not DATA, reason="LORETTA_TEST_DATA is unset")
def test_unusual_but_valid_images_are_read() -> None:
    built = pixels(height=8, width=8, channels=3)
    verdicts = {}
    for name, data in members("images_valid_unusual_pillow.tar"):
        if name.endswith((".png", ".jpg", ".webp")):
            value = built.read(data, name.rpartition(".")[2])
            assert np.array_equal(built.checked(value), value)
        else:
            with pytest.raises(ValueError, match="it is none of PNG, JPEG, WEBP"):
                built.read(data, name.rpartition(".")[2])
        verdicts[name] = True
    assert len(verdicts) == 28
