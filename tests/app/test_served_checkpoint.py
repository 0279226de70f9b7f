"""The operator's checkpoint in the app: every page shows it, and none says where it lies."""

import pytest
import torch
from head import band
from reader import FILES, address, assert_fine, button, captions, dial, move, open_page, press, type_text

from gptoss.app import large, live, served
from gptoss.app.served import CHECKPOINT
from gptoss.app.study import DEFAULT_PRESET, DIALS
from gptoss.checkpoint import room
from gptoss.config import ModelConfig
from gptoss.model import Transformer

# With the whole vocabulary, so that its scale model is another one; nothing else of it is a step of a dial.
CONFIG = ModelConfig(num_hidden_layers=3, num_experts=6, experts_per_token=2, vocab_size=201_088, hidden_size=32,
                     intermediate_size=32, head_dim=10, num_attention_heads=10, num_key_value_heads=5, sliding_window=9,
                     initial_context_length=72, rope_theta=12_345.0, rope_scaling_factor=3.0, rope_ntk_beta=6.0)
BUILD = "pages/build.py"
OWN = "the server's checkpoint]"
STANDS_IN = "random weights, seed 0]"


@pytest.fixture(scope="module")
def directories(tmp_path_factory):
    """The same model in both layouts, in directories with a name that would be recognised anywhere."""
    model = Transformer(CONFIG, dtype=torch.bfloat16)
    made = {layout: tmp_path_factory.mktemp("secretplace") / layout for layout in ("openai", "huggingface")}
    for layout, directory in made.items():
        model.save_checkpoint(directory, layout, mxfp4=True)
    return made


@pytest.fixture
def serve(monkeypatch):
    """A function that has the server read a directory, as a model that is so large that its passes are counted, or not."""
    def start(directory, is_large=True):
        monkeypatch.setenv(served.VARIABLE, str(directory))
        monkeypatch.setattr(served, "LARGE", 0 if is_large else 10**9)
        forget()

    yield start
    monkeypatch.undo()
    forget()


def forget():
    served._served.cache_clear()
    live._weights.clear()
    large._passes.clear()


def told(at) -> str:
    """Everything that a session was sent, and its address."""
    def of(block):
        for node in block.children.values():
            yield str(getattr(node, "proto", ""))
            if hasattr(node, "children"):
                yield from of(node)

    return "\n".join((*of(at._tree), str(address(at))))


def assert_no_path(at) -> None:
    everything = told(at)
    assert "page-head" in everything and "YaRN factor" in everything  # the look is not at nothing
    assert "secretplace" not in everything


@pytest.mark.parametrize("file", FILES)
def test_every_page_shows_a_large_one(file, serve, directories):
    serve(directories["huggingface"])
    at = open_page(file, preset=CHECKPOINT)
    assert_fine(at)
    assert dial(at, "preset").value == CHECKPOINT and address(at)["preset"] == CHECKPOINT
    assert not at.warning
    builds = file.removeprefix("pages/").removesuffix(".py") in (
        "gpt2", "ladder", "training", "scale", "memory", "mxfp4", "claims")
    assert (STANDS_IN if builds else OWN) in band(at)
    assert_no_path(at)


@pytest.mark.parametrize("file", ["pages/experts.py", "pages/attention.py", "pages/block.py", "pages/sinks.py"])
def test_a_small_one_is_a_model_like_others(file, serve, directories):
    serve(directories["openai"], is_large=False)
    at = open_page(file, preset=CHECKPOINT)
    assert_fine(at)
    assert OWN in band(at)
    assert_no_path(at)


@pytest.mark.parametrize("file", [BUILD, "pages/window.py"])
def test_every_dial_at_both_ends(file, serve, directories):
    serve(directories["openai"])
    at = open_page(file, preset=CHECKPOINT)
    for name, each in DIALS.items():
        for place in (0, -1):
            move(at, name, place)
            assert_fine(at)
            if each.effect == "weights kept" and not dial(at, name).disabled:
                assert "the server's checkpoint" in band(at).split("]")[0]
            if each.effect == "new shape" and name in address(at):  # its own place can be an end
                assert "random weights" in band(at)
        if not button(at, "Reset").disabled:
            press(at, "Reset")
        assert OWN in band(at) and address(at)["preset"] == CHECKPOINT and not DIALS.keys() & address(at).keys()
    assert_no_path(at)


def test_undo_goes_back_to_it_and_an_address_brings_it(serve, directories):
    serve(directories["openai"])
    at = open_page(BUILD, preset="classroom")
    dial(at, "preset").set_value(CHECKPOINT).run()
    assert OWN in band(at)
    move(at, "layers", 0)
    assert "random weights" in band(at) and address(at) == {"preset": CHECKPOINT, "layers": "1"}
    press(at, "Undo")
    assert OWN in band(at)
    press(at, "Undo")
    assert dial(at, "preset").value == "classroom"
    other = open_page(BUILD, preset=CHECKPOINT, window="16", pinned="checkpoint,window=off")
    assert "window changed" in band(other) and dial(other, "window").value == 16 and not other.warning


def test_a_long_text_is_cut_and_an_empty_one_stands(serve, directories):
    serve(directories["openai"])
    at = open_page("pages/experts.py", preset=CHECKPOINT)
    type_text(at, "a long text " * 100)
    assert f"The first {served.LARGE_TOKENS} tokens run" in captions(at)
    type_text(at, "")
    assert_fine(at)


@pytest.mark.parametrize(("file", "controls", "says"), [
    ("pages/block.py", {"block_view": "Every removal"}, "Removing every half block in turn takes dozens of passes"),
    ("pages/experts.py", {"experts_view": "Load"}, live.NO_TWIN),
    ("pages/attention.py", {"attention_twin": "true"}, live.NO_TWIN)])
def test_what_a_large_one_cannot_show_is_said(file, controls, says, serve, directories):
    serve(directories["openai"])
    at = open_page(file, preset=CHECKPOINT, **controls)
    assert_fine(at)
    assert says in "\n".join([captions(at), *(info.value for info in at.info)])


def test_two_sessions_share_one_model(serve, directories):
    serve(directories["openai"])
    for _ in range(2):
        assert_fine(open_page(BUILD, preset=CHECKPOINT))
    assert served._served.cache_info().misses == 1


def test_a_bad_directory_and_a_model_without_room_take_nothing_down(serve, directories, tmp_path, monkeypatch, caplog):
    place = tmp_path / "secretplace"
    place.mkdir()
    (place / "config.json").write_text("no JSON")
    serve(place)
    at = open_page(BUILD)
    assert_fine(at)
    assert served.UNREADABLE in captions(at) and CHECKPOINT not in dial(at, "preset").options
    assert_no_path(at)
    serve(directories["huggingface"])
    with monkeypatch.context() as full:
        full.setattr(room, "SMALL", 0)
        full.setattr(room, "available_bytes", lambda: 1)
        assert not served.served()
    assert "the model's weights need" in caplog.text
    at = open_page(BUILD)
    assert_fine(at)
    assert served.UNREADABLE in captions(at)
    assert_no_path(at)
    at = open_page(BUILD, preset=CHECKPOINT)
    assert [warning.value for warning in at.warning] == [f"There is no preset “checkpoint”; this is {DEFAULT_PRESET}."]
    assert_no_path(at)
