"""A second labelled set, made by another hand: values by faker in its countries' formats, sentences as they are written.

Run where faker is installed; it prints one JSON object per line: the text, and its spans. tests/support/pii_samples.py
shares nothing with it, so that a detector fitted to the one is found out by the other.
Usage: python benchmarks/_foreign.py COUNT SEED
"""

# ruff: noqa: E501 - rows of formats and of texts, one a line, in many scripts

import base64
import importlib
import json
import random
import sys
import uuid
from collections.abc import Callable, Iterator
from typing import Any

Labelled = tuple[str, list[tuple[int, int, str]]]

# Whoever writes to others in a language gives numbers as they are given in its countries.
SAID = {
    "en_US": ("My phone number is {}.", "You can reach me at {}, any time.", "call me on {} please", "Phone: {}", "T: {}", "Cell {}"),
    "en_GB": ("Ring us on {}.", "Our telephone number: {}", "mobile {}", "Tel. {}", "Contact number {}", "Please call {} to book."),
    "en_IN": ("Mobile no. {}", "Please call {}", "Ph: {}", "Contact: {}", "My mobile number is {}", "WhatsApp {}"),
    "en_AU": ("Phone {}", "call {} now", "Mobile: {}", "my number is {}"),
    "en_CA": ("Phone: {}", "My new number is {}", "fax: {}", "text me at {}"),
    "de_DE": ("Telefon: {}", "Sie erreichen mich unter {}.", "Tel.: {}", "Meine Handynummer ist {}.", "Bitte rufen Sie {} an", "Fax {}"),
    "de_AT": ("Tel: {}", "Telefonnummer {}", "Mobil: {}"),
    "de_CH": ("Tel. {}", "Telefon {}", "Mobile {}"),
    "fr_FR": ("Téléphone : {}", "Mon numéro de téléphone est le {}.", "Tél. {}", "Appelez-moi au {}", "Portable : {}"),
    "es_ES": ("Teléfono: {}", "Mi número de teléfono es {}", "Tel: {}", "Llámame al {}", "Móvil {}"),
    "it_IT": ("Telefono: {}", "Il mio numero di telefono è {}", "Cell. {}", "Tel. {}"),
    "nl_NL": ("Telefoon: {}", "Mijn telefoonnummer is {}", "Bel mij op {}", "Tel {}"),
    "pt_BR": ("Telefone: {}", "Meu celular é {}", "Ligue para {}", "Tel.: {}"),
    "pl_PL": ("Telefon: {}", "Mój numer telefonu to {}", "tel. {}", "kom. {}"),
    "sv_SE": ("Telefon: {}", "Mitt telefonnummer är {}", "Mobil: {}", "Ring {}"),
    "ja_JP": ("電話番号: {}", "電話:{}", "携帯 {}", "TEL {}"),
    "zh_CN": ("手机号:{}", "电话:{}", "我的手机号码是{}", "联系电话 {}"),
    "ru_RU": ("Телефон: {}", "тел. {}", "Мой номер телефона {}", "Звоните: {}"),
    "tr_TR": ("Telefon: {}", "Tel: {}", "Cep telefonu: {}"),
    "da_DK": ("Telefon: {}", "Tlf. {}", "Mobil: {}"),
}  # fmt: skip
FIELDS = (
    '{{"name": "Ann", "phone": "{}", "age": 31}}', "phone={}", 'phone_number: "{}"', "Ann Lee,phone {},Berlin", "<phone>{}</phone>",
    "| phone | {} |", "'mobile': '{}'", '"phoneNumber":"{}"', "contact_phone={}&x=1", "tel:{}", "Phone\t{}\n", "user.phone: {}",
)  # fmt: skip
PLAIN = (
    "I saw {} on it.",
    "{}",
    "Ann Lee, {}, Boston",
    "see {} for more",
    "({})",
    "- {}\n",
    '"{}"',
    "Ann;{};x",
    "Regards\nAnn Lee\n{}",
)
TEXTS = (
    "{}", "{}.", "Hello, it is {} as you asked.", "I'd like to change it to {}, thanks!", '{{"value":"{}"}}', '{{"a": 1, "b": ["{}", "x"]}}',
    "2023-04-05 06:07:08,901 - app.main - INFO - received {} from client", "[2023-04-05T06:07:08Z] ERROR x: bad value '{}'", "a,b,{},d", "a;{};d",
    "a|{}|d", "<b>{}</b>", "key={}", "key={}&next=1", "key: {}\n", "\t{}\n", "Is {} right?", "({})", "“{}”", "* {} *", "see:{}", 'value="{}"',
    "INSERT INTO t VALUES (1, '{}', NULL);", "user 17 sent {} at 10:05", "{} was declined", "Dear Sir,\n\nI write about {}.\n\nBest", "`{}`",
    "msg={} level=info", "- {}", "{{'k': '{}'}}", "¿Es {} correcto?", "Das ist {}, oder?", "Voici {} !", "请看{}。", "Это {}.", "これは {} です",
    "{}\r\n", "x ->{}<- y", "foo/{}", "the following: {}; ok", "[{}]", "“{}”, he said", "#1 {}", "{} {}", "{}, {}", "{}\n{}", "{}/{}",
)  # fmt: skip


class Maker:
    def __init__(self, seed: int) -> None:
        package: Any = importlib.import_module("faker")
        self.random = random.Random(seed)  # noqa: S311 - samples
        self.fakers: dict[str, Any] = {locale: package.Faker(locale) for locale in SAID}
        package.Faker.seed(seed)
        self.unused: list[str] = []

    def us(self) -> Any:
        return self.fakers["en_US"]

    def carried(self, make: Callable[[], tuple[str, str]], texts: tuple[str, ...] = TEXTS) -> Labelled:
        """Put one value or two into a text; before the value may stand what belongs to no span."""
        parts = self.random.choice(texts).split("{}")
        if len(parts) > 2 and self.random.random() < 0.8:  # noqa: PLR2004 - two places; mostly one is enough
            return self.carried(make, texts)
        text, spans = "", []
        for part in parts[:-1]:
            value, kind = make()
            text += part.replace("{{", "{").replace("}}", "}")
            spans.append((len(text), len(text) + len(value), kind))
            text += value
        return text + parts[-1].replace("{{", "{").replace("}}", "}"), spans

    def phone(self) -> Labelled:
        locale = self.random.choice([*SAID, "en_US", "en_US", "en_US"])
        faker = self.fakers[locale]
        number = faker.phone_number()
        if locale == "en_US" and self.random.random() < 0.4:  # noqa: PLR2004 - as forms give it
            number = faker.numerify(
                self.random.choice(
                    [
                        "(%##) %##-####",
                        "%##-%##-####",
                        "%##.%##.####",
                        "+1 %## %## ####",
                        "+1 (%##) %##-####",
                        "1-%##-%##-####",
                        "+1%##%######",
                    ]
                )
            )
        written = number.startswith(("+", "00", "(")) or (locale in {"en_US", "en_CA"} and not number.isdigit())
        texts = SAID[locale] + FIELDS + (PLAIN if written else ())
        return self.carried(lambda: (number, "PHONE"), texts)

    def email(self) -> Labelled:
        def make() -> tuple[str, str]:
            faker = self.fakers[self.random.choice(list(self.fakers))]
            value = self.random.choice([faker.email, faker.company_email, faker.free_email, faker.ascii_safe_email])()
            style = self.random.random()
            if style < 0.1:  # noqa: PLR2004 - a tenth
                value = value.upper()
            elif style < 0.2:  # noqa: PLR2004 - another
                value = value.replace("@", f"+{faker.word() if faker.word().isascii() else 'tag'}@")
            elif style < 0.25:  # noqa: PLR2004 - some
                value = (
                    self.us().first_name()
                    + "@"
                    + self.random.choice(
                        ["müller.de", "日本語.jp", "bücher.ch", "почта.рф", "mañana.com", "xn--mller-kva.de"]
                    )
                )
            return value, "EMAIL"

        return self.carried(
            make,
            (
                *TEXTS,
                "Ann <{}>",
                '"Lee, Ann" <{}>',
                "mailto:{}",
                "mailto:{}?subject=Hi",
                "to={}",
                "From: {}\r\nTo: x",
                "email:{}",
                "https://x.io/u?email={}&a=1",
            ),
        )

    def card(self) -> Labelled:
        def make() -> tuple[str, str]:
            kind = self.random.choice(
                ["visa16", "visa19", "mastercard", "amex", "discover", "diners", "jcb16", "jcb15", "maestro", "visa13"]
            )
            digits = self.us().credit_card_number(kind) if kind != "visa13" else self.us().credit_card_number("visa")
            if len(digits) == 13:  # noqa: PLR2004 - alone it may be an article's number
                return digits, "CREDIT_CARD"
            separator = self.random.choice(["", "", "", " ", "-", " ", "\u2013", "\u00a0", "."])
            sizes = {15: (4, 6, 5), 14: (4, 6, 4), 12: (4, 4, 4)}.get(len(digits), (4, 4, 4, 4, 3))
            groups, at = [], 0
            for size in sizes:
                groups.append(digits[at : at + size])
                at += size
            return separator.join(group for group in groups if group), "CREDIT_CARD"

        return self.carried(
            make,
            (
                *TEXTS,
                "My card is {}",
                "card_number={}",
                "CC: {}, exp 09/27",
                "pay with {} 12/26 123",
                '"cardNumber":"{}"',
                "Visa {}",
                "{} 09/27 cvv 123",
            ),
        )

    def ssn(self) -> Labelled:
        digits = self.us().ssn().replace("-", "")
        if self.random.random() < 0.3:  # noqa: PLR2004 - with its name
            return self.carried(
                lambda: (digits, "US_SSN"),
                (
                    "ssn {}",
                    "SSN: {}",
                    "My social security number is {}",
                    "ssn={}",
                    '"ssn": "{}"',
                    "social security: {}",
                    "SSN# {}",
                    "SSN#{}",
                    "SSN no. {}",
                    "Social Security Number (SSN): {}",
                    "social_security_number={}",
                    "user_ssn: {}",
                    "<ssn>{}</ssn>",
                    "Her SSN was {}.",
                    "Taxpayer SSN {}",
                    '"SSN":{}',
                ),
            )
        separator = self.random.choice("---- \u2011\u2013")
        return self.carried(lambda: (separator.join((digits[:3], digits[3:5], digits[5:])), "US_SSN"))

    def iban(self) -> Labelled:
        def make() -> tuple[str, str]:
            locale = self.random.choice(
                ["de_DE", "en_GB", "fr_FR", "es_ES", "it_IT", "nl_NL", "pl_PL", "de_AT", "de_CH", "tr_TR"]
            )
            value = self.fakers[locale].iban()
            style = self.random.random()
            if style < 0.4:  # noqa: PLR2004 - as on paper
                value = " ".join(value[at : at + 4] for at in range(0, len(value), 4))
            elif style < 0.5:  # noqa: PLR2004 - some
                value = "-".join(value[at : at + 4] for at in range(0, len(value), 4))
            return (value.lower() if self.random.random() < 0.2 else value), "IBAN"  # noqa: PLR2004 - a fifth

        return self.carried(
            make,
            (
                *TEXTS,
                "IBAN {}",
                "IBAN: {} BIC: DEUTDEFF",
                "iban={}",
                "Bitte überweisen Sie auf {}.",
                "Account {} was debited",
                "IBAN:{},BIC:X",
            ),
        )

    def ip(self) -> Labelled:
        def make() -> tuple[str, str]:
            faker = self.us()
            return self.random.choice(
                [faker.ipv4, faker.ipv4_private, faker.ipv4_public, faker.ipv6, lambda: self._six(faker)]
            )(), "IP_ADDRESS"

        texts = (*TEXTS, "from {}:443 to x", "net {}/24", "client={}, server: x", '{} - - [10/Oct/2023:13:55:36 +0000] "GET / HTTP/1.1" 200 2326', "http://{}/index.html", "X-Forwarded-For: {}, {}",
                 "Connection from {} port 22 on eth0", "ssh root@{}", "ip={}", "SRC={} DST={} LEN=40", "inet {} netmask", "ping {}", "Failed password for root from {} port 4711 ssh2")  # fmt: skip
        while True:
            text, spans = self.carried(make, texts)
            six = ":" in text[spans[0][0] : spans[0][1]]
            if not (six and ("http://" in text or ":443" in text)):
                return text, spans

    def _six(self, faker: Any) -> str:
        six = faker.ipv6().split(":")
        return self.random.choice(
            [
                f"{six[0]}::{six[1]}", f"fe80::{six[2]}:{six[3]}", f"2001:db8::{six[4]}", f"::ffff:{faker.ipv4()}", ":".join(six).upper(), f"2001:db8:{six[0]}::1",
                f"{six[0]}:{six[1]}:{six[2]}:{six[3]}::", "::1", f"fe80::{six[5]}%eth0",
            ]
        )  # fmt: skip

    def url(self) -> Labelled:
        def make() -> tuple[str, str]:
            faker, token = self.us(), self.token(self.random.randint(16, 40))
            host = faker.domain_name()
            return self.random.choice(
                [
                    f"https://{faker.user_name()}:{faker.password(special_chars=False)}@{host}/{faker.uri_path()}", f"ftp://{faker.user_name()}:{token}@{host}",
                    f"mysql://root:{token}@{faker.ipv4()}:3306/db", f"postgres://u:{token}@{host}:5432/{faker.word()}", f"https://{host}/{faker.uri_path()}?token={token}",
                    f"https://api.{host}/v1?api_key={token}", f"https://{host}/?apikey={token}&q=x", f"https://{host}/login?access_token={token}", f"https://{host}/a?sig={token}",
                    f"https://b.s3.amazonaws.com/k?AWSAccessKeyId=AKIAIOSFODNN7EXAMPLE&Expires=1700000000&Signature={token}%3D", f"https://{host}/x?password={token[:10]}", f"https://{host}/x?session_id={token}",
                    f"https://storage.googleapis.com/b/o?X-Goog-Algorithm=GOOG4-RSA-SHA256&X-Goog-Credential=x%40y.iam&X-Goog-Signature={token}", f"https://{token}@github.com/a/b.git", f"https://x-access-token:{token}@github.com/a/b.git",
                    f"https://{host}/reset-password?reset_token={token}", f"https://{host}/cb?code={token}&state=abc", f"https://hooks.slack.com/services/T00000000/B00000000/{token[:24]}", f"mongodb://admin:{token[:9]}@{host}:27017/?authSource=admin", f"https://{host}/?auth={token}", f"https://{host}/u?jwt={self.jwt()}", f"https://d1.cloudfront.net/x?Expires=1&Signature={token}__&Key-Pair-Id=APKAIOSFODNN7EXAMPLE", f"smtp://user%40x.com:{token[:8]}@{host}:587", f"http://{host}/?secret={token}",
                ]
            ), "URL"  # fmt: skip

        texts = tuple(
            text
            for text in TEXTS
            if "{}/{}" not in text
            and "&next" not in text
            and text not in {"foo/{}", "a;{};d", "a,b,{},d", "* {} *", "{}, {}"}
        )
        return self.carried(make, texts)

    def token(self, count: int) -> str:
        return "".join(self.random.choices("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789", k=count))

    def jwt(self) -> str:
        head, body = (
            {"alg": "RS256", "kid": self.token(6)},
            {"sub": str(self.us().random_int()), "name": self.us().name()},
        )
        encoded = [base64.urlsafe_b64encode(json.dumps(one).encode()).decode().rstrip("=") for one in (head, body)]
        return ".".join([*encoded, self.token(43)])

    def secret(self) -> Labelled:
        faker, token = self.us(), self.token(40)
        password = faker.password(length=self.random.randint(8, 14), special_chars=False)
        kinds: list[tuple[str, tuple[str, ...]]] = [
            (self.jwt(), (*TEXTS, "Authorization: Bearer {}", "jwt={}", '"token":"{}"')), ("AKIA" + self.token(16).upper(), (*TEXTS, "aws_access_key_id={}")),
            (base64.b64encode(self.random.randbytes(30)).decode(), ("aws_secret_access_key = {}", "AWS_SECRET_ACCESS_KEY={}", "secret key: {}", '"secretAccessKey": "{}"', "AWS Secret Access Key: {}")),
            ("ghp_" + self.token(36), TEXTS), ("gho_" + self.token(36), TEXTS), ("sk_live_" + self.token(24), TEXTS), ("sk_test_" + self.token(24), TEXTS),
            (f"xoxb-{self.us().numerify('############')}-{self.us().numerify('############')}-{self.token(24)}", TEXTS), ("xoxp-" + self.token(30), TEXTS), ("whsec_" + base64.b64encode(self.random.randbytes(24)).decode(), TEXTS), ("whsec_" + self.token(32), TEXTS),
            ("glpat-" + self.token(20), TEXTS), ("AIzaSy" + self.token(33), TEXTS), ("npm_" + self.token(36), TEXTS), ("sk-" + self.token(48), TEXTS), ("sk-ant-api03-" + self.token(80), TEXTS), ("SG." + self.token(22) + "." + self.token(43), TEXTS),
            (token, ("Authorization: Bearer {}", "bearer {}", "Authorization: bearer {}", "authorization=Bearer {}", '"Authorization": "Bearer {}"', "curl -H 'Authorization: Bearer {}' https://x.io", "Bearer {}", "Authorization: Token {}", "x-api-key: {}", "api_key={}", "apiKey: '{}'", "API_KEY={}", "secret={}", "client_secret: {}", "auth_token={}", "refresh_token={}", '{{"access_token":"{}","expires_in":3600}}', "token={}", '"token": "{}"', "SECRET_KEY = '{}'", "token: {}", "export API_TOKEN={}", "session_token={}")),
            (str(uuid.UUID(int=self.random.getrandbits(128))), ("api_key={}", '"client_secret": "{}"', "Authorization: Bearer {}")),
            (password, ("password={}", "password: {}", '"password": "{}"', "pwd={}", "passwd={}", "DB_PASSWORD={}", "password is {}", "Password: {}", "user=ann password={} host=x", "'password': '{}'", "PGPASSWORD={} psql", "--password={}", "--password {}", "Server=x;User Id=ann;Password={};", "login failed for ann with password {}")),
            (f"-----BEGIN EC PRIVATE KEY-----\n{self.token(64)}\n{self.token(40)}\n-----END EC PRIVATE KEY-----", ("{}", "key:\n{}\n", '"{}"')),
            ("-----BEGIN OPENSSH PRIVATE KEY-----\n" + "\n".join(self.token(70) for _ in range(4)) + "\n-----END OPENSSH PRIVATE KEY-----", ("{}\n", "x {} y")),
            (base64.b64encode(f"{faker.user_name()}:{password}".encode()).decode(), ("Authorization: Basic {}", '"authorization":"Basic {}"')),
            ("hf_" + self.token(34), TEXTS), ("dop_v1_" + f"{self.random.getrandbits(256):064x}", TEXTS), ("ya29." + self.token(60), TEXTS), ("shpat_" + f"{self.random.getrandbits(128):032x}", TEXTS), ("rk_live_" + self.token(24), TEXTS), ("github_pat_" + self.token(22) + "_" + self.token(59), TEXTS), ("ASIA" + self.token(16).upper(), TEXTS),
        ]  # fmt: skip
        value, texts = self.random.choice(kinds)
        texts = tuple(text for text in texts if text not in {"{}/{}", "foo/{}", "{} {}"})
        return self.carried(lambda: (value, "SECRET"), texts)

    def nothing(self) -> Labelled:
        """Return a text of the kind that has not been used for the longest time."""
        self.unused = self.unused or self.looking_alike()
        return self.unused.pop(), []

    def number(self, count: int) -> str:
        return str(self.us().numerify("%" + "#" * (count - 1)))

    def no_card(self, count: int) -> str:
        """Return digits whose sum is not Luhn's: an order's number that is a card's number can be told from none."""
        while True:
            digits = self.number(count)
            doubled = (
                int(one) if at % 2 == 0 else sum(divmod(2 * int(one), 10)) for at, one in enumerate(reversed(digits))
            )
            if sum(doubled) % 10:
                return digits

    def looking_alike(self) -> list[str]:
        r, f, number, no_card = self.random, self.us(), self.number, self.no_card
        epoch = r.randint(1_000_000_000, 1_799_999_999)
        isbn = r.choice([f.isbn13(separator=r.choice(["-", "", " "])), f.isbn10(separator=r.choice(["-", ""]))])
        return [
            f"Order {number(r.randint(7, 12))} has shipped",
            f"order_id={no_card(r.randint(13, 19))}",
            f"Order #{number(3)}-{number(7)}-{number(7)}",
            f"PO-{number(6)}-{number(4)}",
            f'{{"orderId": {number(10)}, "qty": 2}}',
            f"invoice no. {number(8)} dated 2023-01-{r.randint(10, 28)}",
            f"ts={epoch}",
            f'{{"ts":{epoch}{number(3)},"v":1}}',
            f"[{epoch}.{number(6)}] tick",
            f"created_at: {epoch}",
            f"at {epoch} and {epoch + 60}",
            str(epoch),
            f"{epoch}{number(3)}",
            f.iso8601(),
            f"{f.date()} {f.time()}",
            f"{f.date(pattern='%d.%m.%Y')} um {f.time(pattern='%H:%M')}",
            f.date(pattern="%Y%m%d%H%M%S"),
            f.date(pattern="%d %m %Y"),
            f.date(pattern="%d-%m-%Y"),
            f.date(pattern="%m/%d/%Y"),
            f.uuid4(),
            f"id={f.uuid4()}",
            f'"trace": "{f.uuid4()}"',
            f.uuid4().upper(),
            f.uuid4().replace("-", ""),
            f.md5(),
            f.sha1(),
            f"sha256:{f.sha256()}",
            f"commit {f.sha1()}",
            f"merged {f.sha1()[:7]} into main",
            f"HEAD is now at {f.sha1()[:8]} fix {number(3)}",
            f"${number(3)}.{number(2)}",
            f"€{number(1)}.{number(3)},{number(2)}",
            f"Total: {number(2)},{number(3)},{number(3)}.{number(2)} USD",
            f"{number(1)} {number(3)} {number(3)},50 zł",
            f"price={number(4)}.99",
            f"CHF {number(1)}'{number(3)}.{number(2)}",
            f"¥{number(7)}",
            f"{number(3)} {number(3)} {number(3)} EUR",
            f"v{number(1)}.{number(2)}.{number(1)}",
            f"version {number(1)}.{number(1)}.{number(1)}.{number(1)}",
            f"v{number(1)}.{number(1)}.{number(1)}.{number(1)}",
            f"Version: {number(2)}.{number(1)}.{number(4)}.{number(2)}",
            f"ver. {number(1)}.{number(1)}.{number(2)}.{number(2)}",
            f"{number(2)}.{number(1)}.{number(4)}.{number(3)}",
            f"Chrome/{number(2)}.0.{number(4)}.{number(2)} Safari/537.36",
            "upgrade from 1.2.3.4 to version 1.2.3.5",
            f"app_version=2.{number(1)}.{number(1)}.{number(1)}",
            f'"version": "{number(1)}.0.{number(1)}.{number(1)}"',
            f"release-{number(1)}.{number(1)}.{number(1)}.{number(1)}",
            f"python{number(1)}.{number(2)}",
            f"foo-{number(1)}.{number(1)}.{number(1)}-py3-none-any.whl",
            f"v{number(1)}.{number(1)}.{number(1)}-rc.{number(1)}+build.{number(4)}",
            f"{f.latitude()}, {f.longitude()}",
            f"lat: {f.latitude()}, lng: {f.longitude()}",
            f"@{f.latitude()},{f.longitude()},15z",
            f'{{"lat":{f.latitude()},"lon":{f.longitude()}}}',
            f"geo:{f.latitude()},{f.longitude()}",
            f"52°31'12.{number(3)}\"N 13°24'17.{number(3)}\"E",
            f"POINT({f.longitude()} {f.latitude()})",
            f"{f.word()}.{f.word()}.{f.word()}.txt",
            f"backup.{f.date()}.tar.gz",
            f"src/{f.word()}.test.js:{number(2)}:{number(1)}",
            f"IMG_{f.date(pattern='%Y%m%d')}_{number(6)}.jpg",
            "libssl.so.1.1.1",
            f"{f.file_path()}",
            "report.2023.01.15.csv",
            "config.v2.3.4.yaml",
            f"{f.word()}@{number(1)}.{number(1)}.{number(1)}",
            f"@{f.word()}/{f.word()}@{number(1)}.{number(2)}.0",
            f"npm install {f.word()}@^{number(1)}.0.0",
            f"{f.word()}@latest",
            f"{f.word()}@next",
            f"uses: actions/checkout@v{number(1)}",
            f"pip install {f.word()}=={number(1)}.{number(1)}.{number(1)}",
            f"uses: docker/build-push-action@{f.sha1()}",
            f"image: redis@sha256:{f.sha256()}",
            f"yarn add {f.word()}@{number(1)}.x",
            f"{f.word()}@{number(1)}.{number(1)}.{number(1)}-beta.{number(1)}",
            f"hi @{f.user_name()}, look",
            f"ISBN {isbn}",
            isbn,
            f"isbn={isbn}",
            f"ISBN-13: {isbn}",
            f.ean13(),
            f"EAN {f.ean13()}",
            f"barcode {f.ean8()}",
            f"Tracking number 1Z{number(3)}AA1{number(10)}"[:34],
            f"USPS 9400 1000 0000 0000 {number(4)} {number(2)}",
            f"FedEx {number(4)} {number(4)} {number(4)}",
            f"tracking {number(12)}",
            f"DHL {number(10)}",
            f"tracking: {number(12)}",
            f"RA{number(9)}US",
            f"shipment {number(4)} {number(4)} {number(2)}",
            f"TBA{number(12)}",
            f"JJD0{number(17)}",
            f"USPS tracking 92{no_card(20)}",
            f.mac_address(),
            f.mac_address().upper(),
            f.mac_address().replace(":", "-"),
            f"MAC {f.mac_address()} up",
            f"{f.hexify('^^^^.^^^^.^^^^')}",
            f"ether {f.mac_address()} txqueuelen 1000",
            f"arn:aws:lambda:us-east-1:{number(12)}:function:x",
            f"arn:aws:iam::{number(12)}:role/x",
            f"https://{f.domain_name()}/{f.uri_path()}",
            f.url(),
            f"https://{f.domain_name()}/p/{number(10)}?page=2&sort=asc",
            f"www.{f.domain_name()}",
            "https://example.com/search?q=token&key=name",
            f"git@github.com:{f.word()}/{f.word()}.git",
            f"{number(2)}% of {number(9)}",
            f"{number(5)}-{number(4)}",
            f"ZIP {number(5)}-{number(4)}",
            f"size {number(4)}x{number(4)}",
            f"{number(2)}:{number(2)}:{number(2)}.{number(3)}",
            f"(see {number(3)}, {number(3)}-{number(4)})",
            f"id {number(9)}",
            f"user_id={number(9)}",
            f"customer {number(8)}",
            f"batch {number(3)}-{number(3)}",
            f"SKU {number(3)}-{number(2)}-{number(3)}",
            f"part no. {number(4)}-{number(3)}-{number(3)}",
            f"SN {number(12)}",
            f"license {number(4)}-{number(4)}-{number(4)}",
            f"{number(3)},{number(3)},{number(3)},{number(3)}",
            f"[{number(3)}, {number(3)}, {number(4)}, {number(4)}]",
            f"0x{f.sha1()[:16]}",
            f"std::chrono::seconds({number(4)})",
            f"10:{number(2)} - 11:{number(2)}",
            f"1e{number(2)} {r.random()}",
            f"{r.uniform(-1000, 1000)!r}",
            f"RGB({r.randint(0, 255)}, {r.randint(0, 255)}, {r.randint(0, 255)})",
            f'"{number(6)}","{number(4)}","{number(8)}"',
            "temperature 21.5 22.5 23.5 24.5",
            f"section {number(1)}.{number(1)}.{number(1)}.{number(1)}",
            f"ratio 3:2 {number(3)}::{f.word()}",
            f"Req {f.bothify('??##??####').upper()} ok",
            f"Token count: {number(4)}",
            "the password must be changed",
            f"password reset for user {number(4)}",
            "token_type=bearer expires_in=3600",
            f"tokens used: {number(5)}",
            "invalid token",
            f"secret santa on {f.date()}",
            f"public key: {f.word()}",
            f"primary_key={number(5)}",
            f"partition key: user-{number(4)}",
            "Bearer authentication is required",
            f"cache key: {f.word()}:{number(6)}",
            f"session {number(2)} started",
            f"{f.sentence()} {number(6)} {f.sentence()}",
            f.paragraph(),
            f.address(),
            f.company(),
            f"x-amzn-trace-id: Root=1-{f.sha1()[:8]}-{f.sha1()[:24]}",
            f"Duration: {number(3)}.{number(2)} ms Billed Duration: {number(3)} ms",
            f"2023/04/05/[$LATEST]{f.md5()}",
            f"flight {number(4)} gate {number(2)}",
            f'ETag: W/"{f.md5()[:12]}"',
            f"Content-Length: {number(9)}",
            f"seq {number(12)} ack {number(11)}",
            f"{number(3)}.{number(3)}.{number(3)}-{number(2)}",
            "score 6-4 6-3 7-5",
            f"pages {number(3)}-{number(3)}",
            "2020-2023",
            f"{number(4)}-{number(4)} school year",
            f"call stack depth {number(7)}",
            f"called {number(8)} times",
            f"phone model SM-G{number(3)}B",
            f"iPhone {number(2)} {number(3)}GB",
            f"cell A{number(3)} in row {number(5)}",
            f"contact id {number(10)}",
            f"mobile version {number(1)}.{number(1)}.{number(3)}",
            f"card {number(4)} of {number(4)}",
            f"card ending in {number(4)}",
        ]


def texts(count: int, seed: int) -> Iterator[Labelled]:
    maker = Maker(seed)
    kinds = (
        maker.email,
        maker.phone,
        maker.card,
        maker.ssn,
        maker.iban,
        maker.ip,
        maker.url,
        maker.secret,
        maker.nothing,
        maker.nothing,
        maker.nothing,
    )
    for number in range(count):
        yield kinds[number % len(kinds)]()


def main() -> None:
    for text, spans in texts(int(sys.argv[1]), int(sys.argv[2])):
        print(json.dumps({"text": text, "spans": spans}))


if __name__ == "__main__":
    main()
