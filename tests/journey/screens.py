"""Every screen of the portal by name and address, and a browser that is signed in to look at them.

    python -m tests.journey.screens URL EMAIL PASSWORD [FOLDER]

takes a picture of each in both themes and languages (docs/screens/).
"""

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import httpx
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    WebError,
    sync_playwright,
)

from tests.browser import launch

Theme = Literal["light", "dark"]
Language = Literal["en", "zh"]
FRONTEND = Path(__file__).parents[2] / "frontend"
AXE = FRONTEND / "node_modules/axe-core/axe.min.js"
# The word catalogue's areas: a key without words is shown as `area.name`.
AREAS = sorted(
    area
    for file in (FRONTEND / "src/words/en").glob("*.ts")
    for area in re.findall(r"^export const (\w+)", file.read_text("utf-8"), re.MULTILINE)
)
RAW_KEY = re.compile(rf"(?<![\w./@-])(?:{'|'.join(AREAS)})\.[a-z]\w*(?:\.\w+)*(?![\w(/@-])")
# Questions whose answer may be no: who is signed in, whether an invitation is good, and whether a
# row starts on a line. The console prints each no as an error.
QUESTIONS = re.compile(r"/v1/me$|/v1/auth/invitation$|/v1/files/[\w-]+/preview\?")
DESK = (1440, 900)
PHONE = (390, 844)


@dataclass(frozen=True)
class Known:
    """What a tenant has that screens show: ids from its lists, newest first."""

    tenant: str
    file: str
    dirty_file: str
    job: str
    model: str

    @property
    def base(self) -> str:
        """The second part of a tuned model's name."""
        return "".join(self.model.split(":")[1:2])

    def screens(self) -> dict[str, str]:
        return {
            "datasets": "/datasets",
            "dataset": f"/datasets/{self.file}",
            "dataset-findings": f"/datasets/{self.dirty_file}?tab=findings",
            "dataset-mapping": f"/datasets/{self.dirty_file}?tab=mapping",
            "dataset-tokens": f"/datasets/{self.file}?tab=tokens",
            "new-job": f"/jobs/new?file={self.file}",
            "jobs": "/jobs",
            "job": f"/jobs/{self.job}",
            "receipt": f"/jobs/{self.job}/receipt",
            "models": "/models",
            "playground": f"/playground?models={self.base},{self.model}",
            "credits": "/credits",
            "statement": "/credits?tab=statement",
            "usage": "/credits?tab=usage",
            "limits": "/credits?tab=limits",
            "profile": "/settings",
            "members": "/settings?tab=members",
            "keys": "/settings?tab=keys",
            "sessions": "/settings?tab=sessions",
            "look": "/settings?tab=look",
            "admin-tenants": "/admin?tab=tenants",
            "admin-tenant": f"/admin?tab=tenants&tenant={self.tenant}",
            "admin-campaigns": "/admin?tab=campaigns",
            "admin-queue": "/admin?tab=queue",
            "admin-catalog": "/admin?tab=catalog",
            "admin-ledger": "/admin?tab=ledger",
            "welcome": "/welcome",
            "lost": "/no/such/page",
        }


INSIDE = tuple(Known("", "", "", "", "").screens())
OUTSIDE = {"sign-in": "/sign-in", "sign-up": "/sign-up", "join": "/join/some-token"}


def known(http: httpx.Client) -> Known | None:
    """What there is, for a tenant that has a finished job with a name, and bad rows; else None."""
    jobs = http.get("/fine_tuning/jobs?limit=100").json()["data"]
    job = next((each for each in jobs if each["fine_tuned_model"] and each["name"]), None)
    files = http.get("/files?limit=100").json()["data"]
    dirty = next((file for file in files if file["bad_rows"]), None)
    if job is None or dirty is None:
        return None
    tenant = http.get("/me").json()["tenant"]["id"]
    return Known(tenant, job["training_file"], dirty["id"], job["id"], job["fine_tuned_model"])


def serve_portal(url: str) -> None:
    """The service has a portal to look at; a checkout without one is not set up."""
    assert httpx.get(f"{url}/app/").status_code == 200, (
        "The portal is not built, so there is nothing to look at. Run `make setup`."
    )


@contextmanager
def looking(
    browser: Browser,
    url: str,
    account: tuple[str, str] | None = None,
    *,
    theme: Theme = "light",
    language: Language = "en",
    size: tuple[int, int] = DESK,
) -> Iterator[Page]:
    """A page in a window of its own, signed in where an account is named."""
    context = browser.new_context(
        base_url=url, viewport={"width": size[0], "height": size[1]}, reduced_motion="reduce"
    )
    chosen = json.dumps({"tunery.theme": theme, "tunery.language": language})
    # Once, not at every load: what is chosen on the page must last. A blank page has no storage.
    context.add_init_script(
        "if (location.origin !== 'null' && !localStorage.getItem('tunery.theme')) "
        f"Object.assign(localStorage, {chosen})"
    )
    try:
        if account is not None:
            email, password = account
            answer = context.request.post(
                "/v1/auth/sign-in", data={"email": email, "password": password}
            )
            assert answer.ok, answer.text()
        page = context.new_page()
        # File dialogs go to the test from now on. Playwright turns that on without waiting for it,
        # so what is pressed right after `expect_file_chooser()` may come too early.
        page.on("filechooser", lambda _: None)
        yield page
    finally:
        context.close()


def listen(context: BrowserContext) -> list[str]:
    """A list that grows by each error that a page of the window throws or prints."""
    heard: list[str] = []

    def printed(message: ConsoleMessage) -> None:
        url = message.location["url"]
        said_no = re.search(r"status of 40[14]", message.text) and QUESTIONS.search(url)
        if message.type == "error" and not said_no:
            heard.append(f"console: {message.text} ({url})")

    def thrown(found: WebError) -> None:
        heard.append(f"thrown: {found.error}")

    context.on("console", printed)
    context.on("weberror", thrown)
    return heard


def settle(page: Page) -> None:
    """Wait until a page shows what it is going to show."""
    page.wait_for_selector("h1, h2", timeout=20_000)
    # Not by wait_for_function: the portal's security policy lets nobody evaluate a string.
    page.wait_for_selector("[aria-busy=true]", state="detached", timeout=20_000)
    page.wait_for_timeout(250)


def width(page: Page) -> int:
    """What a page needs; more than the window's is a page that scrolls sideways."""
    return int(page.evaluate("document.documentElement.scrollWidth"))


def sticking_out(page: Page) -> list[str]:
    """The elements that reach past the window's right edge, innermost first; three are enough."""
    found: list[str] = page.evaluate(
        """() => [...document.querySelectorAll("body *")]
          .filter((each) => each.getBoundingClientRect().right > innerWidth + 1)
          .map((each) => each.outerHTML.slice(0, 160)).reverse().slice(0, 3)"""
    )
    return found


def raw_keys(page: Page) -> list[str]:
    """Names of words that stand where the words should."""
    return RAW_KEY.findall(page.locator("body").inner_text())


def serious(page: Page) -> list[str]:
    """What axe finds that is serious or worse: rule, and where."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(AXE.read_text("utf-8"))
    found: dict[str, Any] = page.evaluate("axe.run({ resultTypes: ['violations'] })")
    return [
        f"{rule['id']}: {node['html'][:160]} ({node.get('failureSummary', '')[:200]})"
        for rule in found["violations"]
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]


def main(url: str, email: str, password: str, folder: str = "docs/screens") -> None:
    out = Path(folder)
    out.mkdir(parents=True, exist_ok=True)
    with httpx.Client(base_url=f"{url}/v1", timeout=30) as http, sync_playwright() as playwright:
        http.post("/auth/sign-in", json={"email": email, "password": password}).raise_for_status()
        there = known(http)
        if there is None:
            sys.exit("Make a job with a name, wait for its end, and upload a file with bad rows.")
        browser = launch(playwright)
        for theme in ("light", "dark"):
            for language in ("en", "zh"):
                for account, screens in (((email, password), there.screens()), (None, OUTSIDE)):
                    with looking(browser, url, account, theme=theme, language=language) as page:
                        for name, path in screens.items():
                            page.goto(f"/app{path}")
                            settle(page)
                            # Small enough to keep: a picture is to be looked at, not measured.
                            file = out / f"{name}-{theme}-{language}.jpg"
                            page.screenshot(path=file, type="jpeg", quality=50)
        browser.close()


if __name__ == "__main__":
    if len(sys.argv) not in (4, 5):
        sys.exit(f"{__doc__}")
    main(*sys.argv[1:])
