"""What is worth a look is found in rows and files, what only looks like it is not, and no remark
repeats what it found."""

import json
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from api.rows.words import Kind, Message, Problem, Row, ToolCall, Verdict
from api.rows.words import ProblemCode as Code
from workers.preflight.remarks import Remarks
from workers.preflight.remarks.languages import LATIN, LEARNING_ROWS, scripts

EXAMPLES = Path(__file__).parents[3] / "examples"
PLACEHOLDER, PERSONAL, SECRET, HIDDEN = (
    Code.PLACEHOLDER,
    Code.PERSONAL_DATA,
    Code.SECRET,
    Code.HIDDEN_CHARACTERS,
)
RANDOM = "Zk3vQ9xT7bLm2WpR8sYd4HnC6jFg1KaU5eXo"  # looks like a key's body

# (kind, text, what of it no message may repeat)
FOUND = [
    (PLACEHOLDER, "Dear {{customer_name}}, your order is ready.", None),
    (PLACEHOLDER, "Hello {{ user.name | title }}!", None),
    (PLACEHOLDER, "```jinja\nHello {{ user.name }}\n```", None),
    (PLACEHOLDER, "Hi ${first_name}, welcome back.", None),
    (PLACEHOLDER, "We are [INSERT COMPANY NAME HERE], founded in 1990.", None),
    (PLACEHOLDER, "Best regards,\n[Your Name]", None),
    (PLACEHOLDER, "My name is <your name here>.", None),
    (PLACEHOLDER, "尊敬的【您的姓名】，您好！", None),
    (PLACEHOLDER, "您好，我是[请输入姓名]。", None),
    (PERSONAL, "Write to jane.miller@gmail.com please.", "jane.miller"),
    (PERSONAL, "我的邮箱是zhang.wei@qq.com，谢谢", "zhang.wei"),
    (PERSONAL, "mailto:m.rossi@studio-rossi.it", "rossi"),
    (PERSONAL, "Call me at +1 (415) 555-0132.", "415"),
    (PERSONAL, "Ruf mich an: +49 171 2345678", "171 2345678"),
    (PERSONAL, "Meine Nummer ist 030 12345678.", "030 12345678"),
    (PERSONAL, "Mon numéro : 06 12 34 56 78", "12 34"),
    (PERSONAL, "Ring (020) 7946 0958 after six", "7946"),
    (PERSONAL, "My cell is 415-555-0132, call any time", "415-555"),
    (PERSONAL, "my phone number is 415.555.0132", "415.555"),
    (PERSONAL, "電話は03-1234-5678です", "1234-"),
    (PERSONAL, "我的电话是13812345678，随时打", "1381234"),
    (PERSONAL, "手机号：138-1234-5678", "138-1234"),
    (PERSONAL, "身份证号11010519491231002X。", "11010519491231"),
    (PERSONAL, "My card is 4539 1488 0343 6467, expiring 09/27", "4539"),
    (PERSONAL, "Karte: 5500005555555559", "55000055"),
    (PERSONAL, "Amex 3782-822463-10005", "822463"),
    (PERSONAL, "银行卡6222021234567890128", "62220212345"),
    (PERSONAL, "IBAN DE89 3704 0044 0532 0130 00", "3704"),
    (PERSONAL, "pay to GB29NWBK60161331926819 TODAY", "NWBK"),
    (SECRET, f"export KEY=sk-proj-{RANDOM}", RANDOM),
    (SECRET, f"curl -H 'Authorization: Bearer tk-{RANDOM}'", RANDOM),
    (SECRET, "aws_access_key_id = AKIA3F7Q2ZK8VWN5XJ4T", "3F7Q2ZK8VWN5XJ4T"),
    (SECRET, f"git clone https://ghp_{RANDOM}@github.com/a/b", RANDOM),
    (SECRET, "xoxb-2849283742-9283749283-aB3dE5fG7hJ9kL1mN2pQ4rS6", "aB3dE5fG7h"),
    (SECRET, f"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.{RANDOM}", RANDOM),
    (SECRET, f"-----BEGIN RSA PRIVATE KEY-----\nMIIEow{RANDOM}\n-----END", RANDOM),
    (HIDDEN, "The password is \u202egnp.exe", None),
    (HIDDEN, "in\u200bvis\u200bible", None),
    (HIDDEN, "if (a \u2066== b)", None),
    (HIDDEN, "a\u2060b and \ufeffc", None),
    (HIDDEN, "w\u200dord", None),
    (HIDDEN, "hi\U000e0041\U000e0042", None),
]

CLEAN = [
    "That is $1,234,567,890.00 or 12 345 678 901 EUR, +1.234567890 a share, up +100 000 000.",
    "From 2024-01-05 10:30 to 05/06/2024 09:15, or 01-02-2024 10:30-11:45; 2019-2024.",
    "Version 2.10.3-20240101, build 1234567890, IP 192.168.100.200, port 8080, IPv6 fe80::1.",
    "Your order number is 234-567-8901 and tracking no. 415-555-0132; order #13812345678.",
    "订单号：13812345678，共 1234567890 元，运单号 4539148803436467。",
    "ISBN 978-3-16-148410-0, ISSN 2049-3630, DOI 10.1000/182, PMID 12345678901.",
    "UUID 550e8400-e29b-41d4-a716-446655440000, sha1 da39a3ee5e6b4b0d3255bfef95601890afd80709",
    "x = 13800138000; 4539148803436467 * 2 = 9078297606872934; 1700000000000 ms",
    "0.123456789012, 3.14159265358979, 1e-10, 01 02 03 04 05, 0110 1101 0110, 200 300 4000",
    "Sum of (12) and (345) over 6789: f(12) = 3456, a[10][20], (1) 2000 (2) 3000",
    "Card 4539 1488 0343 6468 fails the check, and so does IBAN DE88 3704 0044 0532 0130 00.",
    "身份证号110105194912310021的校验位不对，400-888-9999是客服电话。",
    "Write to support@pedalwick.com, jane@example.com, a@b.test or you@yourcompany.com.",
    "Use @app.route, y = a@self.weight, git@github.com:a/b.git, pkg@1.2.3, ssh root@10.0.0.1",
    "https://medium.com/@someone/post-1 and https://user:pass@db.host.com:5432/name",
    "51 Franklin Street, Boston, MA 02110-1301, USA; 75001 Paris; 100-0001 東京都",
    "Free call: 0800 123 4567 or +1 800 555 0199.",
    r"\frac{{a}}{{b}} and \mathbf{{x}}; title={{Deep Learning}}; style={{color: 'red'}}",
    "```bash\necho ${HOME} > [your file] <your name>\n``` and `${name}` and `<your key>`",
    'const a = `${name}`; "${HOME}/bin" $${x}$ ${{ secrets.TOKEN }} /opt/${dir}/x',
    "Press [Enter], see [your account](https://x.com), items[insert], [INSERT INTO t] and [1].",
    "<b>bold</b> <your-component></your-component> List<String> a < b and c > d",
    "sk-learn-pipelines-with-12-steps-for-all, sk-your-api-key-goes-here-please-1",
    "AKIAIOSFODNN7EXAMPLE, sk-xxxxxxxxxxxxxxxxxxxxxxxx1, a-very-long-name-with-many-dashes",
    "-----BEGIN PUBLIC KEY-----\nMIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8A\n-----END PUBLIC KEY-----",
    "👩‍👩‍👧 👨🏽‍💻 🏳️‍🌈 ❤️‍🔥 🏴\U000e0067\U000e0062\U000e0065\U000e006e\U000e0067\U000e007f",
    "می‌خواهم کتاب‌ها را بخوانم",
    "क्‍ष और श्री‌मान",
    "שלום \u200fworld\u200e, \u2067abc\u2069",
    "ภาษา\u200bไทย",
    "“Curly” – dashes — and… ellipses, naïve café, 30 °C, ½ ± 2 m, non\u00adsoft\u00a0space",
]


def row(line: int, question: str, answer: str = "") -> Row:
    turns = (Message(role="user", content=question), Message(role="assistant", content=answer))
    return Row(line=line, messages=turns)


def look(text: str) -> tuple[Problem, ...]:
    return Remarks().look(row(1, "Well?", text))


def end(rows: Sequence[Row]) -> list[Problem]:
    remarks = Remarks()
    for each in rows:
        remarks.look(each)
    return list(remarks.end())


@pytest.mark.parametrize(("code", "text", "value"), FOUND, ids=[f"{c}: {t}" for c, t, _ in FOUND])
def test_it_is_found_and_not_repeated(code: Code, text: str, value: str | None) -> None:
    (problem,) = look(text)
    assert (problem.code, problem.verdict) == (code, Verdict.WARNED)
    assert problem.field == "messages[1].content"
    assert value is None or value.lower() not in problem.message.lower()
    assert problem.message.count(". ") >= 1
    assert problem.message.isprintable()


@pytest.mark.parametrize("text", CLEAN)
def test_what_only_looks_like_it_is_left_alone(text: str) -> None:
    assert look(text) == ()


@pytest.mark.parametrize("name", ["shop-en.jsonl", "shop-zh.jsonl"])
def test_the_examples_have_nothing_to_remark(name: str) -> None:
    remarks = Remarks()
    for line, text in enumerate((EXAMPLES / name).read_text("utf-8").splitlines(), start=1):
        turns = tuple(Message(**turn) for turn in json.loads(text)["messages"])
        assert remarks.look(Row(line=line, messages=turns)) == ()
    assert list(remarks.end()) == []


def test_every_part_of_a_row_is_looked_at() -> None:
    mail = "jane.miller@gmail.com"
    call = ToolCall(name="send", arguments=json.dumps({"to": mail, "text": "{{name}}"}))
    thought = Message(role="assistant", content="", reasoning=mail)
    called = Message(role="assistant", content="", tool_calls=(call,))
    answer = Message(role="assistant", content=mail)
    for given_row, field in (
        (Row(line=1, messages=(thought,)), "messages[0].reasoning"),
        (Row(line=1, messages=(called,)), "messages[0].tool_calls[0].arguments"),
        (Row(line=1, chosen=(answer,), rejected=(thought,)), "chosen[0].content"),
        (Row(line=1, chosen=(thought, answer)), "chosen[0].reasoning"),
        (Row(line=1, kind=Kind.TEXT, text=mail), "text"),
        (Row(line=1, tools=json.dumps([mail])), "tools"),
    ):
        (problem,) = Remarks().look(given_row)
        assert (problem.code, problem.field) == (PERSONAL, field)


def test_a_row_has_one_remark_of_a_kind_that_counts_the_fields() -> None:
    text = "jane.miller@gmail.com or +49 171 2345678"
    (problem,) = Remarks().look(row(1, text, text))
    assert problem.field == "messages[0].content"
    assert problem.message == (
        "Here is an e-mail address (j…@…) and a phone number (…5678), and the like in 1 more "
        "field of the row. Replace it with something invented, since a model may repeat it to "
        "anybody."
    )


def test_a_row_far_longer_than_all_others_is_named() -> None:
    rows = [row(n, "What?", "word " * (40 + n % 30)) for n in range(1, 300)]
    rows.append(row(300, "What?", "word " * 2_000))
    (problem,) = end(rows)
    assert (problem.line, problem.code, problem.field) == (300, Code.FAR_LONGER, "messages")


def test_length_that_varies_anyway_is_no_remark() -> None:
    short = [row(n, "What?", "word " * 50) for n in range(1, 100)]
    long = [row(n, "What?", "word " * 2_000) for n in range(100, 110)]
    assert end([*short, *long]) == []
    assert end([row(n, "?", "x" * (400 if n == 50 else 10)) for n in range(1, 100)]) == []


ENGLISH = (
    "the shop is open from nine in the morning and you can bring your bike to us at any time of "
    "the day so that we have a look at it and tell you what it will cost to repair"
)
FRENCH = (
    "le magasin est ouvert à partir de neuf heures et vous pouvez nous apporter votre vélo à tout "
    "moment de la journée pour que nous puissions le regarder et vous dire le prix"
)
GERMAN = (
    "der Laden ist ab neun Uhr geöffnet und Sie können uns Ihr Fahrrad jederzeit bringen, damit "
    "wir es uns ansehen und Ihnen sagen, was die Reparatur kosten wird und wie lange sie dauert"
)
CHINESE = "我们的店每天早上九点开门，您随时可以把自行车送过来，我们看过之后会告诉您维修要多少钱。"
RUSSIAN = "Магазин открыт с девяти утра, и вы можете привезти велосипед в любое время дня."
JAPANESE = (
    "お店は朝九時から開いていますので、いつでも自転車をお持ちください。修理の値段をお伝えします。"
)


def mixed(line: int, *texts: str) -> Row:
    """A row of a text's words in another order, so that no two are the same."""
    picked = random.Random(line)
    turns = []
    for text in texts:
        parts = text.split() if " " in text else list(text)
        picked.shuffle(parts)
        turns.append((" " if " " in text else "").join(parts))
    return row(line, *turns)


@pytest.mark.parametrize(
    ("usual", "odd", "named"),
    [
        (ENGLISH, CHINESE, "Chinese script"),
        (ENGLISH, RUSSIAN, "Cyrillic script"),
        (CHINESE, ENGLISH, "Latin script"),
        (CHINESE, JAPANESE, "Japanese script"),
        (ENGLISH, GERMAN, "German"),
        (ENGLISH, FRENCH, "French"),
        (GERMAN, ENGLISH, "English"),
        (FRENCH, GERMAN, "German"),
    ],
)
@pytest.mark.parametrize("rows", [200, LEARNING_ROWS + 500])
def test_the_odd_language_out_is_named(usual: str, odd: str, named: str, rows: int) -> None:
    others = {150, rows - 3}
    problems = end([mixed(n, *([odd] if n in others else [usual]) * 2) for n in range(1, rows + 1)])
    assert [problem.line for problem in problems] == sorted(others)
    for problem in problems:
        assert (problem.code, problem.verdict) == (Code.OTHER_LANGUAGE, Verdict.WARNED)
        assert f"seems to be in {named}, " in problem.message


@pytest.mark.parametrize(("one", "other"), [(ENGLISH, CHINESE), (ENGLISH, GERMAN)])
def test_translation_and_bilingual_files_are_no_remark(one: str, other: str) -> None:
    assert end([mixed(n, one, other) for n in range(1, 300)]) == []
    assert end([mixed(n, *([other] if n % 8 == 0 else [one]) * 2) for n in range(1, 300)]) == []


def test_translation_into_many_languages_is_no_remark() -> None:
    others = (CHINESE, RUSSIAN, GERMAN, FRENCH, JAPANESE)
    assert end([mixed(n, ENGLISH, others[n % 5]) for n in range(1, 300)]) == []


def test_code_numbers_and_names_are_no_other_language() -> None:
    odd = (
        "def main(argv): parser = argparse.ArgumentParser(); parser.add_argument('x'); return 0",
        "SELECT id, name, total FROM orders WHERE created_at > now() ORDER BY id LIMIT 10",
        "1 + 2 = 3, 4 * 5 = 20, 7 - 8 = -1, 12 / 4 = 3, 2 ^ 10 = 1024",
        "OK",
        '{"id": 1, "name": "x", "tags": ["a", "b"], "ok": true, "n": null, "m": 2, "k": 3}',
    )
    for usual in (ENGLISH, GERMAN):
        rows = [mixed(n, usual, usual) for n in range(1, 400)]
        for at, text in enumerate(odd):
            rows[30 * at] = row(30 * at + 1, text, text)
        assert end(rows) == []


def test_a_small_file_has_no_usual() -> None:
    assert end([row(1, CHINESE, CHINESE), *(mixed(n, ENGLISH) for n in range(2, 12))]) == []


def test_scripts_are_told_by_their_letters() -> None:
    assert scripts("Crème brûlée und Käse") == scripts("plain words") == LATIN
    assert scripts("12:30 – 14:00") == scripts("ok") == scripts("") == 0
    assert scripts("我的 iPhone 电池坏了怎么办呢") != LATIN
    assert scripts("这段 Python 代码怎么写") & LATIN


TEXTS = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from("0123456789 -+()./@{}[]<>$_ABCxyz年\u200d\u202e"),
    ),
    max_size=120,
)


@settings(max_examples=200, deadline=None)
@given(st.lists(TEXTS, min_size=1, max_size=4))
def test_any_text_is_looked_at_the_same_way_twice(texts: list[str]) -> None:
    rows = [row(n, text, "\ud800" + text) for n, text in enumerate(texts * 6, start=1)]
    seen = [[Remarks().look(each) for each in rows], end(rows)]
    assert seen == [[Remarks().look(each) for each in rows], end(rows)]


@pytest.mark.parametrize(
    "hostile", ["0", "1 ", "+1", "a@", "a.", "{{", "[your ", "<your ", "sk-", "eyJ", "A1", "("]
)
def test_no_text_takes_long(hostile: str) -> None:
    started = time.process_time()
    look(hostile * 100_000)
    assert time.process_time() - started < 10


def test_an_ordinary_row_takes_some_microseconds() -> None:
    """Speed is printed, not asserted: machines differ."""
    for name, text in (("English", ENGLISH), ("German", GERMAN), ("Chinese", CHINESE * 3)):
        rows = [mixed(n, text[:130], text) for n in range(1, 5_001)]
        remarks = Remarks()
        for each in rows[:3_000]:
            remarks.look(each)
        started = time.process_time()
        for each in rows[3_000:]:
            remarks.look(each)
        spent = time.process_time() - started
        sys.stdout.write(f"{name}: {spent / 2_000 * 1e6:.1f} µs a row\n")
