"""Questions and answers of DNS as they stand in a packet."""

import struct

import pytest

from local.cluster.node.name_service import addresses, question, resolve


def answer(number, *records, code=0, flags=0x8000):
    asked = question(number, "a.example")[12:]
    header = struct.pack("!6H", number, flags | code, 1, len(records), 0, 0)
    return header + asked + b"".join(records)


def record(kind, content):
    return b"\xc0\x0c" + struct.pack("!HHIH", kind, 1, 5, len(content)) + content


def test_a_question_names_each_label_with_its_length():
    assert question(0x1234, "a.example.") == (
        b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x01a\x07example\x00\x00\x01\x00\x01"
    )


def test_addresses_are_found_among_other_records():
    packet = answer(7, record(5, b"\x01b\x00"), record(1, b"\x0a\x60\x00\x01"), record(1, b"\x0a\x60\x00\x02"))
    assert addresses(7, packet) == ["10.96.0.1", "10.96.0.2"]


@pytest.mark.parametrize(
    "packet",
    [
        answer(8, record(1, b"\x0a\x60\x00\x01")),
        answer(7, code=3),
        answer(7, record(1, b"\x0a\x60\x00\x01"), flags=0),
        answer(7, record(1, b"\x0a\x60\x00\x01"))[:-8],
        b"",
    ],
    ids=["another question", "no such name", "a question", "cut off", "empty"],
)
def test_anything_else_is_no_answer(packet):
    with pytest.raises(ValueError, match="question 7"):
        addresses(7, packet)


def test_where_nobody_listens_there_is_no_address():
    assert resolve("127.0.0.1", "a.example", timeout=0.2) == []
