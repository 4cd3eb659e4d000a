"""Models on the Hugging Face hub: ``hf://``.

The library ``huggingface_hub`` brings addresses, headers and errors; bytes are streamed, because it would keep a second
copy in a cache of its own. Reads the token from HF_TOKEN and the hub's address from HF_ENDPOINT.
"""

import contextlib
import importlib
import os
from collections.abc import Iterator
from typing import Any

from llm_serving_load import names
from llm_serving_load.errors import InterruptedTransferError, LoadError, brief
from llm_serving_load.outbound import TRUST_ADVICE, is_untrusted
from llm_serving_load.retry_after import retry_after
from llm_serving_load.sources.source import SourceFile

_TIMEOUT = 30.0
"""Seconds without a byte after which a request is given up and made again."""
_CHUNK = 1024 * 1024


class HubSource:
    """A model of the hub at one commit."""

    def __init__(self, repository: str, revision: str) -> None:
        self._repository = repository
        self._revision = revision
        try:
            self._hub: Any = importlib.import_module("huggingface_hub")
        except ImportError:
            raise LoadError("--source 'hf://': the package huggingface_hub is missing; install it") from None
        self._utils: Any = importlib.import_module("huggingface_hub.utils")
        self._errors: Any = importlib.import_module("huggingface_hub.errors")
        # False: no token at all. The library would otherwise take one that somebody logged in with.
        self._token: str | bool = os.environ.get("HF_TOKEN", "").strip() or False

    @classmethod
    def at(cls, url: str, repository: str, revision: str) -> "HubSource":
        """The model on the hub.

        Raises:
            LoadError: the URL holds more than the scheme, or ``huggingface_hub`` is missing.
        """
        if url != "hf://":
            raise LoadError(f"--source {url!r}: write hf:// and name the model with --repository and --revision")
        return cls(repository, revision)

    @property
    def where(self) -> str:
        """The model's page."""
        return f"{self._hub.constants.ENDPOINT}/{self._repository}/tree/{self._revision}"

    def files(self) -> list[SourceFile]:
        """The files of the commit, with the hashes of the large ones."""
        api = self._hub.HfApi(token=self._token)
        with self._translated():
            info = api.model_info(self._repository, revision=self._revision, files_metadata=True, timeout=_TIMEOUT)
        files: list[SourceFile] = []
        for sibling in info.siblings or []:
            if not names.is_safe(sibling.rfilename) or sibling.size is None:
                raise LoadError(f"{self.where}: the hub lists {sibling.rfilename!r} without a size or with a bad name")
            if not any(part.startswith(".") for part in sibling.rfilename.split("/")):
                files.append(SourceFile(sibling.rfilename, sibling.size, sibling.lfs.sha256 if sibling.lfs else None))
        return files

    def open(self, file: SourceFile, offset: int = 0) -> "_HubStream":
        """A request for the file from an offset on."""
        if offset >= file.size:
            return _HubStream(self, None)  # nothing is left, and a range behind the end is refused
        url = self._hub.hf_hub_url(self._repository, file.name, revision=self._revision)
        headers = self._utils.build_hf_headers(token=self._token)
        # Compressed on the way, the bytes could not be counted from an offset.
        headers |= {"Accept-Encoding": "identity", "Range": f"bytes={offset}-"}
        session = self._utils.get_session()
        with self._translated():
            request = session.build_request("GET", url, headers=headers, timeout=_TIMEOUT)
            response = session.send(request, stream=True, follow_redirects=True)
            try:
                if response.status_code >= 400:
                    response.read()
                self._utils.hf_raise_for_status(response)
                if response.status_code != 206 and offset:
                    raise LoadError(f"{url}: the server does not send parts of files (status {response.status_code})")
            except BaseException:
                response.close()
                raise
        return _HubStream(self, response)

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """One clear message for each way in which a hub says no."""
        errors, model = self._errors, f"{self._repository} at {self._revision}"
        token = "the token in HF_TOKEN" if self._token else "no token (HF_TOKEN is empty)"
        try:
            yield
        except errors.OfflineModeIsEnabled:
            raise LoadError("HF_HUB_OFFLINE is set, so the hub is not asked; unset it for the loader") from None
        except errors.GatedRepoError:
            raise LoadError(
                f"{model}: the model is gated and {token} does not open it; visit {self._hub.constants.ENDPOINT}/"
                f"{self._repository}, accept its licence with the account of the token, and give that token in HF_TOKEN"
            ) from None
        except errors.RevisionNotFoundError:
            raise LoadError(
                f"--revision {self._revision!r}: {self._repository} has no such commit; copy it from the hub's page "
                "of the model"
            ) from None
        except errors.RepositoryNotFoundError:
            raise LoadError(
                f"--repository {self._repository!r}: the hub has no such model, or it is private and {token} does not "
                "open it; check the name, or give a token that may read it"
            ) from None
        except errors.HfHubHTTPError as error:
            self._refuse_status(error, token)
        except errors.HTTPError as error:
            if is_untrusted(error):
                raise LoadError(
                    f"{self._hub.constants.ENDPOINT}: a certificate on the way is not trusted ({brief(error)}); "
                    f"{TRUST_ADVICE}"
                ) from None
            raise InterruptedTransferError(
                f"{self._hub.constants.ENDPOINT} does not answer ({type(error).__name__}: {error}); check the network "
                "policy, the proxy and HF_ENDPOINT"
            ) from error

    def _refuse_status(self, error: Any, token: str) -> None:
        status = error.response.status_code
        if status == 401:
            raise LoadError(
                f"{self._repository}: the hub refuses {token} (401); give a valid one in HF_TOKEN"
            ) from None
        if status == 403:
            raise LoadError(
                f"{self._repository}: {token} may not read this model (403); give it the right to read, or another "
                "token"
            ) from None
        if status == 404:
            raise LoadError(f"{self.where}: the hub does not have it (404); check --repository and --revision")
        if status in (408, 429) or status >= 500:
            raise InterruptedTransferError(
                f"{self._hub.constants.ENDPOINT} answers {status}", retry_after(error.response.headers)
            ) from error
        raise LoadError(f"{self.where}: the hub answers {status}: {str(error).strip().splitlines()[0]}") from None


class _HubStream:
    """The body of an answer."""

    def __init__(self, source: HubSource, response: Any) -> None:
        self._source = source
        self._response = response
        self._chunks: Iterator[bytes] = response.iter_bytes(_CHUNK) if response is not None else iter(())
        self._left = memoryview(b"")

    def readinto(self, buffer: memoryview, /) -> int:
        if not self._left:
            with self._source._translated():
                self._left = memoryview(next(self._chunks, b""))
        count = min(len(buffer), len(self._left))
        buffer[:count] = self._left[:count]
        self._left = self._left[count:]
        return count

    def close(self) -> None:
        if self._response is not None:
            self._response.close()
