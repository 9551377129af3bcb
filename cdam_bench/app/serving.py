"""The web server of the app: what it gives out and what it refuses. Needs the extra `app`."""

import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

import gradio as gr
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse, Response

from cdam_bench.app.desk import Desk
from cdam_bench.app.downloads import download
from cdam_bench.app.page import Page
from cdam_bench.errors import UserError

HERE = Path(__file__).parent
FONT = (
    "system-ui",
    "-apple-system",
    "Segoe UI",
    "Roboto",
    "Helvetica",
    "Arial",
    "sans-serif",
)  # of the visitor's machine
FONT_MONO = ("ui-monospace", "Menlo", "Consolas", "monospace")
PORTS = range(7860, 7960)
HEADERS = {
    # a page that can ask nobody but its own server, whatever is in it
    "Content-Security-Policy": "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; frame-ancestors 'self'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
DOWNLOAD = re.compile(r"/download/([\w-]+)\.(\w+)")
FOREIGN_FILE = re.compile(r"/file=\w+:", re.IGNORECASE)  # Gradio would fetch it from elsewhere


class Guard:
    """What stands before Gradio: our own downloads, headers, and a refusal to fetch from elsewhere.

    Args:
        app: Gradio's.
        desk: that has the files.
    """

    def __init__(self, app: Any, desk: Desk) -> None:
        self.app, self.desk = app, desk

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        path = scope["path"]
        if FOREIGN_FILE.search(path):
            await PlainTextResponse("nothing is fetched from elsewhere", 403)(scope, receive, with_headers)
        elif (asked := DOWNLOAD.fullmatch(path)) is not None:
            response = await run_in_threadpool(self._file, *asked.groups())
            await response(scope, receive, with_headers)
        else:
            await self.app(scope, receive, with_headers)

    def _file(self, token: str, extension: str) -> Response:
        try:
            name, media_type, content = download(self.desk.visits.of_token(token), extension)
        except UserError as error:
            return PlainTextResponse(str(error), 404)
        headers = {"Content-Disposition": f"attachment; filename*=UTF-8''{quote(name)}", "Cache-Control": "no-store"}
        return Response(content, media_type=media_type, headers=headers)


@contextmanager
def serving(desk: Desk) -> Iterator[str]:
    """Serve the page within the `with`.

    Args:
        desk: that answers; Gradio's folder for uploads is the desk's.
    Yields:
        The page's address.
    Raises:
        UserError: if the address or the port cannot be listened on.
    """
    settings = desk.settings
    blocks = Page(desk).blocks
    port = settings.port if settings.port is not None else free_port(settings.host)
    try:
        _, address, _ = blocks.launch(
            server_name=settings.host,
            server_port=port,
            prevent_thread_lock=True,
            quiet=True,
            share=False,
            inbrowser=settings.open_browser,
            footer_links=[],
            allowed_paths=[],
            max_file_size=int(settings.max_mb * 1e6),
            app_kwargs={"middleware": [Middleware(Guard, desk=desk)]},
            ssr_mode=False,
            mcp_server=False,
            pwa=False,
            enable_monitoring=False,
            theme=gr.themes.Base(primary_hue="red", neutral_hue="slate", font=FONT, font_mono=FONT_MONO),
            css=(HERE / "page.css").read_text(encoding="utf-8"),
            head=f"<script>{(HERE / 'page.js').read_text(encoding='utf-8')}</script>",
        )
    except OSError as error:
        raise UserError(f"host={settings.host} port={port} cannot be listened on ({error}): choose others") from error
    try:
        yield address
    finally:
        desk.close()
        blocks.close(verbose=False)


def free_port(host: str) -> int:
    """The first port that nobody listens on.

    Raises:
        UserError: if there is none, or the address is not this machine's.
    """
    for port in PORTS:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as one:
            try:
                one.bind((host, port))
                return port
            except OSError as error:
                reason = error
    raise UserError(f"host={host}: none of the ports {PORTS[0]} to {PORTS[-1]} can be listened on ({reason}): set port")
