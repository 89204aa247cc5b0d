"""The files of the page, from a folder and from a zip."""

from __future__ import annotations

import gzip
import re
import zipfile

import pytest

from smon_hub import assets
from smon_hub.assets import Assets, bare
from tests.support import ROOT

FILES = {
    "smon_static/app.js": "run();", "smon_static/views/one.js": "view();", "smon_static/notes.md": "not served",
    "smon_static/css/tokens.css": ":root{}", "smon_static/css/views.css": ".v{}",
    "smon_templates/shell.html": "<link href=$static/smon.css><b>$title</b>", "smon_agent.py": "watch()",
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    for name, text in FILES.items():
        path = tmp_path / "tree" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    monkeypatch.setattr(assets, "HOME", str(tmp_path / "tree"))
    return tmp_path / "tree"


def test_it_holds_what_pages_ask_for_and_nothing_else(folder):
    assert set(Assets().static) == {"app.js", "views/one.js", "smon.css", "early.js"}


def test_style_sheets_are_one_in_the_order_in_which_they_build_on_each_other(folder):
    body = Assets().static["smon.css"].body.decode()
    assert 0 <= body.index(":root{}") < body.index(".v{}")


def test_each_file_has_its_type_and_its_gzipped_twin(folder):
    script = Assets().static["app.js"]
    assert script.type == "text/javascript; charset=utf-8"
    assert gzip.decompress(script.gzipped) == script.body == b"run();"


def test_the_address_changes_with_any_content_and_only_then(folder):
    before = Assets().version
    assert Assets().version == before
    (folder / "smon_static" / "views" / "one.js").write_text("view( );")
    assert Assets().version != before


def test_a_template_is_filled_in(folder):
    made = Assets()
    assert made.page("shell.html", title="Hub") == (
        "<link href=/static/%s/smon.css><b>Hub</b>" % made.version).encode()


def test_a_zip_holds_the_same_as_the_tree(folder, monkeypatch, tmp_path):
    from_tree = Assets()
    with zipfile.ZipFile(str(tmp_path / "hub.pyz"), "w") as bundle:
        for name, text in FILES.items():
            bundle.writestr(name, text)
    monkeypatch.setattr(assets, "HOME", str(tmp_path / "hub.pyz"))
    from_zip = Assets()
    assert from_zip.static == from_tree.static and from_zip.version == from_tree.version
    assert from_zip.page("shell.html", title="") == from_tree.page("shell.html", title="")


@pytest.mark.parametrize("script, served", [
    ("// What it owns.\nrun();\n", "\nrun();\n"),
    ("/** A\n * sentence. */\nfunction f() {\n  // why\n  return 1;  // one\n}\n",
     "\n\nfunction f() {\n\nreturn 1;\n}\n"),
    ("const a = 'x//y';  // stays\nconst b = 4 / 2;  // stays\nconst c = /[//]/;\n",
     "const a = 'x//y';  // stays\nconst b = 4 / 2;  // stays\nconst c = /[//]/;\n"),
    ("run(); /* a\n  b // c */ more();\n", "run(); /* a\nb // c */ more();\n"),
    ("const a = /\\/\\*/;\n/* x */ run();\nconst b = '// no';\n",
     "const a = /\\/\\*/;\n/* x */ run();\nconst b = '// no';\n"),
    ("call(`a ${b}`,\n  `c`);", "call(`a ${b}`,\n`c`);"),
])
def test_a_script_is_served_without_its_remarks_and_with_its_line_numbers(script, served):
    assert bare(script.encode()) == served.encode()
    assert served.count("\n") == script.count("\n")


@pytest.mark.parametrize("script", [
    "const a = `\n  // text\n`;", "const a = `b \\` c\n  // text`;", "const a = `${b ? `\n  // text` : 1}`;",
    "const a = 'b\\\n  // text';",
])
def test_a_script_with_a_text_that_spans_lines_is_served_as_it_is(script):
    assert bare(script.encode()) == script.encode()


def test_every_script_of_the_page_is_served_without_remarks():
    for name, asset in Assets().static.items():
        if name.endswith(".js"):
            assert not re.search(rb"^\s*(//|/\*)", asset.body, re.MULTILINE), name


def test_every_style_sheet_of_the_page_is_in_the_joined_one():
    sheet = Assets().static["smon.css"].body
    for path in sorted((ROOT / "smon_static" / "css").glob("*.css")):
        assert path.read_bytes() in sheet, path.name
