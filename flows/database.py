"""The database that studies are kept in: SQLite in the project, or a PostgreSQL that several machines work on."""

import contextlib
import os
from collections.abc import Iterator
from typing import Any

import optuna
import sqlalchemy
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from stages.core.errors import HeadwaterError

PASSWORD = "PGPASSWORD"  # the name that PostgreSQL's own programs read it under
_DRIVER = "postgresql+pg8000"
_PATIENCE = 60  # seconds for SQLite to wait while another thread writes
_ANSWER = 10  # seconds for a server to take a connection


@contextlib.contextmanager
def opened(url: str) -> Iterator[optuna.storages.RDBStorage]:
    """The storage of studies at a URL, made where it is empty; its connections end with the context.

    Args:
        url: Such as sqlite:///studies.db or postgresql://user@host:5432/name, its password in PGPASSWORD.

    Raises:
        HeadwaterError: no database is there, it refuses the password, or the URL has one: every user of the machine
            sees the arguments of a command, and the UI those of a flow.
    """
    kept = _storage(url)
    try:
        yield kept
    finally:
        kept.engine.dispose()


def _storage(url: str) -> optuna.storages.RDBStorage:
    try:
        where = make_url(url)
        if where.password is not None:
            raise HeadwaterError(f"{where}: leave the password out of the URL, and set {PASSWORD}")
        if where.get_backend_name() == "sqlite":
            return optuna.storages.RDBStorage(url, engine_kwargs={"connect_args": {"timeout": _PATIENCE}})
        return _postgresql(where)
    except ImportError:
        raise HeadwaterError(f"{url}: needs its driver: pip install '.[postgresql]'") from None
    except (OSError, ValueError, SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        raise HeadwaterError(f"{url}: no such database: {_reason(error)}") from None


def _postgresql(where: URL) -> optuna.storages.RDBStorage:
    if where.get_backend_name() != "postgresql":
        raise HeadwaterError(f"{where}: studies are kept in SQLite or PostgreSQL: postgresql://user@host/name")
    with_password = where.set(drivername=_DRIVER, password=os.environ.get(PASSWORD))
    options = {"timeout": _ANSWER}
    # Asked once by ourselves: Optuna's own words for a server that does not answer are a page long.
    with sqlalchemy.create_engine(with_password, connect_args=options, poolclass=NullPool).connect():
        pass
    engine = {"connect_args": options, "pool_pre_ping": True}
    return optuna.storages.RDBStorage(with_password.render_as_string(hide_password=False), engine_kwargs=engine)


def _reason(error: BaseException) -> str:
    """Why, in a few words: PostgreSQL's own message, else the end of what the driver says."""
    cause: Any = getattr(error, "orig", None) or error
    said = cause.args[0] if cause.args else ""
    text = said.get("M", "") if isinstance(said, dict) else str(cause)
    return " ".join(text.split())
