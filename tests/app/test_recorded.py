"""A recording that the operator gives: made from a checkpoint, replayed on four pages, and never more than it says it is."""

import shutil

import numpy as np
import pytest
import torch
from page_controls import controls
from reader import address, assert_fine, captions, charts, open_page, page_text
from safetensors.torch import load_file, save_file
from taken_home import assert_starts_as_the_page

from gptoss import record
from gptoss.app import recorded
from gptoss.app.recorded import RECORDED
from gptoss.config import ModelConfig
from gptoss.model import Transformer
from gptoss.replay import read
from gptoss.tokenizer import compact_vocabulary, sample
from gptoss.trace import trace

CONFIG = ModelConfig(num_hidden_layers=3, num_experts=6, experts_per_token=2, vocab_size=4096, hidden_size=32,
                     intermediate_size=32, head_dim=8, num_attention_heads=4, num_key_value_heads=2, sliding_window=9,
                     initial_context_length=72)
PAGES = {"experts": "experts_view", "sinks": "sinks_view", "block": "block_view", "attention": "attention_view"}
TEXTS, TOKENS = ("attention", "once"), 24


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A checkpoint in MXFP4, and the file that the command makes of it."""
    place = tmp_path_factory.mktemp("secretplace")
    Transformer(CONFIG, dtype=torch.bfloat16).save_checkpoint(place / "model", mxfp4=True)
    out = place / "recording.safetensors"
    record.main([str(place / "model"), "--out", str(out), "--tokens", str(TOKENS), "--texts", *TEXTS])
    return place / "model", out


@pytest.fixture
def give(monkeypatch):
    """A function that has the server read a recording."""
    def start(path):
        monkeypatch.setenv(recorded.VARIABLE, str(path))
        recorded._recording.cache_clear()

    yield start
    recorded._recording.cache_clear()


def test_what_would_be_too_large_to_read_is_refused_before_the_first_pass(made, tmp_path, monkeypatch):
    monkeypatch.setattr(record, "MAX_BYTES", record.MAX_HEADER + 10_000)
    monkeypatch.setattr(record, "Transformer", None)
    with pytest.raises(SystemExit, match="the recording would take .* KiB, and at most 9.77 KiB are read again"):
        record.main([str(made[0]), "--out", str(tmp_path / "other"), "--tokens", str(TOKENS)])
    assert not (tmp_path / "other").exists()


def test_the_command_writes_what_the_model_does(made):
    directory, out = made
    replay = read(out)
    model = Transformer.from_checkpoint(directory, torch.bfloat16, experts="packed").eval()
    assert replay.config == CONFIG and {text.name for text in replay.texts} == set(TEXTS)
    for text in replay.texts:
        ids = compact_vocabulary(4096).encode_prefix(sample(text.name).text, TOKENS).ids
        assert text.tokens == ids
        flow = trace(model, torch.tensor([ids]))
        for layer in range(3):
            own = {name: flow[f"block.{layer}.{name}"][0].float().numpy() for name in (
                "mlp.experts", "mlp.expert_weights", "attn.sink_mass", "attn.weights")}
            np.testing.assert_array_equal(text.arrays["experts"][layer], own["mlp.experts"])
            np.testing.assert_allclose(text.shares("shares")[layer], own["mlp.expert_weights"], atol=1e-3)
            np.testing.assert_allclose(text.shares("sinks")[layer], own["attn.sink_mass"], atol=0.5 / 255 + 1e-6)
            for head, weights in zip(text.heads, text.shares("maps"), strict=True):
                if head.layer == layer:
                    np.testing.assert_allclose(weights, own["attn.weights"][head.head], atol=0.5 / 255 + 1e-6)
        answer = flow["logits"][0].argmax(-1).numpy()
        np.testing.assert_array_equal(text.arrays["lens"][-1, :, 0], answer)
        assert (text.arrays["ranks"][-1] == 1).all()
        shares = flow["logits"][0].float().softmax(-1).max(-1).values.numpy()
        np.testing.assert_allclose(text.arrays["answer_shares"][-1], shares, atol=1e-3)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_replays_it_as_what_it_is(page, made, give):
    give(made[1])
    at = open_page(f"pages/{page}.py", preset="classroom", **{PAGES[page]: RECORDED})
    assert_fine(at)
    assert address(at)[PAGES[page]] == RECORDED and not at.warning
    assert len(charts(at)) == 1 and "not live: a checkpoint of a shape of its own on this text" in captions(at)
    assert recorded.recording().fingerprint[:12] in captions(at) and "secretplace" not in page_text(at)
    assert [option for option in controls(at)["recorded_text"].options] == [sample(name).label for name in sorted(
        TEXTS, key=[one.name for one in record.TEXTS].index)]
    drawn = str(charts(at)[0].proto)
    controls(at)["recorded_text"].set_value(1).run()
    assert_fine(at)
    assert str(charts(at)[0].proto) != drawn, "another text shows the same"
    for key in [key for key in controls(at) if key.startswith("recorded_")]:
        last = controls(at)[key].options[-1]
        controls(at)[key].set_value(len(controls(at)[key].options) - 1 if key != "recorded_text" else 0).run()
        assert_fine(at)
        assert last is not None
    at.button(key=f"{page}_commit").click().run()
    at.number_input(key=f"{page}_recorded_guess").set_value(-1.0).run()
    at.button(key=f"{page}_commit").click().run()
    assert "You said" in page_text(at)
    assert_starts_as_the_page(at, page, preset="classroom", **{PAGES[page]: RECORDED})


@pytest.mark.parametrize("page", PAGES)
def test_without_one_there_is_no_such_view(page, give):
    give("")
    at = open_page(f"pages/{page}.py", preset="classroom", **{PAGES[page]: RECORDED})
    assert_fine(at)
    assert "recorded_text" not in controls(at)
    assert RECORDED not in getattr(controls(at).get(PAGES[page]), "options", [])


def test_a_bad_one_takes_nothing_down(give, tmp_path):
    place = tmp_path / "secretplace"
    place.write_bytes(b"no recording")
    give(place)
    at = open_page("pages/sinks.py", preset="classroom")
    assert_fine(at)
    assert recorded.UNREADABLE in captions(at) and "secretplace" not in captions(at) + page_text(at)
    assert RECORDED not in controls(at)["sinks_view"].options


def test_the_command_says_in_one_sentence_what_it_cannot_do(made, tmp_path, monkeypatch):
    """Before the first pass of a large model, and without a touch to what is not its own."""
    monkeypatch.setattr(record, "record", None)
    (tmp_path / "mine.txt").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    model = str(made[0])
    outs = (tmp_path / "a" / "b", tmp_path, tmp_path / "mine.txt", tmp_path / "link", tmp_path / ("x" * 300), "")
    for arguments in ([model, "--tokens", "0"], *([model, "--out", str(out)] for out in outs)):
        with pytest.raises(SystemExit) as end:
            record.main(arguments)
        assert isinstance(end.value.code, str) and "\n" not in end.value.code
    assert (tmp_path / "mine.txt").read_text() == "mine" and len([*tmp_path.iterdir()]) == 2


def test_a_checkpoint_that_is_none_is_not_recorded(made, tmp_path):
    """Packed experts are mapped and not read: one scale that is no number would end in a recording nobody can replay."""
    copy = shutil.copytree(made[0], tmp_path / "model")
    stored = load_file(copy / "model.safetensors")
    stored["block.1.mlp.mlp1_weight.scales"][0, 0, 0] = 255
    save_file(stored, copy / "model.safetensors")
    for directory in (tmp_path, copy):
        with pytest.raises(SystemExit) as end:
            record.main([str(directory), "--out", str(tmp_path / "out"), "--tokens", "4", "--texts", "once"])
        assert isinstance(end.value.code, str) and not (tmp_path / "out").exists()
    assert "mlp1_weight.scales holds numbers" in end.value.code
