"""Encoders and decoders that break their contract. Axes: N values, B rows, T tokens, C conditions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import sound_components as sound
from sound_plugin import broken

from loretta_framework.testing.conformance import Subject


class NoNumbers(sound.Wave):
    def preprocess(self, value: Any) -> Any:
        return super().preprocess(value) * np.float32(np.inf)


class OneBuffer(sound.Wave):
    buffer = np.zeros((2, 3), np.float32)

    def preprocess(self, value: Any) -> Any:
        self.buffer[:] = value.reshape(2, 3)
        return self.buffer


class TorchFeatures(sound.Wave):
    def preprocess(self, value: Any) -> Any:
        import torch

        return torch.from_numpy(value).reshape(2, 3).numpy()


class Flipped(sound.Wave):
    def restore(self, features: Any) -> Any:
        return super().restore(features.T)


class Networks(sound.Wave):
    """With networks of `broken_networks`."""

    made = ""

    def network(self) -> Any:
        import broken_networks

        return getattr(broken_networks, self.made)(3)

    def decoder(self, width: int) -> Any:
        import broken_networks

        return getattr(broken_networks, self.made)(width, 3)


class ShortVectors(Networks):
    made = "ShortVectors"


class DeadParameter(Networks):
    made = "DeadParameter"


class HiddenWeight(Networks):
    made = "HiddenWeight"


class BatchMean(Networks):
    made = "BatchMean"


class Restless(Networks):
    made = "Restless"


class OneLoss(Networks):
    made = "OneLoss"


class Deaf(Networks):
    made = "Deaf"


class GlobalDice(Networks):
    made = "GlobalDice"


class MixedRows(Networks):
    made = "MixedRows"


class TooShort(Networks):
    made = "TooShort"


class HiddenSpread(Networks):
    made = "HiddenSpread"


TWINS: dict[str, Callable[[], Subject]] = {
    "encoder.features_have_one_shape": broken("wave", NoNumbers),
    "decoder.features_have_one_shape": broken("wave", NoNumbers),
    "encoder.preprocesses_the_same_again": broken("wave", OneBuffer),
    "decoder.preprocesses_the_same_again": broken("wave", OneBuffer),
    "encoder.preprocesses_without_torch": broken("wave", TorchFeatures),
    "decoder.preprocesses_without_torch": broken("wave", TorchFeatures),
    "encoder.gives_vectors": broken("wave", ShortVectors),
    "encoder.every_parameter_learns": broken("wave", DeadParameter),
    "encoder.weights_come_back": broken("wave", HiddenWeight),
    "encoder.rows_do_not_mix": broken("wave", BatchMean),
    "encoder.draws_only_in_training": broken("wave", Restless),
    "decoder.features_come_back": broken("wave", Flipped),
    "decoder.has_a_loss_for_each_row": broken("wave", OneLoss),
    "decoder.teaches_the_model": broken("wave", Deaf),
    "decoder.samples_by_its_generator": broken("wave", GlobalDice),
    "decoder.rows_do_not_mix": broken("wave", MixedRows),
    "decoder.samples_are_values": broken("wave", TooShort),
    "decoder.weights_come_back": broken("wave", HiddenSpread),
}
