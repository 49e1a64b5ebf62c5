"""A log's directory, read without changing anything in it (store.md).

The database is opened as a file that nobody writes, or, if there is a WAL, as a copy, since SQLite would write beside it.
Nothing is asked of it before its tables are known to be exactly those of a log.
"""

import os
import shutil
import sqlite3
import stat
import tempfile
from pathlib import Path

import zstandard

from . import canon, wal
from .cddl import Mismatch, Schema

APPLICATION_ID = 0x74616368
VERSION = 1
TABLES = """\
CREATE TABLE records (seq INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT
CREATE TABLE vault (seq INTEGER PRIMARY KEY, row BLOB NOT NULL) STRICT
CREATE TABLE tiles (id INTEGER PRIMARY KEY, hashes BLOB NOT NULL) STRICT
CREATE TABLE artefacts (blake3 BLOB PRIMARY KEY NOT NULL, refs INTEGER NOT NULL, size INTEGER NOT NULL, bytes BLOB NOT NULL) STRICT
CREATE TABLE refs (key BLOB PRIMARY KEY NOT NULL, seq INTEGER NOT NULL) STRICT, WITHOUT ROWID
CREATE TABLE commits (id INTEGER PRIMARY KEY CHECK (id = 0), statement BLOB NOT NULL, signature BLOB NOT NULL) STRICT
"""
# A row's descriptors are looked into only when the commitment to their bytes has been checked.
SCHEMA = Schema("record.cddl", "proof.cddl")
SCHEMA.rules["salted-descriptor"] = SCHEMA.rules["salted-text"]
CHECKPOINTS_MAX = 1 << 30
FRAME_MAX = 1 << 27  # the widest window a zstd frame may ask for


class CannotRead(Exception):
    """There is nothing to judge: exit code 2."""


class Unreadable(Exception):
    """SQLite cannot read the database: a log that is broken."""


class Broken(Exception):
    """A row that cannot be read as what it has to be."""


def open_plain(path):
    """Opens a plain file for reading; None if there is none. Follows no symlink, and waits for no pipe."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise CannotRead(f"cannot open {path}: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise CannotRead(f"{path} is not a plain file")
    return os.fdopen(handle, "rb")


def read_plain(path, most):
    """The bytes of a plain file that has at most so many; None if there is none."""
    file = open_plain(path)
    if file is None:
        return None
    with file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise CannotRead(f"{path} is larger than {most} bytes")
        return file.read(size)


def unpack(data, most):
    """The bytes of one zstd frame, at most so many, in pieces."""
    if not isinstance(data, bytes):
        raise Broken("not bytes")
    if data[4:5] and data[4] & 0x10:
        raise Broken("has a bit that nothing sets")  # RFC 8878, 3.1.1.1.1: unused
    unpacker = zstandard.ZstdDecompressor(max_window_size=FRAME_MAX).decompressobj()
    total = 0
    try:
        for at in range(0, len(data), 1024):
            piece = unpacker.decompress(data[at : at + 1024])
            total += len(piece)
            if total > most:
                raise Broken(f"unpacks to more than {most} bytes")
            yield piece
            if unpacker.eof:
                if unpacker.unused_data or at + 1024 < len(data):
                    raise Broken("something follows what is packed")
                return
    except zstandard.ZstdError as error:
        raise Broken("does not unpack") from error
    raise Broken("is packed and cut off")


class Log:
    """One log's directory. Use it with `with`."""

    def __init__(self, folder):
        self.folder = Path(folder)
        self.breaches = []  # (name, seq or None, sentence)
        self.readable = False
        self.has_wal = False
        self._copy = self._db = None

    def __enter__(self):
        try:
            self._open()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self._db:
            self._db.close()
        if self._copy:
            shutil.rmtree(self._copy, ignore_errors=True)

    def _open(self):
        if not self.folder.is_dir():
            raise CannotRead(f"{self.folder} is no directory")
        path = self.folder / "log.db"
        database = open_plain(path)
        if database is None:
            raise CannotRead(f"{path} is missing")
        with database:
            journal = open_plain(self.folder / "log.db-wal")
            if journal is None:
                how = "immutable=1"
            else:
                with journal:
                    self.has_wal = os.fstat(journal.fileno()).st_size > 0
                    self._copy = tempfile.mkdtemp(prefix="tacho-check-")
                    path = Path(self._copy) / "log.db"
                    how = "mode=rw"
                    for source, target in ((database, path), (journal, f"{path}-wal")):
                        with open(target, "wb") as copy:
                            shutil.copyfileobj(source, copy)
                with open(f"{path}-wal", "rb") as copied:
                    found = wal.damage(copied)
                if found:
                    self.breaches.append(("store", None, found))
        self._db = sqlite3.connect(path.absolute().as_uri() + "?" + how, uri=True, isolation_level=None)
        self._db.text_factory = bytes
        if hasattr(self._db, "setconfig"):
            self._db.setconfig(sqlite3.SQLITE_DBCONFIG_DEFENSIVE, True)
        try:
            self._look()
        except Unreadable as error:
            self.breaches.append(("store", None, str(error)))

    def _look(self):
        """Whether the database is one of ours."""
        self._ask("PRAGMA trusted_schema = OFF")
        self._ask("PRAGMA cell_size_check = ON")
        self._ask("BEGIN")
        if self._ask("PRAGMA application_id")[0][0] != APPLICATION_ID:
            self.breaches.append(("store", None, "the database is not that of a log"))
            return
        version = self._ask("PRAGMA user_version")[0][0]
        if version > VERSION:
            raise CannotRead(f"the tables have version {version}, and this checker knows {VERSION}")
        there = self._ask("SELECT type, name, sql FROM sqlite_master")
        plain = sorted(sql.decode("utf-8", "replace") for _, _, sql in there if isinstance(sql, bytes))
        derived = [name for kind, name, sql in there if sql is None and kind == b"index"]
        if version != VERSION or plain != sorted(TABLES.splitlines()) or len(plain) + len(derived) != len(there):
            self.breaches.append(("store", None, "the tables are not those of a log"))
            return
        self.readable = True

    def _ask(self, sql, *values):
        return list(self._rows(sql, *values))

    def _rows(self, sql, *values):
        try:
            for row in self._db.execute(sql, values):
                yield row
        except UnicodeDecodeError as error:  # in what SQLite says about a schema that is none
            raise Unreadable("the database cannot be read: its schema is malformed") from error
        except (sqlite3.Error, OverflowError) as error:
            raise Unreadable(f"the database cannot be read: {error}") from error

    def counts(self):
        """How many rows `records` has, and its lowest number (None if there are none)."""
        return self._ask("SELECT count(*), min(seq) FROM records")[0]

    def records(self):
        """(number, bytes), ascending from 0."""
        return self._rows("SELECT seq, bytes FROM records WHERE seq >= 0 ORDER BY seq")

    def vault(self):
        """(number, packed row), ascending."""
        return self._rows("SELECT seq, row FROM vault ORDER BY seq")

    def tiles(self):
        """Hashes by number."""
        return self._rows("SELECT id, hashes FROM tiles ORDER BY id")

    def artefact_names(self):
        """The BLAKE3 hashes by the index that SQLite keeps beside the table."""
        return self._rows("SELECT blake3 FROM artefacts INDEXED BY sqlite_autoindex_artefacts_1")

    def artefacts(self):
        """(BLAKE3, how many descriptors name it, size, packed bytes), by the table and not by its index."""
        return self._rows("SELECT blake3, refs, size, bytes FROM artefacts NOT INDEXED")

    def refs(self):
        return self._rows("SELECT key, seq FROM refs")

    def commit(self):
        """(statement, signature), or None."""
        rows = self._ask("SELECT statement, signature FROM commits")
        return rows[0] if rows else None

    def checkpoints(self):
        """The bytes of the file of checkpoints, or None."""
        return read_plain(self.folder / "checkpoints", CHECKPOINTS_MAX)


def vault_row(packed):
    """The value of a packed vault row."""
    try:
        row = canon.decode(b"".join(unpack(packed, canon.ROW_BYTES)), canon.ROW_BYTES)
        SCHEMA.check("row", row)
    except (canon.NotCanonical, Mismatch) as error:
        raise Broken(str(error)) from error
    return row
