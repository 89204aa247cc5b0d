"""Start-up options from a file, the environment and flags."""

from __future__ import annotations

import os

import pytest

from smon_hub import config
from smon_hub.cli import COMMANDS
from smon_hub.config import OPTIONS, ConfigError, load, parse


@pytest.fixture
def ini(tmp_path):
    """write(text) -> the path of a config file."""
    def write(text):
        path = tmp_path / "hub.ini"
        path.write_bytes(text.encode("latin-1"))
        return str(path)
    return write


def test_without_anything_every_option_has_its_default():
    options = load([], {})
    assert options.host == "0.0.0.0" and options.port == 3000 and options.trusted_proxies == ()
    assert options.database == os.path.join("smon_data", "smon.db")
    assert set(options._fields) == {option.key for option in OPTIONS}


def test_a_file_yields_to_the_environment_and_that_to_a_flag(ini):
    path = ini("[hub]\nport = 1001\nhost = 192.0.2.1\ndata_dir = /var/lib/a\n")
    options = load(["--config", path, "--port", "1003"], {"SMON_PORT": "1002", "SMON_HOST": "192.0.2.2"})
    assert (options.port, options.host, options.data_dir) == (1003, "192.0.2.2", "/var/lib/a")


def test_the_environment_may_name_the_file(ini):
    assert load([], {"SMON_CONFIG": ini("[hub]\nlog_level = debug\n")}).log_level == "DEBUG"


def test_every_option_can_be_set_in_all_three_ways(ini):
    values = {"host": "h", "port": "1", "data_dir": "d", "database": "f", "backup_dir": "b", "tls_cert": "c",
              "tls_key": "k", "trusted_proxies": "192.0.2.1", "public_url": "https://smon.example:8443/",
              "local_trust": "Off", "hsts": "On", "allowed_hosts": "smon.example, Hub", "log_level": "ERROR"}
    assert set(values) == {option.key for option in OPTIONS} - {"config"}
    by_flags = load([part for key, text in values.items() for part in ("--" + key.replace("_", "-"), text)], {})
    by_environment = load([], {"SMON_" + key.upper(): text for key, text in values.items()})
    path = ini("[hub]\n" + "".join("%s = %s\n" % pair for pair in values.items()))
    assert by_flags == by_environment == load(["--config", path], {})._replace(config="")


def test_proxies_are_a_list_and_blanks_do_not_count():
    assert load(["--trusted-proxies", " 192.0.2.1, ,2001:db8::1,"], {}).trusted_proxies == ("192.0.2.1", "2001:db8::1")


def test_a_proxy_is_one_address_however_it_is_written():
    assert load(["--trusted-proxies", "2001:DB8:0::1"], {}).trusted_proxies == ("2001:db8::1",)


@pytest.mark.parametrize("option, text, says", [
    ("--public-url", "smon.example", "public_url must be http:// or https://, a name and at most a port"),
    ("--public-url", "https://smon.example/monitor", "public_url must be"),
    ("--public-url", "ftp://smon.example", "public_url must be"),
    ("--allowed-hosts", "a, smon.example:3000", "allowed_hosts must be names without ports"),
    ("--allowed-hosts", "*", "allowed_hosts must be names"),
    ("--local-trust", "maybe", "--local-trust must be on or off, not 'maybe'."),
])
def test_what_says_where_browsers_come_from_is_taken_exactly(option, text, says):
    with pytest.raises(ConfigError) as error:
        load([option, text], {})
    assert says in str(error.value)


def test_names_are_compared_in_small_letters():
    options = load(["--public-url", "HTTPS://Smon.Example/", "--allowed-hosts", " Hub ,,B.example",
                    "--local-trust", "OFF"], {})
    assert options.public_url == "https://smon.example"
    assert (options.allowed_hosts, options.local_trust) == (("hub", "b.example"), False)
    assert load([], {}).local_trust is True


# --- commands -------------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("arguments, command, words, out", [
    ([], "serve", [], ""), (["--port", "1"], "serve", [], ""), (["serve", "--port", "1"], "serve", [], ""),
    (["--port", "1", "serve"], "serve", [], ""), (["import", "a", "--port", "1", "b"], "import", ["a", "b"], ""),
    (["--port", "1", "import", "a", "b"], "import", ["a", "b"], ""),
    (["import", "a", "b", "--port=1"], "import", ["a", "b"], ""),
    (["server", "add", "--out", "file", "island"], "server", ["add", "island"], "file"),
])
def test_a_command_is_found_wherever_the_options_stand(arguments, command, words, out):
    given = parse(arguments, {}, COMMANDS)
    assert (given.command, given.words, given.out) == (command, words, out)
    assert given.options.port == (1 if any("--port" in argument for argument in arguments) else 3000)


@pytest.mark.parametrize("arguments, word", [(["improt", "a"], "improt"), (["serve", "a"], "a"), ([""], "")])
def test_what_is_no_command_is_named_with_those_there_are(arguments, word):
    with pytest.raises(ConfigError) as error:
        parse(arguments, {}, COMMANDS)
    assert str(error.value) == "%s is no command; there are: %s." % (word, ", ".join(COMMANDS))


@pytest.mark.parametrize("arguments, environment, sentence", [
    (["--port", "65536"], {}, "--port must be a number from 0 to 65535, not '65536'."),
    (["--port", "-1"], {}, "--port must be a number from 0 to 65535, not '-1'."),
    (["--port", ""], {}, "--port must be a number from 0 to 65535, not ''."),
    (["--port", "\u0663"], {}, "--port must be a number from 0 to 65535, not '\u0663'."),
    ([], {"SMON_PORT": "web"}, "environment variable SMON_PORT must be a number from 0 to 65535, not 'web'."),
    (["--log-level", "loud"], {}, "--log-level must be one of DEBUG, INFO, WARNING, ERROR, not 'loud'."),
    (["--tls-cert", "c.pem"], {}, "tls_cert and tls_key go together: one of them is missing."),
    ([], {"SMON_TLS_KEY": "k.pem"}, "tls_cert and tls_key go together: one of them is missing."),
    (["--database", "mysql://db/x"], {},
     "database must be the path of a SQLite file or a postgresql:// address, not a mysql address."),
    (["--trusted-proxies", "192.0.2.1, proxy.example"], {}, "trusted_proxies must be addresses separated by commas: "
     "'proxy.example' does not appear to be an IPv4 or IPv6 address."),
    ([], {"SMON_TRUSTED_PROXIES": "192.0.2.0/24"}, "trusted_proxies must be addresses separated by commas: "
     "'192.0.2.0/24' does not appear to be an IPv4 or IPv6 address."),
    (["--config", "/no/such/file"], {}, "The config file /no/such/file can not be read: No such file or directory."),
])
def test_an_unusable_option_is_named_with_where_it_came_from(arguments, environment, sentence):
    with pytest.raises(ConfigError) as error:
        load(arguments, environment)
    assert str(error.value) == sentence


@pytest.mark.parametrize("text, says", [
    ("port = 1\n", "is not INI"),
    ("[hub]\nport = 1\nport = 2\n", "is not INI"),
    ("[hub]\nhost = \xff\n", "is not INI"),
    ("[hub]\nprot = 1\n", "prot is not known; only [hub] with"),
    ("[web]\nport = 1\n", "[web] is not known; only [hub] with"),
    ("[hub]\nconfig = other.ini\n", "config is not known"),
    ("[hub]\nport = 99999\n", "port in "),
    ("[DEFAULT]\nport = 1\n", "is not known"),
])
def test_a_config_file_is_taken_whole_or_refused(ini, text, says):
    path = ini(text)
    with pytest.raises(ConfigError) as error:
        load(["--config", path], {})
    assert says in str(error.value) and path in str(error.value)


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]])
def test_help_and_version_end_well(arguments, capsys):
    with pytest.raises(SystemExit) as end:
        load(arguments, {})
    assert end.value.code == 0
    assert "smon" in capsys.readouterr().out


def test_help_tells_every_option_and_command(capsys):
    with pytest.raises(SystemExit):
        parse(["--help"], {}, COMMANDS)
    said = " ".join(capsys.readouterr().out.split())
    assert all(option.sentence in said for option in config.OPTIONS)
    assert all("%s %s" % (command.usage, command.sentence) in said for command in COMMANDS.values())


def test_an_unknown_flag_ends_with_status_2():
    with pytest.raises(SystemExit) as end:
        load(["--prot", "1"], {})
    assert end.value.code == 2
