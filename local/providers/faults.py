"""Faults on request: a cloud that refuses, is slow, or dies half way, at a moment that a test or a user
chooses.

The plan is a YAML or JSON file: ``LLM_SERVING_FAULTS`` names it, else ``faults.yaml`` in the state folder. It
is read again for every operation. Each entry says what is hit and how:

```yaml
- type: gcp:container/nodePool:NodePool   # token or glob; likewise aws:eks/nodeGroup:NodeGroup
  name: "*-spot"                          # name in the program; glob; default any
  operation: create                       # create, update, delete or read
  call: 1                                 # the n-th matching call fails (default 1), so that a retry passes
  fault: quota                            # quota, permission-denied, rate-limit, timeout or crash
  after: before                           # before (default) or after the change is made
```

Calls are counted on disk under a lock, over all plugin processes, so a retry in a new process is the next
call. An entry that is edited starts to count anew. ``crash`` ends the plugin process at once, as a killed
machine would.
"""

import hashlib
import json
import os
import sys
from collections.abc import Iterable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import grpc
import yaml
from pydantic import Field

from llm_serving.arguments import Frozen, parse
from llm_serving.errors import Problem, ProblemsError, nearest, nearest_or_few
from local.providers.aws.types import type_tokens as aws_tokens
from local.providers.gcp.types import type_tokens as gcp_tokens
from local.providers.kubernetes.sdk import sdk as kubernetes_sdk
from local.state_folder import StateFolder
from stacks.files import file_locked, write_atomically

Operation = Literal["create", "update", "delete", "read"]
Kind = Literal["quota", "permission-denied", "rate-limit", "timeout", "crash"]
CRASH_STATUS = 70  # EX_SOFTWARE of sysexits.h


class InjectedFaultError(Exception):
    """A fault that was asked for. The message is what the real cloud would say."""

    def __init__(self, message: str, code: grpc.StatusCode = grpc.StatusCode.UNKNOWN) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Fault:
    """One fault that is due now."""

    kind: Kind
    after: bool

    def strike(self, cloud: str, token: str, name: str, operation: str, inputs: Mapping[str, Any]) -> None:
        """Fail as the cloud would.

        Raises:
            InjectedFaultError: always, unless the fault is a crash: then the process is gone.
        """
        if self.kind == "crash":
            print(f"crash of the local {cloud} on {operation} of {token} {name}, as asked for", file=sys.stderr)
            sys.stderr.flush()
            os._exit(CRASH_STATUS)
        words = _WORDS.get(cloud, _google_message)
        raise InjectedFaultError(words(self.kind, token, name, operation, inputs), _CODES[self.kind])


_CODES: Mapping[Kind, grpc.StatusCode] = {
    "quota": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "permission-denied": grpc.StatusCode.PERMISSION_DENIED,
    "rate-limit": grpc.StatusCode.RESOURCE_EXHAUSTED,
    "timeout": grpc.StatusCode.DEADLINE_EXCEEDED,
}


def _google_message(kind: Kind, token: str, name: str, operation: str, inputs: Mapping[str, Any]) -> str:
    """The words of Google's API client and of the Terraform provider, the resource in front, what to do behind."""
    called = inputs.get("name") or name
    region = inputs.get("location") or inputs.get("region") or "of the resource"
    words = {
        "quota": f"googleapi: Error 403: Quota '{_quota_of(inputs)}' exceeded.  Limit: 0.0 in region {region}., "
        "quotaExceeded. Ask for more quota in the console (IAM & Admin, Quotas), or use another region or machine "
        "type.",
        "permission-denied": f"googleapi: Error 403: Required '{_service(token)}.{operation}' permission for "
        f"{called!r}, forbidden. Grant the identity that runs Pulumi a role with this permission.",
        "rate-limit": "googleapi: Error 429: Quota exceeded for quota metric 'Requests' and limit 'Requests per "
        "minute', rateLimitExceeded. Wait a minute and run the update again.",
        "timeout": "timeout while waiting for the operation: context deadline exceeded. "
        "The operation may still finish in the cloud; run the update again, which picks it up.",
    }
    return f"{token} {name!r}: error on {operation} of {called!r}: {words[kind]}"


def _kubernetes_message(kind: Kind, token: str, name: str, operation: str, inputs: Mapping[str, Any]) -> str:
    """The words of the API server."""
    metadata = inputs.get("metadata")
    called = (metadata.get("name") if isinstance(metadata, Mapping) else None) or name
    words = {
        "quota": f'"{called}" is forbidden: exceeded quota. Raise the namespace\'s ResourceQuota, or ask for less.',
        "permission-denied": f'"{called}" is forbidden: User cannot {operation} resource at the cluster scope. '
        "Bind a role with this verb to the user of the kubeconfig.",
        "rate-limit": "the server has received too many requests and has asked us to try again later. "
        "Run the update again.",
        "timeout": "client rate limiter Wait returned an error: context deadline exceeded. "
        "The object may exist; run the update again.",
    }
    return f"{token} {name!r}: error on {operation}: {words[kind]}"


def _aws_message(kind: Kind, token: str, name: str, operation: str, inputs: Mapping[str, Any]) -> str:
    """The words of AWS's Go SDK, the resource in front, what to do behind."""
    module, _, resource = token.split(":")[1].partition("/")
    called = inputs.get("name") or inputs.get("nodeGroupName") or inputs.get("bucket") or name
    does = f"{operation.capitalize()}{resource[:1].upper()}{resource[1:]}"
    words = {
        "quota": "api error VcpuLimitExceeded: You have requested more vCPU capacity than your current vCPU limit of 0 "
        "allows for the instance bucket that the specified instance type belongs to. Ask for more (Service Quotas, "
        "Amazon EC2), or use another region or machine type."
        if (module, resource) == ("eks", "nodeGroup")
        else f"api error LimitExceeded: The maximum number of {resource}s has been reached. Ask for more (Service "
        "Quotas).",
        "permission-denied": "https response error StatusCode: 403, api error AccessDenied: User: arn:aws:iam::"
        f"123456789012:user/local is not authorized to perform: {module}:{does} on resource: {called!r} because no "
        "identity-based policy allows it. Grant the identity that runs Pulumi this action.",
        "rate-limit": "exceeded maximum number of attempts, 25, https response error StatusCode: 400, api error "
        "Throttling: Rate exceeded. Wait a minute and run the update again.",
        "timeout": "context deadline exceeded: timeout while waiting for state to become 'ACTIVE'. The operation may "
        "still finish in the cloud; run the update again, which picks it up.",
    }
    return f"{token} {name!r}: operation error {module.upper()}: {does} ({called!r}), {words[kind]}"


_WORDS = {"aws": _aws_message, "kubernetes": _kubernetes_message}


def _service(token: str) -> str:
    """``gcp:container/nodePool:NodePool`` as ``container.nodePools``."""
    module, _, kind = token.split(":")[1].partition("/")
    return f"{module}.{kind}s"


def _quota_of(inputs: Mapping[str, Any]) -> str:
    """The quota that a GPU machine draws on, by Google's naming scheme ``NVIDIA_<GPU>_GPUS``; else CPUS."""
    config = inputs.get("nodeConfig")
    accelerators = config.get("guestAccelerators") if isinstance(config, Mapping) else None
    if isinstance(accelerators, list) and accelerators and isinstance(accelerators[0], Mapping):
        kind = str(accelerators[0].get("type", "")).upper().replace("-", "_")
        if kind:
            preemptible = "PREEMPTIBLE_" if isinstance(config, Mapping) and config.get("spot") else ""
            kind = kind.removeprefix("NVIDIA_").removeprefix("TESLA_")
            return f"{preemptible}NVIDIA_{kind}_GPUS"
    return "CPUS"


class FaultPlan:
    """The faults that were asked for, and how many calls each has seen.

    Args:
        file: the plan; it need not exist.
        counters: where calls are counted.
    """

    def __init__(self, file: Path | None, counters: Path | None) -> None:
        self._file = file
        self._counters = counters

    @classmethod
    def none(cls) -> "FaultPlan":
        """A plan without faults."""
        return cls(None, None)

    @classmethod
    def of(cls, state_folder: StateFolder, environment: Mapping[str, str] = os.environ) -> "FaultPlan":
        """The plan that the environment names, or that of the state folder."""
        named = environment.get("LLM_SERVING_FAULTS")
        return cls(
            Path(named) if named else state_folder.root / "faults.yaml", state_folder.clouds / "fault-calls.json"
        )

    @property
    def given(self) -> bool:
        """Whether there is a plan."""
        return self._file is not None and self._file.exists()

    def check(self) -> None:
        """Refuse a plan that is not well-formed, or that names types that no local cloud has: it would strike nothing.

        Raises:
            ProblemsError: with the nearest name for each that is not known.
        """
        if self._file is None or not self._file.exists():
            return
        problems = [
            Problem(f"[{index}].type", entry.type, "no type of the local clouds", _nearest_types(entry.type))
            for index, entry in enumerate(_load(self._file))
            if not _matches_some(entry.type)
        ]
        if problems:
            raise ProblemsError(problems, str(self._file))

    def missed(self, resources: Iterable[tuple[str, str]]) -> list[Problem]:
        """What struck nothing and cannot: entries whose name no resource of their type has.

        Args:
            resources: type token and name of all that a stack has.
        """
        if self._file is None or self._counters is None or not self.given:
            return []
        having = list(resources)
        with _counting(self._counters) as counts:
            counted = set(counts)
        problems: list[Problem] = []
        for index, entry in enumerate(_load(self._file)):
            names = sorted({name for token, name in having if fnmatchcase(token, entry.type)})
            if entry.key not in counted and not any(fnmatchcase(name, entry.name) for name in names):
                path, reason = f"{self._file.name}[{index}].name", f"no {entry.type} has this name: nothing was struck"
                problems.append(Problem(path, entry.name, reason, nearest_or_few(entry.name, names)))
        return problems

    def draw(self, token: str, name: str, operation: str) -> Fault | None:
        """Count this call at every entry that it matches, and return the fault that is due, if any.

        Raises:
            ProblemsError: the plan is not well-formed.
        """
        if self._file is None or self._counters is None or not self._file.exists():
            return None
        entries = [
            entry
            for entry in _load(self._file)
            if entry.operation == operation and fnmatchcase(token, entry.type) and fnmatchcase(name, entry.name)
        ]
        due: Fault | None = None
        if entries:
            with _counting(self._counters) as counts:
                for entry in entries:
                    counts[entry.key] = counts.get(entry.key, 0) + 1
                    if counts[entry.key] == entry.call and due is None:
                        due = Fault(entry.fault, entry.after == "after")
        return due


class _Entry(Frozen):
    type: str
    operation: Operation
    fault: Kind
    name: str = "*"
    call: Annotated[int, Field(ge=1, strict=True)] = 1
    after: Literal["before", "after"] = "before"

    @property
    def key(self) -> str:
        return hashlib.sha256(repr(self).encode()).hexdigest()[:16]


def _known_types() -> list[str]:
    return [*gcp_tokens(), *aws_tokens(), *kubernetes_sdk().tokens()]


def _matches_some(pattern: str) -> bool:
    """Whether a type of AWS, Google Cloud or Kubernetes matches. Clusters take types of their own, too, so of an API
    group that Kubernetes does not have any ``group/version:Kind`` may be one."""
    known = _known_types()
    if any(fnmatchcase(token, pattern) for token in known):
        return True
    package, _, rest = pattern.partition(":")
    groups = {_group(token.partition(":")[2]) for token in known if token.startswith("kubernetes:")}
    is_whole = "/" in rest.partition(":")[0] and ":" in rest
    return package == "kubernetes" and (is_whole or "*" in rest) and _group(rest) not in groups


def _group(rest: str) -> str:
    """``apps`` of ``apps/v1:Deployment``."""
    return rest.partition(":")[0].partition("/")[0]


def _nearest_types(pattern: str) -> str:
    """Of a kind without its package and module (``NodePool``) the types of that name."""
    own = [token for token in _known_types() if token.partition(":")[0] == pattern.partition(":")[0]]
    known = own if pattern.startswith(("aws:", "gcp:")) else _known_types()
    return ", ".join(token for token in known if token.endswith(f":{pattern}")) or nearest(pattern, known)


def _load(file: Path) -> tuple[_Entry, ...]:
    try:
        data = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ProblemsError([Problem("", None, f"not readable as YAML: {error}")], str(file)) from None
    if not isinstance(data, list | None):
        raise ProblemsError([Problem("", None, "not a list of faults", "- type: ...")], str(file))
    entries: list[_Entry] = []
    problems: list[Problem] = []
    for index, item in enumerate(cast(list[Any], data or [])):
        try:
            if not isinstance(item, dict):
                raise ProblemsError([Problem("", item, "not a fault with a type, an operation and a fault")])
            entries.append(parse(_Entry, item))
        except ProblemsError as error:
            problems += [problem.under(f"[{index}]") for problem in error.problems]
    if problems:
        raise ProblemsError(problems, str(file))
    return tuple(entries)


@contextmanager
def _counting(path: Path) -> Any:
    """The counters, locked against other processes and threads; written back at the end."""
    with file_locked(path.with_suffix(".lock")):
        counts: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}
        yield counts
        write_atomically(path, json.dumps(counts, indent=1, sort_keys=True))
