"""With what the conformance kit tries the evaluators whose defaults take long."""

from __future__ import annotations

from loretta_framework.api import Trial

CLASS_CONSISTENCY = Trial(
    # Too few samples to train a judge on, which takes seconds: the figures are None with a reason.
    settings={"generations": 6, "chained_generations": 0, "judge_samples": 2, "resamples": 20}
)
RETRIEVAL = Trial(settings={"candidates": 6, "resamples": 20})
