"""What a team's people may do in its namespace. Nobody reads Secrets, nobody changes quotas, roles or policies.

Whoever may make pods can mount the namespace's Secrets into one; that is Kubernetes' own limit, and why editors are a
group of their own.
"""

from dataclasses import dataclass

from llm_serving.addons import table

RBAC = "rbac.authorization.k8s.io"
"""API group of roles and of those that they are bound to."""

_READ = ("get", "list", "watch")
_CHANGE = ("create", "update", "patch", "delete")


@dataclass(frozen=True)
class Rule:
    """One rule of a role: verbs on resources of an API group (an empty string for the core group)."""

    group: str
    resources: tuple[str, ...]
    verbs: tuple[str, ...]


def viewer_rules() -> tuple[Rule, ...]:
    """Look at everything but Secrets."""
    addons = [Rule(group, kinds, _READ) for addon in table.ADDONS for group, kinds in addon.readable.items()]
    return (
        Rule(
            "",
            (
                "configmaps",
                "endpoints",
                "events",
                "limitranges",
                "persistentvolumeclaims",
                "pods",
                "pods/log",
                "pods/status",
                "resourcequotas",
                "serviceaccounts",
                "services",
            ),
            _READ,
        ),
        Rule("apps", ("daemonsets", "deployments", "replicasets", "statefulsets"), _READ),
        Rule("autoscaling", ("horizontalpodautoscalers",), _READ),
        Rule("batch", ("cronjobs", "jobs"), _READ),
        *sorted(addons, key=lambda rule: rule.group),
        Rule("discovery.k8s.io", ("endpointslices",), _READ),
        Rule("events.k8s.io", ("events",), _READ),
        Rule("metrics.k8s.io", ("pods",), _READ),
        Rule("networking.k8s.io", ("ingresses", "networkpolicies"), _READ),
        Rule("policy", ("poddisruptionbudgets",), _READ),
    )


def editor_rules(exec_in_pods: bool = False) -> tuple[Rule, ...]:
    """What viewers may, and change workloads; ``exec_in_pods``: and run commands in pods."""
    # Over websockets commands and tunnels begin with GET, which kubectl has used by default since 1.31 (KEP-4006).
    commands = (Rule("", ("pods/exec",), ("create", "get")),) if exec_in_pods else ()
    return (
        *viewer_rules(),
        Rule("", ("configmaps", "persistentvolumeclaims", "pods", "services"), _CHANGE),
        Rule("", ("pods/portforward",), ("create", "get")),
        *commands,
        Rule("apps", ("deployments", "statefulsets"), _CHANGE),
        Rule("apps", ("deployments/scale", "statefulsets/scale"), ("get", "update", "patch")),
        Rule("autoscaling", ("horizontalpodautoscalers",), _CHANGE),
        Rule("batch", ("cronjobs", "jobs"), _CHANGE),
        Rule("policy", ("poddisruptionbudgets",), _CHANGE),
    )
