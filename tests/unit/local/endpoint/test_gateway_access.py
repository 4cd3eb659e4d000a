"""The key with which this machine gets through the gateway of stack ``local``."""

from pathlib import Path

import pytest

from local.cluster import ClusterError
from local.endpoint.gateway_access import client_key, gateway_settings
from local.state_folder import StateFolder
from stacks.keys import hash_key, is_key


def test_the_key_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    first, again = (client_key(StateFolder(tmp_path)) for _ in range(2))
    assert is_key(first.text)
    assert (first.is_new, again.is_new) == (True, False)
    assert again.text == first.text
    assert first.file.stat().st_mode & 0o777 == 0o600


def test_settings_get_its_hash_beside_the_keys_of_the_file(tmp_path: Path) -> None:
    key = client_key(StateFolder(tmp_path))
    gateway = {"image": "gateway@0.1.0", "keys": [{"name": "search", "sha256": "0" * 64, "team": "chat"}]}
    settings = gateway_settings(gateway, key, "chat")
    assert settings["keys"] == [{"name": "local", "sha256": hash_key(key.text), "team": "chat"}, *gateway["keys"]]
    assert key.text not in str(settings)


def test_a_key_of_the_file_with_its_name_is_refused_and_not_dropped(tmp_path: Path) -> None:
    with pytest.raises(ClusterError, match="another name"):
        gateway_settings({"keys": [{"name": "local"}]}, client_key(StateFolder(tmp_path)), "chat")
