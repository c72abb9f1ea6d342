"""The checks: `nox` runs them all, `nox -s tests` one.

Sessions run in the environment that `pip install -e ".[dev]"` made: torch alone takes gigabytes,
and an environment a session would download it three times over.
"""

import nox

nox.options.default_venv_backend = "none"
nox.options.sessions = ["lint", "types", "tests"]


@nox.session
def lint(session: nox.Session) -> None:
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("lint-imports")


@nox.session
def types(session: nox.Session) -> None:
    session.run("mypy")


@nox.session
def mutations(session: nox.Session) -> None:
    """2,000 mutated images and as many annotations; not among the default sessions."""
    env = {"OMP_NUM_THREADS": "1", "MTLBENCH_TEST_MUTATIONS": "2000"}
    session.run("pytest", "tests/data/test_mutations.py", *session.posargs, env=env)


@nox.session
def chaos(session: nox.Session) -> None:
    """200 kills with each executor, and 1,000 runs by 8 workers; not among the default sessions."""
    env = {"OMP_NUM_THREADS": "1", "MTLBENCH_TEST_KILLS": "200", "MTLBENCH_TEST_RUNS": "1000"}
    session.run("pytest", "-s", "tests/study/test_chaos.py", *session.posargs, env=env)


@nox.session
def tests(session: nox.Session) -> None:
    # A file stays on one core, so that what its tests share is made once.
    spread = ("-n", "2", "--dist", "loadfile", "--no-loadscope-reorder")
    session.run("pytest", *spread, *session.posargs, env={"OMP_NUM_THREADS": "1"})
