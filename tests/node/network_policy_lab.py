"""A node's network without a node: network namespaces with pods on veth pairs, as the CNI plugin ``ptp`` makes them.

A network namespace is one thread here: a thread may leave its process's namespace for a new one (unshare(2)), its
sockets and child processes stay in it, and the kernel removes the namespace with all that is in it when the thread
and its sockets are gone.
"""

import contextlib
import ctypes
import itertools
import os
import selectors
import shutil
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor

_CLONE_NEWNET = 0x40000000
_PATIENCE = 20.0
"""Seconds after which a connection that should be possible counts as refused."""
_GRACE = 0.2
"""Seconds that those which should be refused get after the last possible one has answered."""


def unusable():
    """Why there can be no namespaces here, or an empty string."""
    if os.geteuid() != 0:
        return "needs root"
    missing = [name for name in ("ip", "nft", "sysctl") if tool(name) is None]
    return f"for want of {', '.join(missing)}: run `make setup-node`" if missing else ""


def tool(name):
    return shutil.which(name, path="/usr/sbin:/sbin:/usr/bin:/bin")


class Namespace:
    """A network namespace. Call :meth:`run` to do something inside."""

    def __init__(self):
        self._executor = ThreadPoolExecutor(1, initializer=_leave)
        self.thread = self._executor.submit(threading.get_native_id).result()
        self.sh("ip link set lo up")

    def run(self, function, *arguments, **named):
        return self._executor.submit(function, *arguments, **named).result()

    def sh(self, *lines):
        """Run commands; fail where one does."""
        for line in lines:
            self.run(
                subprocess.run,
                line.split(),
                check=True,
                capture_output=True,
                env={"PATH": "/usr/sbin:/sbin:/usr/bin:/bin"},
            )

    def nft(self, program):
        done = self.run(
            subprocess.run, [tool("nft"), "-f", "-"], input=program, text=True, capture_output=True, check=False
        )
        assert done.returncode == 0, f"{done.stderr}\n{program}"

    def close(self):
        self._executor.shutdown()


def _leave():
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare")


class Lab:
    """A node, pods by address, and echo servers on every given port of each pod."""

    def __init__(self, gateway="10.244.0.1"):
        self._stack = contextlib.ExitStack()
        self.node = self._enter()
        self.node.sh("sysctl -q -w net.ipv4.ip_forward=1")
        self._gateway = gateway
        self.namespaces = {}
        self._sockets = []
        self._selector = selectors.DefaultSelector()
        self._source_ports = itertools.count(20_000)
        self._lock = threading.Lock()
        self._ending = False
        self._server = threading.Thread(target=self._serve, daemon=True)
        self._server.start()

    def close(self):
        self._ending = True
        self._server.join()
        for sock in self._sockets:
            sock.close()
        self._stack.close()

    def _enter(self):
        made = Namespace()
        self._stack.callback(made.close)
        return made

    def add(self, address, tcp=(), udp=(), gateway=None):
        """A namespace on a veth pair of its own with one address, and servers in it."""
        inside, gateway = self._enter(), gateway or self._gateway
        link = f"veth{len(self.namespaces)}"
        self.node.sh(
            f"ip link add {link} type veth peer name eth0 netns {inside.thread}",
            f"ip address add {gateway}/32 dev {link}",
            f"ip link set {link} up",
            f"ip route add {address}/32 dev {link}",
        )
        inside.sh(
            f"ip address add {address}/32 dev eth0",
            "ip link set eth0 up",
            f"ip route add {gateway}/32 dev eth0 scope link",
            f"ip route add default via {gateway}",
        )
        self.namespaces[address] = inside
        for kind, ports in ((socket.SOCK_STREAM, tcp), (socket.SOCK_DGRAM, udp)):
            for port in ports:
                inside.run(self._listen, kind, port)
        return inside

    def _listen(self, kind, port):
        sock = socket.socket(socket.AF_INET, kind)
        sock.setblocking(False)
        sock.bind(("", port))
        if kind == socket.SOCK_STREAM:
            sock.listen(64)
        self._keep(sock)

    def _keep(self, sock):
        with self._lock:
            self._sockets.append(sock)
            self._selector.register(sock, selectors.EVENT_READ)

    def _serve(self):
        """Accept and echo, for every namespace: a socket stays in the one it was made in."""
        while not self._ending:
            for key, _ in self._selector.select(0.1):
                sock = key.fileobj
                with contextlib.suppress(OSError):
                    if sock.type == socket.SOCK_DGRAM:
                        data, sender = sock.recvfrom(64)
                        sock.sendto(data, sender)
                    elif sock.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                        accepted, _ = sock.accept()
                        accepted.setblocking(False)
                        self._keep(accepted)
                    elif data := sock.recv(64):
                        sock.send(data)
                    else:
                        self._selector.unregister(sock)

    def probe(self, expected):
        """Try connections at once: ``{(source, target, protocol, port): whether it should work}``.

        Returns those that answered. Waits for all that should, and then a moment for those that should not.
        """
        waiting, answered = {}, set()
        with contextlib.ExitStack() as opened, selectors.DefaultSelector() as selector:
            for attempt in expected:
                namespace = self.namespaces.get(attempt[0], self.node)
                sock, event = namespace.run(_attempt, *attempt[1:], next(self._source_ports))
                opened.callback(sock.close)
                selector.register(sock, event)
                waiting[sock] = attempt
            wanted = {attempt for attempt, works in expected.items() if works}
            end, settled = time.monotonic() + _PATIENCE, False
            while waiting and time.monotonic() < end:
                for key, _ in selector.select(0.02):
                    selector.unregister(key.fileobj)
                    attempt = waiting.pop(key.fileobj)
                    if _succeeded(key.fileobj):
                        answered.add(attempt)
                if not settled and wanted <= answered:
                    end, settled = time.monotonic() + _GRACE, True
        return answered


def _attempt(target, protocol, port, source_port):
    """A socket that tries, and the event that says how it went.

    The source port must be new to the lab: the node remembers a flow for minutes, and a packet with the addresses and
    ports of an earlier one, by the kernel's choice of a port, would pass as part of it.
    """
    if protocol == "UDP":
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("", source_port))
        sock.connect((target, port))
        sock.send(b"hello")
        return sock, selectors.EVENT_READ
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    sock.setblocking(False)
    sock.bind(("", source_port))
    sock.connect_ex((target, port))
    return sock, selectors.EVENT_WRITE


def _succeeded(sock):
    if sock.type == socket.SOCK_STREAM:
        return sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
    try:
        return sock.recv(64) == b"hello"
    except OSError:
        return False
