"""Images go into a real registry as they are, and the lock says what came of it."""

import base64
import contextlib
import hashlib
import http.server
import json
import os
import shutil
import subprocess
import threading
import time
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from llm_serving.errors import ProblemsError
from stacks.cli import app, main
from stacks.images import ImageError
from stacks.images.lock import LOCK, LockedImage, read_images, write_image
from stacks.images.publish import pin_image, push_image
from stacks.images.registry import RegistryClient, parse_repository
from tests.images.registry_server import (
    PASSWORDS,
    Archive,
    archive_of,
    docker_login,
    manifest_of,
    serving,
)

NAME = "model-loader@0.1.0"
PLACEHOLDER = LockedImage(repository="registry.invalid/llm-serving/model-loader", tag="0.1.0")
NOBODY = {"DOCKER_CONFIG": "/nonexistent", "PATH": "/nonexistent"}


@pytest.fixture
def registry(tmp_path):
    with serving(tmp_path / "registry") as host:
        yield host


@pytest.fixture
def folder(tmp_path):
    """The folder of a lock."""
    made = tmp_path / "releases"
    made.mkdir()
    return made


@pytest.fixture
def archive(tmp_path):
    return archive_of(tmp_path / "image.tar", b"base", b"code", version="0.1.0-0123456789ab")


def push(folder, archive, to, name=NAME, environment=NOBODY):
    lines: list[str] = []
    image = push_image(name, archive, to, folder, say=lines.append, environment=environment)
    return image, lines


def test_a_push_writes_repository_tag_digest_and_inputs_into_the_lock(registry, folder, archive):
    write_image(folder, NAME, PLACEHOLDER)
    image, lines = push(folder, archive, f"{registry}/llm/serving")
    assert len(lines) == 3  # a configuration and two layers
    answer = manifest_of(registry, "llm/serving/model-loader", "0.1.0")
    assert image.digest == f"sha256:{hashlib.sha256(answer.content).hexdigest()}"
    assert read_images(folder) == {
        NAME: LockedImage(
            repository=f"{registry}/llm/serving/model-loader",
            tag="0.1.0",
            digest=image.digest,
            inputs="0123456789ab",
        )
    }
    for layer in answer.json()["layers"]:
        blob = requests.get(f"http://{registry}/v2/llm/serving/model-loader/blobs/{layer['digest']}", timeout=10)
        assert blob.content in (b"base", b"code")


def test_a_second_push_uploads_nothing_and_a_new_version_only_what_is_new(registry, folder, archive, tmp_path):
    push(folder, archive, registry)
    before = (folder / LOCK).read_bytes()
    assert push(folder, archive, registry)[1] == []
    assert (folder / LOCK).read_bytes() == before
    newer = archive_of(tmp_path / "newer.tar", b"base", b"other code")
    image, lines = push(folder, newer, registry, "model-loader@0.2.0")
    assert len(lines) == 2
    assert read_images(folder)["model-loader@0.2.0"] == image
    assert list(read_images(folder)) == [NAME, "model-loader@0.2.0"]


def test_a_second_push_writes_nothing_to_the_registry_either(registry, folder, archive):
    with relayed(registry) as (host, requests_seen):
        push(folder, archive, host)
        assert "PUT" in {method for method, _, _ in requests_seen}
        requests_seen.clear()
        push(folder, archive, host)
        assert {method for method, _, _ in requests_seen} == {"HEAD"}


def test_a_push_keeps_the_user_that_the_lock_says_of_an_image(registry, folder, archive):
    write_image(folder, NAME, PLACEHOLDER.model_copy(update={"user_id": 2000}))
    image, _ = push(folder, archive, registry)
    assert image.user_id == 2000
    assert read_images(folder) == {NAME: image}


@pytest.mark.parametrize("place", ["http://registry.test/upload?signature=s3cret", "ftp://127.0.0.1/upload"])
def test_an_upload_in_the_clear_to_another_machine_is_refused(registry, folder, archive, place):
    with (
        relayed(registry, lambda _: place) as (host, requests_seen),
        pytest.raises(ImageError, match=r"its uploads go to '\w+://[a-z0-9.]+/upload', which is not HTTPS"),
    ):
        push(folder, archive, host)
    assert {method for method, _, _ in requests_seen} == {"HEAD", "POST"}
    assert not (folder / LOCK).exists()


def test_a_registry_elsewhere_may_not_send_an_upload_to_plain_http_even_of_this_machine():
    remote = parse_repository("registry.test/llm")
    assert remote.may_send_to("https://storage.test/upload")
    assert not remote.may_send_to("http://registry.test/upload")
    assert not remote.may_send_to("http://127.0.0.1/upload")
    assert remote.has("https://REGISTRY.test:443/v2/llm/blobs/uploads/1")
    assert not remote.has("https://registry.test:8443/v2/llm/blobs/uploads/1")


def test_an_upload_to_another_host_gets_no_login_even_where_that_host_asks_for_one(folder, archive, tmp_path):
    (tmp_path / "passwords").write_text(PASSWORDS)
    passwords = {"htpasswd": {"realm": "test", "path": str(tmp_path / "passwords")}}
    with serving(tmp_path / "registry", auth=passwords) as behind, relayed(behind) as (elsewhere, elsewhere_seen):

        def moved(place):
            return urlsplit(place)._replace(netloc=elsewhere).geturl()

        with (
            relayed(behind, moved) as (host, requests_seen),
            pytest.raises(ImageError, match="the registry refuses it: 401"),
        ):
            push(folder, archive, host, environment=docker_login(tmp_path / "docker", host, "alice", "wonderland"))
    assert any(login for _, _, login in requests_seen)
    assert [(method, login) for method, _, login in elsewhere_seen] == [("PATCH", None)]


def test_another_host_to_which_the_registry_redirects_cannot_ask_for_the_login(folder, archive, tmp_path):
    with token_service(tmp_path) as (auth, scopes), serving(tmp_path / "registry", auth={"token": auth}) as elsewhere:

        class Redirects(http.server.BaseHTTPRequestHandler):
            def do_HEAD(self):
                self.send_response(307)
                self.send_header("Location", f"http://{elsewhere}{self.path}")
                self.end_headers()

            def log_message(self, format, *args):
                pass

        with listening(Redirects) as host, pytest.raises(ImageError, match="the registry refuses it: 401"):
            push(folder, archive, host, environment=docker_login(tmp_path / "docker", host, "alice", "wonderland"))
        assert scopes == []


def test_a_tag_never_moves_and_an_entry_is_written_once(registry, folder, archive, tmp_path):
    push(folder, archive, registry)
    before = (folder / LOCK).read_bytes()
    other = archive_of(tmp_path / "other.tar", b"something else")
    with pytest.raises(ProblemsError, match=r"model-loader@0\.1\.0\.digest.*written once.*new version"):
        push(folder, other, registry)
    with pytest.raises(ProblemsError, match=r"model-loader@0\.1\.0\.repository"):
        push(folder, archive, f"{registry}/elsewhere")
    elsewhere = tmp_path / "of-somebody-else"
    elsewhere.mkdir()
    with pytest.raises(ImageError, match="a tag never moves"):
        push(elsewhere, other, registry)
    assert (folder / LOCK).read_bytes() == before
    assert not (elsewhere / LOCK).exists()
    assert requests.get(f"http://{registry}/v2/elsewhere/model-loader/tags/list", timeout=10).status_code == 404


def test_an_image_of_several_platforms_keeps_its_digest(registry, folder, tmp_path):
    made = Archive(tmp_path / "both.tar")
    both = [
        made.image([b"base", cpu.encode()], architecture=cpu, version="0.1.0-ba9876543210")
        for cpu in ("amd64", "arm64")
    ]
    index = made.index(*both)
    image, _ = push(folder, made.write(index), registry)
    assert (image.digest, image.inputs) == (index["digest"], "ba9876543210")
    assert manifest_of(registry, "model-loader", "0.1.0").content == made.blobs[index["digest"]]
    for manifest in both:
        assert manifest_of(registry, "model-loader", manifest["digest"]).content == made.blobs[manifest["digest"]]


def test_the_launcher_in_an_image_is_told_by_what_it_starts(registry, folder, tmp_path):
    archive = archive_of(tmp_path / "vllm.tar", b"engine", entrypoint=["/opt/venv/bin/llm-serving-engine"])
    assert push(folder, archive, registry, "vllm@0.32.0")[0].launcher


def test_an_archive_that_lacks_a_layer_or_has_another_in_its_place_is_refused(registry, folder, tmp_path):
    made = Archive(tmp_path / "image.tar")
    image = made.image([b"one", b"two"])
    layer = f"sha256:{hashlib.sha256(b'two').hexdigest()}"
    with pytest.raises(ImageError, match=f"{layer} is not in the archive"):
        push(folder, made.write(image, without=[layer]), registry)
    made.blobs[layer] = b"2wo"
    with pytest.raises(ImageError, match=r"registry answers PUT .* with 400"):
        push(folder, made.write(image), registry)
    made.blobs[image["digest"]] += b" "
    with pytest.raises(ImageError, match=f"{image['digest']} is damaged"):
        push(folder, made.write(image), registry)
    assert not (folder / LOCK).exists()
    assert manifest_of(registry, "model-loader", "0.1.0").status_code == 404


def test_an_image_is_pushed_under_the_version_that_it_says_of_itself(folder, archive):
    with pytest.raises(ProblemsError, match=r"says that it is model-loader@0\.1\.0 \(try: push model-loader@0\.1\.0"):
        push(folder, archive, "registry.test", "model-loader@0.2.0")


@pytest.mark.parametrize("text", ["", "not a tar"])
def test_what_is_no_archive_of_an_image_is_refused(folder, tmp_path, text):
    file = tmp_path / "file"
    file.write_text(text)
    with pytest.raises(ImageError, match="not an archive of an image"):
        push(folder, file, "registry.test")
    archive = tmp_path / "other.tar"
    subprocess.run(["tar", "-cf", archive, "-C", tmp_path, "file"], check=True)
    with pytest.raises(ImageError, match="not an OCI archive"):
        push(folder, archive, "registry.test")


def test_an_upload_that_the_registry_breaks_off_is_tried_again(registry, folder, archive):
    with shaky(registry) as host:
        image, _ = push(folder, archive, host)
    assert manifest_of(registry, "model-loader", "0.1.0").headers["Docker-Content-Digest"] == image.digest


def test_a_registry_that_is_not_there_is_told_as_such(folder, archive):
    with pytest.raises(ImageError, match=r"127\.0\.0\.1:9/model-loader: the registry cannot be reached: .*refused"):
        push(folder, archive, "127.0.0.1:9")


def test_a_login_of_docker_is_used_and_without_one_the_command_is_named(folder, archive, tmp_path):
    (tmp_path / "passwords").write_text(PASSWORDS)
    passwords = {"htpasswd": {"realm": "test", "path": str(tmp_path / "passwords")}}
    with serving(tmp_path / "registry", auth=passwords) as host:
        with pytest.raises(ImageError, match=f"refuses it: 401.*log in: docker login {host}"):
            push(folder, archive, host)
        with pytest.raises(ImageError, match="refuses it: 401"):
            push(folder, archive, host, environment=docker_login(tmp_path / "docker", host, "alice", "wrong"))
        assert not (folder / LOCK).exists()
        image, _ = push(
            folder, archive, host, environment=docker_login(tmp_path / "docker", host, "alice", "wonderland")
        )
        answer = manifest_of(host, "model-loader", "0.1.0", auth=("alice", "wonderland"))
        assert answer.headers["Docker-Content-Digest"] == image.digest


def test_a_credential_helper_is_asked_for_the_registry_that_it_is_named_for(folder, archive, tmp_path):
    (tmp_path / "passwords").write_text(PASSWORDS)
    passwords = {"htpasswd": {"realm": "test", "path": str(tmp_path / "passwords")}}
    programs = tmp_path / "programs"
    programs.mkdir()
    helper = programs / "docker-credential-test"
    with serving(tmp_path / "registry", auth=passwords) as host:
        answer = json.dumps({"ServerURL": host, "Username": "alice", "Secret": "wonderland"})
        helper.write_text(f"#!/bin/sh\nread host\n[ \"$1 $host\" = 'get {host}' ] && echo '{answer}'\n")
        helper.chmod(0o755)
        configuration = tmp_path / "docker"
        configuration.mkdir()
        (configuration / "config.json").write_text(json.dumps({"credHelpers": {host: "test"}}))
        environment = {"DOCKER_CONFIG": str(configuration), "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
        push(folder, archive, host, environment=environment)
        helper.unlink()
        with pytest.raises(ImageError, match=r"docker-credential-test for .* not on PATH"):
            push(folder, archive, host, environment=environment)


def test_a_registry_that_wants_tokens_gets_one_for_pulls_and_pushes(folder, archive, tmp_path):
    with token_service(tmp_path) as (auth, scopes), serving(tmp_path / "registry", auth={"token": auth}) as host:
        with pytest.raises(ImageError, match=r"gives no token: 401.*docker login"):
            push(folder, archive, host)
        environment = docker_login(tmp_path / "docker", host, "alice", "wonderland")
        image, _ = push(folder, archive, host, environment=environment)
        # The right to write is asked for from the start: some answer 403 to a token without it, and no challenge.
        assert scopes == ["repository:model-loader:pull,push"]
        unpinned = image.model_copy(update={"digest": None})
        other = tmp_path / "another-lock"
        other.mkdir()
        write_image(other, NAME, unpinned)
        assert pin_image(NAME, None, other, environment=environment) == image
        assert scopes[1:] == ["repository:model-loader:pull"]


def test_pinning_writes_what_the_tag_leads_to_now_and_never_again(registry, folder, tmp_path):
    publisher = tmp_path / "publisher"
    publisher.mkdir()
    published = archive_of(tmp_path / "published.tar", b"base", b"code")
    image, _ = push(publisher, published, f"{registry}/vendor", "engine@v1")
    reference = f"{registry}/vendor/engine:v1"
    pinned = pin_image("vendor-engine@1.0.0", reference, folder, environment=NOBODY)
    assert pinned.digest == image.digest
    assert read_images(folder)["vendor-engine@1.0.0"].reference == f"{registry}/vendor/engine@{image.digest}"
    # The publisher moves the tag.
    moved = manifest_of(registry, "vendor/engine", "v1").json()
    moved["layers"] = moved["layers"][:1]
    put = f"http://{registry}/v2/vendor/engine/manifests/v1"
    done = requests.put(put, json.dumps(moved), headers={"Content-Type": moved["mediaType"]}, timeout=10)
    assert done.headers["Docker-Content-Digest"] != image.digest
    before = (folder / LOCK).read_bytes()
    assert pin_image("vendor-engine@1.0.0", None, folder, environment=NOBODY) == pinned
    assert pin_image("vendor-engine@1.0.0", reference, folder, environment=NOBODY) == pinned
    with pytest.raises(ProblemsError, match="written once"):
        pin_image("vendor-engine@1.0.0", f"{registry}/vendor/engine:v2", folder, environment=NOBODY)
    assert (folder / LOCK).read_bytes() == before


@pytest.mark.parametrize(
    ("label", "version"), [("v0.32.0", "0.32.0"), ("0.32.0+cu130", "0.32.0+cu130"), ("22.04", None)]
)
def test_pinning_notes_the_version_that_the_image_says_of_itself(registry, folder, tmp_path, label, version):
    """An image without a label of its own has that of its base, a version of Ubuntu for instance."""
    made = Archive(tmp_path / "engine.tar")
    platforms = [made.image([cpu.encode()], version=label, architecture=cpu) for cpu in ("amd64", "arm64")]
    publisher = tmp_path / "publisher"
    publisher.mkdir()
    push(publisher, made.write(made.index(*platforms)), registry, "engine@nightly")
    pinned = pin_image("engine@1", f"{registry}/engine:nightly", folder, environment=NOBODY)
    assert (pinned.version, read_images(folder)["engine@1"]) == (version, pinned)


def test_an_image_whose_version_cannot_be_read_is_pinned_all_the_same(registry, folder, tmp_path, monkeypatch):
    """Some registries keep an image's configuration on a host that a site does not reach."""
    made = Archive(tmp_path / "engine.tar")
    publisher = tmp_path / "publisher"
    publisher.mkdir()
    push(publisher, made.write(made.index(made.image([b"code"], version="v0.32.0"))), registry, "engine@nightly")

    def unreachable(self, reference):
        raise ImageError("blobs.example.com does not answer")

    monkeypatch.setattr(RegistryClient, "version_of", unreachable)
    said = []
    pinned = pin_image("engine@1", f"{registry}/engine:nightly", folder, environment=NOBODY, say=said.append)
    assert (pinned.digest is not None, pinned.version) == (True, None)
    assert any("could not be read, and is not recorded" in line for line in said)


def test_an_image_that_nodes_cannot_stream_is_told_when_it_is_pinned(registry, folder, tmp_path):
    publisher = tmp_path / "publisher"
    publisher.mkdir()
    twice = archive_of(tmp_path / "twice.tar", b"base", b"empty", b"code", b"empty")
    made = Archive(tmp_path / "once.tar")
    platforms = [made.image([b"base", cpu.encode()], architecture=cpu) for cpu in ("amd64", "arm64")]
    once = made.write(made.index(*platforms))
    said = {}
    for name, archive in (("twice", twice), ("once", once)):
        push(publisher, archive, registry, f"{name}@1")
        lines: list[str] = []
        pin_image(f"{name}@1", f"{registry}/{name}:1", folder, say=lines.append, environment=NOBODY)
        said[name] = lines
    assert said["once"] == []
    (note,) = said["twice"]
    assert "twice@1 has a layer twice" in note


def test_what_cannot_be_pinned_is_told_with_what_to_do(registry, folder):
    with pytest.raises(ProblemsError, match="--image REPOSITORY:TAG"):
        pin_image("engine@1", None, folder)
    with pytest.raises(ImageError, match=r"engine:1: the registry has no such tag"):
        pin_image("engine@1", f"{registry}/engine:1", folder, environment=NOBODY)
    write_image(folder, NAME, PLACEHOLDER)
    with pytest.raises(ProblemsError, match=r"in no registry yet \(try: stacks images push model-loader@0\.1\.0"):
        pin_image(NAME, None, folder)
    for reference in ("engine", f"{registry}/engine@sha256:{'0' * 64}", "engine:1", f"{registry}/Engine:1"):
        with pytest.raises(ImageError, match="must be a registry"):
            pin_image("engine@1", reference, folder)


def test_the_commands_do_the_same(registry, folder, archive, monkeypatch, capsys, tmp_path):
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    more = ["--releases", str(folder)]

    def stacks(*arguments):
        with contextlib.suppress(SystemExit):
            main(lambda: app(["images", *arguments, *more]))
        return capsys.readouterr()

    pushed = stacks("push", NAME, "--archive", str(archive), "--to", registry)
    digest = read_images(folder)[NAME].digest
    assert pushed.out == f"{NAME}  {registry}/model-loader@{digest}\n"
    assert stacks("pin", "again@1", "--image", f"{registry}/model-loader:0.1.0").out.endswith(f"@{digest}\n")
    write_image(folder, "vllm@1", PLACEHOLDER)
    listed = stacks("list").out.splitlines()
    assert [line.split()[0] for line in listed] == ["again@1", NAME, "vllm@1"]
    assert listed[2].endswith("in no registry: stacks images push vllm@1 --archive FILE --to REGISTRY")
    refused = stacks("push", NAME, "--archive", str(archive), "--to", "https://registry.test")
    assert refused.err.startswith("error: 'https://registry.test/model-loader': it must be a registry")


def test_an_archive_of_buildah_is_taken(registry, folder, tmp_path):
    if shutil.which("buildah") is None or os.geteuid() != 0:
        pytest.skip("NOT TESTED: builds for real need buildah and root (make setup-node)")
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY Dockerfile /\n")
    store = [f"--root={tmp_path / 'store'}", f"--runroot={tmp_path / 'run'}", "--storage-driver=vfs"]
    archive = tmp_path / "buildah.tar"
    build = ["bud", "--isolation=chroot", "--tag=localhost/test:1", str(tmp_path)]
    for command in (build, ["push", "localhost/test:1", f"oci-archive:{archive}"]):
        subprocess.run(["buildah", *store, *command], check=True, capture_output=True)
    image, _ = push(folder, archive, registry)
    assert manifest_of(registry, "model-loader", "0.1.0").headers["Docker-Content-Digest"] == image.digest


@contextlib.contextmanager
def listening(handler):
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextlib.contextmanager
def relayed(registry, moved=lambda place: place, refuses=lambda method, path, body: False):
    """A way to the registry, and the requests that took it: method, path, login.

    Args:
        registry: its host and port.
        moved: what becomes of a ``Location``.
        refuses: whether a request is answered with 503.
    """
    seen: list[tuple[str, str, str | None]] = []

    class Relay(http.server.BaseHTTPRequestHandler):
        def do(self):
            seen.append((self.command, self.path, self.headers.get("Authorization")))
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if refuses(self.command, self.path, body):
                self.send_response(503)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            kept = ("Content-Type", "Accept", "Host", "Authorization")
            headers = {name: value for name, value in self.headers.items() if name in kept}
            answer = requests.request(
                self.command, f"http://{registry}{self.path}", headers=headers, data=body, timeout=10
            )
            self.send_response(answer.status_code)
            for name in ("Location", "Content-Type", "Docker-Content-Digest", "WWW-Authenticate"):
                if name in answer.headers:
                    value = answer.headers[name]
                    self.send_header(name, moved(value) if name == "Location" else value)
            self.send_header("Content-Length", str(len(answer.content)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.content)

        do_HEAD = do_GET = do_POST = do_PATCH = do_PUT = do  # noqa: N815

        def log_message(self, format, *args):
            pass

    with listening(Relay) as host:
        yield host, seen


@contextlib.contextmanager
def shaky(registry):
    """A way to the registry that answers every first time of an upload, or of a question, with 503."""
    seen: set[tuple[str, str]] = set()

    def refuses(method, path, body):
        key = (method, hashlib.sha256(body).hexdigest() if method == "PATCH" else path)
        if method not in ("HEAD", "PATCH") or key in seen:
            return False
        seen.add(key)
        return True

    with relayed(registry, refuses=refuses) as (host, _):
        yield host
    assert {command for command, _ in seen} == {"HEAD", "PATCH"}


@contextlib.contextmanager
def token_service(folder):
    """What gives tokens to a registry's clients (https://distribution.github.io/distribution/spec/auth/jwt/): the
    registry's settings that trust it, and the scopes that alice asked for."""
    authority = trustme.CA(key_type=trustme.KeyType.RSA)
    issued = authority.issue_cert("tokens.test", key_type=trustme.KeyType.RSA)
    key = serialization.load_pem_private_key(issued.private_key_pem.bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    chain = [x509.load_pem_x509_certificate(blob.bytes()) for blob in issued.cert_chain_pems]
    scopes: list[str] = []

    def token(service, scope):
        kind, name, actions = scope.split(":")
        now = int(time.time())
        header = {
            "typ": "JWT",
            "alg": "RS256",
            "x5c": [base64.b64encode(item.public_bytes(serialization.Encoding.DER)).decode() for item in chain],
        }
        claims = {
            "iss": "tokens",
            "aud": service,
            "sub": "alice",
            "exp": now + 300,
            "nbf": now - 60,
            "iat": now,
            "jti": str(len(scopes)),
            "access": [{"type": kind, "name": name, "actions": actions.split(",")}],
        }
        signed = b".".join(_base64(json.dumps(part).encode()) for part in (header, claims))
        return (signed + b"." + _base64(key.sign(signed, padding.PKCS1v15(), hashes.SHA256()))).decode()

    class Tokens(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            known = "Basic " + base64.b64encode(b"alice:wonderland").decode()
            query = parse_qs(urlsplit(self.path).query)
            fine = self.headers.get("Authorization") == known
            if fine:
                scopes.append(query["scope"][0])
            body = json.dumps({"token": token(query["service"][0], query["scope"][0])} if fine else {}).encode()
            self.send_response(200 if fine else 401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format, *args):
            pass

    bundle = Path(folder) / "tokens.pem"
    bundle.write_bytes(authority.cert_pem.bytes())
    with listening(Tokens) as host:
        realm = f"http://{host}/token"
        yield {"realm": realm, "service": "registry", "issuer": "tokens", "rootcertbundle": str(bundle)}, scopes


def _base64(content):
    return base64.urlsafe_b64encode(content).rstrip(b"=")
