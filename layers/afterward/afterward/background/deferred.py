"""FastAPI, imported with its own models unbuilt.

It describes OpenAPI by some forty Pydantic models, and building their schemas is a seventh of an API's init, though
only /openapi.json uses them. Pydantic builds a model on first use where `defer_build` says so, which a model inherits:
so BaseModel says it while FastAPI is imported, and no longer. Where FastAPI was imported before, nothing changes.
"""

from pydantic import BaseModel

BaseModel.model_config["defer_build"] = True
try:
    import fastapi.openapi.models  # noqa: F401 - see above
finally:
    del BaseModel.model_config["defer_build"]
