"""How this machine gets through the gateway of stack ``local``: a key of its own, and the settings that let it in."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from local.cluster import ClusterError
from local.state_folder import StateFolder
from stacks.files import write_atomically
from stacks.keys import hash_key, make_key

KEY_NAME = "local"


@dataclass(frozen=True)
class ClientKey:
    """The key of this machine.

    Attributes:
        text: as clients send it.
        file: where it is kept, readable by its owner alone.
        is_new: this run made it.
    """

    text: str
    file: Path
    is_new: bool


def client_key(state: StateFolder) -> ClientKey:
    """The key that is kept in the state folder; made where there is none."""
    file = state.root / "gateway-key"
    if file.exists():
        return ClientKey(file.read_text().strip(), file, is_new=False)
    key = make_key()
    write_atomically(file, f"{key}\n", mode=0o600)
    return ClientKey(key, file, is_new=True)


def gateway_settings(gateway: Mapping[str, Any], key: ClientKey, team: str) -> dict[str, Any]:
    """The gateway's settings, as the stack's file has them, with this machine's key beside those of the file.

    Args:
        gateway: what the file says, images by name.
        key: the key; only its hash becomes a setting.
        team: the team that it belongs to.

    Raises:
        ClusterError: a key of the file has this one's name.
    """
    keys = list(gateway.get("keys", ()))
    if any(each.get("name") == KEY_NAME for each in keys):
        raise ClusterError(
            f"llm-serving:gateway.keys: {KEY_NAME!r} is the name of this machine's own key, which `make up` adds "
            "(try: another name)"
        )
    own = {"name": KEY_NAME, "sha256": hash_key(key.text), "team": team}
    return {**gateway, "keys": [own, *keys]}
