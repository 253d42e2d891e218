"""Work in several processes at once.

Each worker is a fresh Python that is told over a pipe what to do and answers over another; the pipe
is also what ties it to its parent. When the parent ends, however it ends, the system closes the
pipe, and the worker stops. Workers never import the caller's program again, so a plain script, a
notebook or ``python -c`` may ask for them, with or without a main guard. They do not hear Ctrl-C:
the parent does, and closes their pipes.
"""

from __future__ import annotations

import _thread
import contextlib
import os
import queue
import signal
import struct
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from multiprocessing.reduction import ForkingPickler
from typing import Any, BinaryIO

from aud_dnn.errors import InputError, plain_warnings

_LENGTH = struct.Struct("<Q")
_GRACE_S = 2.0  # what a worker may take to leave what it is writing
_ONE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS"), "1"
)


class WorkerEndedError(InputError):
    """A worker process was ended from outside, or there was not enough memory."""


# --- the parent ---------------------------------------------------------------------------------


def map_in_processes(
    work: Callable[[Any], Any], items: Sequence[Any], jobs: int, *, needs: str = ""
) -> Iterator[Any]:
    """Outcomes of ``work`` in the order of the items, see :func:`run_in_processes`."""
    done: dict[int, Any] = {}
    place = 0
    for index, outcome in run_in_processes(work, items, jobs, needs=needs):
        done[index] = outcome
        while place in done:
            yield done.pop(place)
            place += 1


def run_in_processes(
    work: Callable[[Any], Any],
    items: Sequence[Any],
    jobs: int,
    *,
    share: Sequence[int] = (),
    needs: str = "",
) -> Iterator[tuple[int, Any]]:
    """Work on every item, in ``jobs`` processes; (index of the item, outcome) as they are finished.

    Parameters
    ----------
    work : function of one argument
        Of a module that can be imported (not of ``__main__``), or a ``functools.partial`` of one.
        It is sent once to every worker, with what it holds.
    items : sequence
    jobs : int
        1, or a single item: everything is done in this process.
    share : sequence of int
        Descriptors that workers inherit (POSIX).
    needs : str
        What a process needs, for the message when memory runs out ("about 700 MB for each
        process").

    Raises
    ------
    WorkerEndedError
        A worker was killed, or memory ran out. Other exceptions of ``work`` are raised as they are.
    """
    jobs = min(jobs, len(items))
    if jobs <= 1:
        for index, item in enumerate(items):
            try:
                outcome = work(item)
            except MemoryError as error:
                raise _out_of_memory("There is not enough memory", 1, needs) from error
            yield index, outcome
        return
    answers = outcomes_in_processes(work, items, jobs, share=share, needs=needs, second_tries=0)
    with contextlib.closing(answers):
        for index, outcome in answers:
            if isinstance(outcome, MemoryError):
                raise _out_of_memory("There is not enough memory", jobs, needs) from outcome
            if isinstance(outcome, Exception):
                raise outcome
            yield index, outcome


def outcomes_in_processes(
    work: Callable[[Any], Any],
    items: Sequence[Any],
    jobs: int,
    *,
    share: Sequence[int] = (),
    needs: str = "",
    second_tries: int = 1,
) -> Generator[tuple[int, Any], None, None]:
    """Work on every item whatever happens to some; (index, outcome or exception) as they finish.

    An exception of ``work`` is the outcome of its item. A worker that is killed is replaced, and
    its item given to another one; after ``second_tries`` of that a :class:`WorkerEndedError` is its
    outcome.

    Parameters
    ----------
    work, items, jobs, share, needs
        As for :func:`run_in_processes`; but nothing is done in this process, which so survives.
    second_tries : int
    """
    parcels = [bytes(ForkingPickler.dumps(content)) for content in (work, *items)]
    waiting: queue.SimpleQueue[int] = queue.SimpleQueue()
    for index in range(len(items)):
        waiting.put(index)
    outcomes: queue.SimpleQueue[tuple[int, bytes | int]] = queue.SimpleQueue()
    workers: list[subprocess.Popen] = []

    def start() -> None:
        workers.append(_start(share))
        threading.Thread(
            target=_hand_out, args=(workers[-1], parcels, waiting, outcomes), daemon=True
        ).start()

    ended: dict[int, int] = {}
    try:
        for _ in range(min(jobs, len(items))):
            start()
        left = len(items)
        while left:
            index, answer = _next(outcomes)
            if isinstance(answer, int):
                ended[index] = ended.get(index, 0) + 1
                if index >= 0 and ended[index] <= second_tries:
                    waiting.put(index)
                elif index >= 0:
                    yield index, _out_of_memory(f"A worker process {_how(answer)}", jobs, needs)
                    left -= 1
                elif ended[index] > jobs * second_tries:  # they end before they get anything
                    raise _out_of_memory(f"A worker process {_how(answer)}", jobs, needs)
                start()
                continue
            _, outcome = ForkingPickler.loads(answer)
            yield index, outcome
            left -= 1
    finally:
        _end(workers)


def _start(share: Sequence[int]) -> subprocess.Popen:
    path = [entry for entry in sys.path if isinstance(entry, str)]
    program = f"import sys; sys.path[:] = {path!r}; from aud_dnn.io.processes import serve; serve()"
    with _deaf_to_interrupts():
        return subprocess.Popen(
            [sys.executable, "-c", program],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **_ONE_THREAD},
            **({"pass_fds": tuple(share)} if share else {}),
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )


@contextlib.contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """A process that is started inside the block never gets Ctrl-C, not even while it starts.

    This one gets it afterwards.
    """
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _hand_out(
    worker: subprocess.Popen,
    parcels: Sequence[bytes],
    waiting: queue.SimpleQueue[int],
    outcomes: queue.SimpleQueue[tuple[int, bytes | int]],
) -> None:
    """Feed one worker until there is nothing left; the thread of the parent that looks after it."""
    index = -1
    try:
        _send(worker.stdin, parcels[0])
        while True:
            index = waiting.get_nowait()
            _send(worker.stdin, parcels[index + 1])
            outcomes.put((index, _receive(worker.stdout)))
    except queue.Empty:
        with contextlib.suppress(OSError):
            worker.stdin.close()
    except (OSError, EOFError, ValueError):  # it has ended, or this process closed the pipe
        outcomes.put((index, worker.wait()))


def _next(outcomes: queue.SimpleQueue) -> tuple[int, bytes | int]:
    while True:
        with contextlib.suppress(queue.Empty):
            return outcomes.get(timeout=1.0)  # Windows: a wait without end cannot be interrupted


def _end(workers: Sequence[subprocess.Popen]) -> None:
    for worker in workers:
        with contextlib.suppress(OSError):
            worker.stdin.close()
    deadline = time.monotonic() + 2 * _GRACE_S
    for worker in workers:
        try:
            worker.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            worker.kill()
            worker.wait()
        worker.stdout.close()


def _how(status: int) -> str:
    if status >= 0:
        return f"ended with status {status}"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = f"signal {-status}"
    return f"was ended by the system ({name}), most often because memory ran out"


def _out_of_memory(what: str, jobs: int, needs: str) -> WorkerEndedError:
    remedy = (
        f"with fewer processes (--jobs 1 needs least; these were {jobs}) or more memory"
        if jobs > 1
        else "with more memory"
    )
    return WorkerEndedError(
        f"{what}. What was finished is kept: run the same command again {remedy}."
        + (f" It takes {needs}." if needs else "")
    )


# --- the worker ---------------------------------------------------------------------------------


def serve() -> None:
    """Answer requests on stdin until it is closed: the whole life of a worker process."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.excepthook = _say_nothing_of_interrupts
    plain_warnings()
    requests, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints must not come between the answers
    inbox: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    busy = threading.Event()
    threading.Thread(target=_listen, args=(requests, inbox, busy), daemon=True).start()
    with contextlib.suppress(KeyboardInterrupt, BrokenPipeError):
        received = inbox.get()
        work: Callable[[Any], Any] | None = None
        while received is not None:
            busy.clear()
            parcel = inbox.get()
            if parcel is None:
                break
            busy.set()
            try:
                if work is None:
                    work = ForkingPickler.loads(received)
                answer = True, work(ForkingPickler.loads(parcel))
            except Exception as error:
                answer = False, _portable(error)
            _send(answers, ForkingPickler.dumps(answer))


def _listen(
    requests: BinaryIO, inbox: queue.SimpleQueue[bytes | None], busy: threading.Event
) -> None:
    with contextlib.suppress(EOFError, OSError):
        while True:
            inbox.put(_receive(requests))
    inbox.put(None)
    if busy.is_set():
        _thread.interrupt_main()  # the parent has ended, or wants this no longer
    time.sleep(_GRACE_S)
    os._exit(1)


def _say_nothing_of_interrupts(kind: type[BaseException], *rest: Any) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, *rest)


class _InWorkerError(Exception):
    """The traceback of the worker, shown above that of the parent."""

    def __str__(self) -> str:
        return f"in a worker process:\n{self.args[0]}"


class _Carried:
    """An exception together with the traceback that pickling would lose."""

    def __init__(self, error: Exception, text: str) -> None:
        self._error, self._text = error, text

    def __reduce__(self) -> tuple:
        return _unpack, (self._error, self._text)


def _unpack(error: Exception, text: str) -> Exception:
    error.__cause__ = _InWorkerError(text)
    return error


def _portable(error: Exception) -> _Carried:
    text = traceback.format_exc()
    if isinstance(error, MemoryError):
        error = MemoryError(str(error))  # NumPy has one of its own
    try:
        ForkingPickler.loads(ForkingPickler.dumps(error))
    except Exception:
        error = RuntimeError(f"{type(error).__name__}: {error}")
    return _Carried(error, text)


# --- both ---------------------------------------------------------------------------------------


def _send(stream: BinaryIO, parcel: bytes | memoryview) -> None:
    stream.write(_LENGTH.pack(len(parcel)))
    stream.write(parcel)
    stream.flush()


def _receive(stream: BinaryIO) -> bytes:
    length = stream.read(_LENGTH.size)
    if len(length) < _LENGTH.size:
        raise EOFError
    parcel = stream.read(*_LENGTH.unpack(length))
    if len(parcel) < _LENGTH.unpack(length)[0]:
        raise EOFError
    return parcel
