"""Labelled lines to measure the detection of personal data by: values in many spellings, put into many kinds of text.

Values are made from public descriptions of their formats (issuers' prefixes, SWIFT's registry, RFC 5322, 3966, 4291 and
5952, numbering plans), not from the detector's patterns. Everything is a function of its seed.
"""

# ruff: noqa: E501, RUF001 - rows of formats and of texts, one a line, in many scripts

import base64
import ipaddress
import json
import random
import string
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

Spans = tuple[tuple[int, int, str], ...]


@dataclass(frozen=True)
class Sample:
    """A text, and what stands where in it."""

    text: str
    spans: Spans = ()


def _digits(rng: random.Random, count: int) -> str:
    return "".join(rng.choices(string.digits, k=count))


def _letters(rng: random.Random, count: int, alphabet: str = string.ascii_letters + string.digits) -> str:
    return "".join(rng.choices(alphabet, k=count))


def _spelt(rng: random.Random, pattern: str) -> str:
    """`#` is any digit, `N` one from two to nine."""
    return "".join(
        rng.choice(string.digits) if c == "#" else rng.choice("23456789") if c == "N" else c for c in pattern
    )


# Values of each kind.

_FIRST = [
    "anna",
    "bob",
    "chloé",
    "dmitri",
    "erika",
    "fatima",
    "george",
    "hiro",
    "ines",
    "jürgen",
    "kofi",
    "li",
    "maria",
    "nguyen",
    "olga",
    "pedro",
    "siân",
    "tomás",
    "zoë",
]
_LAST = [
    "smith",
    "müller",
    "garcía",
    "kowalski",
    "o'brien",
    "van-dyke",
    "johnson",
    "silva",
    "novák",
    "rossi",
    "tanaka",
    "okafor",
    "nielsen",
]
_DOMAINS = [
    "example.com",
    "example.co.uk",
    "mail.example.org",
    "gmail.com",
    "münchen.de",
    "sub.dept.company.io",
    "web.de",
    "163.com",
    "yahoo.co.jp",
    "xn--bcher-kva.example",
    "bücher.example",
    "example.museum",
    "t-online.de",
    "example.travel",
    "1and1.com",
    "пример.рф",
    "例え.jp",
]


def email(rng: random.Random) -> str:
    first, last = rng.choice(_FIRST), rng.choice(_LAST)
    local = rng.choice(
        [
            first,
            f"{first}.{last}",
            f"{first[0]}{last}",
            f"{first}_{last}{rng.randint(1, 99)}",
            f"{first}+{rng.choice(['news', 'shop-2024', 'a.b'])}",
            f"{first}.{last}+test",
            f"{first}-{last}",
            f"{first.upper()}.{last.title()}",
            f"{rng.randint(100, 99999)}",
            f"{first[0]}",
            f'"{first} {last}"',
        ],
    )
    domain = rng.choice(_DOMAINS)
    return f"{local}@{rng.choice([domain, domain, domain, domain.upper()])}"


_INTERNATIONAL = [
    "+1 N## N## ####",
    "+1-N##-N##-####",
    "+1 (N##) N##-####",
    "+1N##N######",
    "+1.N##.N##.####",
    "+44 20 7### ####",
    "+44 7#00 900###",
    "+447#########",
    "+44 (0)20 7### ####",
    "+44-161-496-####",
    "+49 30 1234####",
    "+49 (0) 89 12####",
    "+49 151 2345####",
    "+49/171/123####",
    "+33 6 12 34 ## ##",
    "+33612####78",
    "+33 (0)1 42 ## ## ##",
    "+34 612 ### ###",
    "+39 06 698 ####",
    "+39 347 123 ####",
    "+351 912 ### ###",
    "+31 6 1234 ####",
    "+32 470 12 ## ##",
    "+41 44 668 ## ##",
    "+43 1 5123###",
    "+45 32 12 ## ##",
    "+46 8 123 4## ##",
    "+47 22 12 ## ##",
    "+358 40 123 ####",
    "+48 22 123 ## ##",
    "+420 601 ### ###",
    "+36 1 234 ####",
    "+30 210 123 ####",
    "+7 495 123-##-##",
    "+7 (495) 123-##-##",
    "+380 44 123 ####",
    "+90 212 123 ## ##",
    "+972 3-123-####",
    "+971 50 123 ####",
    "+91 98765 4####",
    "+91-22-2345-####",
    "+86 138 1234 ####",
    "+861391234####",
    "+81 3-1234-####",
    "+81-90-1234-####",
    "+82 10-1234-####",
    "+65 6123 ####",
    "+61 2 9123 ####",
    "+61 4## ### ###",
    "+64 21 123 ####",
    "+27 11 123 ####",
    "+55 11 91234-####",
    "+55 (11) 3123-####",
    "+52 55 1234 ####",
    "+54 9 11 1234-####",
    "+56 2 2123 ####",
    "+57 1 234 ####",
    "+20 2 1234####",
    "+234 803 123 ####",
    "+254 20 123####",
    "+62 21 1234 ####",
    "+66 2 123 ####",
    "0044 20 7946 ####",
    "00 49 30 1234####",
    "011 44 20 7946 ####",
    "+1 N## N## #### ext. 12",
    "+1-N##-N##-#### x345",
    "+44 20 7946 #### ext 7",
]
_FORMATTED = "(N##) N##-####|(N##)N##-####|N##-N##-####|N##.N##.####|1-N##-N##-####|1 (N##) N##-####|(N##) N##-#### x12|N##-N##-#### ext. 99|(N##) 555-01##"
_NATIONAL = (
    "N## N## ####|N##N######|020 7946 0###|07700 900###|0161 496 0###|030 12345##|0171 234####|0171/234####|06 12 34 ## ##|06.12.34.##.##"
    "|0612345###|612 345 ###|91 123 45 ##|02 9876 54##|0412 345 ###|03-1234-####|090-1234-####|138 1234 ####|1381234####|(11) 91234-####"
    "|8 (495) 123-##-##|044 668 ## ##|0664 123 ####|555-01##|98765 4####"
)
_PHONE_WORDS = (
    "phone: |Phone: |tel. |Tel: |TEL |phone number is |mobile: |Mobile |my cell is |fax: |Fax +|call me at |call |Telefon: |Telefonnummer: |Handy: "
    '|téléphone : |tél. |móvil: |teléfono: |celular |telefone: |cellulare: |tlf. |тел. |телефон: |电话：|phone=|"phone": "|mobile_number=|customer_phone: |phoneNumber: '
    "|whatsapp |contact number: "
)


def phone(rng: random.Random) -> tuple[str, str]:
    """Return a number and what has to be said before it, which is nothing if it is plain by itself."""
    kind = rng.random()
    if kind < 0.5:
        return _spelt(rng, rng.choice(_INTERNATIONAL)), ""
    if kind < 0.7:
        return _spelt(rng, rng.choice(_FORMATTED.split("|"))), ""
    words = [word for word in _PHONE_WORDS.split("|") if "+" not in word]
    return _spelt(rng, rng.choice(_NATIONAL.split("|"))), rng.choice(words)


_CARDS = (
    ("4", 16), ("4", 16), ("4", 19), ("51", 16), ("55", 16), ("2221", 16), ("2400", 16), ("2720", 16), ("34", 15), ("37", 15),
    ("300", 14), ("305", 14), ("36", 14), ("38", 14), ("3528", 16), ("3589", 16), ("6011", 16), ("644", 16), ("65", 16),
    ("622126", 16), ("62", 16), ("62", 19), ("5018", 16), ("6304", 16), ("6759", 16), ("6761", 18), ("5020", 12), ("2200", 16),
)  # fmt: skip


def luhn(payload: str) -> str:
    """Return the payload with its check digit."""
    total = 0
    for place, digit in enumerate(reversed(payload)):
        value = int(digit) * (2 - place % 2)
        total += value - 9 * (value > 9)
    return payload + str(-total % 10)


def card(rng: random.Random) -> str:
    prefix, length = rng.choice(_CARDS)
    digits = luhn(prefix + _digits(rng, length - len(prefix) - 1))
    sizes = [4, 6, 5] if length == 15 else [4, 6, 4] if length == 14 else [4] * 5
    separator = rng.choice(["", "", " ", "-", " ", ".", "\u00a0"])
    groups, position = [], 0
    for size in sizes if separator else [length]:
        groups.append(digits[position : position + size])
        position += size
    return separator.join(filter(None, groups))


def ssn(rng: random.Random) -> tuple[str, str]:
    area = rng.choice([n for n in range(1, 900) if n != 666])
    parts = f"{area:03}", f"{rng.randint(1, 99):02}", f"{rng.randint(1, 9999):04}"
    if rng.random() < 0.25:
        return "".join(parts), rng.choice(
            ["SSN: ", "ssn=", "social security number ", '"ssn": "', "SSN ", "Social Security No. "]
        )
    return rng.choice(["-", "-", "-", " ", "\u2011"]).join(parts), ""


_IBANS = {
    "AD": "nnnnnnnncccccccccccc", "AE": "n" * 19, "AT": "n" * 16, "BE": "n" * 12, "BG": "aaaannnnnncccccccc", "BR": "n" * 23 + "ac",
    "CH": "n" * 5 + "c" * 12, "CY": "n" * 8 + "c" * 16, "CZ": "n" * 20, "DE": "n" * 18, "DK": "n" * 14, "EE": "n" * 16, "ES": "n" * 20,
    "FI": "n" * 14, "FR": "n" * 10 + "c" * 11 + "nn", "GB": "aaaa" + "n" * 14, "GR": "n" * 7 + "c" * 16, "HR": "n" * 17, "HU": "n" * 24,
    "IE": "aaaa" + "n" * 14, "IL": "n" * 19, "IS": "n" * 22, "IT": "a" + "n" * 10 + "c" * 12, "LT": "n" * 16, "LU": "nnn" + "c" * 13,
    "LV": "aaaa" + "c" * 13, "MT": "aaaa" + "n" * 5 + "c" * 18, "NL": "aaaa" + "n" * 10, "NO": "n" * 11, "PL": "n" * 24,
    "PT": "n" * 21, "RO": "aaaa" + "c" * 16, "SA": "nn" + "c" * 18, "SE": "n" * 20, "SI": "n" * 15, "SK": "n" * 20, "TR": "n" * 6 + "c" * 16,
    "UA": "n" * 6 + "c" * 19, "XK": "n" * 16, "SC": "aaaa" + "n" * 20 + "aaa", "LC": "aaaa" + "c" * 24,
}  # fmt: skip


def iban(rng: random.Random) -> str:
    country = rng.choice(sorted(_IBANS))
    alphabets = {"n": string.digits, "a": string.ascii_uppercase, "c": string.digits + string.ascii_uppercase}
    account = "".join(rng.choice(alphabets[kind]) for kind in _IBANS[country])
    number = int("".join(str(int(c, 36)) for c in f"{account}{country}00"))
    whole = f"{country}{98 - number % 97:02}{account}"
    if rng.random() < 0.5:
        whole = rng.choice([" ", " ", "-", "\u00a0"]).join(whole[i : i + 4] for i in range(0, len(whole), 4))
    return whole.lower() if rng.random() < 0.2 else whole


def ip(rng: random.Random) -> tuple[str, str, str]:
    """Return an address and what may stand around it."""
    if rng.random() < 0.6:
        first = rng.choice([10, 23, 52, 81, 127, 172, 192, 203, 8])
        text = f"{first}.{rng.randint(0, 255)}.{rng.randint(0, 255)}.{rng.randint(0, 255)}"
        return text, *rng.choice(
            [("", ""), ("", ""), ("", f":{rng.randint(80, 65535)}"), ("[", "]"), ("", "/24"), ("ip=", ""), ("/", "")]
        )
    address = ipaddress.IPv6Address(rng.getrandbits(96) | 0x2001_0DB8 << 96)
    short = ipaddress.IPv6Address((0x2001_0DB8 << 96) | rng.getrandbits(16))
    text = rng.choice(
        [
            str(address),
            address.exploded,
            str(short),
            str(address).upper(),
            f"fe80::{rng.getrandbits(16):x}%eth0",
            "::1",
            f"::ffff:192.0.2.{rng.randint(1, 254)}",
        ]
    )
    return text, *rng.choice([("", ""), ("", ""), ("[", f"]:{rng.randint(80, 65535)}"), ("", "/64")])


def url(rng: random.Random) -> str:
    host = rng.choice(
        ["example.com", "api.example.org:8443", "db.internal", "bucket.s3.eu-west-1.amazonaws.com", "10.1.2.3"]
    )
    token = _letters(rng, rng.randint(12, 40))
    return rng.choice(
        [
            f"https://{rng.choice(_FIRST[:2])}:{token[:12]}@{host}/path",
            f"postgres://app:{token[:10]}@{host}/shop",
            f"postgresql+psycopg://app:{token[:10]}@db:5432/shop?sslmode=require",
            f"redis://:{token[:16]}@{host}/0",
            f"mongodb+srv://root:{token}@{host}/admin?retryWrites=true",
            f"amqp://guest:{token[:8]}@rabbit:5672/%2F",
            f"ftp://anna:{token[:8]}@{host}/file.csv",
            f"https://{host}/reset?token={token}",
            f"https://{host}/v1/items?limit=10&api_key={token}&page=2",
            f"https://{host}/cb#access_token={token}&token_type=bearer&expires_in=3600",
            f"https://{host}/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20261122%2Feu-west-1%2Fs3%2Faws4_request&X-Amz-Expires=900&X-Amz-Signature={rng.getrandbits(256):064x}",
            f"https://{host}/login?user=bob&password={token[:9]}",
            f"https://account.blob.core.windows.net/c/b?sv=2022-11-02&se=2026-01-01&sr=b&sp=r&sig={token}%3D",
            f"https://{host}/oauth?client_id=web&client_secret={token}",
            f"https://maps.example.com/api/geocode?address=Berlin&key=AIza{_letters(rng, 35)}",
            f"wss://{host}/socket?auth_token={token}",
        ],
    )


def _b64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def secret(rng: random.Random) -> tuple[str, str, str]:
    """Return a secret, and what stands around it."""
    token, hexadecimal = _letters(rng, 36), f"{rng.getrandbits(128):032x}"
    password = rng.choice(
        ["hunter2", "S3cr3t!", "correct-horse-battery", "p4ssw0rd#1", "Tr0ub4dor&3"[:9], "Zq9" + token[:6]]
    )
    claims = json.dumps({"sub": token[:10], "iat": 1_700_000_000}).encode()
    jwt = ".".join(map(_b64url, (b'{"alg":"HS256","typ":"JWT"}', claims, rng.randbytes(32))))
    basic = base64.b64encode(f"{rng.choice(_FIRST)}:{token[:9]}".encode()).decode()
    key = base64.b64encode(rng.randbytes(200)).decode()
    return rng.choice(
        [
            (jwt, "", ""),
            (jwt, "Authorization: Bearer ", ""),
            (jwt, '{"jwt": "', '"}'),
            ("AKIA" + _letters(rng, 16, string.ascii_uppercase + "234567"), "", ""),
            ("ASIA" + _letters(rng, 16, string.ascii_uppercase + "234567"), "aws_access_key_id = ", ""),
            (base64.b64encode(rng.randbytes(30)).decode(), "aws_secret_access_key=", ""),
            (base64.b64encode(rng.randbytes(30)).decode(), 'AWS_SECRET_ACCESS_KEY="', '"'),
            (base64.b64encode(rng.randbytes(30)).decode(), '{"SecretAccessKey": "', '"}'),
            (token, "Authorization: Bearer ", ""),
            (hexadecimal, 'curl -H "authorization: bearer ', '" https://example.com/'),
            (basic, "Authorization: Basic ", ""),
            (basic, "'Authorization': 'Basic ", "'"),
            (f"whsec_{token}", "", ""),
            (f"ghp_{token}", "", ""),
            (f"github_pat_{_letters(rng, 22)}_{_letters(rng, 40)}", "", ""),
            (f"glpat-{token[:20]}", "", ""),
            (f"xoxb-{_digits(rng, 11)}-{_digits(rng, 12)}-{token[:24]}", "", ""),
            (f"sk_live_{token[:24]}", "", ""),
            (f"rk_test_{token[:24]}", "key ", ""),
            (f"sk-proj-{token}", "", ""),
            (f"AIza{_letters(rng, 35)}", "", ""),
            (f"npm_{token}", "", ""),
            (f"SG.{_letters(rng, 22)}.{_letters(rng, 43)}", "", ""),
            (password, "password=", ""),
            (password, '{"user": "anna", "password": "', '"}'),
            (password, "db_password: ", ""),
            (password, "passwd='", "'"),
            (password, "DB_PASSWORD=", ""),
            (password, '\\"password\\": \\"', '\\"'),
            (token, "client_secret=", ""),
            (token, '"api_key": "', '"'),
            (hexadecimal, "X-Api-Key: ", ""),
            (hexadecimal, "access_token=", ""),
            (
                f"-----BEGIN RSA PRIVATE KEY-----\n{key[:64]}\n{key[64:128]}\n{key[128:]}\n-----END RSA PRIVATE KEY-----",
                "",
                "",
            ),
            (f"-----BEGIN PRIVATE KEY-----\\n{key}\\n-----END PRIVATE KEY-----", '{"private_key": "', '\\n"}'),
        ],
    )


# The text around them.

_CARRIERS = (
    '{}|Please write to {} today.|{}.|({})|<{}>|\'{}\'|"{}"|[{}]|Contact {}, or wait|value={} status=200|{{"value": "{}", "n": 3}}|level=info msg="saw {}" took=12ms'
    "|2026-11-22T20:26:01.123Z INFO handler saw {} in request 3f2a9c1d|1,anna,{},Berlin,2026-11-22|anna;{};12.50|anna\t{}\t17|Is it {}?|it is {}!|first line\n{}\nlast line"
    "|ValueError: cannot accept {}|Bitte an {} senden.|Merci d'utiliser {} pour cela|Por favor use {} hoy|請使用 {} 。|Используйте {} сегодня|key: {}|- {}"
    "|<td>{}</td>|user said: {} (twice)|args=('{}', 3)|{} was refused|“{}”|`{}`|/* {} */|→ {}"
)


def _carried(rng: random.Random, value: str, kind: str, before: str = "", behind: str = "") -> Sample:
    carrier = rng.choice(_CARRIERS.split("|"))
    if '"' in before and '"' not in behind:
        behind += '"'
    front, _, rest = carrier.partition("{}")
    front, rest = front.replace("{{", "{"), rest.replace("}}", "}")
    start = len(front) + len(before)
    return Sample(front + before + value + behind + rest, ((start, start + len(value), kind),))


def _email(rng: random.Random) -> Sample:
    return _carried(rng, email(rng), "EMAIL", rng.choice(["", "", "", "mailto:", "email=", "From: "]))


def _phone(rng: random.Random) -> Sample:
    value, before = phone(rng)
    return _carried(rng, value, "PHONE", before)


def _card(rng: random.Random) -> Sample:
    return _carried(rng, card(rng), "CREDIT_CARD", rng.choice(["", "", "card ", "pan=", "Visa: "]))


def _ssn(rng: random.Random) -> Sample:
    value, before = ssn(rng)
    return _carried(rng, value, "US_SSN", before)


def _iban(rng: random.Random) -> Sample:
    return _carried(rng, iban(rng), "IBAN", rng.choice(["", "", "IBAN: ", "iban="]))


def _ip(rng: random.Random) -> Sample:
    value, before, behind = ip(rng)
    return _carried(rng, value, "IP_ADDRESS", before, behind)


def _url(rng: random.Random) -> Sample:
    return _carried(rng, url(rng), "URL", rng.choice(["", "", "GET ", "url="]))


def _secret(rng: random.Random) -> Sample:
    value, before, behind = secret(rng)
    sample = _carried(rng, value, "SECRET", before, behind)
    while sample.text.endswith("!") and before and not behind:  # it might be the password's last character
        sample = _carried(rng, value, "SECRET", before, behind)
    return sample


_KINDS: tuple[Callable[[random.Random], Sample], ...] = (_email, _phone, _card, _ssn, _iban, _ip, _url, _secret)


def positives(count: int, seed: int = 5) -> Iterator[Sample]:
    """Yield texts with one value each, and some with several, the kinds in turn."""
    rng = random.Random(seed)  # noqa: S311 - samples
    for number in range(count):
        sample = _KINDS[number % len(_KINDS)](rng)
        if rng.random() < 0.15:
            sample = _joined(sample, rng.choice(_KINDS)(rng), rng.choice(["\n", " | ", ", ", " and "]))
        yield sample


def _joined(one: Sample, other: Sample, between: str) -> Sample:
    offset = len(one.text) + len(between)
    return Sample(
        one.text + between + other.text,
        one.spans + tuple((start + offset, end + offset, kind) for start, end, kind in other.spans),
    )


# What only looks like personal data.


def _no_luhn(rng: random.Random, length: int) -> str:
    """Return digits that are no card's; an order's number may be one by accident, which nobody could tell."""
    while True:
        digits = rng.choice("123456789") + _digits(rng, length - 1)
        if luhn(digits[:-1]) != digits:
            return digits


def _hash(rng: random.Random) -> str:
    return f"{rng.getrandbits(256):064x}"[: rng.choice([7, 8, 12, 32, 40, 64])]


def _isbn(rng: random.Random) -> str:
    return rng.choice(
        [
            _spelt(rng, "ISBN 978-3-16-14####-#"),
            _spelt(rng, "978-0-####-####-#"),
            _spelt(rng, "ISBN 0-306-#####-#"),
            _spelt(rng, "97801######12"),
        ]
    )


def _tracking(rng: random.Random) -> str:
    return rng.choice(
        [
            _spelt(rng, "1Z999AA10#########"),
            _spelt(rng, "94001##########" + "#######"),
            _spelt(rng, "9400 1### #### #### #### ##"),
            _spelt(rng, "tracking 7######### ##"[:-3]),
            _spelt(rng, "JD01460000########"),
            _spelt(rng, "RR#########DE"),
            _spelt(rng, "FedEx 7489 1### ####"),
        ],
    )


_PACKAGES = "left-pad@1.3.0 @scope/pkg@1.0 lodash@4.17.21 react@18.2.0-rc.1 requests==2.31.0 numpy>=1.26.4 pkg@latest types@v2.0 icon@2x.png logo@3x.webp user@1000.service getty@tty1.service git@github.com:acme/shop.git"
_CODE = (
    'File "/var/task/app/handler.py", line 128, in handle|raise ValueError(f"bad {name!r}")|    return self._client.get(url, timeout=3.05)|def f(password: str) -> None:|password = getpass()'
    "|client = Client(api_key=api_key, token=token)|@app.get('/items/{item_id}')|x = a[::2] + b[1::2]|std::vector<int> v;|a @ b.T|refs/heads/feature/1234-fix|HEAD~3..origin/main|feat(api)!: drop v1.2"
    "|.card::before { margin: 0.25rem 1.5rem; color: #4a5b6c; }|z-index: 2147483647;|password is required|token expired|invalid password|Password: required|secret not found|authentication token missing"
    "|passwords must match|tokens: 4096|max_tokens=4096|next_page_token=abc|basic authentication|the bearer of this|Authorization header missing|api key not set|password=None|password=***|token=<redacted>|password: incorrect"
    "|KeyError: 'password'|raise Unauthorized('token is expired')|os.environ['SECRET_KEY']|secret_name=prod/db|key=user:42:profile"
)
_DULL = "https://example.com/items?id=3&page=2|https://example.com/docs/v1.2.3/#section-4|http://localhost:8000/health|s3://bucket/key/2026/11/22/file.csv|arn:aws:lambda:eu-west-1:123456789012:function:shop|https://sqs.eu-west-1.amazonaws.com/123456789012/jobs|https://cdn.example.com/a.b.c/app.4f3c2b1a.min.js"
_LINES: tuple[Callable[[random.Random], str], ...] = (
    lambda r: f"order {_no_luhn(r, r.randint(6, 16))} shipped",
    lambda r: f"Order #{_spelt(r, '11#-#######-#######')}",
    lambda r: f"INV-{_digits(r, 4)}-{_digits(r, 6)} paid",
    lambda r: f"ts={r.randint(1_500_000_000, 1_800_000_000)} level=info",
    lambda r: f'{{"timestamp": {r.randint(1_500_000_000_000, 1_800_000_000_000)}, "n": {r.randint(1, 99)}}}',
    lambda r: f"{r.randint(1_500_000_000_000_000_000, 1_800_000_000_000_000_000)} ns",
    lambda r: f"2026-{r.randint(1, 12):02}-{r.randint(1, 28):02} {r.randint(0, 23):02}:{r.randint(0, 59):02}:{r.randint(0, 59):02},{r.randint(0, 999):03} INFO started",
    lambda r: f"{r.randint(1, 28):02}/{r.randint(1, 12):02}/20{r.randint(10, 30)} {r.randint(0, 23):02}:{r.randint(0, 59):02} +0{r.randint(0, 9)}00",
    lambda r: f"20261122{r.randint(0, 235959):06}",
    lambda r: f"request_id={uuid.UUID(int=r.getrandbits(128), version=4)} done",
    lambda r: str(uuid.UUID(int=r.getrandbits(128))).upper(),
    lambda r: "-".join(_digits(r, n) for n in (8, 4, 4, 4, 12)),
    lambda r: f"commit {_hash(r)}",
    lambda r: f"sha256:{r.getrandbits(256):064x}",
    lambda r: f'etag "{r.getrandbits(128):032x}-{r.randint(1, 99)}"',
    lambda r: f"total ${r.randint(1, 999)},{_digits(r, 3)}.{_digits(r, 2)} EUR {r.randint(1, 99)}.{_digits(r, 3)},{_digits(r, 2)}",
    lambda r: f"price: {r.randint(1, 9999)}.{_digits(r, 2)} x {r.randint(1, 9)}",
    lambda r: f"v{r.randint(0, 20)}.{r.randint(0, 99)}.{r.randint(0, 99)}.{r.randint(0, 99)}",
    lambda r: f"{r.choice(['version', 'firmware', 'release', 'Version:', 'upgraded to', 'driver version'])} {r.randint(1, 20)}.{r.randint(0, 9)}.{r.randint(0, 99)}.{r.randint(0, 9)}",
    lambda r: f"Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{r.randint(80, 130)}.0.0.0 Safari/537.36",
    lambda r: f"libfoo-{r.randint(0, 9)}.{r.randint(0, 9)}.{r.randint(0, 9)}.{r.randint(0, 9)}.tar.gz",
    lambda r: f"{r.uniform(-90, 90):.6f}, {r.uniform(-180, 180):.6f}",
    lambda r: f"lat={r.uniform(-90, 90):.7f} lon={r.uniform(-180, 180):.7f}",
    lambda r: f"app.module.{r.choice(['views', 'models'])}.v{r.randint(1, 9)}.py report.{r.randint(2000, 2030)}.final.tar.gz",
    lambda r: r.choice(_PACKAGES.split()),
    _isbn,
    _tracking,
    lambda r: ":".join(f"{r.getrandbits(8):02x}" for _ in range(6)),
    lambda r: "-".join(f"{r.getrandbits(8):02X}" for _ in range(6)),
    lambda r: ":".join(f"{r.getrandbits(8):02x}" for _ in range(8)),
    lambda r: base64.b64encode(r.randbytes(r.randint(12, 60))).decode(),
    lambda r: f"data:image/png;base64,{base64.b64encode(r.randbytes(90)).decode()}",
    lambda r: r.choice(_CODE.split("|")),
    lambda r: r.choice(_DULL.split("|")),
    lambda r: f"@@ -{r.randint(1, 999)},{r.randint(1, 99)} +{r.randint(1, 999)},{r.randint(1, 99)} @@",
    lambda r: f"lines {r.randint(100, 999)}-{r.randint(1000, 9999)} of {r.randint(10_000, 99_999)}",
    lambda r: f"ratio {r.random()!r}",
    lambda r: f"REPORT RequestId: {uuid.UUID(int=r.getrandbits(128))}\tDuration: {r.uniform(1, 999):.2f} ms\tMemory Size: 512 MB",
    lambda r: f'"GET /items/{r.randint(1, 10**9)} HTTP/1.1" 200 {r.randint(100, 99_999)} {r.randint(100, 999)}',
    lambda r: f"1-{r.getrandbits(32):08x}-{r.getrandbits(96):024x}",
    lambda r: f"account {_digits(r, 12)} region eu-west-1 job 01J{_letters(r, 23, string.digits + 'ABCDEFGHJKMNPQRSTVWXYZ')}",
    lambda r: f"range 10-{_digits(r, 3)} bytes={r.randint(0, 10**6)}-{r.randint(10**6, 10**9)}/{r.randint(10**9, 10**10)}",
    lambda r: f"{r.choice(['000', '666', '9' + _digits(r, 2)])}-{r.randint(10, 99)}-{r.randint(1000, 9999)}",
    lambda r: f"article 4{_digits(r, 11)} in stock, EAN {r.choice('0123456789')}{_digits(r, 12)}",
    lambda r: f"pid={r.randint(1, 99999)} tid={r.randint(10**14, 10**15 - 1)} {r.randint(10**8, 10**9 - 1)} objects",
    lambda r: f"chapter {r.randint(1, 9)}.{r.randint(1, 9)}.{r.randint(1, 9)}.{r.randint(1, 9)} and OID 1.3.6.1.4.1.{r.randint(1, 9999)}",
    lambda r: f"build 2026.11.22.{r.randint(1, 999)} took {r.randint(1, 99)}:{r.randint(10, 59)}:{r.randint(10, 59)}.{_digits(r, 3)}",
    lambda r: f"🎉 {r.randint(1, 9)}️⃣ done ✅ {r.randint(1, 100)}% → {r.randint(1, 10**7):,}",
    lambda r: f"call_id={r.randint(10**9, 10**10 - 1)} called {r.randint(10**7, 10**8)} times; phone call took {r.randint(1, 9999)} ms",
)  # fmt: skip


def negatives(count: int, seed: int = 6) -> Iterator[Sample]:
    """Yield texts that hold nothing, though they look like it."""
    rng = random.Random(seed)  # noqa: S311 - samples
    for number in range(count):
        yield Sample(_LINES[number % len(_LINES)](rng))


def log_lines(count: int, seed: int = 7) -> list[str]:
    """Return ordinary log lines without personal data, in the shape that functions on Lambda write."""
    rng = random.Random(seed)  # noqa: S311 - samples
    return [_log_line(rng) for _ in range(count)]


def _log_line(rng: random.Random) -> str:
    line = {
        "level": rng.choice(["INFO", "INFO", "WARNING"]),
        "location": f"handle:{rng.randint(10, 400)}",
        "message": rng.choice(
            [
                "job claimed",
                "attempt ended",
                "message sent to the queue",
                "checkpoint written; going on",
                "nothing to do",
            ]
        ),
        "timestamp": f"2026-11-22 20:26:{rng.randint(0, 59):02},{rng.randint(0, 999):03}+0000",
        "service": "afterward",
        "job": str(uuid.UUID(int=rng.getrandbits(128), version=4)),
        "function_request_id": str(uuid.UUID(int=rng.getrandbits(128), version=4)),
        "cold_start": False,
        "took_ms": round(rng.uniform(1, 900), 2),
        "xray_trace_id": f"1-{rng.getrandbits(32):08x}-{rng.getrandbits(96):024x}",
    }
    return json.dumps(line)
