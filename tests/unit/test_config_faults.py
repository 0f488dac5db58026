from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from syncd.config import FaultyConfigError, load

if TYPE_CHECKING:
    from pathlib import Path

MINIMAL = '[source]\nroot = "/srv/images"\n'
DATABASE = '[[tables]]\nname = "labels"\nkey = "id"\nurl = "postgresql://h/d"\n'
TABLE = '[[tables]]\nname = "labels"\ncsv = "/srv/labels.csv"\nkey = "id"\n'


def faults_of(folder: Path, text: str | bytes, **environ: str) -> list[str]:
    """Return each fault without the file's path: "LINE: KEY: rule"."""
    path = folder / "syncd.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(FaultyConfigError) as caught:
        load(path, environ={"HOME": str(folder), **environ}, cwd=folder)
    return [str(fault).removeprefix(f"{path}:").strip() for fault in caught.value.faults]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "source.root: is missing: the folder to watch; set root in [source], or SYNCD_SOURCE__ROOT"),
        ('[source]\nrot = "/x"', '2: source.rot: unknown key (is "/x"); did you mean source.root?'),
        ('root = "/x"', '1: root: unknown key (is "/x"); did you mean source.root?'),
        (f"{MINIMAL}[sorce]", "3: sorce: unknown key; did you mean source?"),
        (f"{MINIMAL}concurrency = 3", "3: source.concurrency: unknown key (is 3); did you mean upload.concurrency?"),
        (f"{MINIMAL}zzz = [1]", "3: source.zzz: unknown key (is [1])"),
        (
            f"{TABLE}imagecolumn = 'x'",
            '5: tables[0].imagecolumn: unknown key (is "x"); did you mean tables[0].image_column?',
        ),
        ("[source]\nroot = 5", "2: source.root: must be a path, as text (is 5)"),
        (f"{MINIMAL}settle_seconds = '2'", '3: source.settle_seconds: must be a valid number (is "2")'),
        (f"{MINIMAL}settle_seconds = true", "3: source.settle_seconds: must be a valid number (is true)"),
        (f"{MINIMAL}settle_seconds = -1", "3: source.settle_seconds: must be greater than or equal to 0 (is -1)"),
        (f"{MINIMAL}settle_seconds = inf", "3: source.settle_seconds: must be a finite number (is inf)"),
        (f"{MINIMAL}watch = 'magic'", "3: source.watch: must be 'auto', 'inotify' or 'polling' (is \"magic\")"),
        (f"{MINIMAL}include = '*.png'", '3: source.include: must be a list (is "*.png")'),
        (f"{MINIMAL}include = []", "3: source.include: must not be empty (is [])"),
        (f'{MINIMAL}include = [\n"a",\n"",\n]', '5: source.include[1]: must not be an empty pattern (is "")'),
        ("source = 5", "1: source: must be written [source], with one pair of brackets (is 5)"),
        (f"{MINIMAL}[tables]\nname = 'x'", "3: tables: must be written [[tables]], with two brackets"),
        (f"{MINIMAL}[[upload]]", "3: upload: must be written [upload], with one pair of brackets"),
        ("[upload]\nbatch_objects = 10001", "2: upload.batch_objects: must be less than or equal to 10000 (is 10001)"),
        (
            "[upload]\nbatch_bytes = 'big'",
            '2: upload.batch_bytes: must be a size in bytes, such as 1048576, "256MiB" or "1GB" (is "big")',
        ),
        ("[upload]\nmax_object_bytes = '6GiB'", '2: upload.max_object_bytes: must lie between 1B and 5GiB (is "6GiB")'),
        ("[snapshot]\nquiet_seconds = 'no'", '2: snapshot.quiet_seconds: must be a number, or "off" (is "no")'),
        ("[snapshot]\nquiet_seconds = 0", "2: snapshot.quiet_seconds: must be greater than 0 (is 0)"),
        ("[snapshot]\nmax_changes = 1.5", "2: snapshot.max_changes: must be a valid integer (is 1.5)"),
        (
            "[guard]\nmax_delete_percent = 101",
            "2: guard.max_delete_percent: must be less than or equal to 100 (is 101)",
        ),
    ],
)
def test_one_value_is_refused_with_line_key_rule_value_and_nearest_key(tmp_path: Path, text: str, fault: str) -> None:
    found = faults_of(tmp_path, text)
    assert any(line.endswith(fault) and line.removesuffix(fault) in ("", f"{tmp_path}/syncd.toml: ") for line in found)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (TABLE + TABLE, "6: tables[1].name: another table has this name"),
        (TABLE + TABLE.replace("labels", "Labels"), "6: tables[1].name: another table has this name"),
        (
            TABLE.replace("labels", "images"),
            '2: tables[0].name: is a name syncd uses itself; choose another (is "images")',
        ),
        ('[[tables]]\nname = "a"\nkey = "id"\n', "1: tables[0].csv: is missing: the CSV file to publish, or url"),
        (f'{TABLE}url = "postgresql://h/d"\n', "3: tables[0].csv: csv and url cannot stand together"),
        (f"{DATABASE}", "1: tables[0].table: is missing: table, or query"),
        (f'{DATABASE}table = "t"\nquery = "q"\n', "5: tables[0].table: table and query cannot stand together"),
        (f'{DATABASE}table = "t"\nurl_file = "u"\n', "6: tables[0].url_file: url and url_file cannot stand together"),
        (f'{DATABASE}table = "t"\nimage_column = "i"\nimage_pattern = "("\n', "image_pattern: is not a regular expr"),
        (f'{DATABASE}table = "t"\nimage_column = "i"\nimage_pattern = "a"\n', "image_pattern: must hold a group"),
        (f'{TABLE}channel = "c"\n', "5: tables[0].channel: channel goes with url"),
        (f'{TABLE}table = "t"\n', "5: tables[0].table: table goes with url"),
        (f'{TABLE}query = "q"\n', "5: tables[0].query: query goes with url"),
        (f'{TABLE}closure = "warn"\n', "5: tables[0].closure: needs image_column"),
        (f'{TABLE}closure = "exclude"\n', "5: tables[0].closure: needs image_column"),
        (
            '[lakefs]\nstaging_branch = "main"\n',
            "2: lakefs.staging_branch: staging_branch and publish_branch must be two",
        ),
        ('[lakefs]\npublish_branch = "syncd-staging"\n', "2: lakefs.publish_branch: staging_branch and publish_branch"),
        ('[lakefs]\naccess_key_id = "abc"\n', "2: lakefs.access_key_id: goes with endpoint, which is not set"),
        ('[lakefs]\ns3_endpoint = "http://h"\n', "2: lakefs.s3_endpoint: goes with endpoint, which is not set"),
        (
            '[lakefs]\nendpoint = "http://h"\n',
            "1: lakefs.access_key_id: is missing: the server at endpoint asks for it",
        ),
        ('[lakefs]\nendpoint = "http://h"\n', "1: lakefs.secret_access_key: is missing: the server at endpoint asks"),
        ('[service]\nlisten = "0.0.0.0:8410"\n', "2: service.listen: other machines reach this address: it needs"),
        ('[service]\nstate_dir = "/srv/images/.state"\n', "must not contain service.state_dir (/srv/images/.state)"),
        ('[service]\nstate_dir = "/srv/images"\n', "must not contain service.state_dir (/srv/images)"),
        ('[service]\nstate_dir = "/srv"\n', "must not lie inside service.state_dir (/srv)"),
    ],
)
def test_what_cannot_stand_together_is_refused(tmp_path: Path, text: str, fault: str) -> None:
    found = faults_of(tmp_path, text + MINIMAL)
    assert any(fault in line for line in found)


def test_a_folder_reached_through_a_link_is_known_for_what_it_is(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "images")
    text = '[source]\nroot = "images"\n[service]\nstate_dir = "link/state"\n'
    assert "must not contain service.state_dir" in faults_of(tmp_path, text)[0]


def test_a_csv_inside_the_root_is_fine(tmp_path: Path) -> None:
    path = tmp_path / "syncd.toml"
    path.write_text(MINIMAL + TABLE.replace("/srv/", "/srv/images/"))
    assert load(path, environ={"HOME": "/h"}, cwd=tmp_path).settings.tables[0].closure == "off"


def test_all_faults_are_told_at_once_in_the_files_order(tmp_path: Path) -> None:
    text = "[source]\nwatch = 1\nrot = 1\n[lakefs]\nprefix = '/'\nstaging_branch = 'main'\n[x]\n" + TABLE + TABLE
    found = faults_of(tmp_path, text, SYNCD_NONE="1", SYNCD_SERVICE__LISTEN="x")
    numbers = [int(line.partition(":")[0]) for line in found if line[0].isdigit()]
    assert numbers == [1, 2, 3, 5, 6, 7, 13]
    assert found[-2].startswith("environment: SYNCD_NONE: no key has this name")
    assert found[-1].startswith("environment SYNCD_SERVICE__LISTEN: service.listen: must be HOST:PORT")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("[source\n", "1: not valid TOML, column 8: "),
        (f"{MINIMAL}settle_seconds 2\n", '3: not valid TOML, column 16: Expected "=" after a key'),
        (f"{MINIMAL}watch = \n", "3: not valid TOML, column 9: Invalid value: watch ="),
        (f"{MINIMAL}include = [\n\n", "3: not valid TOML, at the end: "),
        (f"{MINIMAL}{MINIMAL}", "3: not valid TOML, column 8: Cannot declare"),
        (b'[source]\n\nroot = "\xff"\n', "3: must be UTF-8 text"),
        (f"a = {'[' * 100_000}", "is nested too deeply"),
        (b"#" * (1024 * 1024 + 1), "is larger than 1 MiB"),
    ],
)
def test_a_text_that_is_no_toml_is_refused_at_its_line(tmp_path: Path, text: str | bytes, fault: str) -> None:
    found = faults_of(tmp_path, text)
    assert len(found) == 1
    assert fault.replace('"', "'") in found[0]


def test_a_folder_in_place_of_the_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FaultyConfigError, match="cannot be read: Is a directory"):
        load(tmp_path, environ={}, cwd=tmp_path)


def test_a_message_never_breaks_the_line_or_the_terminal(tmp_path: Path) -> None:
    found = faults_of(tmp_path, f'{MINIMAL}"a\\u001b[31m\\nb" = 1\n{"c" * 300} = "{"d" * 300}"\n')
    assert len(found) == 2
    assert all(line.isprintable() and len(line) < 500 for line in found)
