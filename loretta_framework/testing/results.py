"""Figures of long tests, kept where their author asks for them."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import Any

from loretta_framework.api import write_bytes_atomically


def keep_result(
    name: str, figures: Mapping[str, Any], distribution: str = "loretta-framework"
) -> None:
    """Write figures, with machine and versions, into the folder that LORETTA_RESULTS names.

    Without that variable, or where it is empty, they are dropped.

    Args:
        name: of what was measured; the file is `<date>-<name>.json`.
        figures: what JSON can hold.
        distribution: whose version stands beside them.

    Raises:
        OSError: the folder is absent, or cannot be written.
    """
    folder = os.environ.get("LORETTA_RESULTS")
    if not folder:
        return
    about = {
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "python": platform.python_version(),
        distribution: metadata.version(distribution),
    }
    file = Path(folder) / f"{datetime.now(UTC):%Y-%m-%d}-{name}.json"
    write_bytes_atomically(file, (json.dumps({**about, **figures}, indent=1) + "\n").encode())
