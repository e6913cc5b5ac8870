"""Write the shards of the benchmark: python make.py FOLDER. Token shards come from the project's
own `data tokenize`; they are plain tars of .npy members that every reader can open."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from work import KINDS, PER_SHARD, SAMPLES, samples

from loretta_framework.shards.writing import ShardWriter

RECIPE = """\
schema_version: 1
name: tokens
modalities:
  image:  {kind: text_bytes, settings: {max_tokens: 256}}
  speech: {kind: text_bytes, settings: {max_tokens: 256}}
  text:   {kind: text_bytes, settings: {max_tokens: 32}}
data:
  train:
    - {name: tokens, shards: "texts/*.tar", modalities: [image, speech, text]}
  TOKENS
objectives: [{kind: causal}]
train: {steps: 1000000000, batch_tokens: 35000}
"""


def main(folder: Path) -> None:
    """Write what is not there yet."""
    for kind in KINDS:
        out = folder / ("texts" if kind == "tokens" else kind)
        if out.is_dir():
            continue
        with ShardWriter(out, kind, PER_SHARD[kind]) as writer:
            for key, members in samples(kind, SAMPLES[kind]):
                writer.write(key, members)
    (folder / "raw.yaml").write_text(RECIPE.replace("  TOKENS\n", ""))
    (folder / "tokens.yaml").write_text(RECIPE.replace("TOKENS", "tokens: tokens"))
    if not (folder / "tokens" / "tokens.json").is_file():
        command = ["loretta", "data", "tokenize", "raw.yaml", "--out", "tokens"]
        subprocess.run(command, cwd=folder, check=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
