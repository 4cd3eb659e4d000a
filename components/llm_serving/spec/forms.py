"""Texts that have a form: checked by a regular expression, and refused in words."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from llm_serving.errors import Problem, ProblemsError, Suggestion


@dataclass(frozen=True)
class Form:
    """The form of a text.

    Attributes:
        pattern: a regular expression that the whole text matches. It stands in JSON schemas too.
        reason: what a text that does not match is not, and what one that does is like.
        repair: what else may be meant by a text, beside the same in small letters and without spaces.
    """

    pattern: str
    reason: str
    repair: Callable[[str], str] | None = None

    def check(self, value: str) -> str:
        """The text itself.

        Raises:
            ProblemsError: it has another form; with the nearest text that has this one.
        """
        if re.fullmatch(self.pattern, value, re.ASCII):
            return value
        repairs = [*repaired(value), *([self.repair(value)] if self.repair else [])]
        fits = [text for text in dict.fromkeys(repairs) if re.fullmatch(self.pattern, text, re.ASCII)]
        raise ProblemsError([Problem("", value, self.reason, Suggestion(values=fits[:1]))])

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self.check, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return {**handler(schema), "pattern": self.pattern}


def repaired(value: str) -> Iterator[str]:
    """What a name may be that does not have its form: without spaces around it, in small letters, with '-' for what
    names do not have."""
    text = value.strip()
    yield text
    yield text.lower()
    name = re.sub(r"[^a-z0-9-]+", "-", text.lower()).strip("-")
    yield name
    yield name.lstrip("0123456789-")


VERSION = Form(
    r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-[0-9A-Za-z]+(-[0-9A-Za-z]+)*(\.[0-9A-Za-z]+(-[0-9A-Za-z]+)*)*)?$",
    "not a version: three numbers as in 1.0.0, and after them a mark such as -rc.1 where there is one",
    lambda text: ".".join([*text.strip().lower().removeprefix("v").split("."), "0", "0"][:3]),
)
DIGEST = Form(
    r"^sha256:[0-9a-f]{64}$",
    "not a digest: sha256: and 64 hexadecimal digits in small letters",
    lambda text: f"sha256:{text.strip().lower()}",
)
HUB_REPOSITORY = Form(
    r"^[\w.-]+/[\w.-]+$",
    "not a repository of the Hugging Face hub: owner/name, of letters, digits, '.', '-' and '_'",
    lambda text: re.sub(r"^(https?://)?(huggingface\.co/)?", "", text.strip()).rstrip("/"),
)
COMMIT = Form(r"^[0-9a-f]{40}$", "not a commit: its 40 hexadecimal digits in small letters; branches and tags may move")
CACHE_PATH = Form(
    r"^[A-Za-z0-9_-][A-Za-z0-9._-]*(/[A-Za-z0-9_-][A-Za-z0-9._-]*)*$",
    "not a path below the model cache: names of letters, digits, '.', '-' and '_' with '/' between them, none with a "
    "'.' in front",
    lambda text: "/".join(part for part in text.strip().replace(" ", "-").split("/") if part.strip(".")),
)
SOURCE = Form(
    r"^(hf://|(file:///|gs://|s3://)[^\s]+)$",
    "not a source of weights: hf://, gs://bucket/prefix, s3://bucket/prefix or file:///folder, without spaces",
    lambda text: "hf://" if text.startswith(("hf:", "huggingface", "https://huggingface.co")) else "",
)
FLAG = Form(
    r"^[a-z][a-z0-9]*([-.][a-z0-9_]+)*$",
    "not the name of a flag: as in max-num-seqs, in small letters and without the dashes before it",
    lambda text: text.strip().lstrip("-").replace("_", "-").lower(),
)
CRON = Form(
    r"^\S+( \S+){4}$",
    "not a cron expression: five fields with one space between them, minute, hour, day, month and day of the week",
    lambda text: " ".join(text.split()),
)
GCP_NAME = Form(
    r"^[a-z]([-a-z0-9]{0,61}[a-z0-9])?$",
    "not a name of Google Cloud: at most 63 small letters, digits and '-', from a letter to a letter or digit",
)
GCP_PROJECT = Form(
    r"^([a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)+:)?[a-z][-a-z0-9]{4,28}[a-z0-9]$",
    "not the id of a Google Cloud project: 6 to 30 lower-case letters, digits and '-', starting with a letter and "
    "ending with a letter or digit, with its domain and ':' in front where it has one",
)
REGION = Form(
    r"^[a-z]+-[a-z]+\d+$",
    "not a region: as in us-central1, without the letter of a zone",
    lambda text: re.sub(r"-[a-z]$", "", text.strip().lower()),
)
AWS_ACCOUNT = Form(r"^[0-9]{12}$", "not the number of an AWS account: 12 digits, in quotes")
AWS_REGION = Form(
    r"^[a-z]{2,4}(-[a-z]+){1,2}-[0-9]$",
    "not a region of AWS: as in us-east-1, without the letter of a zone",
    lambda text: re.sub(r"(?<=[0-9])[a-z]$", "", text.strip().lower()),
)
EKS_VERSION = Form(
    r"^1\.[1-9][0-9]$",
    "not a version of EKS: 1.<minor>, which chooses its patches itself",
    lambda text: ".".join(text.strip().lower().removeprefix("v").split(".")[:2]),
)
IAM_PRINCIPAL = Form(
    r"^arn:aws(-[a-z]+)*:iam::[0-9]{12}:(role|user)/[\w+=,.@/-]{1,512}$",
    "not the ARN of an IAM role or user: arn:aws:iam::<account>:role/<name>",
    lambda text: re.sub(r":sts::([0-9]{12}):assumed-role/([^/]+)/.*", r":iam::\1:role/\2", text.strip()),
)
NUMBER_FORMAT = Form(
    r"^[A-Z][A-Z0-9_]{1,15}$", "not a number format: as in BF16 or F8_E4M3, in capital letters", str.upper
)
HOST = Form(r"^[^\s,]+$", "not a host: one name or domain an entry, without spaces and commas")
BASE_URL = Form(
    r"^https?://[^\s/]+(/\S*[^\s/])?$",
    "not the URL of a service: http:// or https://, a host and a path, without a slash at its end",
    lambda text: text.strip().rstrip("/"),
)
EMAIL = Form(
    r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]+@[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?(\.[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?)+$",
    "not the address of a mailbox: as in platform@example.com",
    lambda text: text.strip().removeprefix("mailto:"),
)
ACM_CERTIFICATE = Form(
    r"^arn:aws(-[a-z]+)*:acm:[a-z0-9-]+:[0-9]{12}:certificate/[0-9a-f-]{36}$",
    "not the ARN of a certificate of ACM: arn:aws:acm:<region>:<account>:certificate/<id>",
)
PEM_CERTIFICATE = Form(
    r"^\s*(-----BEGIN CERTIFICATE-----[A-Za-z0-9+/=\s]+-----END CERTIFICATE-----\s*)+$",
    "not a certificate in PEM: from -----BEGIN CERTIFICATE----- to -----END CERTIFICATE-----, with its line breaks",
)
DNS_HOST = Form(
    r"^(?=.{1,253}$)[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*$",
    "not the name of a host: at most 253 small letters, digits, '-' and '.', without scheme, port and path",
    lambda text: re.sub(r"^[a-z]+://|[:/].*$", "", text.strip().lower()).removeprefix("*.").strip("."),
)
WEBHOOK_HOST = Form(
    r"^(?=.{1,259}$)(\*\.)?[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?(\.[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?)*"
    r"\.[a-z]([-a-z0-9]{0,61}[a-z0-9])?(:[1-9][0-9]{0,4})?$",
    "not the name of a host on the internet: small letters, digits, '-' and at least one '.', '*.' before it for all "
    "below it, ':port' after it, without scheme and path",
    lambda text: re.sub(r"^[a-z]+://|/.*$", "", text.strip().lower()).strip("."),
)
KEY_HASH = Form(
    r"^[0-9a-f]{64}$",
    "not the SHA-256 of a key: 64 hexadecimal digits in small letters, which stacks keys new prints",
    lambda text: text.strip().lower().removeprefix("sha256:"),
)
LABEL_VALUE = Form(
    r"^[a-z0-9]([-_a-z0-9]{0,61}[a-z0-9])?$",
    "not the value of a label on every cloud: at most 63 small letters, digits, '-' and '_', from a letter or digit to "
    "a letter or digit",
)
LABEL_KEY = Form(
    r"^[a-z][-_a-z0-9]{0,62}$",
    "not the key of a label on every cloud: at most 63 small letters, digits, '-' and '_', from a letter on",
)
CONTEXT = Form(
    r"^[^\s\x00-\x1f]([^\x00-\x1f]{0,251}[^\s\x00-\x1f])?$",
    "not a name in a kubeconfig: 1 to 253 characters, without line breaks and without spaces around it",
)
INPUTS_HASH = Form(r"^[0-9a-f]{12}$", "not a hash of an image's inputs: 12 hexadecimal digits in small letters")
ENGINE_VERSION = Form(
    r"^\d+\.\d+\.\d+[0-9A-Za-z.+-]{0,64}$",
    "not the version of an engine: three numbers as in 0.32.0, and a mark",
)
