"""Flows that the tests run, in a process that has Prefect and tells what became of each. No test itself."""

from __future__ import annotations

import asyncio
import json
import os
import runpy
import sys
from pathlib import Path
from typing import Any

from prefect import flow, task
from prefect.client.orchestration import get_client

from syncd.errors import SyncdError, UsageError
from syncd.integrations.prefect import SyncdRepository, another_try_may_help, atake_snapshot, take_snapshot

taking = take_snapshot.with_options(retries=2, retry_delay_seconds=0)
ataking = atake_snapshot.with_options(retries=2, retry_delay_seconds=0)


@task
def read(block: SyncdRepository, tag: str) -> dict[str, str]:
    """What a snapshot holds, by path; a picture here is a text."""
    with block.open(tag) as snapshot:
        return {image.path: image.read().decode() for image in snapshot.images()}


@task
async def aread(block: SyncdRepository, tag: str) -> dict[str, str]:
    async with await block.aopen(tag) as snapshot:
        return {image.path: (await image.read()).decode() async for image in snapshot.images()}


@flow
def train(name: str | None, **options: Any) -> dict[str, Any]:
    """The snapshot of a saved block, or of what ``$SYNCD_CONFIG`` names."""
    taken = taking(name, **options)
    block = SyncdRepository() if name is None else SyncdRepository.load(name)
    return {"taken": taken, "read": read(block, taken["tag"])}


@flow
async def atrain(name: str, **options: Any) -> dict[str, Any]:
    """The same, and once more with the tasks that are not asynchronous."""
    taken = await ataking(name, **options)
    block = await SyncdRepository.aload(name)
    found = await aread(block, taken["tag"])
    assert taking(block)["tag"] == taking.submit(name).result()["tag"] == taken["tag"]
    assert read(block, taken["tag"]) == found
    return {"taken": taken, "read": found}


@flow
def without_task(name: str) -> dict[str, Any]:
    """The block alone, in a flow."""
    with SyncdRepository.load(name).snapshot() as snapshot:
        return {"taken": {"tag": snapshot.tag}, "read": {}}


@task(retries=2, retry_delay_seconds=0, retry_condition_fn=another_try_may_help)
def fails(kind: str) -> None:
    """A task of someone's own."""
    errors = {
        "away": ConnectionError("the daemon stopped before it answered"),
        "wrong": UsageError("wrong"),
        "own": ZeroDivisionError("own"),
    }
    raise errors[kind]


@flow
def own(kinds: list[str]) -> list[str]:
    return [fails.with_options(name=kind)(kind, return_state=True).type.value for kind in kinds]


def example(path: str) -> dict[str, Any]:
    return {"said": runpy.run_path(path)["nightly"]()}


def save(name: str, **fields: Any) -> dict[str, Any]:
    return {"id": str(SyncdRepository(**fields).save(name, overwrite=True))}


def show(name: str) -> dict[str, Any]:
    """A block as it is loaded, as Prefect's API tells it, and as it is printed."""
    block = SyncdRepository.load(name)
    secret = block.secret_access_key
    with get_client(sync_client=True) as client:
        told = client.read_block_document_by_name(name, "syncd-repository", include_secrets=False)
    return {"repr": repr(block), "secret": secret and secret.get_secret_value(), "api": told.data, "tags": tags(block)}


def tags(block: SyncdRepository) -> list[str | None]:
    """The newest snapshot, asked for in each of the ways there are."""

    async def both() -> list[str | None]:
        async with await block.aopen(at="2999-01-01") as newest, await block.asnapshot(timeout=5) as taken:
            return [newest.tag, taken.tag]

    with block.snapshot(timeout=5) as taken:
        return [block.open().tag, block.open(at="2999-01-01").tag, taken.tag, *asyncio.run(both())]


def run(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """What became of a flow."""
    which = {"train": train, "atrain": atrain, "without_task": without_task, "own": own}[name]
    state = which(**options, return_state=True)
    if name == "atrain":
        state = asyncio.run(state)
    try:
        result, error = state.result(), None
    except (SyncdError, ConnectionError, ZeroDivisionError) as raised:
        result, error = None, type(raised).__name__
    with get_client(sync_client=True) as client:
        flow_run = client.read_flow_run(state.state_details.flow_run_id)
    return {
        "state": state.type.value,
        "message": state.message,
        "error": error,
        "run": flow_run.name,
        "result": result,
    }


def main() -> None:
    """Do what the lines of the input say, one after the other."""
    for line in sys.stdin:
        asked = json.loads(line)
        what, arguments, reply = asked["what"], asked["arguments"], Path(asked["reply"])
        os.environ.update(asked["environment"])
        others = {"example": example, "save": save, "show": show}
        done = others[what](**arguments) if what in others else run(what, arguments)
        begun = reply.with_suffix(".new")
        begun.write_text(json.dumps(done))
        begun.rename(reply)
        for name in asked["environment"]:
            del os.environ[name]


if __name__ == "__main__":
    main()
