"""Write the tables that `afterward.pii` checks accounts and phone numbers against.

They are taken from python-stdnum (SWIFT's registry of IBANs) and phonenumberslite (Google's metadata), which are needed
here only: importing them costs 130 and 60 ms on a cold start, their tables less than one. Both have to be installed,
in an environment of their own if need be.
Usage: python scripts/pii_tables.py > layers/afterward/afterward/pii/tables.py
"""

import importlib
import sys
from collections.abc import Iterator
from importlib.metadata import version
from importlib.resources import files
from typing import Any

# In use, though their countries have not registered them.
UNREGISTERED = {
    "AO": "21!n", "BF": "2!c22!n", "BJ": "2!c22!n", "CF": "23!n", "CG": "23!n", "CI": "2!c22!n", "CM": "23!n",
    "CV": "21!n", "DZ": "22!n", "GA": "23!n", "GQ": "23!n", "GW": "2!c19!n", "IR": "22!n", "KM": "23!n", "MA": "24!n",
    "MG": "23!n", "ML": "2!c22!n", "MZ": "21!n", "NE": "2!a22!n", "SN": "2!a22!n", "TD": "23!n", "TG": "2!a22!n",
}  # fmt: skip


def accounts() -> Iterator[tuple[str, str]]:
    """Yield each country's code and the structure of what follows its check digits."""
    lines = files("stdnum").joinpath("iban.dat").read_text().splitlines()
    registered = {line[:2]: line.split('bban="')[1].rstrip('"') for line in lines if 'bban="' in line}
    yield from sorted((UNREGISTERED | registered).items())


def calling_codes() -> Iterator[tuple[str, tuple[int, ...]]]:
    """Yield each calling code and the lengths that numbers after it may have."""
    library: Any = importlib.import_module("phonenumbers")
    metadata = library.PhoneMetadata
    for code, regions in sorted(library.COUNTRY_CODE_TO_REGION_CODE.items()):
        found = [
            metadata.metadata_for_region_or_calling_code(code, region)
            if region == "001"
            else metadata.metadata_for_region(region)
            for region in regions
        ]
        lengths = {length for one in found if one for length in one.general_desc.possible_length}
        yield str(code), tuple(sorted(lengths))


def main() -> None:
    sources = f"python-stdnum {version('python-stdnum')} and phonenumberslite {version('phonenumberslite')}"
    lines = [
        '"""What accounts and phone numbers look like in each country; written by scripts/pii_tables.py.',
        "",
        f"{sources}.",
        '"""',
        "",
        "IBAN = {",
        *(f'    "{country}": "{structure}",' for country, structure in accounts()),
        "}",
        '"""What follows a country\'s check digits: counts of n(umerals), a (capitals) and c (both)."""',
        "",
        "CALLING_CODES = {",
        *(f'    "{code}": {lengths!r},' for code, lengths in calling_codes()),
        "}",
        '"""How many digits may follow a calling code."""',
    ]
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
