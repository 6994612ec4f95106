"""POST /feature-views: a feature view is written into the project, checked, planned and applied. For admins; off by default."""

from __future__ import annotations

import asyncio

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from skewless.errors import SkewlessError
from skewless.serve.catalogue import view_document
from skewless.serve.live import Live
from skewless.serve.replies import json_reply
from skewless.serve.requests import decode, read_body


async def register(request: Request) -> Response:
    """POST /feature-views: 201 with what was written. The gate has seen an admin's token."""
    try:
        from skewless.register import NewView, register
    except ImportError as error:
        detail = f"There is no module {error.name}."
        raise SkewlessError("SK456", "this server has no project to write to", detail=detail) from None
    live: Live = request.app.state.live
    new: NewView = decode(await read_body(request.scope, request.receive), msgspec.json.Decoder(NewView))
    done = await asyncio.to_thread(register, live.config, new)
    await live.refresh()
    document = {
        "feature_view": view_document(live.config.project, done.view), "files": done.files,
        "plan": {"id": done.plan_id, "changes": done.changes}, "snapshot": done.snapshot_id,
    }
    return json_reply(document, {"Location": f"/feature-views/{done.view.ref}"}, 201)

