"""How fast rows become clean rows and rejects: the engine beside the loop that everyone writes, and a plain copy.

The loop is csv.DictReader, a Pydantic model for each row, what afterward.pii has for each cell (`Pii` where the column
has a policy, `sanitised` with the column's name where it is free text), and csv.DictWriter. All read customers, each in
a process of its own: two in a hundred rows are invalid, one in ten has a quoted cell, and one note in twenty has an
address, a phone or a card in it. The loop reads a sample of them; of that sample, the engine must write the same clean
rows and reject the same ones. The copy is the file's bytes, decoded and encoded.
Usage: python benchmarks/csv_pipeline.py [MEGABYTES]
"""

import csv
import hashlib
import io
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT), *(str(ROOT / "layers" / name) for name in ("afterward", "catalog", "csv_pipeline"))]

MEGABYTES = 100
SAMPLE = 8_388_608
"""Bytes that the loop reads."""

BLOCK = 4_194_304
HEADER = ("id", "name", "email", "phone", "country", "signed_up", "balance", "note")
FOLDER = Path(tempfile.gettempdir()) / "afterward-benchmark-csv"

_FIRST = ("Ada", "Grace", "Alan", "Zoë", "Jürgen", "María", "Linus", "Barbara", "Edsger", "Chloé", "Donald", "Margaret")
_LAST = ("Lovelace", "Hopper", "Turing", "Müller", "García", "Novák", "Liskov", "Dijkstra", "O'Brien", "Knuth", "Silva")
_WORDS = (
    *("the", "customer", "asked", "for", "delivery", "on", "monday", "and", "paid", "by", "invoice", "please", "call"),
    *("again", "about", "this", "order", "we", "have", "sent", "a", "parcel", "to", "new", "address", "thanks", "your"),
    *("patience", "everything", "arrived", "in", "good", "shape", "nothing", "was", "damaged", "or", "missing"),
)
_PERSONAL = (
    "write to {first}.{last}@example.com",
    "reach me at +49 30 {digits:07d}",
    "the card is 4111 1111 1111 1111",
    "call (212) 555-{last:04}",
)
_WRONG = (
    ("id", "none"), ("id", "-4"), ("email", "nobody"), ("country", "Germany"), ("signed_up", "2024-02-30"),
    ("balance", "12,50"), ("balance", ""), ("name", ""),
)  # fmt: skip


def customers(seed: int = 7) -> Iterator[dict[str, str]]:
    """Yield rows without end, the same ones for the same seed."""
    rng = random.Random(seed)  # noqa: S311 - samples
    number = 1_000
    while True:
        number += 1
        row = _customer(rng, number)
        if rng.random() < 0.02:  # noqa: PLR2004 - two in a hundred
            column, value = rng.choice(_WRONG)
            row[column] = value
        yield row


def _customer(rng: random.Random, number: int) -> dict[str, str]:
    first, last = rng.choice(_FIRST), rng.choice(_LAST)
    return {
        "id": str(number),
        "name": f"{first} {last}",
        "email": f"{first[0]}{number}.{rng.choice(_WORDS)}@example.com".encode("ascii", "ignore").decode().lower(),
        "phone": f"+49 30 {rng.randrange(10**6, 10**7)}" if rng.random() < 0.8 else "",  # noqa: PLR2004 - most have one
        "country": rng.choice(("DE", "FR", "GB", "CH", "US", "ES", "AT", "IT")),
        "signed_up": f"20{rng.randrange(10, 26)}-{rng.randrange(1, 13):02}-{rng.randrange(1, 29):02}",
        "balance": f"{rng.uniform(-900, 9_000):.2f}",
        "note": _note(rng, number),
    }


def _note(rng: random.Random, number: int) -> str:
    words = " ".join(rng.choices(_WORDS, k=rng.randrange(12, 26))).capitalize() + "."
    if rng.random() < 0.05:  # noqa: PLR2004 - one in twenty
        what = rng.choice(_PERSONAL).format(first=rng.choice(_WORDS), last=number % 10_000, digits=number)
        words += f" Please {what}"
    return words.replace(" and ", ", and ") if rng.random() < 0.1 else words  # noqa: PLR2004 - one in ten is quoted


def write(path: Path, size: int) -> None:
    """Write a file of about so many bytes."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, HEADER, lineterminator="\n")
        writer.writeheader()
        rows = customers()
        while file.tell() < size:
            writer.writerows(islice(rows, 10_000))


def loop(path: Path, target: Path) -> dict[str, Any]:
    """The loop that everyone writes; what it rejects is told of by number and value, as the engine does."""
    from pydantic import ValidationError  # noqa: PLC0415 - each in its own process

    from afterward.pii import columns, sanitised  # noqa: PLC0415 - the same
    from row_schemas import CustomerRow  # noqa: PLC0415 - the same

    policies, rows, rejected = columns(CustomerRow), 0, list[int]()
    texts = {"country", "note"}
    began = time.process_time()
    with path.open(encoding="utf-8", newline="") as source, target.open("w", encoding="utf-8", newline="") as clean:
        writer = csv.DictWriter(clean, HEADER, lineterminator="\n")
        told = csv.writer(io.StringIO(), lineterminator="\n")
        for number, row in enumerate(csv.DictReader(source), 2):
            rows += 1
            try:
                CustomerRow.model_validate(
                    {name: cell or (None if name == "phone" else cell) for name, cell in row.items()}
                )
            except ValidationError as error:
                place = str(error.errors(include_url=False)[0]["loc"][0])
                value = sanitised(row[place], name=place)[:200]
                told.writerow([number, place, value, error.errors(include_url=False)[0]["msg"]])
                rejected.append(number)
                continue
            for name, cell in row.items():
                if name in texts:
                    row[name] = sanitised(cell, name=name)
                elif name in policies:
                    row[name] = policies[name](cell)
                if row[name].startswith(("=", "+", "@", "\t", "\r")):
                    row[name] = f"'{row[name]}"
            writer.writerow(row)
    return {"seconds": time.process_time() - began, "rows": rows, "rejected": rejected}


def engine(path: Path, target: Path) -> dict[str, Any]:
    from csv_pipeline.engine import Engine  # noqa: PLC0415 - each in its own process
    from csv_pipeline.layout import Layout  # noqa: PLC0415 - the same
    from csv_pipeline.scan import records  # noqa: PLC0415 - the same
    from row_schemas import CustomerRow  # noqa: PLC0415 - the same

    began = time.process_time()
    made = Engine(Layout(delimiter=",", header=HEADER, start=0), CustomerRow)
    number, rejected = 2, list[int]()
    with path.open("rb") as source, target.open("wb") as clean:
        source.readline()
        for block in records(iter(lambda: source.read(BLOCK), b""), ","):
            assert isinstance(block, bytes)  # noqa: S101 - no record of this file is too long
            done = made.process(block, number)
            clean.write(done.clean)
            rejected += [int(line[0]) for line in csv.reader(io.StringIO(done.rejects.decode()))]
            number += done.rows
    return {"seconds": time.process_time() - began, "rows": number - 2, "rejected": rejected}


def copy(path: Path, target: Path) -> dict[str, Any]:
    began, rows = time.process_time(), -1
    with path.open("rb") as source, target.open("wb") as clean:
        for line in iter(lambda: source.read(BLOCK), b""):
            rows += line.count(b"\n")
            clean.write(line.decode("utf-8", "ignore").encode())
    return {"seconds": time.process_time() - began, "rows": rows, "rejected": []}


def run(name: str, path: Path) -> dict[str, Any]:
    """Run one in a process of its own; returns what it says, with the digest of what it wrote."""
    command: list[str | Path] = [sys.executable, __file__, "--run", name, path]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def measured(name: str, path: Path) -> None:
    """Print what one needs for the file, with the digest of what it writes."""
    target = path.with_suffix(f".{name}")
    result = {"loop": loop, "engine": engine, "copy": copy}[name](path, target)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    with target.open("rb") as written:
        digest = hashlib.file_digest(written, "sha256").hexdigest()
    print(json.dumps(result | {"peak": peak, "bytes": path.stat().st_size, "digest": digest}))


def shown(name: str, result: dict[str, Any]) -> float:
    rate = result["rows"] / result["seconds"]
    speed = result["bytes"] / result["seconds"] / 1e6
    print(f"{name:8} {rate:10,.0f} rows/s per core  {speed:7.1f} MB/s  peak {result['peak']} MB")
    return float(rate)


def main() -> None:
    if sys.argv[1:2] == ["--run"]:
        measured(sys.argv[2], Path(sys.argv[3]))
        return
    FOLDER.mkdir(exist_ok=True)
    whole, sample = FOLDER / "customers.csv", FOLDER / "sample.csv"
    write(whole, int(sys.argv[1] if len(sys.argv) > 1 else MEGABYTES) * 1_000_000)
    write(sample, SAMPLE)
    slow, same = run("loop", sample), run("engine", sample)
    slow_rate = shown("loop", slow)
    alike = (slow["digest"], slow["rejected"]) == (same["digest"], same["rejected"])
    fast_rate, copied = shown("engine", run("engine", whole)), shown("copy", run("copy", whole))
    print(
        f"the engine is {fast_rate / slow_rate:.1f} times as fast, and has {fast_rate / copied:.1%} of a copy's speed"
    )
    print(f"on the sample both wrote {'the same' if alike else 'DIFFERENT'} clean rows and rejects")
    if not alike:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
