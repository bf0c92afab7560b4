import csv
import sqlite3
from contextlib import closing
from pathlib import Path
from tempfile import NamedTemporaryFile

from fastapi import APIRouter, BackgroundTasks, UploadFile

router = APIRouter()


def notify(user_id: int, text: str) -> None:
    with closing(sqlite3.connect("app.db")) as database, database:
        database.execute("INSERT INTO notices (user_id, text) VALUES (?, ?)", (user_id, text))


def process_csv(path: Path, user_id: int) -> None:
    try:
        with path.open(newline="") as lines:
            amounts = [int(row["amount"]) for row in csv.DictReader(lines)]
    except (KeyError, ValueError) as error:
        notify(user_id, f"Your file could not be processed: {error}")
    else:
        notify(user_id, f"{len(amounts)} rows processed, {sum(amounts)} in all")
    finally:
        path.unlink()


@router.post("/upload-csv/{user_id}")
async def upload_csv(user_id: int, file: UploadFile, background_tasks: BackgroundTasks) -> dict[str, str]:
    with NamedTemporaryFile(suffix=".csv", delete=False) as copy:
        copy.write(await file.read())
    background_tasks.add_task(process_csv, Path(copy.name), user_id)
    return {"message": f"File {file.filename} uploaded and will be processed in background"}
