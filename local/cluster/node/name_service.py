"""One question to a name service, asked as any pod would ask it."""

import contextlib
import ipaddress
import secrets
import socket
import struct

_QUERY, _ANSWERED, _RECURSE = 0x0000, 0x8000, 0x0100
_TYPE_A, _CLASS_IN = 1, 1
_CODE = 0x000F
_PACKET = 512


def resolve(server: str, name: str, timeout: float = 1.0, attempts: int = 3) -> list[str]:
    """The IPv4 addresses that a name has (RFC 1035, one packet of UDP); none where there is no answer in time.

    Args:
        server: address of the name service.
        name: full name.
        timeout: seconds for each attempt.
        attempts: how often it is asked while it says nothing, as packets get lost and busy machines are late.
    """
    for _ in range(attempts):
        with contextlib.suppress(TimeoutError):
            return _asked(server, name, timeout)
    return []


def _asked(server: str, name: str, timeout: float) -> list[str]:
    """Raises TimeoutError where nothing is said."""
    number = secrets.randbits(16)
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as connection:
            connection.settimeout(timeout)
            connection.connect((server, 53))
            connection.send(question(number, name))
            return addresses(number, connection.recv(_PACKET))
    except TimeoutError:
        raise
    except (OSError, ValueError):
        return []


def question(number: int, name: str) -> bytes:
    """The packet that asks for a name's addresses."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.rstrip(".").split("."))
    return struct.pack("!6H", number, _QUERY | _RECURSE, 1, 0, 0, 0) + labels + struct.pack("!xHH", _TYPE_A, _CLASS_IN)


def addresses(number: int, packet: bytes) -> list[str]:
    """The addresses in an answer.

    Raises:
        ValueError: the packet is no answer to question ``number``, or cut off.
    """
    try:
        given, flags, questions, answers, _, _ = struct.unpack_from("!6H", packet)
        if given != number or not flags & _ANSWERED or flags & _CODE:
            raise ValueError(f"no answer to question {number}: {packet[:12].hex()}")
        at = 12
        for _ in range(questions):
            at = _after_name(packet, at) + 4
        found: list[str] = []
        for _ in range(answers):
            at = _after_name(packet, at)
            kind, _, _, length = struct.unpack_from("!HHIH", packet, at)
            at += 10
            if kind == _TYPE_A:
                found.append(str(ipaddress.IPv4Address(packet[at : at + length])))
            at += length
        return found
    except (struct.error, IndexError) as error:
        raise ValueError(f"the answer to question {number} is cut off") from error


def _after_name(packet: bytes, at: int) -> int:
    while (length := packet[at]) != 0:
        if length >= 0xC0:  # a pointer to an earlier name ends this one
            return at + 2
        at += length + 1
    return at + 1
