"""Payment cards: an issuer's prefix, one of its lengths, and Luhn's check digit."""

import re

from afterward.pii.words import words

_LONG = range(16, 20)
_ISSUERS = tuple(
    (re.compile(prefix), frozenset(lengths))
    for prefix, lengths in (
        (r"4", (13, 16, 19)),  # Visa
        (r"5[1-5]|222[1-9]|22[3-9]|2[3-6]|27[01]|2720", (16,)),  # Mastercard
        (r"3[47]", (15,)),  # American Express
        (r"30[0-5]|3095|3[689]", (14, 16)),  # Diners Club
        (r"35", _LONG),  # JCB
        (r"1800|2131", (15,)),  # JCB
        (r"220[0-4]", _LONG),  # Mir
        (r"81", _LONG),  # RuPay, UnionPay
        (r"9792", (16,)),  # Troy
        (r"6011|64[4-9]|65", _LONG),  # Discover
        (r"62", _LONG),  # UnionPay
        (r"506[01]|507[89]", _LONG),  # Verve
        (r"63[67]", _LONG),  # InterPayment, InstaPayment
        (r"50|5[6-8]|6", (16,)),  # the rest of what ISO 7812 gives to Maestro, RuPay, Dankort, Elo and others
        (r"5018|5020|5038|5[6-8]|6304|6390|6759|676[1-37]|6771|0604", range(12, 20)),  # Maestro
    )
)
_DOUBLED = (0, 2, 4, 6, 8, 1, 3, 5, 7, 9)
_EAN = 13
NAMES = words(
    "card cards cc pan visa mastercard amex credit debit creditcard cardnumber ccnumber ccnum payment maestro diners "
    "jcb discover unionpay karte kreditkarte kartennummer kreditkartennummer kartennr carte tarjeta cartão carta kaart "
    "карта карты cardno cardnum charge charged charging",
)


def is_card(digits: str) -> bool:
    return _is_issued(digits) and is_luhn(digits)


def is_luhn(digits: str) -> bool:
    total = sum(map(int, digits[-1::-2])) + sum(_DOUBLED[int(one)] for one in digits[-2::-2])
    return total % 10 == 0


def is_article(digits: str) -> bool:
    """Say whether it may be the number on a product (EAN-13), too."""
    return len(digits) == _EAN and (sum(map(int, digits[::2])) + 3 * sum(map(int, digits[1::2]))) % 10 == 0


def _is_issued(digits: str) -> bool:
    return any(len(digits) in lengths and prefix.match(digits) for prefix, lengths in _ISSUERS)
