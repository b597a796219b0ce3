"""Tests of LiteRT for the web: downloads, the cache, folders of npm, and what is not genuine."""

import base64
import hashlib
import http.server
import io
import os
import tarfile
import threading

import pytest

from pose_tf.errors import UserError
from pose_tf.web import runtime

CORE = {"dist/index.js": b"index", "wasm/a.wasm": b"\0asm"}


def archive(files):
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w:gz") as file:
        for name, data in {"package/package.json": b"{}", "../outside": b"x", **files}.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            file.addfile(member, io.BytesIO(data))
    return content.getvalue()


def package(name, files, content):
    integrity = base64.b64encode(hashlib.sha512(content).digest()).decode()
    return runtime.Package(name, "1.2.3", integrity, {path: hashlib.sha256(d).hexdigest() for path, d in files.items()})


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.requested.append(self.path)
        found = self.server.files.get(self.path)
        self.send_response(200 if found else 404)
        self.end_headers()
        self.wfile.write(found or b"")

    def log_message(self, *arguments):
        pass


@pytest.fixture
def registry(monkeypatch, tmp_path):
    """A registry with one package, which is the runtime. The cache is empty."""
    content = archive({f"package/{path}": data for path, data in CORE.items()})
    monkeypatch.setattr(runtime, "PACKAGES", (package("@some/core", CORE, content),))
    monkeypatch.setenv("XDG_CACHE_HOME", f"{tmp_path}/cache")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.requested, server.files = [], {"/npm/@some/core/-/core-1.2.3.tgz": content}
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("npm_config_registry", f"http://127.0.0.1:{server.server_port}/npm/")
        yield server
        server.shutdown()


EXPECTED = {f"@some/core/{path}": data for path, data in CORE.items()}


def stored(folder):
    return sorted(os.path.relpath(os.path.join(at, name), folder) for at, _, names in os.walk(folder) for name in names)


def test_a_package_is_downloaded_once(registry, tmp_path):
    assert runtime.read() == runtime.read() == EXPECTED
    assert registry.requested == ["/npm/@some/core/-/core-1.2.3.tgz"]
    cached = "cache/pose_tf/@some-core-1.2.3"
    assert stored(tmp_path) == [f"{cached}/dist/index.js", f"{cached}/wasm/a.wasm"]


def test_a_damaged_cache_is_replaced_and_one_that_cannot_be_written_is_none(registry, tmp_path, monkeypatch):
    runtime.read()
    (tmp_path / "cache/pose_tf/@some-core-1.2.3/dist/index.js").write_bytes(b"changed")
    assert runtime.read() == runtime.read() == EXPECTED
    assert len(registry.requested) == 2
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", f"{tmp_path}/file")
    assert runtime.read() == EXPECTED


def test_another_archive_is_refused(registry, tmp_path):
    (path,) = registry.files
    registry.files[path] += b"more"
    with pytest.raises(UserError, match=r"core-1.2.3.tgz is not version 1.2.3 of @some/core: its SHA-512 is another"):
        runtime.read()
    assert stored(tmp_path) == []


def test_without_a_registry_the_error_says_what_to_do(registry, monkeypatch):
    registry.files.clear()
    with pytest.raises(UserError, match=r"core-1.2.3.tgz cannot be downloaded \(404 Not Found\); where npm has access"):
        runtime.read()
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:1")
    with pytest.raises(UserError, match=r"cannot be downloaded \(.*refused.*run: npm install .*node_modules as litert"):
        runtime.read()
    monkeypatch.setenv("npm_config_registry", "file:///etc")
    with pytest.raises(UserError, match="file:///etc is not the address of a registry"):
        runtime.read()


def test_a_folder_of_npm_is_used_if_it_is_genuine(registry, tmp_path):
    for path, data in EXPECTED.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(data)
    assert runtime.read(str(tmp_path)) == EXPECTED
    (tmp_path / "@some/core/wasm/a.wasm").write_bytes(b"\0asn")
    with pytest.raises(UserError, match="core/wasm/a.wasm is not that of version 1.2.3; install it with: npm install"):
        runtime.read(str(tmp_path))
    with pytest.raises(UserError, match=r"/nowhere/@some/core/dist/index.js cannot be read \(No such.*npm install"):
        runtime.read("/nowhere")
    assert registry.requested == []


def test_the_pinned_version_is_one():
    assert runtime.INSTALL == "npm install @litertjs/core@2.5.3 @litertjs/wasm-utils@2.5.3"
    for one in runtime.PACKAGES:
        assert len(base64.b64decode(one.integrity)) == 64
