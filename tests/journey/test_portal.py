"""A newcomer's story in the portal, in a real browser, told in order: each test goes on from the
one before it, in the same window."""

import json
import re
import time
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from api.money import CREDIT
from tests.browser import browser  # noqa: F401 (a fixture)
from tests.journey.conftest import MODEL, Service, teaching_rows
from tests.journey.screens import listen, looking, serve_portal

DIRTY = Path(__file__).parents[2] / "examples/dirty.jsonl"
PASSWORD = "a long enough password"
JOB_NAME = "story"
EPOCHS = 2
ANSWER_TOKENS = 40
JOB_SECONDS = 150
Found = TypeVar("Found")
# On two busy cores a page that asks the service for something waits its turn.
expect.set_options(timeout=20_000)


@dataclass
class Story:
    """The window, and what has happened so far."""

    page: Page
    service: Service
    errors: list[str]
    email: str
    job_id: str = ""
    price: int = 0

    def ask(self, path: str) -> Any:
        """What the API answers this person, who has no key but the window's session."""
        answer = self.page.request.get(f"/v1{path}")
        assert answer.ok, answer.text()
        return answer.json()

    def go(self, place: str) -> None:
        """By the rail."""
        rail = self.page.get_by_role("navigation", name="Main")
        rail.get_by_role("link", name=place, exact=True).click()

    def upload(self, name: str, data: bytes) -> str:
        """By the key and the file dialog; its id, once its report has opened by itself."""
        self.go("Datasets")
        expect(self.page.get_by_role("heading", name="Datasets", level=1)).to_be_visible()
        with self.page.expect_file_chooser() as chooser:
            self.page.keyboard.press("u")
        chooser.value.set_files({"name": name, "mimeType": "application/jsonl", "buffer": data})
        expect(self.page.get_by_role("heading", name=name, level=1)).to_be_visible()
        expect(self.page.get_by_role("tab", name="Tokens")).to_be_visible()
        return self.page.url.partition("/datasets/")[2].partition("?")[0]


@pytest.fixture(scope="module")
def story(service: Service, browser: Browser) -> Iterator[Story]:  # noqa: F811
    serve_portal(service.url)
    with looking(browser, service.url) as page:
        page.set_default_timeout(20_000)
        yield Story(page, service, listen(page.context), f"newcomer-{time.time_ns()}@example.com")


def micro(place: Locator) -> int:
    """The amount that is shown there, to the micro-credit."""
    return int(place.locator("[data-micro]").first.get_attribute("data-micro") or "")


def until(look: Callable[[], Found], holds: Callable[[Found], bool], seconds: float) -> Found:
    """What `look` sees once it holds."""
    end = time.monotonic() + seconds
    while not holds(found := look()):
        assert time.monotonic() < end, f"it never came: {found!r} is the last that was seen"
        time.sleep(0.1)
    return found


def test_a_newcomer_signs_up_and_may_leave_the_tour(story: Story) -> None:
    page = story.page
    page.goto("/app/")
    page.get_by_role("link", name="New here? Create an account").click()
    page.get_by_label("E-mail").fill(story.email)
    page.get_by_role("textbox", name="Password").fill(PASSWORD)
    page.get_by_label("Team name").fill("Newcomers")
    page.get_by_role("button", name="Create an account").click()
    page.wait_for_url("**/app/welcome")
    expect(page.get_by_role("heading", name="From rows to a tuned model")).to_be_visible()
    page.get_by_role("link", name="Skip the tour").click()
    expect(page.get_by_role("heading", name="No jobs yet")).to_be_visible()


def test_a_voucher_is_redeemed_and_the_balance_says_so(story: Story) -> None:
    page, operator = story.page, story.service.http
    body = {"name": f"Course {time.time_ns()}", "amount": 5 * CREDIT}
    campaign = operator.post("/admin/campaigns", json=body)
    codes = operator.post(f"/admin/campaigns/{campaign.json()['id']}/codes", json={"count": 1})
    code = codes.json()["data"][0]["code"]
    before = story.ask("/credits")["available"]
    story.go("Credits")
    # A slip of the finger shows before anything is sent.
    page.get_by_label("Voucher code").fill(code[:-1] + ("A" if code[-1] != "A" else "B"))
    expect(page.get_by_text("A letter is wrong.")).to_be_visible()
    expect(page.get_by_role("button", name="Redeem", exact=True)).to_be_disabled()
    page.get_by_label("Voucher code").fill(code.lower().replace("-", " "))
    page.get_by_role("button", name="Redeem", exact=True).click()
    expect(page.get_by_text("5.00 credits were added.")).to_be_visible()
    balance = page.get_by_role("link", name="Credit balance")
    until(lambda: micro(balance), lambda shown: shown == before + 5 * CREDIT, 10)
    assert story.ask("/credits")["available"] == before + 5 * CREDIT


def test_a_dirty_file_is_reported_by_line_and_repaired(story: Story) -> None:
    page = story.page
    file_id = story.upload(DIRTY.name, DIRTY.read_bytes())
    page.get_by_role("tab", name="Findings").click()
    page.get_by_role("group", name="Verdict").get_by_role("button", name="bad").click()
    table = page.get_by_role("tabpanel").get_by_role("table")
    malformed = table.get_by_role("row").filter(has_text="Malformed JSON")
    expect(malformed.get_by_role("cell", name="2", exact=True)).to_be_visible()

    def bad_lines(problems: list[dict[str, Any]]) -> list[int]:
        return sorted({each["line"] for each in problems if each["verdict"] == "bad"})

    def report() -> Any:
        return story.ask(f"/files/{file_id}/report")

    rows = table.get_by_role("row").all()[1:]
    listed = {int(row.get_by_role("cell").first.inner_text()) for row in rows}
    found = report()
    assert listed >= set(bad_lines(found["report"]["problems"])) != set()

    page.get_by_role("button", name="Accept all repairs").click()
    expect(page.get_by_text("1 row repaired")).to_have_count(2)
    assert set(report()["repairs"]) == {"same_role_twice", "trailing_question"}
    repaired = until(report, lambda now: now["encoding"]["status"] == "ready", 60)
    assert repaired["encoding"]["report"]["unrepaired_rows"] == 0


def test_a_row_is_shown_as_the_tokens_that_are_learned(story: Story) -> None:
    page = story.page
    page.get_by_role("tab", name="Tokens").click()
    row = page.get_by_role("article", name="The row as tokens")
    expect(row).to_contain_text("<|im_start|>user\nIs this row fine?<|im_end|>")
    expect(row.locator("mark")).to_have_text(["Yes, this one is."])
    page.get_by_role("button", name="Next row").click()
    expect(row).not_to_contain_text("Is this row fine?")


def test_the_price_follows_what_is_typed_and_a_button_starts_the_job(story: Story) -> None:
    page = story.page
    data = "\n".join(json.dumps(row) for row in teaching_rows()).encode()
    file_id = story.upload("shop.jsonl", data)
    page.get_by_role("main").get_by_role("link", name="New job with this data").first.click()
    card = page.get_by_role("complementary", name="Price")
    page.get_by_role("textbox", name="Name").fill(JOB_NAME)
    page.get_by_text("All settings").click()
    epochs = page.get_by_role("textbox", name="Epochs")

    def priced(n_epochs: int) -> int:
        epochs.fill(str(n_epochs))
        expect(card).to_contain_text(f"× {n_epochs} epoch")
        expect(card.get_by_role("button", name="Start job")).to_be_enabled()
        return micro(card)

    one, price = priced(1), priced(EPOCHS)
    assert price == one * EPOCHS
    card.get_by_role("button", name="Start job").click()
    page.wait_for_url("**/jobs/ftjob-*")
    story.job_id, story.price = page.url.rpartition("/")[2], price
    job = story.ask(f"/fine_tuning/jobs/{story.job_id}")
    assert (job["training_file"], job["name"]) == (file_id, JOB_NAME)
    assert job["held_credits"] == job["quote"]["credits"] == price


def drawn(page: Page) -> tuple[str, int]:
    """The curve in words: the loss it begins with, and the step it has come to; "" before it."""
    curves = page.get_by_role("region", name="Curves").get_by_role("img")
    words = curves.get_attribute("aria-label") if curves.count() else None
    found = re.match(r"loss from (\S+) to \S+ at step (\d+)\.", words or "")
    return (found[1], int(found[2])) if found else ("", 0)


def test_the_curve_grows_live_and_closing_the_tab_changes_nothing(story: Story) -> None:
    page = story.page
    address = page.url
    assert story.job_id, "an earlier part of the story failed"
    expect(page.get_by_role("heading", name=JOB_NAME, level=1)).to_be_visible()
    begun = until(lambda: drawn(page), lambda now: now[1] >= 2, JOB_SECONDS)
    main = page.get_by_role("main")
    expect(main.get_by_text("running", exact=True).first).to_be_visible()
    expect(main.get_by_text(re.compile(r"^live · .+ ago$"))).to_be_visible()
    seen = until(lambda: drawn(page), lambda now: now[1] >= begun[1] + 3, JOB_SECONDS)
    page.close()

    page = story.page = page.context.new_page()
    page.goto(address)
    again = until(lambda: drawn(page), lambda now: now[1] >= seen[1], 20)
    assert again[0] == seen[0]
    expect(page.get_by_text(f"Created fine-tuning job: {story.job_id}")).to_be_visible()
    ended = page.get_by_role("main").get_by_text("succeeded", exact=True).first
    expect(ended).to_be_visible(timeout=JOB_SECONDS * 1_000)
    job = story.ask(f"/fine_tuning/jobs/{story.job_id}")
    assert drawn(page) == (seen[0], job["total_steps"])
    said = page.get_by_role("region", name="Result").get_by_text("Held-out loss").inner_text()
    losses = [float(number) for number in re.findall(r"\d+\.\d+", said)]
    assert losses[1] < losses[0]


def test_base_and_tuned_answer_a_held_out_row_side_by_side_as_it_comes(story: Story) -> None:
    page = story.page
    page.get_by_role("link", name="Talk to it").click()
    tuned = story.ask(f"/fine_tuning/jobs/{story.job_id}")["fine_tuned_model"]
    page.get_by_label("Most tokens").fill(str(ANSWER_TOKENS))
    models = (MODEL, tuned)
    page.evaluate(
        """names => {
          window.said = Object.fromEntries(names.map((name) => [name, new Set()]));
          const look = () => names.forEach((name) => {
            const column = document.querySelector(`section[aria-label="${name}"]`);
            if (column?.querySelector("[aria-busy=true]")) said[name].add(column.textContent);
          });
          new MutationObserver(look).observe(document.body,
            { subtree: true, childList: true, characterData: true, attributes: true });
        }""",
        list(models),
    )
    rows = page.get_by_role("region", name="Held-out rows").get_by_role("button")
    question = rows.first.locator("span").inner_text()
    rows.first.click()
    for model in models:
        column = page.get_by_role("region", name=model, exact=True)
        expect(column.get_by_text(question)).to_be_visible()
        expect(column.get_by_text(re.compile(r"\d+ tokens · "))).to_be_visible(timeout=60_000)
        assert page.evaluate("name => said[name].size", model) >= 3


def test_the_adapter_is_downloaded_whole(story: Story, tmp_path: Path) -> None:
    page = story.page
    page.goto(f"/app/jobs/{story.job_id}")
    page.get_by_role("button", name="Download").click()
    with page.expect_download() as download:
        page.get_by_role("dialog").get_by_role("button", name="Download archive").click()
    download.value.save_as(tmp_path / "adapter.zip")
    with zipfile.ZipFile(tmp_path / "adapter.zip") as archive:
        assert archive.testzip() is None
        assert {"adapter_model.safetensors", "adapter_config.json"} <= set(archive.namelist())


def test_quote_charge_receipt_and_statement_agree_to_the_micro_credit(story: Story) -> None:
    page = story.page
    job = story.ask(f"/fine_tuning/jobs/{story.job_id}")
    assert story.price == job["quote"]["credits"] == job["charged_credits"]
    page.goto("/app/jobs")
    page.get_by_role("link", name="Credit balance").click()
    entry = page.get_by_role("row").filter(has_text="Charge").filter(has_text=JOB_NAME)
    amount = entry.get_by_role("cell").filter(has_text=re.compile("^−"))
    assert micro(amount) == story.price
    entry.get_by_role("link", name=JOB_NAME).click()
    expect(page.get_by_text("Charged exactly as quoted.")).to_be_visible()
    for figure in ("Quoted", "Charged"):
        assert shown(page, figure) == story.price
    assert shown(page, "Returned of the hold") == 0
    balance = story.ask("/credits")
    assert balance["held"] == 0
    assert micro(page.get_by_role("link", name="Credit balance")) == balance["available"]


def shown(page: Page, term: str) -> int:
    """The amount beside a term of a list of figures."""
    names = page.get_by_role("term").filter(has_text=re.compile(f"^{term}$"))
    return micro(names.locator("xpath=.."))


def test_language_and_theme_are_a_button_each(story: Story) -> None:
    page = story.page
    story.go("Jobs")
    page.get_by_role("button", name="中文").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(re.compile(r"[\u4e00-\u9fff]"))
    assert page.evaluate("document.documentElement.lang").startswith("zh")
    page.get_by_role("button", name="English").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Jobs")
    ground = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(ground)
    page.get_by_role("button", name="Light or dark").click()
    until(lambda: page.evaluate(ground), lambda dark: dark != light, 5)
    page.reload()
    expect(page.get_by_role("heading", level=1)).to_have_text("Jobs")
    assert page.evaluate(ground) != light, "the chosen theme did not last"


def test_who_signs_out_is_out_and_a_wrong_password_is_refused_in_words(story: Story) -> None:
    page = story.page
    assert story.errors == []
    page.get_by_role("button", name="Account and team").click()
    page.get_by_role("menuitem", name="Sign out").click()
    page.wait_for_url("**/app/sign-in")
    page.goto(f"/app/jobs/{story.job_id}")
    page.get_by_label("E-mail").fill(story.email)
    page.get_by_role("textbox", name="Password").fill("not the password")
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("alert")).to_contain_text("password")
    # Where it was going to is where it goes, with the right one.
    page.get_by_role("textbox", name="Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name=JOB_NAME, level=1)).to_be_visible()
