"""The configuration: one TOML file, each key also by environment, secrets from where secrets belong.

``load`` finds it, reads it, and returns it with the origin of every value, or raises one error with all its faults.
The inner rooms get plain values, not this tree.
"""

from __future__ import annotations

from syncd.config.advice import advice
from syncd.config.faults import ConfigFault, FaultyConfigError
from syncd.config.lakefs_section import LakefsSettings
from syncd.config.load import Loaded, load
from syncd.config.sections import (
    DEFAULT_INCLUDE,
    GuardSettings,
    PullSettings,
    ServiceSettings,
    SnapshotSettings,
    SourceSettings,
    UploadSettings,
)
from syncd.config.settings import Settings
from syncd.config.tables_section import TableSettings

__all__ = [
    "DEFAULT_INCLUDE",
    "ConfigFault",
    "FaultyConfigError",
    "GuardSettings",
    "LakefsSettings",
    "Loaded",
    "PullSettings",
    "ServiceSettings",
    "Settings",
    "SnapshotSettings",
    "SourceSettings",
    "TableSettings",
    "UploadSettings",
    "advice",
    "load",
]
