"""Progress of days through DAGs: a bar for a terminal, plain lines for a log."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from crossdomain.demo.airflow_api import PartitionRun

OnProgress = Callable[[PartitionRun, int, int], None]
"""Called once for each run that ended, with how many (DAG, day) pairs are done and how many are expected."""


class ProgressPrinter:
    """Shows each (DAG, day) that ended; call it as ``on_progress``.

    In a terminal a bar stays at the bottom; elsewhere there is one plain line for each run that ended.
    """

    def __init__(self, title: str, *, console: Console | None = None) -> None:
        self._console = console or Console()
        self._bar: Progress | None = None
        self._task: TaskID | None = None
        self._title = title

    def __enter__(self) -> ProgressPrinter:
        if self._console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                console=self._console,
            )
            self._task = self._bar.add_task(self._title, total=None)
            self._bar.start()
        else:
            self._console.print(self._title, highlight=False)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def __call__(self, run: PartitionRun, done: int, total: int) -> None:
        """Show one run that ended."""
        seconds = "" if run.seconds is None else f"{run.seconds:.1f} s"
        count = f"{done}/{total}" if total else ""
        line = f"  {count:>7}  {run.partition_key or '-':<10}  {run.dag_id:<18} {run.state:<8} {seconds}"
        if self._bar is None or self._task is None:
            self._console.print(line.rstrip(), highlight=False, markup=False)
            return
        self._bar.console.print(line.rstrip(), highlight=False, markup=False)
        self._bar.update(self._task, completed=done, total=total or None)
