"""What a monitoring system sees of the real daemon on a real lakeFS, and that the rules and pictures we ship fit it."""

from __future__ import annotations

import json
import re
import subprocess
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from syncd.errors import EXIT_BAD_CONFIGURATION
from tests.support.daemon import Dataset, until
from tests.support.machine_needs import need

if TYPE_CHECKING:
    from collections.abc import Callable

    from syncd.embedded.process import ServerProcess

pytestmark = [pytest.mark.acceptance, pytest.mark.lakefs]

ROOT = Path(__file__).parents[2]
PROMETHEUS, GRAFANA = ROOT / "config/prometheus", ROOT / "config/grafana/syncd.json"
TOKEN = "a-token-for-this-test-alone"
SELDOM = {"syncd_not_synced", "syncd_failures_total", "syncd_notifications_total"}  # without a sample if all is well
METRIC = re.compile(r"\b(?:syncd|process)_[a-z_]+\b")


@pytest.fixture
def watched(dataset: Dataset) -> Dataset:
    dataset.configure(service={**dataset.sections["service"], "listen": "127.0.0.1:0"})
    return dataset


def fetch(dataset: Dataset, path: str, token: str = "") -> tuple[int, str]:
    """Ask the running daemon over HTTP."""
    address = dataset.status_until(lambda seen: seen["http"]["address"], "it listens")["http"]["address"]
    request = urllib.request.Request(f"http://{address}{path}", headers={"Authorization": f"Bearer {token}"})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - the daemon's own address
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def scraped(dataset: Dataset) -> dict[str, float]:
    """Return every sample without labels as its name, one with them as ``name{values}``."""
    code, text = fetch(dataset, "/metrics")
    assert code == 200, text
    return {
        sample.name + ("{" + ",".join(sample.labels.values()) + "}" if sample.labels else ""): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_metrics_follow_what_the_daemon_does(watched: Dataset) -> None:
    for number in range(5):
        (watched.root / f"{number}.png").write_bytes(b"x" * 100)
    watched.start()
    first = watched.json_of("snapshot")
    (watched.root / "0.png").unlink()
    watched.json_of("snapshot")
    watched.status_until(lambda seen: seen["state"] == "idle", "it is in step")
    found = scraped(watched)
    assert found["syncd_objects_total{uploaded}"] == 5
    assert found["syncd_objects_total{deleted}"] == 1
    assert found["syncd_uploaded_bytes_total"] == 500
    assert found["syncd_snapshots_total{request}"] == 2
    assert (found["syncd_snapshot_images"], found["syncd_snapshot_bytes"]) == (4, 400)
    assert found["syncd_request_duration_seconds_count{s3,PutObject,ok}"] == 5
    assert found["syncd_request_duration_seconds_count{api,commit,ok}"] == 2
    assert found["syncd_state{idle}"] == 1
    assert found["syncd_last_success_timestamp_seconds"] >= found["syncd_last_snapshot_timestamp_seconds"] > 0
    assert found["syncd_oldest_pending_age_seconds"] == 0
    assert found["syncd_watcher_starts_total{images}"] == 1
    assert first["tag"]


def test_probes_tell_an_outage_from_a_death(
    make_dataset: Callable[..., Dataset], own_lakefs_server: ServerProcess
) -> None:
    dataset = make_dataset(server=own_lakefs_server)
    dataset.configure(service={**dataset.sections["service"], "listen": "127.0.0.1:0"})
    dataset.start()
    until(lambda: fetch(dataset, "/readyz") == (200, "ok\n"), "it is ready")
    own_lakefs_server.stop()
    (dataset.root / "a.png").write_bytes(b"a")
    until(lambda: fetch(dataset, "/readyz")[0] == 503, "lakeFS is missed")
    assert fetch(dataset, "/livez") == (200, "ok\n")
    assert "failed lakefs: " in fetch(dataset, "/readyz?verbose")[1]
    found = scraped(dataset)
    assert (found["syncd_state{failing}"], found["syncd_failures_total{transient}"] >= 1) == (1, True)
    own_lakefs_server.start()
    until(lambda: fetch(dataset, "/readyz")[0] == 200, "it is ready again")
    assert scraped(dataset)["syncd_retries_total"] >= 1


def test_a_port_that_is_taken_is_said_and_stops_nothing(watched: Dataset, make_dataset: Callable[..., Dataset]) -> None:
    watched.start()
    taken = watched.status_until(lambda seen: seen["http"]["address"], "it listens")["http"]["address"]
    other = make_dataset(name="other", staging_branch="other-staging")
    other.configure(service={**other.sections["service"], "listen": taken})
    other.start()
    (other.root / "a.png").write_bytes(b"a")
    assert other.json_of("snapshot")["added"] == 1
    said = other.status()["http"]
    assert (said["address"], f"not served at {taken}" in said["fault"]) == ("", True)
    assert "service.listen" in other.command("status").stdout


def test_other_machines_need_the_token(watched: Dataset) -> None:
    token_file = watched.directory / "token"
    service = {**watched.sections["service"], "listen": "0.0.0.0:0"}
    watched.configure(service=service)
    refused = watched.command("config", "check")
    assert (refused.returncode, "listen_token_file" in refused.stderr) == (EXIT_BAD_CONFIGURATION, True)
    watched.configure(service={**service, "listen_token_file": str(token_file)})
    token_file.write_text(TOKEN)
    token_file.chmod(0o644)
    refused = watched.command("config", "check")
    assert (refused.returncode, "chmod 600" in refused.stderr) == (EXIT_BAD_CONFIGURATION, True)
    token_file.chmod(0o600)
    watched.start()
    assert fetch(watched, "/metrics")[0] == 401
    assert fetch(watched, "/livez")[0] == 200
    assert fetch(watched, "/metrics", TOKEN)[0] == 200
    assert TOKEN not in watched.command("config", "show").stdout


def run(*command: str, **options: Any) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=60, **options)


@pytest.fixture(scope="session")
def promtool() -> str:
    need(["promtool"], packages="prometheus")
    return "promtool"


def test_promtool_finds_nothing_to_say_about_the_metrics(watched: Dataset, promtool: str) -> None:
    watched.start()
    _, text = fetch(watched, "/metrics")
    said = run(promtool, "check", "metrics", input=text)
    assert (said.returncode, said.stdout + said.stderr) == (0, "")


def test_alert_rules_are_valid_and_alert_when_they_should(promtool: str) -> None:
    for arguments in (["check", "rules", "syncd.rules.yaml"], ["test", "rules", "syncd.rules.test.yaml"]):
        said = run(promtool, *arguments, cwd=PROMETHEUS)
        assert said.returncode == 0, said.stdout + said.stderr


def test_rules_and_dashboard_ask_for_metrics_that_there_are(watched: Dataset, promtool: str, tmp_path: Path) -> None:
    table = watched.directory / "labels.csv"
    table.write_text("id,image\n1,a.png\n")
    watched.configure(
        tables=[{"name": "labels", "csv": str(table), "key": "id", "image_column": "image", "closure": "warn"}]
    )
    watched.start()
    watched.json_of("snapshot")
    watched.status_until(lambda seen: seen["tables"], "the table was read")
    known = {name.partition("{")[0] for name in scraped(watched)} | SELDOM
    queries = [target["expr"] for panel in json.loads(GRAFANA.read_text())["panels"] for target in panel["targets"]]
    filled = [query.replace("$instance", ".*").replace("$__rate_interval", "5m") for query in queries]
    rules_of_them = tmp_path / "dashboard.rules.json"
    recorded = [{"record": f"panel:query{number}", "expr": query} for number, query in enumerate(filled)]
    rules_of_them.write_text(json.dumps({"groups": [{"name": "dashboard", "rules": recorded}]}))
    said = run(promtool, "check", "rules", str(rules_of_them))
    assert said.returncode == 0, said.stdout + said.stderr
    assert {name for query in queries for name in METRIC.findall(query)} <= known
    rules = (PROMETHEUS / "syncd.rules.yaml").read_text()
    asked = {name for line in rules.splitlines() if "expr:" in line for name in METRIC.findall(line)}
    assert asked <= known
    assert len(queries) > 20
