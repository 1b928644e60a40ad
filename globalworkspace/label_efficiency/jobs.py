"""Jobs that are each done once: on every core, a line of JSON as soon as one is done, resumable."""

from __future__ import annotations

import contextlib
import json
import logging
import multiprocessing
import multiprocessing.connection
import multiprocessing.process
import os
import signal
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import torch
from tqdm.auto import tqdm

from globalworkspace.bars import unwatched
from globalworkspace.errors import DataError

log = logging.getLogger(__name__)

Job = Mapping[str, Any]


def run_jobs(
    jobs: Mapping[str, Job],
    work: Callable[[dict[str, Any]], dict[str, Any]],
    results: str | Path,
    *,
    start: Callable[..., None] | None = None,
    start_args: tuple[Any, ...] = (),
    workers: int | None = None,
    what: str = "jobs",
    describe: Callable[[Mapping[str, Any]], str] = str,
    progress: bool = True,
) -> list[dict[str, Any]]:
    """Do what of some jobs is not done yet.

    Args:
        jobs: Key -> job, JSON-able; a key stands for all that the job's outcome depends on.
        work: Does one, in a process of its own with one thread: a module's function.
        results: The file of JSON lines: key, job and outcome in one object each.
        start: Called first in each process.
        start_args: Its arguments.
        workers: Processes; None: as many as there are cores.
        what: Before the bar.
        describe: A line -> what the bar shows of the last one that was done.
        progress: Show a bar.

    Returns:
        The lines of all jobs, in their order.

    Raises:
        DataError: If a job failed; the others are done and kept.
    """
    file = Path(results)
    done = read_lines(file)
    left = {key: job for key, job in jobs.items() if key not in done}
    failed: list[str] = []
    others = set(multiprocessing.active_children())
    if left:
        with (
            ProcessPoolExecutor(
                min(workers or os.cpu_count() or 1, len(left)),
                mp_context=multiprocessing.get_context("spawn"),
                initializer=_start,
                initargs=(start, start_args),
            ) as pool,
            tqdm(
                total=len(jobs),
                initial=len(jobs) - len(left),
                desc=what,
                unit="job",
                disable=unwatched(progress),
            ) as bar,
            file.open("a", encoding="utf-8") as stream,
        ):
            waiting = {pool.submit(work, dict(job)): key for key, job in left.items()}
            with _called_off(waiting, others):
                for future in as_completed(waiting):
                    key = waiting[future]
                    try:
                        line = {"key": key, **left[key], **future.result()}
                    except BrokenProcessPool:
                        failed.append(
                            f"{dict(left[key])}: its process, or one beside it, died: killed, or "
                            "for want of memory; fewer workers need less"
                        )
                        continue
                    except Exception as error:  # the other jobs are worth keeping
                        failed.append(f"{dict(left[key])}: {type(error).__name__}: {error}")
                        continue
                    done[key] = line
                    stream.write(json.dumps(line) + "\n")
                    stream.flush()
                    os.fsync(stream.fileno())
                    bar.set_postfix_str(describe(line), refresh=False)
                    bar.update()
    if failed:
        raise DataError(
            f"{len(failed)} of {len(jobs)} jobs failed, the first: {failed[0]}. The others are "
            f'kept in "{file}"; run the same command again to go on.'
        )
    return [done[key] for key in jobs]


@contextlib.contextmanager
def _called_off(
    waiting: Iterable[Future[Any]], others: Collection[multiprocessing.process.BaseProcess]
) -> Iterator[None]:
    """Whatever ends the block early ends the workers, too: else the pool waits for their jobs.

    Args:
        waiting: All jobs.
        others: Processes that are none of the pool's.
    """
    try:
        yield
    except BaseException:
        for future in waiting:
            future.cancel()
        for process in multiprocessing.active_children():
            if process not in others:
                process.terminate()
        raise


def read_lines(file: str | Path) -> dict[str, dict[str, Any]]:
    """Key -> line of a results file; a last line that was cut off is left out, and closed."""
    found: dict[str, dict[str, Any]] = {}
    path = Path(file)
    if not path.exists():
        return found
    text = path.read_text(encoding="utf-8")
    for line in text.splitlines():
        try:
            entry = json.loads(line)
        except json.JSONDecodeError:
            log.warning('A line of "%s" is cut off; its job is done again.', path)
            continue
        found[entry["key"]] = entry
    if text and not text.endswith("\n"):
        with path.open("a", encoding="utf-8") as stream:
            stream.write("\n")
    return found


def _start(start: Callable[..., None] | None, arguments: tuple[Any, ...]) -> None:
    # Ctrl-C reaches every process of the terminal. A worker that it ends while it holds the pool's
    # queue leaves the others waiting for ever; the parent ends them.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    if start is not None:
        start(*arguments)


def _end_with_parent() -> None:
    """A killed parent would leave its workers to work for nobody."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        multiprocessing.connection.wait([parent.sentinel])
        os._exit(1)
