"""A name service is asked until it answers, and anything but an answer is none."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from dns import flags, message, rcode, rrset

from local.cluster.node.name_service import resolve

NAME = "a.example."


@contextmanager
def name_service(answer: Callable[[message.Message, int], list[message.Message]]) -> Iterator[int]:
    """The port of a service that sends what ``answer`` says to a question, given how many came before it."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as service:
        service.bind(("127.0.0.1", 0))

        def serve() -> None:
            number = 0
            while True:
                packet, client = service.recvfrom(512)
                if not packet:
                    return
                for reply in answer(message.from_wire(packet), number):
                    service.sendto(reply.to_wire(), client)
                number += 1

        thread = threading.Thread(target=serve)
        thread.start()
        port = service.getsockname()[1]
        yield port
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stop:
            stop.sendto(b"", ("127.0.0.1", port))
        thread.join()


def reply_to(question: message.Message, *addresses: str) -> message.Message:
    reply = message.make_response(question)
    reply.answer.append(rrset.from_text(NAME, 5, "IN", "A", *addresses))
    return reply


def test_every_address_of_a_name_is_returned():
    with name_service(lambda question, number: [reply_to(question, "10.96.0.1", "10.96.0.2")]) as port:
        assert sorted(resolve("127.0.0.1", NAME, port=port, timeout=30.0)) == ["10.96.0.1", "10.96.0.2"]


def test_a_lost_packet_is_sent_again():
    with name_service(lambda question, number: [reply_to(question, "10.96.0.1")] if number else []) as port:
        assert resolve("127.0.0.1", NAME, port=port, timeout=1.0, attempts=60) == ["10.96.0.1"]


def another_question(question: message.Message) -> message.Message:
    reply = reply_to(question, "10.96.0.9")
    reply.id = (question.id + 1) % 65536
    return reply


def no_such_name(question: message.Message) -> message.Message:
    reply = message.make_response(question)
    reply.set_rcode(rcode.NXDOMAIN)
    return reply


def a_question(question: message.Message) -> message.Message:
    reply = reply_to(question, "10.96.0.9")
    reply.flags &= ~flags.QR
    return reply


@pytest.mark.parametrize("wrong", [another_question, no_such_name, a_question])
def test_anything_else_is_no_answer(wrong):
    with name_service(lambda question, number: [wrong(question)]) as port:
        assert resolve("127.0.0.1", NAME, port=port, timeout=0.2) == []


def test_where_nobody_listens_there_is_no_address():
    assert resolve("127.0.0.1", NAME, timeout=0.2) == []
