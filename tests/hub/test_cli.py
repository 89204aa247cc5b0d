"""The command line inside the test's process: what a command does, and the one sentence when it can not."""

from __future__ import annotations

import io
import json
import logging
import os
import socket
import threading

import pytest

from smon_hub import auth, cli, clock, folder
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
    monkeypatch.setattr(cli, "log_to_stderr", logging.getLogger("smon").setLevel)
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


def folder_of(data):
    return Folder(str(data), str(data / "smon.db"))


def count(data):
    with inside.running(data, at=clock.now()) as hub:
        return hub.rows("SELECT COUNT(*) FROM samples")[0][0]


def test_an_unknown_command_is_a_sentence_that_names_those_there_are(said, data):
    nowhere = ("--host", "192.0.2.1")  # a hub that started all the same could not listen there, and would end
    status, out, err = said("improt", "file", "--data-dir", data, *nowhere)
    assert (status, out) == (2, [])
    assert err == ["smon_server: improt is no command; there are: %s." % ", ".join(cli.COMMANDS)]
    assert not data.exists()


def test_an_import_of_nothing_says_what_to_name(said, data):
    status, out, err = said("import", "--data-dir", data)
    assert (status, out, len(err)) == (2, [], 1)
    assert "smon_server.py import FILE" in err[0]


@pytest.mark.parametrize("command", [("import", "file"), ("server", "add", "island", "--out", "config.json")])
def test_where_no_hub_ever_was_none_is_made(said, data, command):
    status, out, err = said(*command, "--data-dir", data)
    assert (status, out) == (2, [])
    assert err == ["smon_server: There is no hub's database %s; name its folder with --data-dir." % (data / "smon.db")]
    assert not data.exists()


@pytest.mark.parametrize("order", ["import FILE --data-dir DATA", "--data-dir DATA import FILE",
                                   "import --data-dir DATA FILE", "import --data-dir=DATA FILE"])
def test_options_may_stand_anywhere(said, data, spool, order):
    words = [word.replace("DATA", str(data)).replace("FILE", str(spool)) for word in order.split()]
    assert said(*words)[0] == 0
    assert count(data) == 2


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
    assert folder_of(data).running() is None
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
    assert err[0].startswith("smon_server: %s: The export is damaged" % wrong)
    assert count(data) == 2


def test_a_refused_sample_is_told_with_its_file_and_by_the_status(said, data, spool, tmp_path):
    with inside.running(data, at=clock.now()) as hub:
        row = hub.server(hostname="other").row
    half = tmp_path / "half.spool"
    half.write_bytes(export(row["uuid"], row["export_key"], pack([line(clock.iso_ms(clock.now())), b"{"])))
    status, out, err = said("import", half, spool, "--data-dir", data)
    assert (status, len(out), err) == (1, 2, [])
    assert out[0].startswith("%s: other: 2 samples, 1 stored, 0 known already, 1 refused. Payload 2: " % half)
    assert count(data) == 3


def test_a_file_that_is_too_large_is_a_sentence_that_names_it_and_the_limit(said, data, spool):
    with open(str(spool), "ab") as file:
        file.truncate((64 << 20) + 1)
    assert said("import", spool, "--data-dir", data) == (
        2, [], ["smon_server: %s has more than 67108864 bytes, which is all that is taken in at once." % spool])


# --- a config for a machine that can not reach the hub --------------------------------------------------------------

@pytest.fixture
def add(said, data, spool, tmp_path):
    """add(name) -> (exit status, lines on stdout, lines on stderr) of `server add`; it writes tmp_path/config.json."""
    return lambda *words: said("server", "add", *words, "--out", tmp_path / "config.json", "--data-dir", data)


def test_a_server_is_added_with_the_keys_that_its_config_holds(add, data, tmp_path):
    status, out, err = add("far-away")
    assert (status, len(out), err) == (0, 1, [])
    made = json.loads((tmp_path / "config.json").read_text(encoding="utf-8"))
    assert set(made) == {"server_id", "api_key", "export_key"}
    assert not any(made[key] in out[0] for key in ("api_key", "export_key"))
    with inside.running(data, at=clock.now()) as hub:
        server = hub.fleet.by_uuid[made["server_id"]]
        assert (server.row["hostname"], server.row["approved"]) == ("far-away", True)
        assert server.row["export_key"] == made["export_key"] == auth.export_key(made["api_key"])
        assert hub.keys.verify(server, made["api_key"])


@pytest.mark.skipif(os.name == "nt", reason="Windows has no modes.")
def test_the_config_is_for_its_owner_alone(add, tmp_path):
    add("far-away")
    assert (tmp_path / "config.json").stat().st_mode & 0o777 == 0o600


def test_a_config_that_is_there_is_never_overwritten(add, tmp_path):
    (tmp_path / "config.json").write_text("mine")
    status, out, err = add("far-away")
    assert (status, out, err) == (2, [], [
        "smon_server: %s can not be written: File exists." % (tmp_path / "config.json")])
    assert (tmp_path / "config.json").read_text() == "mine"


@pytest.mark.parametrize("words, says", [
    ((), "The command is: smon_server.py server add NAME --out config.json"),
    (("a", "b"), "The command is: smon_server.py server add NAME --out config.json"),
    (("a" * 256,), "hostname must be a text of 1 to 255 characters without control characters."),
    ((" ",), "hostname must be a text of 1 to 255 characters without control characters."),
])
def test_a_name_that_can_not_be_used_is_a_sentence_and_writes_nothing(add, tmp_path, words, says):
    assert add(*words) == (2, [], ["smon_server: " + says])
    assert not (tmp_path / "config.json").exists()


@pytest.mark.parametrize("words", [("server",), ("server", "add", "a"), ("server", "remove", "a", "--out", "x"),
                                   ("server", "a", "--out", "x")])
def test_another_command_about_servers_is_told_what_there_is(said, data, spool, words):
    assert said(*words, "--data-dir", data) == (
        2, [], ["smon_server: The command is: smon_server.py server add NAME --out config.json"])


# --- users, tokens, settings ----------------------------------------------------------------------------------------

@pytest.fixture
def typed(monkeypatch):
    """typed(*lines): what stands on the input; typed.asked: what a person is to type when asked."""
    monkeypatch.setattr(auth, "PASSWORD_ROUNDS", 4)
    return lambda *lines: monkeypatch.setattr("sys.stdin", io.StringIO("".join(line + "\n" for line in lines)))


def add_user(said, typed, data, name="anna", role="admin", password="correct horse"):
    typed(password)
    return said("user", "add", name, "--role", role, "--password-stdin", "--data-dir", data)


def test_a_user_may_be_made_before_the_hub_ever_ran_and_then_logs_in(said, typed, data):
    assert add_user(said, typed, data) == (0, ["anna can log in now."], [])
    assert not (data / "hub.json").exists() and not (data / "setup-code").exists()
    with inside.running(data, at=clock.now()) as hub:
        assert hub.log_in("anna", "correct horse")
        assert hub.rows("SELECT who, action, object FROM audit")[0] == ("command line", "user.add", "anna")


def test_a_password_is_asked_for_twice_and_never_shown(said, typed, data, monkeypatch):
    typed()
    answers = ["correct horse", "correct horse", "one", "another"]
    monkeypatch.setattr("getpass.getpass", lambda prompt: answers.pop(0))
    assert said("user", "add", "anna", "--role", "admin", "--data-dir", data)[0] == 0
    assert said("user", "passwd", "anna", "--data-dir", data) == (2, [], ["smon_server: The two passwords differ."])
    with inside.running(data, at=clock.now()) as hub:
        assert hub.log_in("anna", "correct horse")


def test_users_are_listed_changed_and_removed(said, typed, data):
    add_user(said, typed, data)
    add_user(said, typed, data, "ben", "viewer")
    status, out, err = said("user", "list", "--data-dir", data)
    assert [line.split()[:2] for line in out] == [["name", "role"], ["anna", "admin"], ["ben", "viewer"]]
    typed("another horse")
    assert said("user", "passwd", "ben", "--password-stdin", "--data-dir", data)[0] == 0
    assert said("user", "remove", "ben", "--data-dir", data)[0] == 0
    status, out, err = said("user", "remove", "anna", "--data-dir", data)
    assert (status, err) == (2, ["smon_server: anna is the last admin: make another one first."])


@pytest.mark.parametrize("words, says", [
    (("user",), "The commands are: smon_server.py user add NAME"),
    (("user", "add"), "The commands are:"), (("user", "ad", "anna"), "The commands are:"),
    (("user", "add", "anna"), "--role viewer or --role admin"),
    (("token", "add", "x"), "--role viewer or --role admin"),
    (("token", "add", "x", "--role", "viewer", "--expires-days", "soon"), "--expires-days must be a number"),
    (("token", "remove", "x"), "ID must be a number"), (("token", "remove", "7"), "No such token."),
    (("user", "remove", "nobody"), "No such user."), (("user", "remove", "a/b"), "No such user."),
    (("setting", "get", "colour"), "colour is no setting; there are: "),
    (("setting", "set", "data_retention_days", "0"), "data_retention_days must be a whole number from 1 to 3650."),
    (("setting", "set", "data_retention_days"), "The commands are: smon_server.py setting list"),
])
def test_what_a_command_can_not_do_is_a_sentence(said, typed, data, words, says):
    add_user(said, typed, data)
    status, out, err = said(*words, "--data-dir", data)
    assert (status, out, len(err)) == (2, [], 1)
    assert says in err[0]


def test_a_typed_password_that_is_too_short_makes_nobody(said, typed, data):
    status, out, err = add_user(said, typed, data, password="short")
    assert (status, out) == (2, []) and "password must be a text of 10 to 1024 characters" in err[0]


def test_a_token_is_printed_once_and_opens_what_its_role_may(said, typed, data):
    add_user(said, typed, data)
    status, out, err = said("token", "add", "graphs", "--role", "viewer", "--expires-days", "3", "--data-dir", data)
    assert (status, len(out), err) == (0, 1, [])
    assert out[0] not in "".join(said("token", "list", "--data-dir", data)[1])
    with inside.running(data, at=clock.now()) as hub:
        headers = {"Authorization": "Bearer " + out[0]}
        assert hub.ask("GET", "/api/dashboard", headers=headers).status == 200
        assert hub.ask("GET", "/api/dashboard/users", headers=headers).status == 403
    assert said("token", "remove", "1", "--data-dir", data)[0] == 0


def test_a_setting_is_changed_and_read(said, typed, data):
    add_user(said, typed, data)
    assert said("setting", "set", "registration_mode", "open", "--data-dir", data) == (
        0, ['registration_mode = "open"'], [])
    assert 'registration_mode = "open"' in said("setting", "list", "--data-dir", data)[1]
    assert said("setting", "get", "data_retention_days", "--data-dir", data) == (0, ["data_retention_days = 30"], [])


def test_all_of_it_works_while_the_hub_runs_and_holds_at_once(said, typed, fresh_hub):
    data = fresh_hub.data_dir
    assert add_user(said, typed, data) == (0, ["anna can log in now."], [])
    assert fresh_hub.get("/api/dashboard").status == 401
    token = said("token", "add", "graphs", "--role", "admin", "--data-dir", data)[1][0]
    bearer = {"Authorization": "Bearer " + token}
    assert fresh_hub.get("/api/dashboard", bearer).status == 200
    said("setting", "set", "stale_threshold_minutes", "20", "--data-dir", data)
    assert fresh_hub.get("/api/dashboard/settings", bearer).json["settings"]["stale_threshold_minutes"] == 20
    assert said("user", "remove", "anna", "--data-dir", data)[2] == [
        "smon_server: anna is the last admin: make another one first."]
    assert said("token", "remove", "1", "--data-dir", data)[0] == 0
    assert fresh_hub.get("/api/dashboard", bearer).status == 401


# --- a hub that does not answer as one ------------------------------------------------------------------------------

@pytest.fixture
def held(data, spool):
    """tell(url) on a folder that is held by what claims to be a hub there."""
    folder = folder_of(data)
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
    assert "What runs at %s does not answer as a hub" % url in refused_by(said, data, spool)


def test_a_hub_that_has_not_told_where_it_is_is_a_sentence(said, data, spool, held, monkeypatch):
    monkeypatch.setattr(folder, "WAITS", 2)
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
