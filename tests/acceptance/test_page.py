"""What a person sees of their dataset, and does to it, in the browser."""

from __future__ import annotations

import csv
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from axe_playwright_python.sync_playwright import Axe
from PIL import Image
from playwright.sync_api import expect, sync_playwright

from syncd.errors import EXIT_BAD_CONFIGURATION, EXIT_USAGE
from tests.support.browser import PHONE, Visitor, launch
from tests.support.daemon import Dataset, until
from tests.support.fault_proxy import FaultProxy
from tests.support.gallery import digits, hostile, photos
from tests.support.machine_needs import need

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from syncd.embedded.process import ServerProcess

pytestmark = [pytest.mark.acceptance, pytest.mark.lakefs]

TOKEN = "a-token-for-this-test-alone"
# returns the state that the page would show now, once the pages that are open have been told of it
TOLD = """async () => {
  const text = await (await fetch("/now")).text();
  const {state} = new DOMParser().parseFromString(text, "text/html").querySelector("[data-state]").dataset;
  await new Promise((resolve) => {
    const events = new EventSource("/events");
    events.addEventListener("changed", ({data}) => { if (data === state) { events.close(); resolve(); } });
  });
  return state;
}"""
Visit = Callable[..., Visitor]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    need(["chromium"], packages="chromium")
    with sync_playwright() as playwright:
        started = launch(playwright)
        yield started
        started.close()


@pytest.fixture
def repository_name(repository_name: str) -> str:
    """One that looks like a name on the pictures that the README shows."""
    return f"photos-{repository_name[-4:]}"


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """Open windows on a dataset's daemon, ``visit(dataset, color_scheme="dark")``; broken pages fail the test."""
    windows: list[Visitor] = []

    def open_window(dataset: Dataset, **options: object) -> Visitor:
        windows.append(Visitor(browser, dataset.status()["http"]["address"], options))
        return windows[-1]

    yield open_window
    broken = [one for window in windows for one in window.broken()]
    for window in windows:
        window.close()
    assert broken == []


@pytest.fixture
def shown(dataset: Dataset) -> Dataset:
    """Digits with labels, photos and a table; three snapshots; the daemon runs with a token."""
    token = dataset.directory / "token"
    token.touch(mode=0o600)
    token.write_text(TOKEN)
    labels = dataset.directory / "labels.csv"
    dataset.configure(
        service={"listen": "127.0.0.1:0", "listen_token_file": str(token)},
        tables=[{"name": "labels", "csv": str(labels), "key": "image", "image_column": "image"}],
    )
    rows = digits(dataset.root / "digits", 60) + photos(dataset.root / "photos")
    write_labels(labels, rows)
    dataset.start()
    dataset.snapshot()
    first, second = sorted((dataset.root / "photos").iterdir())[:2]
    shutil.copy(second, first.with_name("copied.jpg"))
    (dataset.root / "digits/00007.png").unlink()
    second.rename(second.with_name("renamed.jpg"))
    shutil.copy(dataset.root / "digits/00001.png", dataset.root / "digits/00000.png")
    write_labels(
        labels, [(path, "9" if path == "digits/00003.png" else label) for path, label in rows if "00007" not in path]
    )
    dataset.snapshot()
    return dataset


def write_labels(path: Path, rows: list[tuple[str, str]]) -> None:
    new = path.with_suffix(".new")
    with new.open("w", newline="") as file:
        csv.writer(file).writerows([("image", "label"), *rows])
    new.replace(path)


def logged_in(visit: Visit, dataset: Dataset, **options: object) -> Visitor:
    window = visit(dataset, **options)
    page = window.go("/")
    expect(page).to_have_url(f"http://{window.address}/login")
    page.get_by_label("Token").fill(TOKEN)
    page.get_by_role("button", name="Go on").click()
    expect(page).to_have_url(f"http://{window.address}/")
    return window


def have_deletions_held(dataset: Dataset) -> None:
    """Remove forty images, which is more than may go unasked."""
    dataset.configure(guard={"max_delete_percent": 10})
    dataset.daemons[-1].stop()
    dataset.start()
    for path in list((dataset.root / "digits").iterdir())[:40]:
        path.unlink()
    dataset.status_until(lambda seen: seen["state"] == "held", "it is held")


def newest(dataset: Dataset) -> str:
    return str(dataset.json_of("show")["tag"])


def test_now_tells_how_it_stands_and_follows_without_a_reload(shown: Dataset, visit: Visit) -> None:
    window = logged_in(visit, shown)
    page = window.page
    expect(page.locator(".state .word")).to_have_text("idle")
    expect(page.locator(".verdict")).to_contain_text(f"Everything that was seen is in {newest(shown)}")
    expect(page.locator(".answers")).to_contain_text("Nothing is left out")
    expect(page.locator(".answers")).to_contain_text("labels: 1 row without image, 2 images without row")
    expect(page.get_by_role("group", name="Tables")).to_contain_text("labels")
    window.shot("now")
    (shown.root / "new.png").write_bytes(b"not an image, and yet a file")
    expect(page.locator(".state .word")).to_have_text("waiting")
    expect(page.locator("dd").filter(has_text="1").first).to_be_visible()
    page.get_by_label("Reason").fill("because the test asks")
    page.get_by_role("button", name="Take a snapshot now").click()
    expect(page.get_by_role("status")).to_contain_text(f"The newest snapshot is {newest(shown)}")


def test_a_page_on_which_nothing_happens_stays_and_its_ages_go_on(shown: Dataset, visit: Visit) -> None:
    shown.status_until(lambda seen: seen["state"] == "idle", "nothing happens")
    window = logged_in(visit, shown)
    window.page.clock.install()
    page = window.go("/")
    page.evaluate("document.querySelector('#now h1').dataset.kept = 'yes'")
    assert page.evaluate(TOLD) == page.locator("[data-state]").get_attribute("data-state")
    page.clock.fast_forward("10:00")
    expect(page.locator(".since time")).to_have_text(re.compile(r"^1\d min$"))
    expect(page.locator("[data-kept]")).to_have_count(1)


def test_what_changed_while_somebody_was_on_it_is_shown_once_they_leave_it(shown: Dataset, visit: Visit) -> None:
    shown.status_until(lambda seen: seen["state"] == "idle", "nothing happens")
    page = logged_in(visit, shown).page
    page.locator(".verdict a").focus()
    (shown.root / "bell\x07.png").write_bytes(b"not to be had in lakeFS: nothing comes of it but a problem")
    shown.status_until(lambda seen: seen["not_synced"] and seen["state"] == "idle", "it is named")
    page.evaluate(TOLD)
    expect(page.locator(".answers")).to_contain_text("Nothing is left out")
    page.get_by_label("Reason").focus()
    expect(page.locator(".answers")).to_contain_text("1 file or row is not synced")


def test_history_lists_filters_and_compares(shown: Dataset, visit: Visit) -> None:
    window = logged_in(visit, shown)
    page = window.go("/history")
    rows = page.locator("table.history tbody tr")
    expect(rows).to_have_count(2)
    expect(page.get_by_role("img", name="Images over time")).to_be_visible()
    expect(rows.first.locator("td.number").nth(1)).to_have_text("65")  # rows of the table
    window.shot("history")
    page.get_by_label("At least").fill("50")
    page.get_by_role("button", name="Filter").click()
    expect(rows).to_have_count(1)
    page.get_by_role("link", name="all", exact=True).click()
    page.get_by_role("button", name="Compare the two").click()
    expect(page.get_by_role("heading", level=1)).to_contain_text(newest(shown))


def test_a_snapshot_shows_what_changed_in_pictures(shown: Dataset, visit: Visit) -> None:
    window = logged_in(visit, shown)
    page = window.go(f"/snapshots/{newest(shown)}")
    assert stat_of(page) == {"added": 1, "changed": 1, "deleted": 1, "renamed": 1}
    expect(page.locator(".card.changed .pictures img")).to_have_count(2)
    until(lambda: all_shown(page), "all pictures are there")
    card = page.locator(".card", has_text="digits/00003.png")
    expect(card).to_have_count(0)  # its row changed, and it did not
    expect(page.locator(".tables")).to_contain_text("0 rows added, 1 changed, 1 deleted")
    window.shot("snapshot")
    page.locator(".tables a").click()
    expect(page.locator("tbody")).to_contain_text("digits/00003.png")
    window.shot("rows")


def test_two_images_are_laid_over_each_other(shown: Dataset, visit: Visit) -> None:
    window = logged_in(visit, shown)
    page = window.go(f"/snapshots/{newest(shown)}")
    page.locator(".card.changed .pictures").click()
    expect(page.locator(".large img")).to_have_count(2)
    expect(page.locator(".swipe")).to_be_visible()
    before, after = (page.locator(".large img").nth(at).bounding_box() for at in (0, 1))
    assert before == after
    page.get_by_role("button", name="Flip").click()
    expect(page.get_by_role("button", name="Flip")).to_have_attribute("aria-pressed", "true")
    window.shot("image")


def test_changes_are_grouped_by_a_column_and_searched(shown: Dataset, visit: Visit) -> None:
    window = logged_in(visit, shown)
    page = window.go(f"/snapshots/{newest(shown)}")
    page.get_by_label("Group by").select_option("labels.label")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("table.bars tbody tr")).not_to_have_count(0)
    nine = page.locator("table.bars tbody tr", has=page.get_by_role("rowheader", name="9", exact=True))
    before, after = (int(nine.locator("td").nth(at).inner_text()) for at in (0, 1))
    assert after == before + 1
    window.shot("grouped")
    page.get_by_label("Path").fill("PHOTOS")
    page.get_by_role("button", name="Show").click()
    expect(page.locator("#found")).to_have_text("2 changes")


def test_it_is_pinned_from_the_page(shown: Dataset, visit: Visit) -> None:
    window = logged_in(visit, shown)
    tag = newest(shown)
    page = window.go(f"/snapshots/{tag}")
    page.get_by_label("Reason").fill("the paper's model")
    page.get_by_role("button", name="Pin it").click()
    expect(page.get_by_role("status")).to_contain_text(f"Pinned: {tag}")
    assert [one["reason"] for one in shown.json_of("pins")["pinned"]] == ["the paper's model"]
    expect(window.go("/history").locator(".pin")).to_have_count(1)


def test_of_two_browsers_that_approve_at_once_one_is_told_that_it_was_answered(shown: Dataset, visit: Visit) -> None:
    have_deletions_held(shown)
    one, two = (logged_in(visit, shown) for _ in range(2))
    for window in (one, two):
        expect(window.page.locator(".held")).to_contain_text("40 of")
    expect(one.page.locator(".evidence img")).to_have_count(20)
    until(lambda: all_shown(one.page), "what would be deleted is shown")
    one.shot("held")
    for window in (one, two):
        window.page.get_by_role("button", name="Approve").click()
    said = sorted(window.page.get_by_role("status").inner_text() for window in (one, two))
    assert said == [
        "Approved: 40 images.",
        "Nothing of what you were shown waits any more: it was answered meanwhile.",
    ]


def test_what_is_discarded_stays_published(shown: Dataset, visit: Visit) -> None:
    before = shown.json_of("show")["images"]
    have_deletions_held(shown)
    page = logged_in(visit, shown).page
    page.get_by_role("button", name="Discard").click()
    expect(page.get_by_role("status")).to_have_text("Kept published: 40 images.")
    shown.status_until(lambda seen: seen["state"] == "idle", "nothing waits any more")
    assert shown.json_of("show")["images"] == before


def test_sources_are_listed_anew(shown: Dataset, visit: Visit) -> None:
    page = logged_in(visit, shown).page
    page.get_by_role("button", name="List the sources anew").click()
    expect(page.get_by_role("status")).to_have_text("Listed anew: images, labels.")


def test_the_line_for_python_is_copied(shown: Dataset, visit: Visit) -> None:
    page = logged_in(visit, shown, permissions=["clipboard-read", "clipboard-write"]).page
    tag = newest(shown)
    copied = {}
    for name in ("tag", "URI", "Python"):
        page.get_by_role("button", name=f"Copy {name}").click()
        expect(page.get_by_role("button", name=f"Copy {name}")).to_have_text("copied")
        copied[name] = page.evaluate("navigator.clipboard.readText()")
    assert (copied["tag"], copied["URI"]) == (tag, shown.json_of("show")["uri"])
    program = f"import syncd\nwith {copied['Python']} as opened: print(opened.tag)"
    environment = {**shown.environment, "SYNCD_CONFIG": str(shown.config)}
    ran = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)
    assert ran.stdout.strip() == tag, ran.stderr


def test_names_and_images_of_strangers_do_nothing(shown: Dataset, visit: Visit) -> None:
    before = shown.json_of("show")["images"]
    names = hostile(shown.root / "hostile")
    window = logged_in(visit, shown)
    taken = shown.snapshot()["images"] - before
    assert taken == names - 1, "all but the one with control characters, which lakeFS cannot hold"
    page = window.go(f"/snapshots/{newest(shown)}")
    expect(page.locator("#found")).to_have_text(f"{taken} changes")
    until(lambda: all_shown(page), "all pictures are there")
    window.shot("hostile")
    for number in range(page.locator(".card .pictures").count()):
        page.locator(".card .pictures").nth(number).click()
        page.go_back()
    assert page.evaluate("document.title").startswith("snap-")


def test_it_reads_without_javascript(shown: Dataset, visit: Visit) -> None:
    window = logged_in(visit, shown, java_script_enabled=False)
    page = window.page
    expect(page.locator(".state .word")).to_have_text("idle")
    page.get_by_role("link", name="History").click()
    page.locator("table.history tbody a").first.click()
    expect(page.locator(".card")).to_have_count(4)
    page.locator(".card.changed .pictures").click()
    expect(page.locator(".large figure")).to_have_count(2)
    window.shot("without-javascript")


def test_it_is_used_by_keyboard_alone(shown: Dataset, visit: Visit) -> None:
    window = visit(shown)
    page = window.go("/login")
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.name") == "token":
            break
    page.keyboard.type(TOKEN)
    page.keyboard.press("Enter")
    expect(page.locator(".state .word")).to_be_visible()
    page.keyboard.press("h")
    expect(page.get_by_role("heading", level=1)).to_have_text("History")
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == newest(shown):
            break
    page.keyboard.press("Enter")
    expect(page.locator(".card")).to_have_count(4)
    page.keyboard.press("j")
    page.keyboard.press("j")
    page.keyboard.press("k")
    assert page.evaluate("document.activeElement.className").startswith("card")
    page.keyboard.press("Enter")
    expect(page.locator(".large")).to_be_visible()
    page.keyboard.press("n")
    expect(page.locator(".state .word")).to_be_visible()


def test_it_fits_a_phone_in_the_dark(shown: Dataset, visit: Visit) -> None:
    window = logged_in(visit, shown, color_scheme="dark")
    window.page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    for name, path in (("now", "/"), ("history", "/history"), ("snapshot", f"/snapshots/{newest(shown)}")):
        page = window.go(path)
        assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"], path
        window.shot(f"phone-{name}")


def test_accessibility(shown: Dataset, visit: Visit) -> None:
    """axe-core finds nothing, in the light and in the dark."""
    tag = newest(shown)
    for scheme in ("light", "dark"):
        window = logged_in(visit, shown, color_scheme=scheme, bypass_csp=True)
        for path in ("/", "/history", "/compare", "/login", f"/snapshots/{tag}", f"/snapshots/{tag}?by=labels.label"):
            page = window.go(path)
            found = Axe().run(page).response["violations"]
            assert [(one["id"], [node["html"] for node in one["nodes"]]) for one in found] == [], path


def test_what_was_removed_is_named(shown: Dataset, visit: Visit) -> None:
    window = logged_in(visit, shown)
    window.page.goto(f"http://{window.address}/snapshots/snap-that-never-was")
    expect(window.page.get_by_role("alert")).to_contain_text("no tag, commit or branch is called")
    window.complaints.clear()  # the browser logs the 404


def test_lakefs_that_is_away_is_said_and_the_page_stays(
    make_dataset: Callable[..., Dataset], lakefs_server: ServerProcess, visit: Visit, rng: random.Random
) -> None:
    """What the daemon knows by itself is shown: its state, the history; a comparison says why there is none."""
    with FaultProxy(lakefs_server.endpoint, rng) as proxy:
        dataset = make_dataset()
        dataset.configure(lakefs={"endpoint": proxy.endpoint}, service={"listen": "127.0.0.1:0"})
        digits(dataset.root / "digits", 3)
        dataset.start()
        tag = dataset.snapshot()["tag"]
        proxy.go_away(listening=False)
        (dataset.root / "new.png").write_bytes(b"new")
        calling = threading.Thread(target=dataset.command, args=("snapshot", "--timeout", "3"))
        calling.start()
        dataset.status_until(lambda seen: seen["state"] == "failing", "lakeFS is away")
        window = visit(dataset)
        page = window.go("/")
        expect(page.locator(".state .word")).to_have_text("failing")
        expect(page.locator(".state")).to_contain_text("127.0.0.1")
        page = window.go("/history")
        expect(page.locator("table.history tbody tr")).to_have_count(1)
        expect(page.locator(".fault")).to_contain_text("Which of these are pinned is not known")
        page.goto(f"http://{window.address}/snapshots/{tag}")
        expect(page.get_by_role("alert")).to_contain_text("lakeFS")
        window.complaints.clear()  # the browser logs the 503
        calling.join()


def test_a_page_of_another_host_and_a_wrong_token_get_nowhere(shown: Dataset, visit: Visit) -> None:
    window = visit(shown)
    page = window.go("/login")
    page.get_by_label("Token").fill(TOKEN + "x")
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("alert")).to_have_text("That is not the token.")
    answer = window.context.request.post(
        f"http://{window.address}/do/rescan", headers={"Origin": "http://evil.example"}
    )
    assert answer.status in {401, 403}
    answer = window.context.request.get(f"http://{window.address}/", headers={"Host": "evil.example"})
    assert answer.status == 421
    window.complaints.clear()  # the browser logs the 403


def test_the_socket_in_the_state_directory_takes_no_token(shown: Dataset) -> None:
    """What ssh -L forwards: who can open it may act."""
    socket = shown.state_dir / "page.sock"
    assert socket.stat().st_mode & 0o777 == 0o600
    asked = ["curl", "--silent", "--fail-with-body", "--unix-socket", str(socket)]
    page = subprocess.run([*asked, "http://localhost/"], capture_output=True, text=True, check=True).stdout
    assert "Take a snapshot now" in page
    done = subprocess.run(
        [*asked, "--data", "reason=by+hand", "http://localhost/do/snapshot"], capture_output=True, text=True, check=True
    )
    assert newest(shown) in done.stdout
    foreign = subprocess.run(
        [*asked, "--header", "Origin: http://evil.example", "--data", "x=y", "http://localhost/do/snapshot"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "another host" in foreign.stdout


def test_a_repository_is_shown_without_a_daemon(shown: Dataset, browser: Browser) -> None:
    tag = newest(shown)
    shown.daemons[-1].stop()
    with alone(shown) as address:
        window = Visitor(browser, address)
        page = window.go("/")
        page.get_by_label("Token").fill(TOKEN)
        page.get_by_role("button", name="Go on").click()
        expect(page.locator(".state .word")).to_have_text("stopped")
        expect(page.locator(".verdict")).to_contain_text("not known while no daemon runs")
        expect(page.get_by_role("button", name="Take a snapshot now")).to_have_count(0)
        assert window.go("/history").locator("table.history tbody tr").count() == 2
        expect(window.go(f"/snapshots/{tag}").locator(".card")).to_have_count(4)
        broken = window.broken()
        window.close()
    assert broken == []


def test_it_leaves_the_daemon_s_own_socket_be(shown: Dataset) -> None:
    with alone(shown):
        pass
    socket = shown.state_dir / "page.sock"
    subprocess.run(["curl", "--silent", "--fail", "--unix-socket", str(socket), "http://localhost/livez"], check=True)


@pytest.mark.parametrize(
    ("listen", "why"),
    [("0.0.0.0:0", "other machines reach this address"), ("here", "service.listen"), ("", "names no address")],
)
def test_it_does_not_listen_where_it_must_not(dataset: Dataset, listen: str, why: str) -> None:
    done = dataset.command("web", "--listen", listen)
    assert done.returncode in {EXIT_BAD_CONFIGURATION, EXIT_USAGE}
    assert why in done.stderr


@contextmanager
def alone(dataset: Dataset) -> Iterator[str]:
    """Run ``syncd web``; gives its address."""
    arguments = dataset.arguments("web", "--listen", "127.0.0.1:0")
    with subprocess.Popen(arguments, env=dataset.environment, stdout=subprocess.PIPE, text=True) as serving:
        assert serving.stdout is not None
        try:
            yield serving.stdout.readline().split("//")[1].split("/")[0]
        finally:
            serving.send_signal(signal.SIGINT)


def test_a_comparison_is_one_file_that_needs_nothing_else(shown: Dataset, browser: Browser) -> None:
    first, last = (one["tag"] for one in reversed(shown.json_of("log")))
    html, sheet = shown.directory / "diff.html", shown.directory / "diff.png"
    done = shown.command("diff", first, last, "--html", str(html), "--contact-sheet", str(sheet))
    assert done.returncode == 0, done.stderr
    both = shown.command("diff", first, last, "--html", str(html), "--json")
    assert (both.returncode, "go with none of" in both.stderr) == (EXIT_USAGE, True)
    context = browser.new_context(offline=True)
    asked: list[str] = []
    page = context.new_page()
    page.on("request", lambda request: asked.append(request.url))
    page.goto(html.as_uri())
    expect(page.locator(".card")).to_have_count(4)
    assert all_shown(page)
    assert [url for url in asked if not url.startswith(("file:", "data:"))] == []
    context.close()
    with Image.open(sheet) as drawn:
        assert drawn.format == "PNG"
        assert drawn.width == 5 * 144 + 8  # one tile each for added, deleted, renamed, two for changed


def stat_of(page: Page) -> dict[str, int]:
    items = page.locator(".stat li")
    found = [items.nth(at).locator("a").inner_text().split() for at in range(items.count())]
    return {kind: int(count) for count, kind in found}


def all_shown(page: Page) -> bool:
    page.evaluate("window.scrollTo(0, document.body.scrollHeight)")
    return bool(page.evaluate("[...document.images].every((image) => image.complete && image.naturalWidth > 0)"))
