"""E-mail addresses, phone numbers, cards, accounts and Chinese resident ids in text.

Numbers with a checksum are believed where it holds. A phone number has none, so it needs the shape
people write it in, and no sign around it of a price, a date, an order or arithmetic.
"""

import re
from itertools import pairwise

# A row is suspected with nine digits that nothing but a number's usual separators keeps apart.
_DIGITS = bytes(ord("0") if chr(code) in "0123456789" else ord("x") for code in range(256))
_SEPARATORS = b" ().-/"
_NINE = b"0" * 9

_EMAIL = re.compile(
    r"(?<![\w.%+-])([A-Za-z0-9][\w.%+-]{0,63})@((?:[A-Za-z0-9-]{1,63}\.){1,5}([A-Za-z]{2,12}))"
    r"(?![\w@-])",
    re.ASCII,
)
# Letters behind the last dot also occur in code, as in a@self.weight. All of two letters count.
_DOMAIN = re.compile(
    r"com|org|net|edu|gov|mil|int|info|biz|name|pro|mobi|app|dev|xyz|online|site|shop|store|tech|"
    r"cloud|club|live|email|agency|studio|design|world|today|museum|travel|jobs|cat|asia|[a-z]{2}"
)
_INVENTED_DOMAIN = re.compile(
    r"(?:^|\.)(?:example|test|invalid|localhost|local)$|(?:^|\.)example\.[a-z.]{2,6}$"
    r"|(?:^|\.)(?:your)?-?(?:domain|company)\.[a-z]{2,3}$"
)
# Addresses of an office, not of a person.
_OFFICES = re.compile(
    r"(?:info|support|sales|contact|help|hello|hi|service|customer|care|team|office|admin|"
    r"no-?reply|billing|press|privacy|legal|jobs|careers|hr|feedback|webmaster|postmaster|orders?|"
    r"git|you|your|user|username|name|email|someone|foo|bar|test|example)"
    r"(?:[._+-]?(?:service|support|care|team|name|email|us|desk))?\d{0,3}$",
    re.IGNORECASE,
)

_PHONE = re.compile(
    r"""(?<![\w.,+/=\#$€£¥-])(?<!\d\ )
    (?: \+\ ?[1-9](?:[ .()/-]{0,2}\d){8,14}                      # +49 (0)171 123-4567
      | \(0?\d{2,4}\)\ ?\d{3,5}[ .-]?\d{3,5}                     # (020) 7946 0958
      | (?:1[.-])?[2-9]\d\d([.-])[2-9]\d\d\1\d{4}                # 415-555-0132
      | 0[1-9]\d{0,3}[ /-]\d{2,8}(?:[ /-]\d{2,8}){0,4}           # 030 1234567, 06 12 34 56 78
      | 1[3-9]\d(?:\d{8}|([ -])\d{4}\2\d{4})                     # 13812345678
    )(?![\w€%]|[.,:/-]?\d|\ \d)""",
    re.ASCII | re.VERBOSE,
)
_POSTAL = re.compile(r"\d{5}-\d{4}$")  # of the United States
_DATE = re.compile(
    r"\(?(?:\d{1,2}([-/. ])\d{1,2}\1(?:19|20)\d\d|(?:19|20)\d\d([-/.])\d\d?\2\d\d?)\b"
)
_THOUSANDS = re.compile(r"\+?\d{1,3}(?:[ .](?=\d{3}\b)\d{3})*(?:[ .]000){2}$|\+\d+\.\d+$")
_TOLL_FREE = re.compile(r"(?:1|0)?(?:800|888|877|866|855|844|833|400)")
# What stands before a number that is no phone: names of numbers, money, arithmetic.
_NUMBERED = re.compile(
    r"(?:(?:\b|_)(?:order|invoice|ticket|tracking|parcel|serial|part|item|model|product|sku|isbn|"
    r"issn|doi|pmid|case|ref|reference|version|build|id|code|transaction|receipt|port|seed|"
    r"timestamp|usd|eur|gbp|rmb|cny)|№|\#|[$€£¥₹]|订单|单号|编号|运单|序列|货号|型号|版本|流水)"
    r"(?:号码?|编号)?[ ._]?(?:no|number|nr|num|id|code)?[ \"'._]{0,2}(?:is|was|是|为)?"
    r"[ :：\"'=(\[]{0,4}$"
    r"|[*^×÷<>≈√]\s*$|(?:^|[\s(])[A-Za-z0-9)]?\s*=\s*$",
    re.IGNORECASE | re.ASCII,
)
_COUNTED = re.compile(
    r"\s*(?:[=*^×÷%€£¥]|元|美元|人|件|次|年|米|公里|dollars|euros|bytes|times|km\b)"
)
_AROUND = 32

_RESIDENT = re.compile(
    r"(?<![\w.-])[1-9]\d{5}(?:19|20)\d\d(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])\d{3}[\dXx](?!\w)",
    re.ASCII,
)
_RESIDENT_WEIGHTS = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)

_CARD = re.compile(
    r"""(?<![\w.,+-])
    (?: 3[47]\d\d([ -]?)\d{6}\1\d{5}                                       # American Express
      | (?:4\d{3}|5[1-5]\d\d|2[2-7]\d\d|6011|6[45]\d\d|62\d\d|35\d\d)      # Visa, Mastercard, …
        ([ -]?)\d{4}\2\d{4}\2\d{4}(?:\2\d{3})?                             # UnionPay up to 19
    )(?![\w-]|[.,]\d)""",
    re.ASCII | re.VERBOSE,
)

_IBAN = re.compile(r"(?<![\w-])([A-Z]{2})(\d\d(?: ?[A-Z0-9]){11,31})(?![a-z0-9])", re.ASCII)
_IBAN_LENGTHS = (
    "15:NO 16:BE 18:DK,FI,NL 19:MK,SI 20:AT,BA,EE,KZ,LT,LU,XK 21:CH,HR,LI,LV "
    "22:BG,BH,DE,GB,GE,IE,ME,RS 23:AE,GI,IL 24:AD,CZ,ES,MD,PK,RO,SA,SE,SK,TN,VG 25:PT 26:IS,TR "
    "27:FR,GR,IT,MC,MR,SM 28:AL,AZ,BY,CY,DO,GT,HU,LB,PL 29:BR,EG,QA,UA 30:JO,KW,MU 31:MT,SC"
)
_IBAN_LENGTH = {
    country: int(line[:2]) for line in _IBAN_LENGTHS.split() for country in line[3:].split(",")
}


def suspect(text: str, data: bytes) -> bool:
    return "@" in text or _NINE in data.translate(_DIGITS, _SEPARATORS)


def find(text: str) -> list[str]:
    """What a text holds, the first of each kind, in words that do not repeat it."""
    found = [_email(text)] if "@" in text else []
    found += [_resident(text), _card(text), _iban(text), _phone(text)]
    return [what for what in found if what]


def _last(number: str) -> str:
    return "…" + re.sub(r"[^0-9A-Za-z]", "", number)[-4:]


def _email(text: str) -> str:
    for found in _EMAIL.finditer(text):
        local, domain, last = found[1], found[2].lower(), found[3].lower()
        real = _DOMAIN.fullmatch(last) and not _INVENTED_DOMAIN.search(domain)
        before = text[max(0, found.start() - 80) : found.start()].rsplit(None, 1)
        in_address = bool(before) and "://" in before[-1] and text[found.start() - 1] not in "\n "
        if real and not in_address and not _OFFICES.match(local):
            return f"an e-mail address ({local[0]}…@…)"
    return ""


def _phone(text: str) -> str:
    for found in _PHONE.finditer(text):
        number = found[0]
        digits = re.sub(r"\D", "", number)
        national = digits[1:] if number[0] == "+" and digits[0] == "1" else digits
        if (
            9 <= len(digits) <= 15
            and not _POSTAL.match(number)
            and not _DATE.match(number)
            and not _THOUSANDS.match(number)
            and not _TOLL_FREE.match(national)
            and not _sequence(number)
            and _by_itself(text, found)
        ):
            return f"a phone number ({_last(number)})"
    return ""


def _sequence(number: str) -> bool:
    """Noughts and ones, or a row of numbers with the same step."""
    if number[0] == "+":
        return False
    parts = [int(part) for part in re.findall(r"\d+", number)]
    steps = {after - before for before, after in pairwise(parts)}
    return set(re.sub(r"\D", "", number)) <= {"0", "1"} or (len(parts) > 2 and len(steps) == 1)


def _by_itself(text: str, found: re.Match[str]) -> bool:
    before = text[max(0, found.start() - _AROUND) : found.start()]
    return not _NUMBERED.search(before) and not _COUNTED.match(text, found.end())


def _resident(text: str) -> str:
    for found in _RESIDENT.finditer(text):
        number = found[0].upper()
        total = sum(int(d) * w for d, w in zip(number, _RESIDENT_WEIGHTS, strict=False))
        if "10X98765432"[total % 11] == number[-1]:
            return f"a Chinese resident id ({_last(number)})"
    return ""


def _card(text: str) -> str:
    for found in _CARD.finditer(text):
        digits = [int(digit) for digit in re.sub(r"\D", "", found[0])]
        doubled = sum(digit * 2 - 9 * (digit > 4) for digit in digits[-2::-2])
        luhn = (sum(digits[-1::-2]) + doubled) % 10 == 0
        long = len(digits) > 16 and found[0][:2] != "62"
        if luhn and not long and len(set(digits)) > 2 and _by_itself(text, found):
            return f"a payment card's number ({_last(found[0])})"
    return ""


def _iban(text: str) -> str:
    for found in _IBAN.finditer(text):
        length = _IBAN_LENGTH.get(found[1])
        number = found[0].replace(" ", "")
        if length is None or len(number) < length:
            continue
        # Capitals may follow; then the account ends with its country's length.
        number = number[:length]
        if int("".join(str(int(c, 36)) for c in number[4:] + number[:4])) % 97 == 1:
            return f"a bank account's number ({_last(number)})"
    return ""
