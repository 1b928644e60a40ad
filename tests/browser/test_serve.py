import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from chromium import executable, open_page

from globalworkspace.cli import main
from globalworkspace.served import MARK

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Domain .* latent dimensions are dead"),
]
in_a_browser = pytest.mark.skipif(executable() is None, reason="there is no Chromium on the path")


@pytest.fixture(scope="module")
def address(four_domains):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "globalworkspace", "serve", str(four_domains)]
    with subprocess.Popen([*command, "--port", str(port)], stdout=subprocess.PIPE) as server:
        for _ in range(300):
            with socket.socket() as asked:
                if asked.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert server.poll() is None, server.returncode
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}"
        server.terminate()


@pytest.fixture(scope="module")
def picture(four_domains, tmp_path_factory):
    from globalworkspace_shapes import load

    from globalworkspace.run_folder import load_run

    raw = load("test", num_items=1, domains=["picture"])["picture"].take([0])
    file = tmp_path_factory.mktemp("given") / "shape.png"
    file.write_bytes(load_run(four_domains).domains["picture"].render(raw)[0].data)
    return file


@in_a_browser
def test_a_picture_is_seen_in_every_domain(chromium, address, picture):
    opened = open_page(chromium, address)
    page = opened.page
    page.get_by_label("A file of picture").set_input_files(picture)
    page.get_by_role("button", name="Translate").click()
    page.locator("#answers section").nth(3).wait_for(timeout=60_000)
    headings = page.locator("#answers h3").all_inner_texts()
    assert headings == ["picture", "caption", "attributes", "sound"]
    assert opened.broken_images() == [] and page.locator("#answers audio").count() == 1
    assert len(page.locator("#answers section").nth(1).inner_text().split()) > 4
    assert "shape" in page.locator("#answers section").nth(2).inner_text()
    assert opened.errors == []
    page.get_by_role("button", name="Clear").click()
    assert page.locator("#answers section").count() == 0


@in_a_browser
def test_a_text_is_translated_and_a_wrong_one_is_said(chromium, address):
    opened = open_page(chromium, address)
    page = opened.page
    page.get_by_label("or caption as text").fill("A small red egg sits in the middle.")
    page.get_by_role("button", name="Translate").click()
    page.locator("#answers img").first.wait_for(timeout=60_000)
    page.get_by_role("button", name="Clear").click()
    page.get_by_label("or attributes as text").fill('{"shape": "sphere"}')
    page.get_by_role("button", name="Translate").click()
    page.get_by_role("status").get_by_text("attributes").wait_for(timeout=30_000)
    assert page.locator("#answers section").count() == 0


@in_a_browser
@pytest.mark.parametrize("dark", [False, True])
def test_axe_finds_no_serious_fault(chromium, address, dark):
    opened = open_page(chromium, address, dark=dark)
    opened.page.get_by_label("or caption as text").fill("A small red egg sits in the middle.")
    opened.page.get_by_role("button", name="Translate").click()
    opened.page.locator("#answers img").first.wait_for(timeout=60_000)
    assert opened.faults() == []


def ask(address, body=b"", **headers):
    form = {"Content-Type": "multipart/form-data; boundary=b", **headers}
    request = urllib.request.Request(f"{address}/translate", body, form, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read() or b"{}") if error.code != 400 else error.read()


def part(name, text, filename=None):
    named = f'; filename="{filename}"' if filename else ""
    head = f'--b\r\nContent-Disposition: form-data; name="{name}"{named}\r\n\r\n'
    return head.encode() + text + b"\r\n--b--\r\n"


def test_answers_are_escaped_and_other_pages_and_names_are_refused(address):
    body = part("caption", b"a <b>red</b> egg")
    status, told = ask(address, body, **{MARK: "1"})
    assert status == 200 and set(told["answers"]) == {"picture", "caption", "attributes", "sound"}
    assert ask(address, body)[0] == 403
    port = address.rpartition(":")[2]
    with socket.create_connection(("127.0.0.1", int(port))) as raw:
        raw.sendall(b"GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
        assert b" 400 " in raw.recv(100)


def test_what_cannot_be_read_is_said_without_the_folder_it_was_kept_in(address):
    status, told = ask(address, part("picture", b"no picture", "../../a.png"), **{MARK: "1"})
    assert status == 400
    message = json.loads(told)["error"]
    assert "0.png" in message and "tmp" not in message
    status, told = ask(address, part("nothing", b"x"), **{MARK: "1"})
    assert status == 400 and json.loads(told)["error"] == "Give an item of one domain."


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"{red", "looks like JSON and is not"),
        (b'{"shape": ' + b"9" * 5000 + b"}", ""),
        (b"{" * 5000, "looks like JSON and is not"),
        (b"/etc/passwd", "names a file of this machine"),
        (b'{"path": "/etc/passwd"}', "names a file of this machine"),
    ],
)
def test_texts_that_are_no_items_are_said_and_read_no_file(address, text, reason):
    status, told = ask(address, part("attributes", text), **{MARK: "1"})
    assert status == 400 and reason in json.loads(told)["error"]


def test_an_address_that_is_taken_is_named(address, four_domains, capsys):
    port = address.rpartition(":")[2]
    assert main(["serve", str(four_domains), "--port", port]) == 2
    assert f"port {port} cannot be listened on" in capsys.readouterr().err
    assert main(["serve", str(four_domains), "--port", "99999"]) == 2


def test_the_page_allows_its_own_script_only(address):
    with urllib.request.urlopen(address) as answer:
        policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "'unsafe-inline'" not in policy.split("script-src")[1]


def test_serve_names_what_is_no_run(tmp_path, capsys):
    assert main(["serve", str(tmp_path)]) == 2
    assert "holds no trained workspace" in capsys.readouterr().err
    assert Path(tmp_path).is_dir()
