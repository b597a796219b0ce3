"""Opens a page in headless Chromium, whose scripts report what they saw."""

import http.server
import json
import mimetypes
import os
import shutil
import signal
import subprocess
import threading

import pytest

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-breakpad", "--window-size=1200,800"),
    "--autoplay-policy=no-user-gesture-required",
)
TIME_S = 60


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves `server.files`, bytes by path, lists what was asked for, and keeps what is posted as `server.posted`."""

    def do_GET(self):
        found = self.server.files.get(self.path)
        self.server.requested.append(self.path)
        self.send_response(200 if found else 404)
        if found:
            kind = mimetypes.guess_type(self.path)[0] or "application/octet-stream"
            self.send_header("Content-Type", "text/html; charset=utf-8" if self.path.endswith("/") else kind)
            self.send_header("Content-Length", str(len(found)))
        self.end_headers()
        self.wfile.write(found or b"")

    def do_POST(self):
        self.server.posted = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.end_headers()
        self.server.done.set()

    def log_message(self, *arguments):
        pass


def visit(
    page: str,
    profile: str,
    files: dict[str, bytes] | None = None,
    *,
    path: str = "/",
    flags: tuple[str, ...] = (),
    time_s: float = TIME_S,
    requested: list[str] | None = None,
):
    """Opens a page in real time: in the virtual time of Chromium, videos do not play.

    Args:
        page: HTML with a script that posts JSON to this server, at any path.
        profile: directory for the browser.
        files: other files that the server has, by path, such as "/a.mp4".
        path: of the page.
        flags: more flags of the browser.
        time_s: the longest time until the page posts.
        requested: a list, to which the paths are added that the browser asks for.

    Returns:
        What the page has posted.
    """
    browser = shutil.which("chromium")
    if not browser:
        pytest.skip("chromium is not installed")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.files = {path: page.encode()} | (files or {})
        server.requested = [] if requested is None else requested
        server.done = threading.Event()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}{path}"
        command = [browser, *FLAGS, *flags, f"--user-data-dir={profile}", url]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL, start_new_session=True)
        try:
            assert server.done.wait(time_s), "the page has posted nothing"
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            server.shutdown()
        return server.posted
