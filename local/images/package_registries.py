"""How this machine reaches package registries, lent to a build as secrets: nothing of it stays in an image.

A Dockerfile's RUN that installs packages mounts secrets, all of them optional: ``build-settings``, a piece of shell
that sets variables, ``ca-bundle``, the certificates that this machine trusts, and ``apt-sources``, where a base that
names no mirror gets packages of its distribution. Owns their content. Leaves alone: HTTP proxies, which docker and
buildah pass on themselves.
"""

import configparser
import os
import shlex
from collections.abc import Mapping
from pathlib import Path

from stacks.images import ImageError

SETTINGS = "build-settings"
CERTIFICATES = "ca-bundle"
APT_SOURCES = "apt-sources"

_MOUNTED = f"/run/secrets/{CERTIFICATES}"
_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",  # Debian, Ubuntu, Arch
    "/etc/pki/tls/certs/ca-bundle.crt",  # Fedora
    "/etc/ssl/cert.pem",  # macOS, Alpine
)
_PASSED_ON = (
    "UV_DEFAULT_INDEX", "UV_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_INDEX_STRATEGY", "UV_INSECURE_HOST",
    "UV_HTTP_TIMEOUT", "UV_CONCURRENT_DOWNLOADS",
    "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_TRUSTED_HOST", "PIP_DEFAULT_TIMEOUT", "PIP_RETRIES",
)  # fmt: skip
_OF_PIP = {
    "PIP_INDEX_URL": "UV_DEFAULT_INDEX",
    "PIP_EXTRA_INDEX_URL": "UV_EXTRA_INDEX_URL",
    "PIP_TRUSTED_HOST": "UV_INSECURE_HOST",
    "PIP_DEFAULT_TIMEOUT": "UV_HTTP_TIMEOUT",
}
"""pip's settings and uv's of the same meaning: a machine may be set up for one of them only."""


def write_secrets(
    folder: Path, environment: Mapping[str, str] = os.environ, apt_sources: str | None = None
) -> dict[str, Path]:
    """Write what a build needs to know into ``folder``; return name of the secret -> file.

    Args:
        folder: where the files go.
        environment: variables of this machine.
        apt_sources: a ``sources.list`` for a base that has none.
    """
    folder.mkdir(parents=True, exist_ok=True)
    values = package_settings(environment)
    secrets: dict[str, Path] = {}
    bundle = certificates(environment)
    if bundle is not None:
        secrets[CERTIFICATES] = bundle
        values |= {"SSL_CERT_FILE": _MOUNTED, "PIP_CERT": _MOUNTED}
    if apt_sources is not None:
        secrets[APT_SOURCES] = folder / APT_SOURCES
        secrets[APT_SOURCES].write_text(apt_sources)
    path = folder / SETTINGS
    path.touch(mode=0o600)
    path.write_text("".join(f"export {name}={shlex.quote(value)}\n" for name, value in sorted(values.items())))
    return {SETTINGS: path, **secrets}


def package_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Variables of pip and uv that say where packages come from: of the environment, and of pip's own files."""
    values = _pip_files(environment) | {name: environment[name] for name in _PASSED_ON if environment.get(name)}
    for of_pip, of_uv in _OF_PIP.items():
        if of_pip in values and not (of_uv == "UV_DEFAULT_INDEX" and "UV_INDEX_URL" in values):
            values.setdefault(of_uv, values[of_pip])
    return values


def certificates(environment: Mapping[str, str]) -> Path | None:
    """The file of certificates that programs of this machine trust; ``None`` where there is none to be found."""
    named = environment.get("SSL_CERT_FILE")
    return next((path for path in map(Path, ([named] if named else []) + list(_BUNDLES)) if path.is_file()), None)


def _pip_files(environment: Mapping[str, str]) -> dict[str, str]:
    """What pip's configuration files say about registries, as variables. Where they disagree, the later file wins."""
    users_folder = Path(environment.get("HOME") or os.path.expanduser("~"))
    settings = Path(environment.get("XDG_CONFIG_HOME") or users_folder / ".config")
    files = [Path("/etc/pip.conf"), users_folder / ".pip" / "pip.conf", settings / "pip" / "pip.conf"]
    if environment.get("PIP_CONFIG_FILE"):
        files.append(Path(environment["PIP_CONFIG_FILE"]))
    parser = configparser.RawConfigParser()
    try:
        parser.read(files, encoding="utf-8")
    except (configparser.Error, OSError, UnicodeError) as error:
        raise ImageError(
            f"a configuration file of pip cannot be read ({', '.join(map(str, files))}): {error}"
        ) from error
    values: dict[str, str] = {}
    for section in ("global", "install"):
        for key, value in parser.items(section) if parser.has_section(section) else ():
            variable = f"PIP_{key.upper().replace('-', '_')}"
            if variable in _PASSED_ON:
                values[variable] = " ".join(value.split())
    return values
