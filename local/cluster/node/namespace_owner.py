"""The owner of a node's namespaces: a process outside that makes them, waits for their end, and tidies up after them.

It lives and dies with the supervisor inside: told to end it passes that on; killed, the kernel kills the inside too,
and the next start or stop tidies up.
"""

import contextlib
import os
import signal
import traceback
from typing import Protocol

from local.cluster.config import ClusterConfig
from local.cluster.errors import ClusterError
from local.cluster.layout import Layout
from local.cluster.node import machine, namespaces
from local.cluster.node.addresses import AddressSlot
from local.cluster.processes import Process
from stacks.files import write_json

ENDING = "ending"
"""Noted beside the owner's number once it only tidies up."""

_WITHIN, _LINKED = b"i", b"l"


class InitProcess(Protocol):
    """What runs in the namespaces as their first process."""

    def listen(self) -> None:
        """End at SIGTERM from now on."""
        ...

    def run(self) -> None:
        """Run until told to end."""
        ...


def run_in_namespaces(layout: Layout, config: ClusterConfig, init_process: InitProcess) -> int:
    """Run ``init_process`` as the first process of new namespaces until it ends; return an exit status.

    Raises:
        ClusterError: the machine refuses the namespaces, the link or a mount.
    """
    slot = config.slot
    assert slot is not None, "chosen before the supervisor starts"
    try:
        return _fork_and_wait(layout, slot, init_process)
    finally:
        _note_ending(layout)
        layout.init.unlink(missing_ok=True)
        machine.clear(layout.root, slot.number)


def _fork_and_wait(layout: Layout, slot: AddressSlot, init_process: InitProcess) -> int:
    from_inside, to_outside = os.pipe()
    from_outside, to_inside = os.pipe()
    # A signal must find either no child or a child that listens: the first process of a pid namespace ignores what
    # it has no handler for (pid_namespaces(7)).
    signal.pthread_sigmask(signal.SIG_BLOCK, _ENDING)
    try:
        child = namespaces.fork_init()
    except OSError as error:
        raise ClusterError(f"the machine refuses a pid namespace: {error}") from error
    if child == 0:
        os.close(from_inside)
        os.close(to_inside)
        _become_init(layout, slot, init_process, from_outside, to_outside)
    os.close(to_outside)
    os.close(from_outside)

    def end(_number: int, _frame: object) -> None:
        _note_ending(layout)
        _send(child, signal.SIGTERM)

    for number in _ENDING:
        signal.signal(number, end)
    try:
        init = Process.of(child)
        if init is not None:
            write_json(layout.init, init.to_json())
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
        if os.read(from_inside, 1) == _WITHIN:
            machine.connect(slot, child)
            os.write(to_inside, _LINKED)
    except BaseException:
        _send(child, signal.SIGKILL)
        raise
    finally:
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if status:
        how = f"status {status}" if status > 0 else f"signal {-status}"
        print(f"error: the first process of the node's namespaces ended with {how}", flush=True)
    return 1 if status else 0


def _become_init(
    layout: Layout, slot: AddressSlot, init_process: InitProcess, from_outside: int, to_outside: int
) -> None:
    """Never returns: this process is the first of the namespaces."""
    status = 1
    try:
        init_process.listen()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _ENDING)
        namespaces.enter()
        namespaces.mount(layout.node)
        os.write(to_outside, _WITHIN)
        if os.read(from_outside, 1) == _LINKED:  # nothing comes where the owner has died
            namespaces.network(slot)
            init_process.run()
            status = 0
    except (ClusterError, OSError) as error:
        print(f"error: {error}", flush=True)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def _note_ending(layout: Layout) -> None:
    """Tell whoever wants to start the cluster now that this run of it is over, and its end to be waited for."""
    own = Process.of(os.getpid())
    if own is not None and layout.config.exists():  # a folder that was removed is not made anew
        write_json(layout.supervisor, own.to_json() | {ENDING: True})


def _send(child: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(child, number)


_ENDING = (signal.SIGTERM, signal.SIGINT)
