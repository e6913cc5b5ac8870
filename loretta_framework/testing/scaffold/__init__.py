"""Writes complete packages for plugins of one's own."""

from loretta_framework.testing.scaffold.names import (
    PluginName as PluginName,
    checked_name as checked_name,
)
from loretta_framework.testing.scaffold.package import (
    KINDS as KINDS,
    package_files as package_files,
    write_package as write_package,
)
