"""A finished run as a small web page: give an item of one domain, or of several, and see all.

For one person at one machine: it listens on the loopback address, answers requests that come from
its own page only, and keeps nothing.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

from globalworkspace.domain import Decodes
from globalworkspace.errors import ConfigError, DataError, WorkspaceError
from globalworkspace.report.items import decoded
from globalworkspace.sheet import TEMPLATES, environment, script_of

if TYPE_CHECKING:
    from globalworkspace.workspace import GlobalWorkspace

LARGEST = 32 * 2**20
"""Bytes of the largest file that is taken."""
MARK = "x-globalworkspace"
"""A header that the page sends: another site's page cannot, without being allowed to."""
_ENDING = re.compile(r"\.[A-Za-z0-9]{1,8}\Z")


def application(workspace: GlobalWorkspace, title: str, hosts: tuple[str, ...]) -> Any:
    """The web application.

    Args:
        workspace: The trained workspace.
        title: Of the page.
        hosts: Names by which it may be asked for; others are refused, so that no other site can
            come in by a name of its own.

    Raises:
        ConfigError: If the package fastapi, or what it needs for files, is not installed.
    """
    try:
        import python_multipart  # noqa: F401  # fastapi needs it, and would only say so later
        from fastapi import FastAPI, Request
        from fastapi.responses import HTMLResponse, JSONResponse
        from starlette.middleware.trustedhost import TrustedHostMiddleware
    except ImportError as error:
        raise ConfigError(
            f"serve needs the package {error.name}. Install it: pip install "
            "'globalworkspace[serve]'."
        ) from None
    site = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
    site.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))
    page, policy = _page(workspace, title)
    busy = threading.Lock()

    async def front() -> HTMLResponse:
        return HTMLResponse(page, headers={"Content-Security-Policy": policy})

    async def translate(request: Request) -> JSONResponse:
        if MARK not in request.headers:
            return JSONResponse({"error": "Only its own page may ask."}, status_code=403)
        if int(request.headers.get("content-length", LARGEST + 1)) > LARGEST:
            return JSONResponse(
                {"error": f"That is more than {LARGEST >> 20} MiB."}, status_code=413
            )
        with tempfile.TemporaryDirectory() as folder:
            inputs: dict[str, Any] = {}
            texts: dict[str, str] = {}
            form_of = request.form(max_files=len(workspace.domains), max_part_size=LARGEST)
            async with form_of as form:
                for name, given in form.multi_items():
                    if name not in workspace.domains:
                        continue
                    if isinstance(given, str):
                        if given.strip():
                            texts[name] = given
                    elif given.size:
                        ending = _ENDING.search(given.filename or "")
                        file = Path(folder) / f"{len(inputs)}{ending[0] if ending else ''}"
                        file.write_bytes(await given.read())
                        inputs[name] = [file]
            if not inputs and not texts:
                return JSONResponse({"error": "Give an item of one domain."}, status_code=400)
            from starlette.concurrency import run_in_threadpool

            def answer() -> dict[str, str]:
                told = {name: [_text(name, text)] for name, text in texts.items()}
                with busy:
                    return answers(workspace, inputs | told)

            try:
                found = await run_in_threadpool(answer)
            except Exception as error:  # whatever was given must not end the page
                known = isinstance(error, WorkspaceError)
                reason = str(error) if known else f"{type(error).__name__}: {error}"
                return JSONResponse({"error": _without(reason, folder)}, status_code=400)
        return JSONResponse({"answers": found})

    site.add_api_route("/", front, methods=["GET"])
    site.add_api_route("/translate", _annotated(translate, Request), methods=["POST"])
    return site


def _annotated(handler: Any, request: type) -> Any:
    """The handler with its annotation as a type: this module's are strings."""
    handler.__annotations__ = {"request": request}
    return handler


def answers(workspace: GlobalWorkspace, inputs: dict[str, Any]) -> dict[str, str]:
    """Domain -> what a batch of one item is there, as HTML with all text escaped.

    Args:
        workspace: The trained workspace.
        inputs: Domain -> a batch of one item.
    """
    state = workspace.encode(inputs)
    cell = environment().get_template("cell.html").module.cell  # type: ignore[attr-defined]
    found: dict[str, str] = {}
    for name in workspace.domains:
        shown = decoded(workspace, state, name)
        if shown is not None:
            found[name] = str(cell(shown[0])).strip()
    return found


def _page(workspace: GlobalWorkspace, title: str) -> tuple[str, str]:
    """The page, and what its browser is to allow."""
    script, digest = script_of("serve.js")
    policy = (
        "default-src 'none'; connect-src 'self'; img-src data:; media-src data:; "
        f"style-src 'unsafe-inline'; script-src 'sha256-{digest}'; frame-ancestors 'none'"
    )
    text = (
        environment()
        .get_template("serve.html")
        .render(
            title=title,
            domains=list(workspace.domains),
            told=[n for n, m in workspace.domains.items() if isinstance(m, Decodes)],
            style=(TEMPLATES / "page.css").read_text(encoding="utf-8"),
            script=script,
        )
    )
    return text, policy


def _text(name: str, given: str) -> Any:
    """A text, or the JSON object that it is; nothing that would have a file of this machine read.

    Raises:
        DataError: If it is no JSON, or names a file.
    """
    item: Any = given
    if given.lstrip().startswith("{"):
        try:
            item = json.loads(given)
        except (ValueError, RecursionError) as error:
            raise DataError(
                f"What is given for {name} looks like JSON and is not: {error}"
            ) from None
    words = [given, *(str(v) for v in item.values())] if isinstance(item, dict) else [given]
    if any(_is_file(word.strip()) for word in words):
        raise DataError(f"What is given for {name} names a file of this machine. Choose the file.")
    return item


def _is_file(text: str) -> bool:
    try:
        return len(text) < 4096 and os.path.lexists(Path(text).expanduser())
    except (OSError, ValueError, RuntimeError):
        return False


def _without(text: str, folder: str) -> str:
    """A message without the folder that a file was kept in."""
    return text.replace(f"{folder}/", "")


def is_loopback(host: str) -> bool:
    """Whether a host is this machine alone."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
