"""Scratch files: what the jobs of a chain leave for each other, until the chain's cleanup. They lie in the bucket."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from afterward import Chain
from afterward.aws import answering, client
from afterward.errors import Unavailable
from afterward.settings import required


class Scratch(Protocol):
    """Where scratch files are kept, by chain and by the job that left them."""

    def leave(self, chain: Chain, job: str, text: str) -> None: ...

    def clear(self, chain: Chain) -> int:
        """Delete all that the chain's jobs have left, and say how many files that were."""
        ...


@dataclass(frozen=True, slots=True)
class S3Scratch:
    """The files are `scratch/<owner>/<chain>/<job>`.

    What no cleanup deletes goes by the bucket's lifecycle, after 14 days.
    """

    s3: Any
    bucket: str

    def leave(self, chain: Chain, job: str, text: str) -> None:
        key = f"{_prefix(chain)}{job}"
        with answering("S3"):
            self.s3.put_object(Bucket=self.bucket, Key=key, Body=text.encode(), ContentType="text/plain; charset=utf-8")

    def clear(self, chain: Chain) -> int:
        return sum(map(self._delete, self._pages(chain)))

    def _pages(self, chain: Chain) -> Iterator[list[str]]:
        """Give the keys, as many as one request can delete (1,000) at a time."""
        with answering("S3"):
            for page in self.s3.get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=_prefix(chain)):
                if found := page.get("Contents"):
                    yield [one["Key"] for one in found]

    def _delete(self, keys: list[str]) -> int:
        wanted = {"Objects": [{"Key": key} for key in keys], "Quiet": True}
        with answering("S3"):
            answer = self.s3.delete_objects(Bucket=self.bucket, Delete=wanted)
        if kept := answer.get("Errors"):
            raise Unavailable(f"S3 did not delete {len(kept)} of {len(keys)} files ({kept[0]['Code']})")
        return len(keys)


def _prefix(chain: Chain) -> str:
    return f"scratch/{chain.owner}/{chain.id}/"


def bucket_scratch() -> S3Scratch:
    """Provide the scratch files in the bucket that the environment variable AFTERWARD_BUCKET names."""
    return S3Scratch(client("s3"), required(os.environ, "AFTERWARD_BUCKET"))
