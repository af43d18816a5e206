"""Every screen of the portal in both themes: by axe, on a phone, by keyboard, without errors."""

import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from playwright.sync_api import Browser, Page, Playwright, expect

from tests import browser as browsers
from tests.browser import BrowserMissing, browser  # noqa: F401 (a fixture)
from tests.journey.conftest import MODEL, Service, teaching_rows
from tests.journey.screens import (
    DESK,
    INSIDE,
    OUTSIDE,
    PHONE,
    Known,
    Language,
    Theme,
    known,
    listen,
    looking,
    raw_keys,
    serious,
    serve_portal,
    settle,
    sticking_out,
    width,
)

DIRTY = Path(__file__).parents[2] / "examples/dirty.jsonl"
# Each theme in another language: both are seen on every screen, and each only once.
LOOKS: tuple[tuple[Theme, Language], ...] = (("light", "en"), ("dark", "zh"))
JOB_NAME = "screens"
Windows = dict[tuple[Theme, bool], tuple[Page, list[str]]]


@pytest.fixture(scope="module")
def there(service: Service) -> Known:
    """The first account with something on every screen."""
    serve_portal(service.url)
    return known(service.http) or _furnish(service)


def _furnish(service: Service) -> Known:
    sent = service.http.post(
        "/files",
        files={"file": (DIRTY.name, DIRTY.read_bytes())},
        data={"purpose": "fine-tune"},
    )
    assert sent.status_code == 200, sent.text
    service.wait_for_file(sent.json()["id"])
    job: dict[str, Any] = {
        "model": MODEL,
        "training_file": service.upload(teaching_rows(4)),
        "suffix": JOB_NAME,
        "hyperparameters": {"n_epochs": 1},
    }
    list(service.events(service.submit(job)))  # until its end
    found = known(service.http)
    assert found, "the job that was to fill the screens did not succeed"
    return found


@pytest.fixture(scope="module")
def account(service: Service) -> tuple[str, str]:
    found = json.loads((service.data_dir / "credentials.json").read_text("utf-8"))
    return found["email"], found["password"]


@pytest.fixture(scope="module")
def windows(
    service: Service,
    browser: Browser,  # noqa: F811
    account: tuple[str, str],
) -> Iterator[Windows]:
    """A window for each theme, signed in and signed out, for all the screens; and its errors."""
    with ExitStack() as opened:
        found = {}
        for theme, language in LOOKS:
            for inside in (True, False):
                window = looking(
                    browser,
                    service.url,
                    account if inside else None,
                    theme=theme,
                    language=language,
                )
                page = opened.enter_context(window)
                found[theme, inside] = page, listen(page.context)
        yield found


@pytest.mark.parametrize("theme", [theme for theme, _ in LOOKS])
@pytest.mark.parametrize("name", [*INSIDE, *OUTSIDE])
def test_a_screen_can_be_used_by_everybody_everywhere(
    there: Known, windows: Windows, name: str, theme: Theme
) -> None:
    page, heard = windows[theme, name in INSIDE]
    heard.clear()
    page.set_viewport_size({"width": DESK[0], "height": DESK[1]})
    page.goto(f"/app{(there.screens() | OUTSIDE)[name]}")
    settle(page)
    wrong = [f"no word for {key}" for key in raw_keys(page)]
    if not page.title().removesuffix(" · Tunery").strip() or page.title() == "Tunery":
        wrong.append(f"the title is {page.title()!r}")
    if (wide := width(page)) > DESK[0]:
        wrong.append(f"{wide} px wide in a window of {DESK[0]}")
    wrong += serious(page)
    page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
    page.wait_for_timeout(150)
    if (wide := width(page)) > PHONE[0]:
        wrong.append(f"{wide} px wide on a phone of {PHONE[0]}: {sticking_out(page)}")
    wrong += heard
    assert not wrong, "\n".join(wrong)


@pytest.fixture
def page(
    service: Service,
    browser: Browser,  # noqa: F811
    account: tuple[str, str],
    there: Known,
) -> Iterator[Page]:
    with looking(browser, service.url, account) as found:
        found.goto("/app/jobs")
        expect(found.get_by_role("heading", name="Jobs", level=1)).to_be_visible()
        settle(found)
        yield found


@pytest.mark.parametrize("keys", ["Control+k", "Meta+k"])
def test_the_palette_finds_a_job_by_its_name_and_opens_it(
    page: Page, service: Service, there: Known, keys: str
) -> None:
    name = service.job(there.job)["name"]
    page.keyboard.press(keys)
    finder = page.get_by_role("combobox", name="Find anything")
    expect(finder).to_be_focused()
    finder.fill(name)
    found = page.get_by_role("option", name=name).first
    expect(found).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Enter")
    page.wait_for_url("**/app/jobs/ftjob-*")
    expect(page.get_by_role("heading", level=1)).to_have_text(name)


def test_each_key_of_the_sheet_does_what_it_says(page: Page) -> None:
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    # In a field a letter is a letter.
    page.keyboard.type("un?")
    expect(page.get_by_role("searchbox")).to_have_value("un?")
    page.get_by_role("searchbox").clear()
    page.get_by_role("searchbox").blur()
    page.keyboard.press("?")
    sheet = page.get_by_role("dialog")
    expect(sheet).to_contain_text("New job")
    page.keyboard.press("Escape")
    expect(sheet).to_have_count(0)
    with page.expect_file_chooser():
        page.keyboard.press("u")
    page.keyboard.press("n")
    expect(page.get_by_role("heading", name="New job", level=1)).to_be_visible()


def test_the_first_tab_stop_skips_to_the_content(page: Page) -> None:
    page.reload()
    settle(page)
    page.keyboard.press("Tab")
    skip = page.get_by_role("link", name="Skip to content")
    expect(skip).to_be_focused()
    expect(skip).to_be_in_viewport()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()


def test_a_machine_without_a_browser_fails_with_what_to_install(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", "")
    # What would fetch one finds neither an earlier one nor anybody to ask.
    monkeypatch.setenv("PLAYWRIGHT_BROWSERS_PATH", str(tmp_path))
    monkeypatch.setenv("PLAYWRIGHT_DOWNLOAD_HOST", "http://127.0.0.1:9")
    monkeypatch.delenv("TUNERY_BROWSER", raising=False)
    monkeypatch.setattr(browsers, "APPLICATIONS", ())
    nothing = SimpleNamespace(chromium=SimpleNamespace(executable_path=str(tmp_path / "none")))
    for lookup in (browsers._installed, browsers._packaged):
        lookup.cache_clear()
    try:
        with pytest.raises(BrowserMissing, match=r"apt install chromium.*TUNERY_BROWSER"):
            browsers.launch(cast("Playwright", nothing))
    finally:
        for lookup in (browsers._installed, browsers._packaged):
            lookup.cache_clear()
