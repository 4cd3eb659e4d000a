"""Facts about each tool: what pins it, what else would do, where its makers publish it, how it is built.

A version is written once, in the wrapper module under `tools/go/` that a recipe names.
"""

from dataclasses import dataclass, field

from tools.bootstrap.versions import Range


@dataclass(frozen=True)
class Download:
    """Where the makers publish a program, and the sha256 of it.

    `url` and `checksums` may hold `{version}` (without v), `{os}`, `{arch}` and `{suffix}`, where `arch` and
    `suffix` give a platform's own spelling. `platforms` are those for which something is published.
    """

    url: str
    checksums: str
    platforms: tuple[str, ...]
    arch: tuple[tuple[str, str], ...] = ()
    suffix: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True)
class ModuleFile:
    """A file in a Go module that a wrapper module pins."""

    wrapper: str
    module: str
    path: str


@dataclass(frozen=True)
class GoBuild:
    """A program as a package of a Go module, which a wrapper module pins.

    `package` is `.` where the program is the wrapper's own `main.go`, which puts the module's parts together.
    `ldflags` may hold `{version}` (without v), `{major}` and `{minor}` of that module.
    """

    name: str
    wrapper: str
    module: str
    package: str
    ldflags: str = "-s -w"
    minutes: float = field(default=1, repr=False)
    """How long it takes on two cores with nothing cached: for the progress line alone."""


@dataclass(frozen=True)
class OverlaidGoBuild(GoBuild):
    """A build that sees some files where they do not lie."""

    embeds: tuple[ModuleFile, ...] = ()
    """Files that the build finds beside the wrapper's `main.go`, for its `go:embed`."""
    stand_in: tuple[ModuleFile, str] | None = None
    """A file of a module, and the wrapper's own that is built in its place."""


@dataclass(frozen=True)
class Program:
    """A program that other parts of the project run."""

    build: GoBuild
    fits: Range
    """Versions that are taken from PATH."""
    ask_version: tuple[str, ...] = ("--version",)
    download: Download | None = None
    companions: tuple[str, ...] = ()
    """Programs without which one on PATH is of no use; a download brings them along."""
    companion_builds: tuple[GoBuild, ...] = ()
    companion_files: tuple[ModuleFile, ...] = ()
    static: bool = field(default=False, repr=False)
    """Whether it must run where no libraries are: one on PATH that needs some is then passed over."""

    @property
    def name(self) -> str:
        """The program's name."""
        return self.build.name

    @property
    def wrapper(self) -> str:
        """The wrapper module that pins the version."""
        return self.build.wrapper


@dataclass(frozen=True)
class FileSet:
    """YAML files of one Go module: those under `folders` that hold `containing`."""

    name: str
    module: str
    folders: tuple[str, ...]
    containing: str


@dataclass(frozen=True)
class Files:
    """Files that come out of Go modules, taken over as they are."""

    name: str
    wrapper: str
    sets: tuple[FileSet, ...]
    joined_as: str | None = None
    """The one file into which all are joined; None keeps them apart, in a folder a set."""


Recipe = Program | Files

_KUBERNETES = Range((1, 34, 0), (1, 35, 0))
_KUBERNETES_LDFLAGS = (
    "-s -w -X k8s.io/component-base/version.gitVersion=v{version}"
    " -X k8s.io/component-base/version.gitMajor={major} -X k8s.io/component-base/version.gitMinor={minor}"
)
_PULUMI_LDFLAGS = "-s -w -X github.com/pulumi/pulumi/sdk/v3/go/common/version.Version=v{version}"


def _kubernetes(name: str, minutes: float) -> Program:
    return Program(
        build=GoBuild(
            name=name,
            wrapper="kubernetes",
            module="k8s.io/kubernetes",
            package=f"k8s.io/kubernetes/cmd/{name}",
            ldflags=_KUBERNETES_LDFLAGS,
            minutes=minutes,
        ),
        fits=_KUBERNETES,
        # They are published for Linux only.
        download=Download(
            url=f"https://dl.k8s.io/release/v{{version}}/bin/{{os}}/{{arch}}/{name}",
            checksums=f"https://dl.k8s.io/release/v{{version}}/bin/{{os}}/{{arch}}/{name}.sha256",
            platforms=("linux/amd64", "linux/arm64"),
        ),
    )


_EVERYWHERE = ("linux/amd64", "linux/arm64", "darwin/amd64", "darwin/arm64")
_PULUMI = "https://github.com/pulumi/pulumi/releases/download/v{version}"
_ETCD = "https://github.com/etcd-io/etcd/releases/download/v{version}"

ENGINE: tuple[Recipe, ...] = (
    Program(
        build=GoBuild(
            name="pulumi",
            wrapper="pulumi",
            module="github.com/pulumi/pulumi/pkg/v3",
            package="github.com/pulumi/pulumi/pkg/v3/cmd/pulumi",
            ldflags=_PULUMI_LDFLAGS,
            minutes=5,
        ),
        fits=Range((3, 255, 0), (4, 0, 0)),
        ask_version=("version",),
        download=Download(
            url=f"{_PULUMI}/pulumi-v{{version}}-{{os}}-{{arch}}.tar.gz",
            checksums=f"{_PULUMI}/pulumi-{{version}}-checksums.txt",
            platforms=_EVERYWHERE,
            arch=(("amd64", "x64"),),
        ),
        # The engine warns of a language host that lies in another folder than itself.
        companions=("pulumi-language-python", "pulumi-language-python-exec"),
        companion_builds=(
            # Later hosts are a module of their own that the module proxy cannot serve: its replace lines name
            # folders of the engine's repository.
            GoBuild(
                name="pulumi-language-python",
                wrapper="pulumi-language-python",
                module="github.com/pulumi/pulumi/sdk/v3",
                package="github.com/pulumi/pulumi/sdk/v3/python/cmd/pulumi-language-python",
                ldflags=_PULUMI_LDFLAGS,
                minutes=0.5,
            ),
        ),
        companion_files=(
            # The launcher speaks to the SDK inside the program's process: it goes with the engine's version.
            ModuleFile("pulumi", "github.com/pulumi/pulumi/sdk/v3", "python/cmd/pulumi-language-python-exec"),
            ModuleFile(
                "pulumi-language-python",
                "github.com/pulumi/pulumi/sdk/v3",
                "python/dist/pulumi-analyzer-policy-python",
            ),
        ),
    ),
)

CLUSTER: tuple[Recipe, ...] = (
    _kubernetes("kube-apiserver", minutes=4),
    _kubernetes("kube-scheduler", minutes=0.5),
    _kubernetes("kube-controller-manager", minutes=1),
    Program(
        build=GoBuild(
            name="etcd",
            wrapper="etcd",
            module="go.etcd.io/etcd/server/v3",
            package="go.etcd.io/etcd/server/v3",
            minutes=0.5,
        ),
        fits=Range((3, 4, 0), (4, 0, 0)),
        download=Download(
            url=f"{_ETCD}/etcd-v{{version}}-{{os}}-{{arch}}{{suffix}}",
            checksums=f"{_ETCD}/SHA256SUMS",
            platforms=_EVERYWHERE,
            suffix=(("linux", ".tar.gz"), ("darwin", ".zip")),
        ),
    ),
    # Its releases carry no checksum file, so there is no download to trust.
    Program(
        build=GoBuild(
            name="kwok",
            wrapper="kwok",
            module="sigs.k8s.io/kwok",
            package="sigs.k8s.io/kwok/cmd/kwok",
            minutes=1.5,
        ),
        fits=Range((0, 8, 0), (1, 0, 0)),
    ),
    Files(
        name="kwok-stages",
        wrapper="kwok",
        sets=(
            FileSet(
                name="kwok",
                module="sigs.k8s.io/kwok",
                folders=(
                    "kustomize/stage/node/fast",
                    "kustomize/stage/node/heartbeat",
                    "kustomize/stage/pod/fast",
                ),
                containing="kind: Stage",
            ),
        ),
        joined_as="kwok/stages.yaml",
    ),
)


_COREDNS = "https://github.com/coredns/coredns/releases/download/v{version}/coredns_{version}_{os}_{arch}.tgz"

NODE: tuple[Recipe, ...] = (
    _kubernetes("kubelet", minutes=1.5),
    _kubernetes("kube-proxy", minutes=0.5),
    Program(
        # Upstream's own main needs the modules of every plugin, and some of them cannot be fetched; choosing the
        # plugins in a main of one's own is a documented way to build it:
        # https://coredns.io/2017/07/25/compile-time-enabling-or-disabling-plugins/
        build=GoBuild(
            name="coredns",
            wrapper="coredns",
            module="github.com/coredns/coredns",
            package=".",
            minutes=2,
        ),
        fits=Range((1, 11, 0), (2, 0, 0)),
        download=Download(url=_COREDNS, checksums=f"{_COREDNS}.sha256", platforms=("linux/amd64", "linux/arm64")),
        # It runs in a container that holds nothing else.
        static=True,
    ),
)


def _crds(name: str, module: str, folder: str) -> FileSet:
    return FileSet(name, module, (folder,), containing="kind: CustomResourceDefinition")


CRDS: tuple[Recipe, ...] = (
    Files(
        name="crds",
        wrapper="crds",
        sets=(
            _crds("gateway-api", "sigs.k8s.io/gateway-api", "config/crd/standard"),
            _crds("inference-extension", "sigs.k8s.io/gateway-api-inference-extension", "config/crd/bases"),
            _crds("keda", "github.com/kedacore/keda/v2", "config/crd/bases"),
            # The provider's module holds the core's definitions too, with what the cloud adds to them.
            _crds("karpenter", "github.com/aws/karpenter-provider-aws", "pkg/apis/crds"),
            _crds("cert-manager", "github.com/cert-manager/cert-manager", "deploy/crds"),
            _crds("lws", "sigs.k8s.io/lws", "config/crd/bases"),
            _crds(
                "prometheus-operator",
                "github.com/prometheus-operator/prometheus-operator",
                "example/prometheus-operator-crd",
            ),
        ),
    ),
)


def _keda(name: str, package: str, minutes: float) -> Program:
    # Its releases hold images and manifests, no programs.
    return Program(
        build=GoBuild(
            name=name,
            wrapper="keda",
            module="github.com/kedacore/keda/v2",
            package=f"github.com/kedacore/keda/v2/cmd/{package}",
            ldflags="-s -w -X github.com/kedacore/keda/v2/version.Version={version}",
            minutes=minutes,
        ),
        fits=Range((2, 21, 0), (3, 0, 0)),
    )


AUTOSCALING: tuple[Recipe, ...] = (
    _keda("keda-operator", "operator", minutes=9),
    _keda("keda-metrics-adapter", "adapter", minutes=1),
    _keda("keda-webhooks", "webhooks", minutes=0.1),
    # Its releases hold an image, no program.
    Program(
        build=GoBuild(
            name="kube-state-metrics",
            wrapper="kube-state-metrics",
            module="k8s.io/kube-state-metrics/v2",
            package="k8s.io/kube-state-metrics/v2",
            ldflags="-s -w -X github.com/prometheus/common/version.Version=v{version}",
            minutes=2,
        ),
        fits=Range((2, 15, 0), (3, 0, 0)),
        ask_version=("version",),
    ),
)

KARPENTER: tuple[Recipe, ...] = (
    # Its releases hold an image and a chart, no program.
    Program(
        build=GoBuild(
            name="karpenter",
            wrapper="karpenter",
            module="github.com/aws/karpenter-provider-aws",
            package="github.com/aws/karpenter-provider-aws/cmd/controller",
            ldflags="-s -w -X sigs.k8s.io/karpenter/pkg/operator.Version={version}",
            minutes=5,
        ),
        fits=Range((1, 14, 0), (1, 15, 0)),
    ),
)

_PULUMI_KUBERNETES = "github.com/pulumi/pulumi-kubernetes/provider/v4"

OFFICIAL_KUBERNETES: tuple[Recipe, ...] = (
    # Found on PATH by local/kubernetes_plugin.py and not here: a plugin has no option that prints its version.
    Program(
        build=OverlaidGoBuild(
            name="pulumi-resource-kubernetes",
            wrapper="pulumi-kubernetes",
            # The provider's module has no release of its own: its version is that of the SDK which it names.
            module="github.com/pulumi/pulumi-kubernetes/sdk/v4",
            package=".",
            ldflags=f"-s -w -X {_PULUMI_KUBERNETES}/pkg/version.Version={{version}}",
            minutes=6,
            embeds=tuple(
                ModuleFile("pulumi-kubernetes", _PULUMI_KUBERNETES, f"cmd/pulumi-resource-kubernetes/{name}")
                for name in ("schema.json", "terraform-mapping.json")
            ),
            stand_in=(
                ModuleFile(
                    "pulumi-kubernetes", "github.com/pulumi/pulumi-kubernetes/sdk/v4", "go/kubernetes/yaml/v2/kinds.go"
                ),
                "kinds/kinds.go",
            ),
        ),
        fits=Range((4, 24, 0), (5, 0, 0)),
    ),
)

GROUPS: dict[str, tuple[Recipe, ...]] = {
    "engine": ENGINE,
    "cluster": CLUSTER,
    "crds": CRDS,
    "node": NODE,
    "autoscaling": AUTOSCALING,
    "karpenter": KARPENTER,
    "official-kubernetes": OFFICIAL_KUBERNETES,
}

ON_REQUEST = ("node", "autoscaling", "karpenter", "official-kubernetes")
"""The groups that a set-up without names leaves out. `node` and `autoscaling` need packages of the distribution, `node`
also Linux and root; `autoscaling` takes longer to build than all the others together; only clusters of
a local AWS need `karpenter`; `official-kubernetes` is a choice of the user (local/kubernetes_plugin.py)."""
