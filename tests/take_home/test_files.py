"""The files themselves: what a person wrote stays a string, weights come from where they can, and nothing else leaks."""

import ast
import subprocess
import sys
import tomllib
from fnmatch import fnmatch
from pathlib import Path

import nbclient
import nbformat
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from taken_home import at, run

from gptoss.app import live, served, trained
from gptoss.app.visitor import Visitor
from gptoss.config import ModelConfig
from gptoss.model import Transformer
from gptoss.take_home.files import CHECKPOINT, REPOSITORY, file_name, notebook, script
from gptoss.take_home.here import configuration, literal
from gptoss.training.contestants import Contestant

ROOT = Path(__file__).parents[2]
HOSTILE = ('"""' + "'''" + """ \\\\")
# %%
import os; os.system("echo bad") <script>alert(1)</script> ]( ${x} {y} <|start|>""" + "\u202e\u2028\x00\r")
ADDRESSES = ("javascript:alert(1)", "http://h/p?a=1)\n# %%\nimport os", "http://h/](http://evil)", "http://h:1/\" \x00")


def constants(code):
    return [node.value for node in ast.walk(ast.parse(code)) if isinstance(node, ast.Constant)]


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
                    lambda inner: st.lists(inner) | st.tuples(inner) | st.dictionaries(st.text(), inner)))
def test_a_literal_is_the_value_again(value):
    code = literal(value)
    assert eval(code, {"float": float}) == value and code.encode()


@given(st.text(max_size=600))
def test_a_text_becomes_one_literal_and_no_code(text):
    assert ast.literal_eval(literal(text)) == text


def test_a_configuration_is_the_call_that_makes_it():
    for config in (ModelConfig(), ModelConfig.preset("classroom")):
        assert eval(configuration(config), {"ModelConfig": ModelConfig}) == config


def test_a_hostile_text_is_only_text():
    here = at("attention", text=HOSTILE)
    code = script(here)
    assert HOSTILE in constants(code)
    plain = script(at("attention", text="x"))
    assert len(code.split("# %%\n")) == len(plain.split("# %%\n")), "no cell more"
    assert [type(node) for node in ast.parse(code).body] == [type(node) for node in ast.parse(plain).body]
    assert run(here).shown


@pytest.mark.parametrize("address", ADDRESSES)
def test_a_hostile_address_ends_no_link_and_no_comment(address):
    code = script(at("start", address=address))
    assert [type(node) for node in ast.parse(code).body] == [type(node) for node in ast.parse(script(at("start"))).body]
    links = [line for line in code.splitlines() if "](" in line]
    assert all(line.count("](") == 1 and line.count(")") <= 2 for line in links)
    assert "javascript" not in code


def test_it_links_back_to_the_very_state():
    address = "http://localhost:8501/sinks?preset=classroom&text=a+b&sinks_logit=4"
    assert script(at("sinks", address=address)).count(f"]({address})") == 2
    assert "](" not in script(at("sinks", address=""))


def test_a_notebook_has_the_scripts_cells():
    here = at("gqa", preset="classroom", kv="4")
    book = nbformat.reads(notebook(here), 4)
    cells = "\n\n".join(cell.source for cell in book.cells if cell.cell_type == "code")
    assert ast.dump(ast.parse(cells)) == ast.dump(ast.parse(script(here)))
    assert file_name(here) == "gqa-classroom" and notebook(here) == notebook(here)


def test_the_repositorys_address_is_one_setting(monkeypatch):
    assert "subprocess" not in script(at("start"))
    monkeypatch.setenv(REPOSITORY, 'https://example.org/it.git"); import os')
    assert 'gptoss-dashboard[notebook] @ git+https://example.org/it.git"); import os' in constants(script(at("start")))


def test_no_text_takes_the_first_example():
    assert run(at("attention", text="", preset="classroom")).words == run(at("attention", preset="classroom")).words


def forget():
    served._served.cache_clear()
    live._weights.clear()


def test_the_servers_checkpoint_is_named_by_the_reader_not_by_the_server(tmp_path, monkeypatch):
    config = ModelConfig.preset("classroom").replace(num_hidden_layers=2, hidden_size=64, intermediate_size=64)
    secret = tmp_path / "secretplace"
    Transformer(config, dtype=torch.bfloat16, seed=7).save_checkpoint(secret)
    monkeypatch.setenv(served.VARIABLE, str(secret))
    forget()
    try:
        here = at("attention", preset=CHECKPOINT)
        assert here.weights == CHECKPOINT and "secretplace" not in script(here) + notebook(here)
        own = run(here).words
        monkeypatch.delenv(served.VARIABLE)
        assert run(here).words != own, "random weights stand in"
    finally:
        monkeypatch.undo()
        forget()


def test_a_model_trained_on_the_server_comes_from_its_download(tmp_path, monkeypatch):
    config = ModelConfig.preset("classroom")
    model = Transformer(config, seed=5)
    name = trained.keep(Contestant("mine", "mine", config), model.state_dict(), "mine", Visitor("me", "my browser"))
    here = at("attention", preset="classroom", weights=name)
    monkeypatch.chdir(tmp_path)
    without = run(here).words
    trained.get(name).load().save_checkpoint(tmp_path / name)
    assert here.weights == name and run(here).words != without


def test_everything_that_the_package_reads_is_installed_with_it():
    patterns = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["gptoss"]
    listed = subprocess.run(["git", "ls-files", "gptoss"], cwd=ROOT, capture_output=True, text=True).stdout.split()
    assert not [name for name in listed if not name.endswith(".py")
                and not any(fnmatch(name, pattern.replace("**/", "*")) for pattern in patterns)]


def test_a_script_runs_by_itself_and_says_where_its_pictures_are(tmp_path):
    (tmp_path / "start.py").write_text(script(at("start")), encoding="utf-8")
    call = {"cwd": tmp_path, "capture_output": True, "text": True}
    alone = subprocess.run([sys.executable, "start.py"], env={}, **call)
    assert alone.returncode and "Put this file into the folder of the repository" in alone.stderr
    done = subprocess.run([sys.executable, "start.py"], env={"PYTHONPATH": str(ROOT)}, **call)
    assert done.returncode == 0, done.stderr
    page = tmp_path / "start.html"
    assert str(page) in done.stdout and page.read_text(encoding="utf-8").count("<svg") == 1


def test_a_notebook_runs_in_a_kernel_and_shows_its_pictures(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    here = at("sinks")
    book = nbformat.reads(notebook(here), 4)
    nbclient.NotebookClient(book, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(ROOT)}}).execute()
    outputs = [output for cell in book.cells if cell.cell_type == "code" for output in cell.outputs]
    drawn = [output.data["text/html"] for output in outputs if output.output_type == "display_data"]
    same = run(here)
    assert len(drawn) == len(same.shown) and all("<svg" in html for html in drawn)
    assert "".join(output.text for output in outputs if output.output_type == "stream") == same.words
