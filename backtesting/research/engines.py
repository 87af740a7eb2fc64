"""Where a sweep's calls are made: on this machine's cores or on a Ray cluster's. Both are backends of joblib."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from data.model.errors import UsageError

LOCAL = "local"
T = TypeVar("T")


class WorkersDied(Exception):
    """A worker process went away in the middle of its call."""


@dataclass(frozen=True)
class Engine:
    """`jobs` processes; -1 for one a core of this machine or of the cluster at `address`, None for one started here."""

    name: str = LOCAL
    jobs: int = -1
    address: str | None = None

    @contextmanager
    def open(self) -> Iterator[Crew]:
        """Raises UsageError where the engine cannot be had."""
        if self.name == LOCAL:
            from joblib.externals.loky.process_executor import BrokenProcessPool  # noqa: PLC0415 (brings multiprocessing)

            yield Crew(self.jobs, "loky", {}, BrokenProcessPool)
            return
        with _ray(self.address, self.jobs) as died:
            # An actor that dies is begun again with its call: a call can be made twice.
            again = {"ray_remote_args": {"max_restarts": -1, "max_task_retries": -1}}
            yield Crew(self.jobs, "ray", again, died)


@dataclass(frozen=True)
class Crew:
    """Workers that make calls."""

    jobs: int
    backend: str
    options: Mapping[str, object]
    died: type[BaseException]

    @property
    def size(self) -> int:
        """How many calls are made at once."""
        from joblib import effective_n_jobs, parallel_config  # noqa: PLC0415

        with parallel_config(self.backend, n_jobs=self.jobs, **self.options):
            return int(effective_n_jobs(self.jobs))

    def each(self, work: Callable[..., T], calls: Iterable[tuple[object, ...]]) -> list[T]:
        """What each call returned. Raises WorkersDied."""
        from joblib import Parallel, delayed, parallel_config  # noqa: PLC0415

        try:
            with parallel_config(self.backend, n_jobs=self.jobs, **self.options):
                found: list[T] = Parallel(batch_size=1, pre_dispatch="2*n_jobs")(delayed(work)(*call) for call in calls)
        except self.died as error:
            raise WorkersDied(str(error)) from None
        return found


@contextmanager
def _ray(address: str | None, jobs: int) -> Iterator[type[BaseException]]:
    try:
        import ray  # noqa: PLC0415 (an extra)
        from ray.exceptions import RayError  # noqa: PLC0415
        from ray.util.joblib import register_ray  # noqa: PLC0415
    except ImportError:
        raise UsageError("--engine ray needs: pip install -r requirements-distributed.txt") from None
    logging.getLogger("ray").setLevel(logging.ERROR)
    alone = {} if address else {"num_cpus": jobs if jobs > 0 else os.cpu_count(), "include_dashboard": False}
    try:
        ray.init(address, log_to_driver=False, logging_level="ERROR", configure_logging=False, **alone)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise UsageError(f"no Ray cluster at {address}: {error}") from None
    register_ray()
    # Ray prints on standard output what becomes of its processes; it is in its logs too, and a death is no news here.
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(nowhere):
        try:
            yield RayError
        finally:
            ray.shutdown()
