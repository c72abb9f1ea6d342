"""The command line: verbs that parse, load, call and print. Imports happen inside the verbs."""

import signal
import sys
from types import FrameType

import typer

from mtlbench.cli import bench, compare, data, published, study
from mtlbench.cli.doctor import doctor
from mtlbench.errors import MtlbenchError

app = typer.Typer(
    name="mtlbench",
    help="Benchmark joint classification and segmentation of mammograms.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=True,
)
app.add_typer(study.app, name="study")
app.add_typer(data.app, name="data")
app.add_typer(published.app, name="published")
app.command("compare", epilog=compare.EXAMPLE)(compare.compare)
app.add_typer(bench.app, name="bench")
app.command("doctor", epilog="Example: mtlbench doctor --json")(doctor)


_EXIT_CODES = {signal.SIGTERM: 75, signal.SIGUSR1: 75, signal.SIGINT: 130}


class _Stopped(BaseException):
    """A signal came: end in order, to be resumed later."""


def main() -> None:
    """Run a command; end with the exit code that the interface promises."""
    for number in _EXIT_CODES:
        signal.signal(number, _stop)
    try:
        app()
    except MtlbenchError as error:
        for line in str(error).splitlines():
            print(f"error: {line}", file=sys.stderr)
        sys.exit(error.exit_code)
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        print(f"error: {where}{error.strerror or error}", file=sys.stderr)
        sys.exit(1)
    except _Stopped as stopped:
        print("stopped: the same command goes on with what is left", file=sys.stderr)
        sys.exit(_EXIT_CODES[stopped.args[0]])


def _stop(signum: int, frame: FrameType | None) -> None:
    raise _Stopped(signal.Signals(signum))
