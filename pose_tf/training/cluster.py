"""The workers of a run on several machines: their addresses, and how they wait for each other at the start."""

import concurrent.futures
import contextlib
import dataclasses
import json
import os
import socket
import threading
import time

from pose_tf.errors import UserError
from pose_tf.waiting import waiting

FORM = '{"cluster": {"worker": ["host:port", …]}, "task": {"type": "worker", "index": 0}}'
POLL_SECONDS = 0.5  # between two rounds of requests to the other workers
ANSWER_SECONDS = 3.0  # timeout of a request
ANSWER_BYTES = 1 << 20
LEAVE_SECONDS = 30.0  # how long worker 0 keeps answering after the start, until all others have noticed it


@dataclasses.dataclass(frozen=True)
class Cluster:
    """All workers, and the number of this process among them.

    Attributes:
        addresses: host:port of each worker.
        index: number of this worker; worker 0 writes the run's directory.
    """

    addresses: tuple[str, ...]
    index: int

    def name(self, worker: int) -> str:
        """Number and address of a worker, for messages."""
        return f"worker {worker} at {self.addresses[worker]}"


def read_tf_config() -> Cluster | None:
    """The cluster described by the environment variable TF_CONFIG; None if the variable is empty or not set.

    A chief counts as the first worker, as in TensorFlow.

    Raises:
        UserError: TF_CONFIG does not have the form that TensorFlow documents, or has jobs other than worker and chief.
    """
    text = os.environ.get("TF_CONFIG", "").strip()
    if not text:
        return None
    try:
        described = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _fault(f"it is not JSON ({error})") from None
    parts = [described.get(key) if isinstance(described, dict) else None for key in ("cluster", "task")]
    for key, part in zip(("cluster", "task"), parts):
        if not isinstance(part, dict):
            raise _fault(f"it has no '{key}' with braces")
    cluster, task = parts
    for job, addresses in cluster.items():
        if job not in ("chief", "worker"):
            raise _fault(f"its cluster has '{job}', but only worker and chief are supported")
        if not isinstance(addresses, list) or not addresses:
            raise _fault(f"its {job} is {json.dumps(addresses)}, which is not a list of addresses in brackets")
        for address in addresses:
            _check_address(address)
    chiefs, workers = (cluster.get(job, []) for job in ("chief", "worker"))
    if len(chiefs) > 1:
        raise _fault(f"it has {len(chiefs)} chiefs, but at most one is allowed")
    addresses = (*chiefs, *workers)
    for address in addresses:
        if addresses.count(address) > 1:
            raise _fault(f"it lists {address} {addresses.count(address)} times, but each worker needs its own address")
    return Cluster(addresses, _index(task, cluster, len(chiefs)))


def _fault(what):
    return UserError(f"TF_CONFIG: {what}; the expected form is {FORM}")


def _check_address(address):
    host, _, port = address.rpartition(":") if isinstance(address, str) else ("", "", "")
    try:
        host.encode("idna")
    except UnicodeError:  # an empty part, or a very long one
        host = ""
    if not host or set(host) & set("/ \t\n") or not (port.isascii() and port.isdigit()):
        raise _fault(f"{json.dumps(address)} is not an address host:port")
    if not 1 <= int(port) <= 65535:
        raise _fault(f"the port of {address} is not in 1 to 65535")


def _index(task, cluster, chiefs):
    """Number of the task among all workers."""
    kind, index = task.get("type"), task.get("index")
    if kind not in ("chief", "worker"):
        raise _fault(f"its task's type is {json.dumps(kind)}, but only worker and chief are supported")
    count = len(cluster.get(kind, []))
    if type(index) is not int or not 0 <= index < count:  # a bool is an int, too
        numbers = (
            f"a whole number from 0 to {count - 1}, without quotes" if count else f"that of a {kind} in its cluster"
        )
        raise _fault(f"its task's index is {json.dumps(index)}; it must be {numbers}")
    return index + (chiefs if kind == "worker" else 0)


def wait_for_workers(cluster: Cluster) -> None:
    """Waits until all workers have started, and reports the missing ones. SIGTERM and Ctrl-C end the process meanwhile.

    TensorFlow would wait, too, but in a call that holds Python's lock and that no signal interrupts. So each worker
    first listens at its address and answers every request with its number and the workers that it cannot reach.
    Worker 0 asks all others; they ask worker 0. As soon as all workers reach each other, worker 0 gives the start, and
    TensorFlow takes over the addresses.

    Raises:
        UserError: this worker's port is in use.
    """
    if len(cluster.addresses) == 1:
        return
    me = _Attendance(cluster)
    with (
        _listening(cluster, me.status),
        waiting(lambda: "; ".join(me.awaited)),
        concurrent.futures.ThreadPoolExecutor(16) as pool,
    ):
        while not me.may_go:
            me.poll(pool)
            time.sleep(POLL_SECONDS)
        deadline = time.monotonic() + LEAVE_SECONDS
        while not cluster.index and me.others_listen(pool) and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS / 10)


class _Attendance:
    """What a worker knows about the others before the start."""

    def __init__(self, cluster):
        self._cluster = cluster
        self._asked = [0] if cluster.index else range(1, len(cluster.addresses))
        self._missed = [cluster.name(i) for i in self._asked]
        self.awaited = self._missed  # the workers that all wait for, as far as known
        self.may_go = False

    def status(self):
        """The answer to another worker's request."""
        mine = {"worker": self._cluster.index, "addresses": self._cluster.addresses}
        return mine | {"missed": self._missed, "may_go": self.may_go}

    def poll(self, pool):
        """Asks the other workers, and updates what is known about them."""
        replies = dict(zip(self._asked, pool.map(self._ask, self._asked)))
        self._missed = [f"{self._cluster.name(i)} ({reply})" for i, reply in replies.items() if isinstance(reply, str)]
        answers = {i: reply for i, reply in replies.items() if not isinstance(reply, str)}
        missed_by = {i: answer["missed"] for i, answer in answers.items() if answer["missed"]}
        if self._cluster.index:
            self.awaited = self._missed or missed_by.get(0) or [f"the start signal of {self._cluster.name(0)}"]
            self.may_go = 0 in answers and answers[0]["may_go"]
        else:
            self.awaited = self._missed + [
                f"{self._cluster.name(i)}, which waits for {m[0]}" for i, m in missed_by.items()
            ]
            self.may_go = not self.awaited

    def others_listen(self, pool):
        """Whether any other worker may still wait for the start."""
        return any(not isinstance(answer, str) for answer in pool.map(self._ask, self._asked))

    def _ask(self, worker):
        """The answer of a worker, or the reason in words why it does not answer."""
        host, _, port = self._cluster.addresses[worker].rpartition(":")
        try:
            with (
                socket.create_connection((host.strip("[]"), int(port)), ANSWER_SECONDS) as connection,
                connection.makefile("rb") as file,
            ):
                if (first := file.read(1)) != b"{":  # a gRPC server also sends bytes at once, but never a line end
                    raise ValueError
                answer = json.loads(first + file.readline(ANSWER_BYTES))
            if answer["worker"] != worker:
                return f"its TF_CONFIG says that it is worker {answer['worker']}"
            if tuple(answer["addresses"]) != self._cluster.addresses:
                return f"its TF_CONFIG lists other workers: {', '.join(answer['addresses'])}"
            return {"missed": list(map(str, answer["missed"])), "may_go": answer["may_go"] is True}
        except socket.gaierror as error:
            return f"its host name cannot be found: {error.strerror}"
        except ConnectionError:
            return "not started yet"
        except TimeoutError:
            return "does not answer"
        except OSError as error:
            return error.strerror or str(error)
        except (ValueError, KeyError, TypeError, RecursionError):
            return "is still training, or is another kind of server"


@contextlib.contextmanager
def _listening(cluster, status):
    """Answers requests at this worker's address in a thread."""
    port = int(cluster.addresses[cluster.index].rpartition(":")[2])
    both = {"family": socket.AF_INET6, "dualstack_ipv6": True} if socket.has_dualstack_ipv6() else {}
    try:
        listener = socket.create_server(("", port), backlog=128, **both)
    except OSError as error:
        raise UserError(
            f"TF_CONFIG says that this is {cluster.name(cluster.index)}, but port {port} cannot be used: "
            f"{error.strerror or error}"
        ) from None

    def answer():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.sendall(json.dumps(status()).encode() + b"\n")

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    with listener:
        try:
            yield
        finally:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)  # ends `accept`
            thread.join()
