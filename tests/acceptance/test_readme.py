"""The README says what is so: its configurations load, its commands exist, its pipeline line runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from syncd.config import load

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
SYNCD = Path(sys.executable).with_name("syncd")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def documented_commands() -> list[str]:
    """The commands of the table, with their subcommands: "config check", "config show" ..."""
    found = []
    for line in re.findall(r"^\| `syncd ([^|]*)\|", README, re.MULTILINE):
        words = re.findall(r"`?([a-z]+)`?", re.sub(r"\b[A-Z]+\b", "", line))
        group = words[0] in {"config", "lakefs", "pins", "retention", "table"}
        found += [f"{words[0]} {word}" for word in words[1:]] if group else [words[0]]
    return found


@pytest.mark.parametrize("number", range(len(blocks("toml"))))
def test_each_configuration_shown_loads(number, tmp_path):
    text = blocks("toml")[number]
    contents = {
        "lakefs-secret": "secret",
        "labels-url": "postgresql://reader:secret@db/photos",
        "webhook-secret": "secret",
    }
    for name, content in contents.items():
        secret = tmp_path / name
        secret.touch(mode=0o600)
        secret.write_text(content)
        text = text.replace(f"/etc/syncd/{name}", str(secret))
    path = tmp_path / "syncd.toml"
    path.write_text(text)
    assert load(path, environ={"HOME": str(tmp_path)}).settings.source.root == Path("/srv/images")


def test_the_table_of_commands_is_the_list_of_commands():
    shown = subprocess.run([SYNCD, "--help"], capture_output=True, text=True, check=True, env={"COLUMNS": "200"})
    listed = set(re.findall(r"^│ ([a-z]+) ", shown.stdout, re.MULTILINE))
    assert {command.split()[0] for command in documented_commands()} == listed


@pytest.mark.parametrize("command", documented_commands())
def test_each_command_shown_exists(command):
    shown = subprocess.run([SYNCD, *command.split(), "--help"], capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr


def test_each_make_target_shown_exists():
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"^make (\w+)", "\n".join(blocks("sh")), re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, re.MULTILINE)


def test_each_file_and_section_linked_exists():
    sections = {
        re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-")
        for title in re.findall(r"^##+ (.*)", README, re.MULTILINE)
    }
    for link in re.findall(r"\]\(([^)]+)\)", README):
        there = link[1:] in sections if link.startswith("#") else link.startswith("https://") or (ROOT / link).exists()
        assert there, link


def test_the_pipeline_line_gives_the_tag(tmp_path, lakefs_binary):
    """P1: what was in place before the line is in the snapshot it names."""
    images = tmp_path / "images"
    images.mkdir()
    (images / "a.png").write_bytes(b"a")
    config = tmp_path / "syncd.toml"
    config.write_text(
        f'[source]\nroot = "{images}"\nsettle_seconds = 0\n[service]\nstate_dir = "{tmp_path / "state"}"\n'
    )
    (line,) = [line for block in blocks("sh") for line in block.splitlines() if line.startswith("tag=")]
    done = subprocess.run(
        ["bash", "-euc", f'{line}\necho "$tag"'],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env=os.environ
        | {
            "SYNCD_CONFIG": str(config),
            "SYNCD_LAKEFS_BINARY": str(lakefs_binary),
            "PATH": f"{SYNCD.parent}:{os.environ['PATH']}",
        },
    )
    assert done.returncode == 0, done.stderr
    assert re.fullmatch(r"snap-\d{8}T\d{6}Z-1\n", done.stdout), done.stdout
