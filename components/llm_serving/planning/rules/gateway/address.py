"""How clients reach the gateway: its load balancer, its certificate, or a Gateway that is there."""

from collections.abc import Iterator
from urllib.parse import urlsplit

from llm_serving.errors import LEAVE_OUT, Needs, Problem, ProblemsError, Suggestion
from llm_serving.planning.rules.stack import StackShape
from llm_serving.spec import AcmeSpec, GatewaySpec, LoadBalancerSpec

_HOST = Suggestion("the name that DNS has for it", needs=Needs.FACT)


def check_address(stack: StackShape, gateway: GatewaySpec) -> Iterator[Problem]:
    """No keys in the clear on the internet, one way in, and what the cloud's load balancer can do."""
    yield from _existing_edge(gateway)
    yield from _certificate(stack, gateway)
    balancer = gateway.load_balancer
    if balancer is None:
        return
    if balancer.public and gateway.tls is None:
        reason = "keys and prompts would go over the internet in the clear: tls is required"
        yield Problem("loadBalancer.public", True, reason, Suggestion("false, or tls", values=[False]))
    if balancer.external_dns and gateway.host is None:
        yield Problem("host", None, "required, but not given: ExternalDNS makes a record of it", _HOST)
    refusal = stack.cloud.refuse_addresses(balancer)
    if refusal is not None:
        yield Problem("loadBalancer.addresses", list(balancer.addresses), refusal, LEAVE_OUT)
    for key in sorted(_own_annotations(stack, balancer) & {*balancer.annotations}):
        reason = "is what the other settings of the load balancer say"
        yield Problem(f"loadBalancer.annotations.{key}", balancer.annotations[key], reason, LEAVE_OUT)


def _own_annotations(stack: StackShape, balancer: LoadBalancerSpec) -> set[str]:
    """Annotations by which the cloud is told what the settings say, whatever they say."""
    certificate = None if stack.cloud.balancer_certificate is None else "any"
    asked = (balancer.model_copy(update={"public": public, "addresses": ("any",)}) for public in (False, True))
    keys = {key for each in asked for key in stack.cloud.load_balancer(each, certificate).annotations}
    return {*keys, EXTERNAL_DNS}


EXTERNAL_DNS = "external-dns.alpha.kubernetes.io/hostname"
"""Annotation of a Service by which ExternalDNS makes a record (its documentation, "Annotations")."""


def _existing_edge(gateway: GatewaySpec) -> Iterator[Problem]:
    if gateway.existing_edge is None:
        return
    for name, given in (("tls", gateway.tls), ("loadBalancer", gateway.load_balancer)):
        if given is not None:
            reason = "is that of existingEdge, which somebody else keeps"
            yield Problem(name, None, reason, Suggestion(removal=True, edits=[{"/gateway.existingEdge": None}]))
    if gateway.host is None:
        yield Problem("host", None, "required, but not given: existingEdge serves others beside it", _HOST)


def _certificate(stack: StackShape, gateway: GatewaySpec) -> Iterator[Problem]:
    tls, balancer = gateway.tls, gateway.load_balancer
    if tls is None or gateway.existing_edge is not None:
        return
    if gateway.host is None and tls.secret_name is None:
        yield Problem("host", None, "required, but not given: a certificate is for a name", _HOST)
    if tls.acme is not None and tls.acme.dns01 is None and (why := _why_out_of_reach(tls.acme, balancer)) is not None:
        reason = f"the authority asks the gateway itself, which it does not reach: dns01 is required where {why}"
        yield Problem("tls.acme.dns01", None, reason, Suggestion("a solver of cert-manager", needs=Needs.FACT))
    if tls.load_balancer_certificate is not None:
        yield from _balancer_certificate(stack, tls.load_balancer_certificate, balancer)


def _why_out_of_reach(acme: AcmeSpec, balancer: LoadBalancerSpec | None) -> str | None:
    """Why an authority that asks over HTTP gets no answer; ``None`` where it may get one."""
    if balancer is None or not balancer.public:
        return "the gateway has no public load balancer"
    # Its FAQ: it asks from several places at once, and names no addresses, which change at any time.
    if (urlsplit(acme.server).hostname or "").endswith(".letsencrypt.org") and not _lets_everybody_in(balancer):
        return "loadBalancer.sourceRanges are not everybody: Let's Encrypt does not say from which addresses it asks"
    return None


def _lets_everybody_in(balancer: LoadBalancerSpec) -> bool:
    return not balancer.source_ranges or any(source.prefixlen == 0 for source in balancer.source_ranges)


def _balancer_certificate(stack: StackShape, certificate: str, balancer: LoadBalancerSpec | None) -> Iterator[Problem]:
    path, form = "tls.loadBalancerCertificate", stack.cloud.balancer_certificate
    if form is None:
        reason = (
            f"a load balancer of {stack.cloud.title} passes connections on as they are, so that the proxy has the "
            "certificate: acme, issuer or secretName of tls"
        )
        yield Problem(path, certificate, reason, Suggestion("another source of tls", needs=Needs.CHOICE))
        return
    try:
        form.check(certificate)
    except ProblemsError as error:
        yield from (problem.under(path) for problem in error.problems)
        return
    if stack.region and f":{stack.region}:" not in certificate:
        reason = f"is not of {stack.region}: a load balancer has certificates of its own region"
        yield Problem(path, certificate, reason, Suggestion("one of that region", needs=Needs.FACT))
    if balancer is None:
        reason = "the load balancer would have it, and there is none"
        yield Problem(path, certificate, reason, Suggestion("loadBalancer: {}", edits=[{"/gateway.loadBalancer": {}}]))


def note_address(stack: StackShape, gateway: GatewaySpec) -> Iterator[Problem]:
    """Whoever is on the internet, keys in the clear, and what somebody else has to see to."""
    balancer, edge = gateway.load_balancer, gateway.existing_edge
    if edge is not None:
        reason = (
            f"its listener must let in routes of namespace {gateway.namespace}, and its time-outs the longest request: "
            "nothing here sees to either"
        )
        yield Problem("existingEdge", edge.name, reason)
    if balancer is None:
        return
    if balancer.public and not balancer.source_ranges:
        reason = "whoever is on the internet reaches the gateway, and keys alone tell who may ask"
        options = Suggestion("sourceRanges, or false for a way in that the site has", needs=Needs.CHOICE)
        yield Problem("loadBalancer.public", True, reason, options)
    elif balancer.public:
        reason = "the gateway is on the internet, and lets in what sourceRanges name"
        yield Problem("loadBalancer.public", True, reason, Suggestion("false", needs=Needs.CHOICE))
    if gateway.tls is None:
        reason = "keys and prompts go through the network in the clear"
        yield Problem("tls", None, reason, Suggestion("issuer, acme or secretName", needs=Needs.CHOICE))
    if not stack.cloud.chooses_balancer_network and not balancer.public:
        reason = "whether its address is of the internet is up to the cluster, which nothing here can tell"
        yield Problem("loadBalancer", None, reason, Suggestion("annotations that say so", needs=Needs.FACT))
