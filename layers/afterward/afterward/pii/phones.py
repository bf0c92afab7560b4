"""National phone numbers: by how they are written, or by what is said around them."""

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from afterward.pii.finding import Kind, Span
from afterward.pii.international import is_number, with_extension
from afterward.pii.words import FILLERS, after, named_before, words

if TYPE_CHECKING:
    from afterward.pii.numbers import Run

NAMES = words(
    "phone phones telephone telephones tel tels mobile mobiles cell cellphone cellular fax faxes handset landline "
    "hotline helpline msisdn whatsapp phonenumber mobilenumber cellnumber telno phoneno mobileno homephone workphone "
    "contactnumber faxnumber telefon telefonnummer telefonnr rufnummer handy handynummer mobil mobilnummer "
    "mobiltelefon festnetz durchwahl fon téléphone telephon tél portable mobilephone numtel telefono teléfono "
    "cellulare móvil movil celular fijo telefone telemóvel telemovel telefoon telefoonnummer mobiel gsm tlf puh "
    "tfno telf telefónico telefonico telefonisch telefax télécopie tollfree freephone llamada llamar llame llámame "
    "llámanos llamanos rückruf puhelin telefonu komórka telefón mobilni telefonszám τηλέφωνο κινητό тел телефон "
    "телефона телефону моб мобильный мобильного факс "
    "هاتف جوال الهاتف phono callback voicemail pager ph mob telp hp kom cep điện thoại โทร फोन",
)
_WEAK = words(
    "call calls called calling caller dial dialed dialled ring text texted sms otp reach contact reached phoning rufen "
    "anrufen ruf appelez erreichen erreichbar appeler joindre contactez llama chiama chiamare ligue bel bellen звоните "
    "позвоните anruf appel",
)
_CALLERS = FILLERS | {"from", "von", "by"}
_SCRIPTS = (
    "电话",
    "手机",
    "手机号",
    "番号",
    "電話",
    "手機",
    "携帯",
    "号码",
    "전화",
    "번호",
    "โทร",
    "ফোন",
    "📞",
    "☎",
    "☏",
    "📱",
)
_NEVER = words(
    "pedido commande auftrag auftragsnummer bestellnummer rechnung facture factura awb waybill order orders invoice "
    "ref reference sku part version tracking isbn ticket case bestellung account acct policy serial model item lot "
    "batch po id rma claim permit license commit build zip range lines rows bytes ports ean upc product artikel "
    "article timestamp epoch ts date oid uuid",
)
_AFTER = words(
    "mobile cell phone tel fax landline handy móvil celular",
)
_AMERICAN = re.compile(r"(?=(1?334))")
_TRUNK = re.compile(
    r"0[1-9][0-9 ./\-]+",
)
_TRUNK_SHAPES = re.compile(
    r"22222|244|344|354|434|433|333|334|343|38|37|47|46|48|55|56|57|553|533|532|523|3322|2333|2422|3422|4322|432|4222|5222|52222|335|345|36|39|28|27|326|283",
)
_BRACKETED = re.compile(
    r"\([0-9]{1,5}\) {0,2}[0-9]{3,5}[ .\-]?[0-9]{3,5}(?![0-9])"
    r"|\([0-9]{2,4}\) {0,2}[0-9]{2,4}(?:[ \-][0-9]{2,4}){2,3}(?![0-9])"
    r"|\(0[0-9]{1,4}\)[ \-]{0,2}[0-9]{3,8}(?:[ \-][0-9]{2,5}){0,2}"
)
_RUSSIAN = re.compile(r"8[ \-]?\([3-9][0-9]{2}\) ?[0-9]{3}(?:[ \-]?[0-9]{2}){2}")
_DATE = re.compile(
    r"(?:19|20)[0-9]{2}[ ./\-][01]?[0-9][ ./\-][0-3]?[0-9](?![0-9])"
    r"|[0-3]?[0-9][ ./\-][0-3]?[0-9][ ./\-](?:19|20)[0-9]{2}(?![0-9])"
)
_EPOCH = re.compile(r"1[5-9][0-9]{8}(?:[0-9]{3}){0,3}\Z")
_SHORT, _LONG = 7, 15
_LETTERED_SIZES = range(9, 12)
_MINE = re.compile(
    r"\b(?:my|our|your|his|her|their|mein|meine|unsere|mon|notre|mi|nuestro|mio|meu) (?:new |neue |nouveau |nuevo )?"
    r"(?:number|nummer|num[ée]ro|número)(?: is| was|'s| ist| lautet| est(?: le)?| es(?: el)?| è)?:? \Z"
    r"|\b(?:call|text|phone|reach) (?:[\w.]+ ){1,3}(?:at|on) \Z"
    r"|\b(?:direct (?:line|dial)|toll[ -]free)(?: is| number)?:? \Z",
    re.IGNORECASE,
)
_LETTERED = re.compile(r"(?:\A|[\n|,;>]\s?)[TMPFC][:.] ?\Z")
"""What a signature has before its numbers."""
_MIXED = re.compile(r"[A-Za-z][A-Za-z0-9]*[0-9] \Z")
"""`1Z 999 AA1 01 2345 6784`: the number goes on from letters."""
_MONEY = frozenset("$€£¥#")


def national(run: "Run") -> Iterator[Span]:
    yield from _american(run)
    start, end = run.groups[0][0], run.groups[-1][1]
    digits = run.digits(0, len(run.groups)) if len(run.groups) < _LONG else ""
    if _SHORT <= len(digits) <= _LONG + 2 and not _DATE.match(run.text, start) and _is_phone(run, digits, start, end):
        bracket = _is_opened(run.text, start, end)
        yield start - bracket, with_extension(run.text, end), Kind.PHONE
    elif digits and len(run.groups) > 1:
        yield from _leading(run)


def _american(run: "Run") -> Iterator[Span]:
    for window in _AMERICAN.finditer(run.shape):
        first, last = window.start(), window.start() + len(window.group(1))
        area = run.text[run.groups[last - 3][0]]
        start, end = run.groups[first][0], run.groups[last - 1][1]
        bracket = run.text[start - 1 : start] == "(" or (last - first > 3 and "(" in run.text[start:end])  # noqa: PLR2004 - with 1
        if _is_written_american(run, (first, last), bracket=bracket, area=area):
            opened = _is_opened(run.text, start, end)
            yield start - opened, with_extension(run.text, end), Kind.PHONE


def _is_opened(text: str, start: int, end: int) -> bool:
    """Say whether the bracket before belongs to the number: `(212) 555-0123`, and not `(1 (212) 555-0123)`."""
    return text[start - 1 : start] == "(" and text.count(")", start, end) > text.count("(", start, end)


def _is_written_american(run: "Run", groups: tuple[int, int], *, bracket: bool, area: str) -> bool:
    first, last = groups
    start = run.groups[first][0]
    named = _named(run.text, start, 10, apart=True)
    separators = run.separators(last - 3, last)
    if not named:
        plain = separators == {" "} or separators & {"/", " / "} == {"/"} and "-" not in separators  # noqa: RUF021 - reads so
        if (
            area == "0"
            or (area == "1" and not bracket and separators not in ({"-"}, {"."}))
            or (not bracket and "." in separators and len(separators) > 1)
            or (plain and not bracket and not _is_alone(run, groups, separators))
            or run.text[start - 1 : start] in _MONEY
            or _is_other(run.text, start)
        ):
            return False
        if run.text[run.groups[last - 2][0]] == "0" and not bracket and separators != {"-"}:
            return False
    return run.is_apart(first, last)


def _is_alone(run: "Run", groups: tuple[int, int], separators: set[str]) -> bool:
    """`212 555 0123`, and no digits beside it; area and exchange begin with 2 to 9."""
    last = groups[1]
    exchange = run.groups[last - 2][0]
    return separators == {" "} and len(run.groups) == last - groups[0] and run.text[exchange] not in "01"


def _is_phone(run: "Run", digits: str, start: int, end: int) -> bool:
    text = run.text
    apart = len(run.groups) > 1
    if _named(text, start, len(digits), apart=apart) and not _EPOCH.match("" if apart else digits):
        return True
    if not apart and named_before(text, start, NAMES):
        return True
    if len(digits) > 8 and _named_after(text, end):  # noqa: PLR2004 - as local numbers are too much like others
        return True
    if not apart or _is_other(text, start) or text[start - 1 : start] in _MONEY:
        return False
    return _is_written_so(run, digits, start, end)


def _is_written_so(run: "Run", digits: str, start: int, end: int) -> bool:
    text = run.text
    separators = run.separators(0, len(run.groups))
    if text[start - 1 : start] == "(" and ")" in text[start:end] and not text[start - 2 : start - 1].isalnum():
        return _BRACKETED.fullmatch(text, start - 1, end) is not None and 9 <= len(digits) <= 13  # noqa: PLR2004 - with area
    if text.startswith(("00", "011"), start) and run.shape != "222222":
        return len(run.groups) > 2 and is_number(digits.removeprefix("011" if digits[:3] == "011" else "00"))  # noqa: PLR2004
    if _RUSSIAN.fullmatch(text, start, end):
        return True
    if separators == {"."} and len(run.groups) == 2:  # noqa: PLR2004 - a decimal number
        return False
    trunk = _TRUNK.fullmatch(text, start, end) and _TRUNK_SHAPES.fullmatch(run.shape) and 9 <= len(digits) <= 12  # noqa: PLR2004
    even = len(separators) == 1 or (len(separators) == 2 and "/" in separators)  # noqa: PLR2004 - the area's and another
    return bool(trunk) and even


def _leading(run: "Run") -> Iterator[Span]:
    """A number that is followed by others: what is said before it holds for as many groups as a number may have."""
    start, end = run.groups[0][0], 0
    size = 0
    for first, last in run.groups:
        size += last - first
        if size > 11:  # noqa: PLR2004 - the longest national numbers that are common
            break
        end = last
    if end and end - start > _SHORT and _named(run.text, start, 10, apart=True) and not _DATE.match(run.text, start):
        yield start, end, Kind.PHONE


def _named(text: str, start: int, size: int, *, apart: bool) -> bool:
    if (
        named_before(text, start, NAMES)
        or _MINE.search(text[max(0, start - 40) : start])
        or (size in _LETTERED_SIZES and _LETTERED.search(text[max(0, start - 5) : start]))
        or text[max(0, start - 8) : start].rstrip(" :\uff1a(是为は").endswith(_SCRIPTS)
    ):
        return True
    return (apart or size > 9) and named_before(text, start, _WEAK, _CALLERS)  # noqa: PLR2004 - with its area


def _named_after(text: str, end: int) -> bool:
    """`2125550123 (mobile)`, `212 555 0123 is my cell`."""
    words = after(text, end)
    if text[end : end + 2] in {" (", " -", ", "}:
        return not _AFTER.isdisjoint(words[:1])
    return words[:1] == ["is"] and not _AFTER.isdisjoint(words[2:3])


def _is_other(text: str, start: int) -> bool:
    return named_before(text, start, _NEVER) or _MIXED.search(text[max(0, start - 12) : start]) is not None
