"""The provider's settings, and when a change of them means another cluster."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from llm_serving.errors import Problem
from local.providers.differences import Change, Difference, compare
from local.providers.kubernetes import kubeconfig as kubeconfigs
from local.providers.properties import UNKNOWN, Properties, contains_unknown, reveal

_UNSUPPORTED = {
    "renderYamlToDirectory": "the local plugin applies objects and does not render them: leave it out",
    "alwaysRender": "the local plugin applies objects and does not render them: leave it out",
}


@dataclass(frozen=True)
class Settings:
    """What a provider resource of type ``pulumi:providers:kubernetes`` says."""

    kubeconfig: str | None = None
    context: str = ""
    cluster: str = ""
    namespace: str = ""
    delete_unreachable: bool = False
    skip_update_unreachable: bool = False
    patch_force: bool = False
    upsert: bool = False
    config_map_mutable: bool = False
    secret_mutable: bool = False
    suppress_helm_warnings: bool = False

    @classmethod
    def of(cls, inputs: Properties) -> "Settings":
        """From the settings as they come: secrets in the clear, truth values as words."""
        values: Mapping[str, Any] = reveal(inputs)

        def text(name: str) -> str:
            value = values.get(name)
            return value if isinstance(value, str) else ""

        def flag(name: str) -> bool:
            return str(values.get(name, "")).lower() == "true"

        return cls(
            text("kubeconfig") or None,
            text("context"),
            text("cluster"),
            text("namespace"),
            flag("deleteUnreachable"),
            flag("skipUpdateUnreachable"),
            flag("enablePatchForce"),
            flag("upsertExistingObjects"),
            flag("enableConfigMapMutable"),
            flag("enableSecretMutable"),
            flag("suppressHelmHookWarnings"),
        )

    def access(self) -> kubeconfigs.Access:
        """What the kubeconfig gives access to.

        Raises:
            KubeconfigError: unreadable, or it names something that it does not hold.
        """
        return kubeconfigs.read(self.kubeconfig, self.context, self.cluster)


def check(inputs: Properties) -> list[Problem]:
    """What is wrong with settings beyond their types."""
    problems = [
        Problem(name, None, why) for name, why in _UNSUPPORTED.items() if inputs.get(name) not in (None, "false")
    ]
    if inputs.get("kubeconfig") is None or contains_unknown(inputs):
        return problems
    try:
        Settings.of(inputs).access()
    except kubeconfigs.KubeconfigError as error:
        problems.append(Problem("kubeconfig", None, str(error)))
    return problems


def difference(old: Properties, new: Properties) -> Difference:
    """Compare two settings. Another cluster replaces the provider, and with it everything in it.

    ``clusterIdentifier`` decides where it is set. Else it is the cluster's entry in the active context, for
    Kubernetes has no identity for clusters.
    """
    changes = compare(old, new).changes
    before, after = reveal(old).get("clusterIdentifier"), reveal(new).get("clusterIdentifier")
    if before is not None or after is not None:
        if after is UNKNOWN or before == after:
            return Difference(changes)
        return Difference({**changes, "clusterIdentifier": Change.UPDATE}, frozenset({"clusterIdentifier"}))
    connecting = frozenset(path for path in changes if path in ("kubeconfig", "context", "cluster"))
    if not connecting or contains_unknown(new):
        return Difference(changes)
    try:
        same = Settings.of(old).access().cluster == Settings.of(new).access().cluster
    except kubeconfigs.KubeconfigError:
        same = False
    return Difference(changes, frozenset() if same else connecting)
