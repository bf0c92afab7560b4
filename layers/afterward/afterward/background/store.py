"""The backend of a request."""

from afterward.backend import Backend, backend


async def store() -> Backend:
    """Return the process's backend; async, since FastAPI would call a plain function in a thread.

    Overridden in tests: `app.dependency_overrides[store] = lambda: background_tasks.backend`.
    """
    return backend()
