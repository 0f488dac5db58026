"""What the demo needs beyond syncd itself, checked before anything is started."""

from __future__ import annotations

from importlib.util import find_spec

from syncd.errors import SyncdError

NEEDED = {  # what is imported: what is installed
    "boto3": "boto3",
    "PIL": "pillow",
    "pyarrow": "pyarrow",
    "sklearn": "scikit-learn",
    "sqlalchemy": "sqlalchemy",
}


def require(needed: dict[str, str] = NEEDED) -> None:
    """Check that the demo's libraries are installed, without importing them.

    Raises:
        SyncdError: Some are not; it names them.
    """
    missing = sorted(package for module, package in needed.items() if find_spec(module) is None)
    if missing:
        raise SyncdError(
            f"The demo needs {', '.join(missing)}, not installed here",
            cause="syncd itself does without, so they come only when asked for",
            next_step='pip install "syncd[demo]"',
        )
