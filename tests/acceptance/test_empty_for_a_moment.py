"""A folder that was empty, and is not any more when a snapshot is called for."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.support.comparing import assert_same, folder

if TYPE_CHECKING:
    from tests.support.comparing import Reader
    from tests.support.daemon import Dataset

pytestmark = [pytest.mark.acceptance, pytest.mark.lakefs]


def test_a_call_looks_at_the_folder_itself(dataset: Dataset, reader: Reader) -> None:
    """P1, P5: what was found before the call is no answer, neither that it was empty nor that it was gone."""
    (dataset.root / "a.png").write_bytes(b"a")
    daemon = dataset.start()
    dataset.snapshot()
    (dataset.root / "a.png").unlink()
    daemon.wait_for_event("source_unavailable")
    done = dataset.command("snapshot", "--timeout", "0")
    assert done.returncode == 4, done.stdout + done.stderr
    assert "is empty" in done.stderr

    (dataset.root / "b.png").write_bytes(b"b")
    assert_same(reader.objects(dataset.snapshot()["tag"]), folder(dataset.root))
