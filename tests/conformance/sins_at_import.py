"""A module that changes what the process shares when it is imported."""

from __future__ import annotations

import os
import warnings

import numpy as np
from sound_components import Letters as Letters

np.random.seed(0)
os.environ["TOKENIZERS_PARALLELISM"] = "false"
warnings.filterwarnings("ignore")
