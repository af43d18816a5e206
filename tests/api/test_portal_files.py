"""The portal is served as one page under /app/, cached by what can change, and safe to frame in
nothing."""

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from api.app import create_app

PAGE = "<!doctype html><title>Tunery</title>"
SCRIPT = "console.log(1);" * 100


@pytest.fixture
def dist(tmp_path: Path) -> Path:
    folder = tmp_path / "dist"
    (folder / "assets").mkdir(parents=True)
    (folder / "index.html").write_text(PAGE)
    (folder / "icon.svg").write_text("<svg/>")
    (folder / "assets" / "index-abc.js").write_text(SCRIPT)
    (folder / "assets" / "index-abc.js.gz").write_bytes(gzip.compress(SCRIPT.encode()))
    (tmp_path / "secret.txt").write_text("not the portal's")
    return folder


@pytest.fixture
def browser(dist: Path, engines: object) -> Iterator[TestClient]:
    with TestClient(create_app(dist), headers={"accept-encoding": "identity"}) as client:
        yield client


@pytest.mark.parametrize("path", ["/", "/app"])
def test_the_root_leads_to_the_portal(browser: TestClient, path: str) -> None:
    answer = browser.get(path, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (307, "/app/")


@pytest.mark.parametrize(
    "path",
    [
        "",
        "jobs/ftjob-1",
        "files/file-1?line=3",
        "models/ft:qwen2.5-7b:some-shop:x:abcd1234",
        "models/qwen2.5-7b",
    ],
)
def test_every_address_in_the_portal_is_the_page(browser: TestClient, path: str) -> None:
    answer = browser.get(f"/app/{path}")
    assert (answer.status_code, answer.text) == (200, PAGE)
    assert answer.headers["content-type"].startswith("text/html")


def test_the_page_is_asked_for_again_and_answered_by_its_etag(browser: TestClient) -> None:
    first = browser.get("/app/")
    assert first.headers["cache-control"] == "no-cache"
    again = browser.get("/app/jobs", headers={"if-none-match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_assets_are_kept_for_a_year(browser: TestClient) -> None:
    answer = browser.get("/app/assets/index-abc.js")
    assert answer.text == SCRIPT
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-type"].startswith("text/javascript")
    assert browser.get("/app/icon.svg").headers["cache-control"] == "no-cache"


@pytest.mark.parametrize("path", ["assets/index-old.js", "assets/nothing", "nothing.png"])
def test_an_unknown_file_is_not_the_page(browser: TestClient, path: str) -> None:
    answer = browser.get(f"/app/{path}")
    assert answer.status_code == 404
    assert answer.json()["error"]["code"] == "not_found"


@pytest.mark.parametrize("path", ["../secret.txt", "%2e%2e/secret.txt", "..%2fsecret.txt"])
def test_nothing_outside_the_folder_is_served(browser: TestClient, path: str) -> None:
    answer = browser.get(f"/app/{path}")
    assert "not the portal's" not in answer.text


@pytest.mark.parametrize(
    ("accepted", "encoding"),
    [("gzip, deflate, br", "gzip"), ("br", None), ("gzip;q=0", None), ("*", "gzip"), ("", None)],
)
def test_what_the_build_compressed_is_sent_to_who_takes_it(
    browser: TestClient, accepted: str, encoding: str | None
) -> None:
    answer = browser.get("/app/assets/index-abc.js", headers={"accept-encoding": accepted})
    assert answer.headers.get("content-encoding") == encoding
    assert answer.headers["vary"] == "Accept-Encoding"
    assert answer.headers["content-type"].startswith("text/javascript")
    assert answer.text == SCRIPT  # unpacked again by the client


def test_pages_carry_what_browsers_need_to_be_strict(browser: TestClient) -> None:
    headers = browser.get("/app/jobs").headers
    policy = headers["content-security-policy"]
    for rule in ("default-src 'self'", "script-src 'self'", "frame-ancestors 'none'"):
        assert rule in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"


def test_the_page_is_only_read(browser: TestClient) -> None:
    assert browser.head("/app/jobs").status_code == 200
    assert browser.post("/app/jobs").status_code == 405


def test_without_a_build_there_is_an_api_and_no_portal(tmp_path: Path, engines: object) -> None:
    with TestClient(create_app(tmp_path / "nowhere")) as client:
        assert client.get("/app/").status_code == 404
        assert client.get("/").status_code == 404
        assert client.get("/healthz").status_code == 200
