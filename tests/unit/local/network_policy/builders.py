"""Objects as the API server gives them, and random ones."""

from hypothesis import strategies as st

POD_RANGE = "10.244.0.0/28"
LABELS = {"app": ("web", "db", "api"), "tier": ("front", "back"), "team": ("chat",)}
NAMESPACES = ("chat", "search", "kube-system")
PORTS = (80, 443, 8000, 8001, 8080)
PORT_NAMES = ("http", "metrics")
PROTOCOLS = ("TCP", "UDP", "SCTP")
OUTSIDE = ("10.99.0.254", "192.0.2.7")


def namespace(name, **labels):
    return {"metadata": {"name": name, "labels": {"kubernetes.io/metadata.name": name, **labels}}}


def pod(name, ip, in_namespace="chat", labels=None, ports=(), *, phase="Running", **spec):
    """A pod on the node; ``ports`` are tuples of name, number and, optionally, protocol."""
    declared = [{"name": p[0], "containerPort": p[1], "protocol": (*p, "TCP")[2]} for p in ports]
    return {
        "metadata": {"namespace": in_namespace, "name": name, "uid": f"uid-{name}", "labels": labels or {}},
        "spec": {"nodeName": "node", "containers": [{"name": "main", "ports": declared}], **spec},
        "status": {"phase": phase, "podIP": ip, "podIPs": [{"ip": ip}]} if ip else {"phase": phase},
    }


def policy(name="p", in_namespace="chat", selector=None, **spec):
    return {
        "metadata": {"namespace": in_namespace, "name": name, "uid": f"uid-{in_namespace}-{name}"},
        "spec": {"podSelector": selector or {}, **spec},
    }


# Random objects

_labels = st.fixed_dictionaries({}, optional={key: st.sampled_from(values) for key, values in LABELS.items()})


@st.composite
def _selectors(draw):
    selector = {}
    if draw(st.booleans()):
        selector["matchLabels"] = draw(_labels)
    if draw(st.booleans()):
        selector["matchExpressions"] = draw(st.lists(_expressions(), min_size=1, max_size=2))
    return selector


@st.composite
def _expressions(draw):
    key = draw(st.sampled_from([*LABELS, "kubernetes.io/metadata.name"]))
    operator = draw(st.sampled_from(("In", "NotIn", "Exists", "DoesNotExist")))
    if operator in ("Exists", "DoesNotExist"):
        return {"key": key, "operator": operator}
    values = st.lists(st.sampled_from(LABELS.get(key, NAMESPACES)), min_size=1, max_size=2)
    return {"key": key, "operator": operator, "values": draw(values)}


_blocks = st.one_of(
    st.fixed_dictionaries(
        {"cidr": st.sampled_from(("10.244.0.0/28", "0.0.0.0/0", "10.0.0.0/8"))},
        optional={
            "except": st.lists(
                st.sampled_from(("10.244.0.4/30", "10.244.0.3/32", "10.244.0.0/29", "10.99.0.0/24")), max_size=3
            )
        },
    ),
    st.fixed_dictionaries(
        {"cidr": st.sampled_from(("10.244.0.4/31", "10.99.0.254/32", "192.0.2.0/24", "2001:db8::/32"))}
    ),
)
_peers = st.one_of(
    st.fixed_dictionaries({"ipBlock": _blocks}),
    st.fixed_dictionaries({"podSelector": _selectors()}),
    st.fixed_dictionaries({"namespaceSelector": _selectors()}),
    st.fixed_dictionaries({"podSelector": _selectors(), "namespaceSelector": _selectors()}),
)


@st.composite
def _ports(draw, protocols):
    port = draw(st.fixed_dictionaries({}, optional={"protocol": st.sampled_from(protocols)}))
    kind = draw(st.sampled_from(("all", "number", "range", "name")))
    if kind == "number":
        port["port"] = draw(st.sampled_from(PORTS))
    elif kind == "range":
        first, last = sorted((draw(st.sampled_from(PORTS)), draw(st.sampled_from(PORTS))))
        port |= {"port": first, "endPort": last}
    elif kind == "name":
        port["port"] = draw(st.sampled_from(PORT_NAMES))
    return port


@st.composite
def policies(draw, protocols=PROTOCOLS):
    """A NetworkPolicy that the API server would take."""
    spec = {"podSelector": draw(_selectors())}
    if draw(st.booleans()):
        spec["policyTypes"] = draw(st.lists(st.sampled_from(("Ingress", "Egress")), min_size=1, unique=True))
    for section, side in (("ingress", "from"), ("egress", "to")):
        if draw(st.booleans()):
            rule = st.fixed_dictionaries(
                {}, optional={side: st.lists(_peers, max_size=2), "ports": st.lists(_ports(protocols), max_size=3)}
            )
            spec[section] = draw(st.lists(rule, max_size=2))
    name, place = draw(st.sampled_from(("a", "b", "c"))), draw(st.sampled_from(NAMESPACES))
    return {"metadata": {"namespace": place, "name": name, "uid": f"{place}-{name}"}, "spec": spec}


@st.composite
def clusters(draw):
    """Namespaces and pods of a node; some pods have ended, some are on the node's network."""
    spaces = [namespace(name, **draw(_labels)) for name in NAMESPACES]
    pods = []
    for index in range(draw(st.integers(1, 6))):
        ports = [
            (name, draw(st.sampled_from(PORTS)), draw(st.sampled_from(PROTOCOLS)))
            for name in draw(st.lists(st.sampled_from(PORT_NAMES), unique=True, max_size=2))
        ]
        kind = draw(st.sampled_from(("plain", "plain", "plain", "plain", "ended", "host")))
        pods.append(
            pod(
                f"pod-{index}",
                "10.99.0.1" if kind == "host" else f"10.244.0.{2 + index}",
                draw(st.sampled_from(NAMESPACES)),
                draw(_labels),
                ports,
                phase=draw(st.sampled_from(("Succeeded", "Failed"))) if kind == "ended" else "Running",
                **({"hostNetwork": True} if kind == "host" else {}),
            )
        )
    return spaces, pods
