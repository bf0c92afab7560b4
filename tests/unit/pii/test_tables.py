"""The tables against the libraries that they are made from, where installed, and against published examples."""

import importlib
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from afterward.pii import tables
from afterward.pii.cards import is_card
from afterward.pii.tables import CALLING_CODES, IBAN

# Test numbers that issuers and their processors publish.
CARDS = (
    "4111111111111111 4012888888881881 4222222222222 4000000000000000006 5555555555554444 2223003122003222 "
    "2720999999999996 378282246310005 371449635398431 30569309025904 38520000023237 36227206271667 6011111111111117 "
    "6011000990139424 3530111333300000 3566002020360505 6200000000000005 6205500000000000004 6759649826438453 "
    "5018000000000009 6304000000000000 2200000000000004"
)


def library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError:
        pytest.skip(f"{name} is not installed")


@pytest.mark.parametrize("digits", CARDS.split())
def test_published_cards_are_cards(digits: str) -> None:
    assert is_card(digits)
    assert not is_card(digits[:-1] + str((int(digits[-1]) + 1) % 10))


def test_each_account_has_the_length_of_its_country() -> None:
    sizes = {country: re.findall(r"([0-9]+)!", structure) for country, structure in IBAN.items()}
    lengths = {country: 4 + sum(map(int, parts)) for country, parts in sizes.items()}
    assert {"NO": 15, "BE": 16, "DE": 22, "GB": 22, "FR": 27, "MT": 31, "LC": 32, "RU": 33}.items() <= lengths.items()
    assert min(lengths.values()) == 15
    assert max(lengths.values()) <= 34


def test_the_tables_are_what_the_script_writes() -> None:
    library("stdnum")
    library("phonenumbers")
    done = subprocess.run([sys.executable, "scripts/pii_tables.py"], capture_output=True, text=True, check=True)
    written = Path(tables.__file__).read_text(encoding="utf-8")
    assert done.stdout.partition("IBAN = ")[2] == written.partition("IBAN = ")[2]


def test_calling_codes_and_their_lengths() -> None:
    assert 10 in CALLING_CODES["1"]
    assert 10 in CALLING_CODES["44"]
    assert not any(code.startswith("0") for code in CALLING_CODES)
    assert all(1 <= len(code) <= 3 and all(4 <= size <= 17 for size in sizes) for code, sizes in CALLING_CODES.items())
