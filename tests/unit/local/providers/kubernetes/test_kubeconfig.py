"""A kubeconfig leads where it says, and a broken one says what is broken."""

import json
import sys

import pytest
import yaml

from local.providers.kubernetes import kubeconfig
from local.providers.kubernetes.kubeconfig import KubeconfigError
from local.providers.kubernetes.settings import Settings, check, difference


def config(server="https://10.0.0.1:6443", **user):
    return {
        "current-context": "one",
        "contexts": [
            {"name": "one", "context": {"cluster": "c", "user": "u", "namespace": "team"}},
            {"name": "two", "context": {"cluster": "missing", "user": "u"}},
        ],
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": user}],
    }


def test_the_active_context_decides():
    access = kubeconfig.read(yaml.safe_dump(config()))
    assert access.server == "https://10.0.0.1:6443"
    assert access.namespace == "team"
    assert access.host == "10.0.0.1"


def test_a_path_is_as_good_as_content(tmp_path):
    file = tmp_path / "config"
    file.write_text(json.dumps(config()))
    assert kubeconfig.read(str(file)) == kubeconfig.read(json.dumps(config()))


@pytest.mark.parametrize(
    ("text", "context", "message"),
    [
        ("{", "", "no YAML"),
        ("{}\n", "", "no context"),
        (json.dumps(config()), "three", "'three'; it has one, two"),
        (json.dumps(config()), "two", "no cluster 'missing'; it has c"),
        ("/nowhere/config", "", "/nowhere/config cannot be read"),
    ],
)
def test_a_broken_kubeconfig_says_what_is_broken(text, context, message):
    with pytest.raises(KubeconfigError, match=message):
        kubeconfig.read(text, context)


def test_a_missing_credential_command_is_named_with_its_hint():
    plugin = {"command": "no-such-auth-plugin", "installHint": "install it so"}
    access = kubeconfig.read(json.dumps(config(exec=plugin)))
    with pytest.raises(KubeconfigError, match=r"no-such-auth-plugin.*install it so"):
        kubeconfig.connect(access)


def test_a_credential_command_gives_the_token(tmp_path):
    answer = json.dumps({"status": {"token": "from-the-command"}})
    plugin = {"command": sys.executable, "args": ["-c", f"print({answer!r})"]}
    client = kubeconfig.connect(kubeconfig.read(json.dumps(config(exec=plugin))))
    assert client._session.headers["Authorization"] == "Bearer from-the-command"


def test_a_broken_kubeconfig_is_refused_with_the_settings():
    (problem,) = check({"kubeconfig": "{}\n"})
    assert problem.path == "kubeconfig"


def provider(server, **more):
    return {"kubeconfig": json.dumps(config(server)), **more}


def test_another_cluster_replaces_the_provider_and_new_credentials_do_not():
    old = provider("https://a")
    assert difference(old, provider("https://b")).replaces
    fresh = {"kubeconfig": json.dumps(config("https://a", token="new"))}
    changed = difference(old, fresh)
    assert changed.changes
    assert not changed.replaces


def test_a_cluster_identifier_outranks_the_kubeconfig():
    old = provider("https://a", clusterIdentifier="prod")
    assert not difference(old, provider("https://b", clusterIdentifier="prod")).replaces
    assert difference(old, provider("https://a", clusterIdentifier="other")).replaces


def test_truth_values_come_as_words():
    assert Settings.of({"deleteUnreachable": "true", "skipUpdateUnreachable": "false"}) == Settings(
        delete_unreachable=True
    )
