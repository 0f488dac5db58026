"""A bad network at the very first start, while repository, branches and lease are made."""

from __future__ import annotations

import pytest

from tests.faults.conftest import Outcome
from tests.support.daemon import Dataset
from tests.support.fault_proxy import Fault, FaultProxy, Request, Rule

pytestmark = [pytest.mark.acceptance, pytest.mark.lakefs]

PATIENCE_S = 20.0  # well below the lease's time


def makes_repository(request: Request) -> bool:
    return request.method == "POST" and request.target.endswith("/repositories")


def makes_branch(request: Request) -> bool:
    return request.method == "POST" and request.target.endswith("/branches")


def claims_lease(request: Request) -> bool:
    return request.method == "POST" and "-lease/objects?" in request.target


def notes_lease(request: Request) -> bool:
    return request.operation == "lease" and request.method == "PUT"


@pytest.mark.parametrize(
    ("where", "times"),
    [(makes_repository, 1), (makes_branch, 2), (claims_lease, 1), (notes_lease, 1)],
    ids=["repository", "branches", "claim", "note"],
)
@pytest.mark.parametrize("kind", ["drop", "reset"])
def test_a_lost_connection_at_the_first_start_is_made_good(
    behind: Dataset, proxy: FaultProxy, outcome: Outcome, where, times: int, kind: str
) -> None:
    """P4: whether the request was applied or not, syncd carries on by itself within its pauses."""
    rule = Rule([Fault(kind)], where=where, times=times)
    proxy.misbehave(rule)
    (behind.root / "a.png").write_bytes(b"a")
    behind.start()
    outcome.assert_exact(outcome.wait_until_published(timeout_s=PATIENCE_S))
    assert rule.used == times
