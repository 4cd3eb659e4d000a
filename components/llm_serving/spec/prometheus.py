"""How KEDA proves to Prometheus who it is."""

from enum import StrEnum

from pydantic import model_validator

from llm_serving.arguments import Frozen
from llm_serving.errors import Needs, Problem, ProblemsError, Suggestion
from llm_serving.spec.image_pull import Username


class PrometheusAuthMode(StrEnum):
    """What Prometheus is shown: a bearer token, a user name with a password, or a token of KEDA's identity on Google
    Cloud."""

    BEARER = "bearer"
    BASIC = "basic"
    GCP = "gcp"

    @property
    def has_credential(self) -> bool:
        """Somebody must hand over a token or a password."""
        return self is not PrometheusAuthMode.GCP


class PrometheusAuthSpec(Frozen):
    """How KEDA proves to a Prometheus that is already there who it is."""

    mode: PrometheusAuthMode
    """`bearer`, `basic`, or `gcp` for KEDA's own identity on Google Cloud (managed Prometheus)."""
    username: Username | None = None
    """User name for `basic`.

    The token, or the password, is a secret of its own and never part of this.
    """

    @model_validator(mode="after")
    def _user(self) -> "PrometheusAuthSpec":
        if self.mode is PrometheusAuthMode.BASIC and self.username is None:
            name = Suggestion("the user's name", needs=Needs.FACT)
            raise ProblemsError([Problem("username", None, "required with mode basic", name)])
        if self.mode is not PrometheusAuthMode.BASIC and self.username is not None:
            reason = f"without meaning with mode {self.mode}"
            raise ProblemsError(
                [
                    Problem(
                        "username",
                        self.username,
                        reason,
                        Suggestion(removal=True, edits=[{"mode": PrometheusAuthMode.BASIC.value}]),
                    )
                ]
            )
        return self
