"""Adds all of a folder to a new Oxen repository in it, and commits. Run by the environment that has Oxen."""

from __future__ import annotations

import sys

import oxen

folder = sys.argv[1]
oxen.user.config_user("bench", "bench@example.com")
repository = oxen.init(folder)
repository.add(folder)
repository.commit("bench")
