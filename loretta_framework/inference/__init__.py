"""What a trained model is asked: values to values."""

from loretta_framework.inference.given import Given as Given
from loretta_framework.inference.loaded import LoadedModel as LoadedModel
from loretta_framework.inference.loading import load as load
from loretta_framework.inference.streaming import Progress as Progress
