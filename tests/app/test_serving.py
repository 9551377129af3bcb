"""The web server: what it gives out, and to whom."""

import socket
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from tests.app.conftest import png


def answer_to(address, data=None, headers=None):
    """(status, headers, body) of a request."""
    try:
        with urllib.request.urlopen(urllib.request.Request(address, data, headers or {}), timeout=60) as response:
            return response.status, response.headers, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.headers, error.read()


def post_file(address, content):
    """Send a file as the page does."""
    body = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.png"\r\n\r\n' + content + b"\r\n--x--\r\n"
    return answer_to(f"{address}/gradio_api/upload", body, {"Content-Type": "multipart/form-data; boundary=x"})


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        str(Path(__file__)),
        "pyproject.toml",
        "../../etc/passwd",
        "http://127.0.0.1:9/x",
        "https://example.org/x",
    ],
)
def test_files_of_this_machine_and_of_others_are_not_given_out(path, server):
    _, address = server
    for prefix in ("/gradio_api", ""):
        status, _, body = answer_to(f"{address}{prefix}/file={path}")
        assert status in (403, 404)
        assert b"root:" not in body


def test_a_page_may_ask_its_own_server_alone(server):
    _, address = server
    status, headers, body = answer_to(address)
    assert status == 200
    assert headers["Content-Security-Policy"].startswith("default-src 'self'")
    assert "http" not in headers["Content-Security-Policy"]
    for foreign in (b"fonts.googleapis", b"cdnjs", b"api.gradio.app/gradio-initiated"):
        assert foreign not in body


def test_it_listens_on_this_machine_alone(server):
    _, address = server
    port = int(address.rpartition(":")[2])
    assert address.startswith("http://127.0.0.1:")
    with socket.socket() as other, pytest.raises(ConnectionRefusedError):
        other.connect(("127.0.0.2", port))


def test_a_file_that_is_too_large_is_refused_while_it_is_sent(server):
    served, address = server
    assert post_file(address, b"x" * 1_100_000)[0] == 413
    assert not [path for path in served.folder.rglob("*") if path.is_file() and path.stat().st_size]


def test_a_page_downloads_with_its_own_token_alone(server):
    served, address = server
    visit = served.ask("downloading", served.default)
    status, headers, body = answer_to(f"{address}/download/{visit.token}.npz")
    assert (status, body[:2]) == (200, b"PK")
    assert "digits_7_5.npz" in headers["Content-Disposition"]
    assert answer_to(f"{address}/download/{visit.token[:-1]}A.npz")[0] == 404
    served.visits.forget("downloading")
    assert answer_to(f"{address}/download/{visit.token}.npz")[0] == 404


def test_an_upload_cannot_be_read_back_once_it_is_taken(server):
    served, address = server
    status, _, body = post_file(address, png())
    assert status == 200
    path = body.decode().strip('[]"')
    served.receive("someone", path)
    assert answer_to(f"{address}/gradio_api/file={path}")[0] in (403, 404)
