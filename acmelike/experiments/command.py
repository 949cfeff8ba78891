"""Training programs on the command line: parse the flags, run, leave a run folder."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from typing import Any, NoReturn

from acmelike.errors import ConfigError, first_line
from acmelike.experiments.flags import parse
from acmelike.experiments.hosts import (
    make_hosts_config,
    make_ray_config,
    offer_host,
)
from acmelike.experiments.process import (
    INTERRUPTED,
    complain,
    or_status,
    run_process,
    tell,
)
from acmelike.experiments.program import TrainingProgram
from acmelike.experiments.recorded_run import RecordedRun
from acmelike.experiments.run_folder import create_run_folder


def run_program(program: TrainingProgram[Any]) -> NoReturn:
    """The `__main__` of a program: runs it and exits the process with its status."""
    run_process(partial(train_command, program))


def train_command(
    program: TrainingProgram[Any],
    args: Sequence[str] | None = None,
    *,
    prog: str | None = None,
) -> int:
    """Parses a command line and carries out the run that it describes.

    Args:
      program: what to run.
      args: the command line; the process's own if None.
      prog: the command, for `--help`; None for `acmelike train NAME`.

    Returns:
      The exit status: 0 the budget was used or the target reached, 1 a node failed,
      2 a mistake of the user's, 130 interrupted.
    """
    run = or_status(partial(_prepare, program, args, prog))
    if isinstance(run, int):
        return run
    try:
        run.run()
    except ConfigError as error:
        return complain(error)
    except KeyboardInterrupt:
        if run.summary.get("status") != "completed":
            tell(f"interrupted after {run.extent()}; see {run.folder.path}")
        return INTERRUPTED
    except Exception as error:
        tell(f"error: {first_line(error)}; {run.see}", sys.stderr)
        return 1
    return 0


def _prepare(
    program: TrainingProgram[Any], args: Sequence[str] | None, prog: str | None
) -> RecordedRun | int:
    """The run that a command line asks for; the status if it asks for something else.

    Raises:
      ConfigError: there is a mistake in it.
      SystemExit: `--help` was asked for and printed.
    """
    config = parse(
        program.config_type,
        sys.argv[1:] if args is None else args,
        default=program.config,
        prog=prog or f"acmelike train {program.name}",
        description=program.description or "",
    )
    if config.draw is not None:
        from acmelike.experiments.draw import draw

        return draw(program, config, config.draw)
    hosts, ray = make_hosts_config(config), make_ray_config(config)
    if hosts is not None and hosts.rank > 0:
        return offer_host(hosts)
    folder = create_run_folder(config.out, program.name)
    return RecordedRun(program, config, folder, hosts=hosts, ray=ray)
