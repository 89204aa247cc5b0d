"""The command line inside the test's process: what a command does, and the one sentence when it can not."""

from __future__ import annotations

import logging
import os
import socket
import threading

import pytest

from smon_hub import cli, clock
from smon_hub.folder import Folder, Running
from tests.hub import inside
from tests.support import needs
from tests.support.exports import export, line, pack
from tests.support.processes import free_port

TOKEN = "smh_" + "0" * 64


@pytest.fixture
def said(monkeypatch, capsys):
    """said(*arguments) -> (exit status, lines on stdout, lines on stderr) of a command line."""
    monkeypatch.setattr(os, "umask", lambda mode: mode)
    monkeypatch.setattr(cli, "_log_to_stderr", logging.getLogger("smon").setLevel)
    monkeypatch.setattr(os, "environ", {})

    def run(*arguments):
        status = cli.main([str(argument) for argument in arguments])
        output = capsys.readouterr()
        return status, output.out.splitlines(), output.err.splitlines()
    yield run
    logging.getLogger("smon").setLevel(logging.NOTSET)


@pytest.fixture
def data(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def spool(data, tmp_path):
    """An export of two samples by the server `island`, known to the hub of the data folder."""
    now = clock.now()
    with inside.running(data, at=now) as hub:
        row = hub.server(hostname="island").row
    moments = [clock.iso_ms(now - minutes * clock.MINUTE) for minutes in (20, 10)]
    path = tmp_path / "island.spool"
    path.write_bytes(export(row["uuid"], row["export_key"], pack([line(at) for at in moments])))
    return path


def count(data):
    with inside.running(data, at=clock.now()) as hub:
        return hub.rows("SELECT COUNT(*) FROM samples")[0][0]


def test_an_unknown_command_is_a_sentence_that_names_those_there_are(said, data):
    status, out, err = said("improt", "file", "--data-dir", data)
    assert (status, out, err) == (2, [], ["smon_server: improt is no command; there are: serve, import."])
    assert not data.exists()


def test_an_import_of_nothing_says_what_to_name(said, data):
    status, out, err = said("import", "--data-dir", data)
    assert (status, out, len(err)) == (2, [], 1)
    assert "smon_server.py import FILE" in err[0]


def test_without_a_hub_a_file_is_taken_in_by_the_command_itself(said, data, spool):
    assert said("import", spool, "--data-dir", data) == (
        0, ["%s: island: 2 samples, 2 stored, 0 known already." % spool], [])
    assert count(data) == 2


def test_a_file_twice_on_the_command_line_stores_nothing_twice(said, data, spool):
    status, out, err = said("import", spool, spool, "--data-dir", data)
    assert (status, len(out), err) == (0, 2, [])
    assert out[1].endswith("2 samples, 0 stored, 2 known already.")
    assert count(data) == 2


def test_the_folder_is_free_after_an_import(said, data, spool):
    said("import", spool, "--data-dir", data)
    assert Folder(str(data)).running() is None
    assert not (data / "hub.json").exists()


@pytest.mark.parametrize("missing", ["nothing.spool", "data"], ids=["missing", "a folder"])
def test_a_file_that_can_not_be_read_is_a_sentence_that_names_it(said, data, spool, tmp_path, missing):
    status, out, err = said("import", tmp_path / missing, "--data-dir", data)
    assert (status, out, len(err)) == (2, [], 1)
    assert "%s can not be read" % (tmp_path / missing) in err[0]


def test_a_file_without_the_right_to_read_it_is_a_sentence_that_names_it(said, data, spool):
    if os.name == "nt" or os.geteuid() == 0:
        needs.system("Rights on files do not bind this user.")
    spool.chmod(0)
    status, _, err = said("import", spool, "--data-dir", data)
    assert (status, len(err)) == (2, 1)
    assert str(spool) in err[0]


def test_what_was_taken_before_a_wrong_file_stays_and_is_said(said, data, spool, tmp_path):
    wrong = tmp_path / "wrong.spool"
    wrong.write_bytes(spool.read_bytes()[:-9])
    status, out, err = said("import", spool, wrong, "--data-dir", data)
    assert (status, len(out), len(err)) == (2, 1, 1)
    assert "damaged" in err[0]
    assert count(data) == 2


# --- a hub that does not answer as one ------------------------------------------------------------------------------

@pytest.fixture
def held(data, spool):
    """tell(url) on a folder that is held by what claims to be a hub there."""
    folder = Folder(str(data))
    folder.take()
    yield lambda url: folder.tell(Running(url, TOKEN))
    folder.release()


def refused_by(said, data, spool):
    status, out, err = said("import", spool, "--data-dir", data)
    assert (status, out, len(err)) == (2, [], 1), err
    assert TOKEN not in err[0]
    return err[0]


def test_a_hub_that_does_not_listen_is_a_sentence(said, data, spool, held):
    url = "http://127.0.0.1:%d" % free_port()
    held(url)
    assert "The hub at %s does not answer" % url in refused_by(said, data, spool)


def test_a_hub_that_has_not_told_where_it_is_is_a_sentence(said, data, spool, held):
    assert "The data folder %s is in use by another hub" % data in refused_by(said, data, spool)


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnope",
                                    b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}", b"SSH-2.0-OpenSSH_9.2"],
                         ids=["nothing", "no JSON", "half", "another protocol"])
def test_another_program_in_its_place_is_a_sentence(said, data, spool, held, answer):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        stand_in = threading.Thread(target=_answer, args=(listener, answer), name="stand-in")
        stand_in.start()
        held("http://127.0.0.1:%d" % listener.getsockname()[1])
        assert "does not answer" in refused_by(said, data, spool)
        stand_in.join(10)


def _answer(listener, answer):
    """To one request, read to its end."""
    connection, _ = listener.accept()
    with connection, connection.makefile("rb") as stream:
        length = 0
        for header in iter(stream.readline, b"\r\n"):
            if header.lower().startswith(b"content-length:"):
                length = int(header.split(b":")[1])
        stream.read(length)
        connection.sendall(answer)
