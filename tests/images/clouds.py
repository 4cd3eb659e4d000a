"""The servers beside a store from which a pod gets its credentials: Google's metadata server and AWS's agent."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ACCOUNT = "loader@project.iam.gserviceaccount.com"
_GOOGLE = "/computeMetadata/v1/instance/service-accounts/default/"
_TOKENS = tuple(f"{_GOOGLE}token".replace("default", account) for account in ("default", ACCOUNT))


class CredentialServer:
    """Both servers in one.

    Attributes:
        refusals: how many of the next requests for a token are refused.
        requests: paths that were asked.
        google: variables with which Google's library finds it as the metadata server.
        aws: variables with which AWS's library finds it as the agent of EKS Pod Identity.
    """

    def __init__(self, refusals: int = 0) -> None:
        self.refusals = refusals
        self.requests: list[str] = []
        self._server = _Server(self)
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        address = f"127.0.0.1:{self._server.server_port}"
        self.google = {"GCE_METADATA_HOST": address, "GCE_METADATA_IP": address}
        self.aws = {"AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://{address}/v1/credentials"}

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, credentials: CredentialServer) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.credentials = credentials


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        assert isinstance(self.server, _Server)
        credentials, path = self.server.credentials, self.path.partition("?")[0]
        credentials.requests.append(path)
        issues = path in ("/v1/credentials", *_TOKENS)
        if issues and credentials.refusals:
            credentials.refusals -= 1
            self._send(403, b"Unable to generate access token; IAM returned 403 Forbidden", "text/plain")
        elif path in _TOKENS:
            self._json({"access_token": "secret", "expires_in": 3600, "token_type": "Bearer"})
        elif path in (_GOOGLE, _GOOGLE.replace("default", ACCOUNT)):
            self._json({"email": ACCOUNT, "scopes": ["cloud-platform"], "aliases": ["default"]})
        elif path == "/v1/credentials":
            keys = {"AccessKeyId": "test", "SecretAccessKey": "test", "Token": "test"}
            self._json({**keys, "Expiration": "2100-01-01T00:00:00Z"})
        else:
            self._send(200 if path == "/" else 404, b"", "text/plain")

    def _json(self, answer: dict[str, object]) -> None:
        self._send(200, json.dumps(answer).encode(), "application/json")

    def _send(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Metadata-Flavor", "Google")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass
