"""`syncd config`: check a configuration, show what is in force and why, print its schema."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from syncd.cli.common import ConfigOption, JsonOption, print_json, say
from syncd.cli.doctor import online_findings
from syncd.config import FaultyConfigError, Loaded, Settings, advice, load, report
from syncd.doctor import findings
from syncd.errors import EXIT_DONE

if TYPE_CHECKING:
    from pathlib import Path

app = typer.Typer(name="config", help="Check the configuration, show what is in force and why.", no_args_is_help=True)


@app.command()
def check(
    config: ConfigOption = None,
    online: Annotated[
        bool,
        typer.Option("--online", help="Ask lakeFS and the databases, too, as syncd doctor does; nothing is written."),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check the configuration without asking any server; exit 78 and name every fault if it is wrong.

    With --online: exit 5 if the only fault is that lakeFS cannot be reached, 1 if anything else fails.
    """
    loaded = _load(config, json_output=as_json)
    warnings = advice(loaded)
    found = online_findings(loaded) if online else []
    code = findings.exit_code(found)
    if as_json:
        verdict = _verdict(loaded.path, ok=code == EXIT_DONE, warnings=warnings)
        print_json({**verdict, "online": findings.as_json(found)} if online else verdict)
    else:
        typer.echo(f"{loaded.path or 'environment'}: ok")
        for warning in warnings:
            typer.echo(f"  warning: {warning}", err=True)
        for line in findings.as_lines(found) if online else ():
            say(line)
    if code != EXIT_DONE:
        raise typer.Exit(code)


@app.command()
def show(config: ConfigOption = None, as_json: JsonOption = False) -> None:
    """Show every value with its origin; secrets are masked."""
    loaded = _load(config, json_output=as_json)
    if as_json:
        print_json(report.as_json(loaded))
    else:
        typer.echo("\n".join(report.text_lines(loaded)))


@app.command()
def schema() -> None:
    """Print the configuration file's JSON Schema, for editors and other tools."""
    document = {"$schema": "https://json-schema.org/draft/2020-12/schema", **Settings.model_json_schema()}
    print_json({**document, "title": "syncd.toml"})


def _load(config: Path | None, *, json_output: bool) -> Loaded:
    try:
        return load(config)
    except FaultyConfigError as error:
        if json_output:
            faults = [fault.as_json() for fault in error.faults]
            print_json({**_verdict(error.path, ok=False, warnings=[]), "faults": faults})
        else:
            typer.echo(str(error), err=True)
        raise typer.Exit(error.exit_code) from None


def _verdict(path: Path | None, *, ok: bool, warnings: list[str]) -> dict[str, Any]:
    return {"file": str(path) if path else None, "ok": ok, "warnings": warnings, "faults": []}
