"""The pod of a Redis of the gateway: Redis 7, its configuration, its users and how it is probed.

Clients have the user ``default`` and its password; they may do what the gateway does, and not empty or change the
server. Its probe has a user of its own without a password, who may only ask whether it answers. The file of users holds
a hash of the password, which is on no command line, in no environment and not in the configuration.
"""

import hashlib

from pulumi_kubernetes import core

from llm_serving.gateway.names import REDIS_PORT
from llm_serving.serving.image_pull import pull_references
from llm_serving.serving.pod import RESTRICTED, USER_ID, restricted_pod
from llm_serving.serving.priorities import priority_class
from llm_serving.serving.quantities import cores
from llm_serving.spec import ImagePullSpec, ImageReference, ServiceClass

CONTAINER = "redis"
PORT_NAME = "redis"
CONFIGURATION, CONFIGURATION_FILE = "/etc/llm-serving/redis/configuration", "redis.conf"
USERS, USERS_FILE = "/etc/llm-serving/redis/users", "users.acl"
CERTIFICATE = "/etc/llm-serving/redis/tls"
DATA = "/data"

PROBE_USER = "probe"
OVERHEAD_MIB = 64
"""Of the server itself, its connections and buffers."""
GRACE_SECONDS = 30
"""It writes what it holds and ends in a second or two."""


def configuration(memory_mib: int, *, persistent: bool, tls: bool) -> str:
    """The file ``redis.conf``.

    Args:
        memory_mib: memory for data.
        persistent: whether it writes everything to a disk and refuses what has no room; else it forgets what was not
            used for longest.
        tls: whether it speaks TLS alone.
    """
    port = f"tls-port {REDIS_PORT}\nport 0" if tls else f"port {REDIS_PORT}"
    lines = [
        port,
        # With a password for each user, the mode that takes connections from its own machine alone has no use.
        "protected-mode no",
        f"aclfile {USERS}/{USERS_FILE}",
        f"dir {DATA}",
        f"maxmemory {memory_mib}mb",
        # Snapshots besides the log would take its memory once more.
        'save ""',
        "tcp-keepalive 60",
    ]
    if tls:
        lines += [
            f"tls-cert-file {CERTIFICATE}/tls.crt",
            f"tls-key-file {CERTIFICATE}/tls.key",
            f"tls-ca-cert-file {CERTIFICATE}/ca.crt",
            "tls-auth-clients no",
        ]
    if persistent:
        # At most the last second is lost with the power (Redis documentation, "Persistence").
        lines += ["maxmemory-policy noeviction", "appendonly yes", "appendfsync everysec"]
    else:
        lines += ["maxmemory-policy allkeys-lru", "appendonly no", "lazyfree-lazy-eviction yes"]
    return "\n".join(lines) + "\n"


def users(password: str) -> str:
    """The file ``users.acl`` (Redis documentation, "ACL")."""
    digest = hashlib.sha256(password.encode()).hexdigest()
    return (
        f"user default on #{digest} ~* &* +@all -@admin -@dangerous +info\n"
        f"user {PROBE_USER} on nopass resetkeys resetchannels -@all +ping\n"
    )


def pod_spec(
    image: ImageReference,
    configuration_name: str,
    users_name: str,
    memory_mib: int,
    cpu: float,
    *,
    claim: str | None,
    tls_secret: str | None,
    image_pull: ImagePullSpec | None,
) -> core.v1.PodSpecArgs:
    """The pod, under Pod Security "restricted" with a read-only root file system.

    Args:
        image: Redis' image.
        configuration_name: ConfigMap with its configuration.
        users_name: Secret with its users.
        memory_mib: memory for data.
        cpu: cores that it requests.
        claim: claim of the disk that it writes to; ``None`` where it writes to none.
        tls_secret: Secret with its certificate; ``None`` where it speaks no TLS.
        image_pull: credentials for the registry of its image.
    """
    data = (
        core.v1.VolumeArgs(name="data", empty_dir=core.v1.EmptyDirVolumeSourceArgs(size_limit="64Mi"))
        if claim is None
        else core.v1.VolumeArgs(
            name="data", persistent_volume_claim=core.v1.PersistentVolumeClaimVolumeSourceArgs(claim_name=claim)
        )
    )
    files = {
        "configuration": core.v1.VolumeArgs(
            name="configuration", config_map=core.v1.ConfigMapVolumeSourceArgs(name=configuration_name)
        ),
        "users": core.v1.VolumeArgs(name="users", secret=core.v1.SecretVolumeSourceArgs(secret_name=users_name)),
    }
    if tls_secret is not None:
        files["tls"] = core.v1.VolumeArgs(name="tls", secret=core.v1.SecretVolumeSourceArgs(secret_name=tls_secret))
    mounts = [core.v1.VolumeMountArgs(name="data", mount_path=DATA)]
    paths = {"configuration": CONFIGURATION, "users": USERS, "tls": CERTIFICATE}
    mounts += [core.v1.VolumeMountArgs(name=name, mount_path=paths[name], read_only=True) for name in files]
    return core.v1.PodSpecArgs(
        automount_service_account_token=False,
        enable_service_links=False,
        image_pull_secrets=pull_references(image_pull),
        # Without it, every model loses limits, budgets or cache.
        priority_class_name=priority_class(ServiceClass.CRITICAL),
        termination_grace_period_seconds=GRACE_SECONDS,
        security_context=restricted_pod(fs_group=USER_ID, fs_group_change_policy="OnRootMismatch"),
        containers=[
            _container(image, mounts, memory_mib, cpu, persistent=claim is not None, tls=tls_secret is not None)
        ],
        volumes=[data, *files.values()],
    )


def probe_command(*, tls: bool) -> list[str]:
    """Ask it whether it answers; while it reads its log, the answer is an error."""
    # The user has no password, and the client wants to send one.
    secured = ["--tls", "--cacert", f"{CERTIFICATE}/ca.crt"] if tls else []
    return [
        "redis-cli", "-e", "-p", str(REDIS_PORT), *secured, "--user", PROBE_USER, "--pass", "none",
        "--no-auth-warning", "ping",
    ]  # fmt: skip


def _container(
    image: ImageReference,
    mounts: list[core.v1.VolumeMountArgs],
    memory_mib: int,
    cpu: float,
    *,
    persistent: bool,
    tls: bool,
) -> core.v1.ContainerArgs:
    def probe(period: int, failures: int) -> core.v1.ProbeArgs:
        return core.v1.ProbeArgs(
            exec_=core.v1.ExecActionArgs(command=probe_command(tls=tls)),
            period_seconds=period,
            timeout_seconds=5,
            failure_threshold=failures,
        )

    # To write its log anew it forks, and what changes meanwhile is there twice (Redis documentation, "Persistence").
    most_mib = (2 if persistent else 1) * memory_mib + OVERHEAD_MIB
    return core.v1.ContainerArgs(
        name=CONTAINER,
        image=image.reference,
        image_pull_policy="IfNotPresent",
        command=["redis-server", f"{CONFIGURATION}/{CONFIGURATION_FILE}"],
        ports=[core.v1.ContainerPortArgs(name=PORT_NAME, container_port=REDIS_PORT)],
        resources=core.v1.ResourceRequirementsArgs(
            requests={"cpu": cores(cpu), "memory": f"{memory_mib + OVERHEAD_MIB}Mi"}, limits={"memory": f"{most_mib}Mi"}
        ),
        security_context=RESTRICTED,
        # Reading a long log takes minutes.
        startup_probe=probe(2, 450),
        readiness_probe=probe(5, 3),
        liveness_probe=probe(10, 6),
        volume_mounts=mounts,
        termination_message_policy="FallbackToLogsOnError",
    )
