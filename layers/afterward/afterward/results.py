"""Objects that a job leaves for its owner, by name."""

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from afterward.queues import Blobs
    from afterward.records import Record

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
"""What a result may be called: it stands in a path, in a key and in the name of the file that it is saved as."""

CONTENT_TYPE = re.compile(r"[\w!#$&^.+-]{1,127}/[\w!#$&^.+-]{1,127}( *; *[ -~]+)?", re.ASCII)

LIMIT = 100
"""Results of one job: their names share DynamoDB's 400 KB with the rest of the record."""


class Results:
    """Injected by type: `results: Results = injected`.

    `saved` is what the record says of the results that attempts before this one have left.
    """

    def __init__(self, blobs: "Blobs", folder: str, saved: str | None = None) -> None:
        self._blobs = blobs
        self._folder = folder
        self._keys: dict[str, str] = json.loads(saved) if saved else {}
        self._added = False

    def store(self, name: str, body: bytes, content_type: str) -> None:
        """Keep `body` under this name, in place of what the job has stored under it before.

        It is stored at once, and shown when the attempt ends well or the job goes on elsewhere, or with the checkpoint
        that counts its work as done. What else a failed attempt has stored is never seen. Raises ValueError for a name,
        a type or a number of results that cannot be, and errors.Unavailable where the object could not be stored.
        """
        if not CONTENT_TYPE.fullmatch(content_type):
            raise ValueError(f"content type {content_type[:120]!r} is not of the form type/subtype")
        key = self.key(name)
        self._blobs.put_bytes(key, body, content_type)
        self.show(name, key)

    def key(self, name: str) -> str:
        """Return where in the bucket this attempt may put a result itself, one that does not fit into memory."""
        if not NAME.fullmatch(name):
            raise ValueError(
                f"result name {name[:120]!r} must be "
                "1 to 100 letters, digits, '.', '_' or '-', and start with a letter or digit"
            )
        if name not in self._keys and len(self._keys) == LIMIT:
            raise ValueError(f"a job has at most {LIMIT} results")
        return f"{self._folder}/{name}"

    def show(self, name: str, key: str) -> None:
        """Have a name mean the object that was put under `key`: one that this attempt, or one before it, was given."""
        self._keys[name] = key
        self._added = True

    def changes(self) -> dict[str, Any]:
        """Return the fields of the record that show what was stored."""
        return {"results": json.dumps(self._keys, separators=(",", ":"))} if self._added else {}


def results_of(record: "Record", blobs: "Blobs") -> Results:
    """Return the results of the attempt that holds this record: each attempt stores into a folder of its own."""
    folder = f"results/{record.owner}/{record.id}/{record.run}-{record.attempt}"
    return Results(blobs, folder, record.results)


def keys_of(record: "Record") -> dict[str, str]:
    """Return the objects that a job has left, by their names."""
    keys: dict[str, str] = json.loads(record.results) if record.results else {}
    return keys
