"""Whose weights run: trained where a model of the shape is, changed where only settings differ, random elsewhere."""

import re
import threading

import pytest
import torch
from dial_moves import reachable_studies
from hypothesis import given, settings

from gptoss.app import live, trained
from gptoss.app.live import live_model, running, twin
from gptoss.app.study import DEFAULT_PRESET, RANDOM, RUN, TRAINED, Study
from gptoss.app.visitor import Visitor
from gptoss.app.weights import CHANGED, Weights, back_to_trained, weights_in_words, weights_of
from gptoss.config import ModelConfig
from gptoss.model import GPT2, Transformer
from gptoss.training.contestants import Contestant, contestants
from gptoss.training.shipped import find, shipped

ME = Visitor("me", "my browser")
CLASSROOM = Study.of_preset("classroom")
READY = {
    "classroom": {}, "kv-1": {"kv": 1}, "kv-4": {"kv": 4}, "kv-8": {"kv": 8}, "all-sliding": {"every": 1},
    "all-full": {"window": 0}, "one-active": {"active": 1}, "no-sinks": {"sinks": "off"}}
# By dials: the model whose weights run, what the page says in short and in full.
MOVED = [
    ({"window": 64}, "classroom", "window", "The window was 16 in training and is 64 now: not retrained."),
    ({"active": 3}, "classroom", "active experts",
     "The number of active experts was 2 in training and is 3 now: not retrained."),
    ({"every": 3}, "classroom", "sliding layers",
     "The step from one sliding layer to the next was 2 in training and is 3 now: not retrained."),
    ({"theta": 1000}, "classroom", "RoPE theta", "RoPE's theta was 10,000 in training and is 1,000 now: not retrained."),
    ({"factor": 1}, "classroom", "YaRN factor", "YaRN's factor was 4 in training and is 1 now: not retrained."),
    ({"kv": 4, "sinks": "off"}, "kv-4", "sinks",
     "The switch of the sinks was on in training and is off now: not retrained."),
    ({"kv": 8, "window": 0}, "kv-8", "window", "The window was 16 in training and is off now: not retrained."),
    ({"sinks": "off", "window": 8}, "no-sinks", "window", "The window was 16 in training and is 8 now: not retrained."),
    ({"every": 1, "window": 4}, "all-sliding", "window", "The window was 16 in training and is 4 now: not retrained."),
    ({"kv": 1, "window": 64, "active": 4}, "kv-1", "window and active experts",
     "In training the window was 16 and the number of active experts 2: not retrained."),
    ({"every": 4, "theta": 1000, "factor": 1}, "classroom", "sliding layers, RoPE theta and YaRN factor",
     "In training the step from one sliding layer to the next was 2, RoPE's theta 10,000 and YaRN's factor 4: "
     "not retrained."),
]
MINE = Contestant("study", "mine", CLASSROOM.live_config)
TINY = Contestant("study", "mine", ModelConfig.preset("classroom").replace(
    num_hidden_layers=1, num_experts=2, vocab_size=512, hidden_size=64, intermediate_size=64))


def moved(**dials) -> Study:
    return CLASSROOM.moved(**dials)[0]


def random_weights(contestant: Contestant, seed: int = 5) -> dict[str, torch.Tensor]:
    return dict(contestant.build(seed).state_dict())


@pytest.fixture
def shelf(monkeypatch):
    """An empty shelf of models that were trained on this server."""
    monkeypatch.setattr(trained, "_kept", type(trained._kept)())


@pytest.mark.parametrize("name, dials", READY.items(), ids=READY)
def test_a_shape_that_was_trained_runs_with_its_trained_weights(name, dials):
    study = moved(**dials)
    assert weights_of(study) == Weights(TRAINED, name, "weights trained on tasks and code")
    assert find(study.live_config, sinks=study.sinks != "off") is shipped()[name]
    ours, theirs = live_model(study).model, shipped()[name].load()
    assert ours.config == study.live_config
    for weight, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[weight], value), weight


def test_without_a_window_no_rhythm_of_layers_is_another_model():
    assert weights_of(moved(window=0, every=3)) == weights_of(moved(window=0))


@pytest.mark.parametrize("dials, name, words, note", MOVED, ids=[" ".join(dials) for dials, *_ in MOVED])
def test_settings_that_need_no_other_weights_keep_the_trained_ones_and_say_what_changed(dials, name, words, note):
    study = moved(**dials)
    assert weights_of(study) == Weights(CHANGED, name, f"weights trained on tasks and code, {words} changed", note)
    ours, theirs = live_model(study).model, shipped()[name].load()
    assert ours.config == study.live_config != theirs.config or study.sinks == "off"
    assert torch.equal(ours.block[0].attn.qkv.weight, theirs.block[0].attn.qkv.weight)


@pytest.mark.parametrize("study", [
    *(Study.of_preset(preset) for preset in ("gpt-oss-20b", "gpt-oss-120b", "notebook")),
    moved(heads=4), moved(experts=4), moved(layers=3), moved(hidden=64), moved(kv=8, experts=16)],
    ids=lambda study: study.to_text())
def test_any_other_shape_is_random_and_says_so(study):
    study = study.moved(seed=3)[0]
    weights = weights_of(study)
    assert weights == Weights(RANDOM, "seed 3", "random weights, seed 3")
    assert torch.equal(live_model(study).model.norm.scale, torch.ones(study.live_config.hidden_size))
    drawn = Transformer(study.live_config, seed=3)
    assert torch.equal(live_model(study).model.block[0].attn.qkv.weight, drawn.block[0].attn.qkv.weight)


def test_random_weights_can_be_asked_for_where_trained_ones_ship():
    study = moved(weights="random", seed=2)
    assert weights_of(study).kind == RANDOM and "trained on tasks and code ship" in weights_of(study).note
    assert torch.equal(live_model(study).model.unembedding.weight,
                       Transformer(study.live_config, seed=2).unembedding.weight)
    assert back_to_trained(study) == moved(seed=2)


def test_the_seed_does_nothing_to_trained_weights_and_draws_random_ones():
    assert running(moved(seed=7)) == running(CLASSROOM)
    assert live_model(moved(seed=7)).model is live_model(CLASSROOM).model
    assert running(moved(seed=7, heads=4)) != running(moved(heads=4))


def test_the_twin_is_the_same_shape_untrained():
    assert twin(CLASSROOM) == moved(weights="random")
    assert weights_in_words(twin(moved(window=64, seed=4))) == "random weights, seed 4"
    assert twin(moved(heads=4, seed=9)) == moved(heads=4, seed=0, weights="random")
    assert twin(twin(CLASSROOM)) == moved(weights="random", seed=1)


@pytest.mark.parametrize("study, dials", [
    (moved(heads=16, kv=4), {"kv": 4}), (moved(window=64), {}), (moved(sinks="off", theta=1000), {"sinks": "off"}),
    (moved(experts=4), {}), (moved(active=1, layers=2), {"active": 1})],
    ids=lambda value: value.to_text() if isinstance(value, Study) else "")
def test_the_way_back_is_the_fewest_dials(study, dials):
    assert back_to_trained(study) == moved(**dials)


def test_the_way_back_from_a_published_model_leads_to_what_the_app_opens_with():
    assert back_to_trained(Study.of_preset("gpt-oss-120b")) == Study.of_preset(DEFAULT_PRESET)


@given(reachable_studies())
@settings(max_examples=25)
def test_every_study_has_a_way_back_to_trained_weights(study):
    there = back_to_trained(study)
    assert weights_of(there).kind in (TRAINED, CHANGED) and there.weights == TRAINED
    assert weights_of(back_to_trained(there)).kind == TRAINED


def test_shipped_weights_come_in_both_number_formats():
    exact, rounded = (live_model(moved(precision=precision)).model for precision in ("float32", "bfloat16"))
    assert rounded.dtype == torch.bfloat16 and rounded.norm.scale.dtype == torch.float32
    assert torch.equal(exact.embedding.weight.bfloat16(), rounded.embedding.weight)


def test_twenty_sessions_share_one_loaded_model(monkeypatch):
    live._weights.clear()
    loaded, load = [], type(shipped()["kv-4"]).load

    def counted(self, dtype=torch.float32):
        loaded.append(self.name)
        return load(self, dtype)

    monkeypatch.setattr(type(shipped()["kv-4"]), "load", counted)
    pointers = []
    sessions = [threading.Thread(target=lambda window=window: pointers.append(
        live_model(moved(kv=4, window=window)).model.embedding.weight.data_ptr())) for window in (8, 16, 32, 64) * 5]
    for session in sessions:
        session.start()
    for session in sessions:
        session.join()
    assert len(pointers) == 20 and len(set(pointers)) == 1
    assert loaded == ["kv-4"]


def test_a_readers_model_runs_where_its_shape_fits(shelf):
    weights = random_weights(MINE)
    name = trained.keep(MINE, weights, "my first model", ME)
    study = moved(weights=name)
    assert (weights_of(study).kind, weights_of(study).name) == (TRAINED, name) and "my first model" in weights_of(study).note
    ours = live_model(study).model.state_dict()
    for weight, value in weights.items():
        assert torch.equal(ours[weight], value.bfloat16().to(ours[weight].dtype)), weight
    changed = weights_of(moved(weights=name, window=64))
    assert (changed.kind, changed.name) == (CHANGED, name) and "The window was 16 in training" in changed.note


def test_a_readers_model_that_is_gone_says_so_and_the_shipped_or_random_weights_stand_in(shelf):
    weights = weights_of(moved(weights="run-0000"))
    assert (weights.kind, weights.name) == (TRAINED, "classroom")
    assert "run-0000 are gone" in weights.note and "shipped ones stand in" in weights.note
    weights = weights_of(moved(weights="run-0000", heads=4))
    assert weights.kind == RANDOM and "run-0000 are gone" in weights.note and "Random ones stand in" in weights.note
    assert live_model(moved(weights="run-0000")).model is live_model(CLASSROOM).model
    assert twin(moved(weights="run-0000", heads=4)).seed == 1


def test_a_readers_model_of_another_shape_does_not_fit(shelf):
    name = trained.keep(TINY, random_weights(TINY), "tiny", ME)
    assert f"{name} do not fit: they have another shape" in weights_of(moved(weights=name)).note
    gpt2 = contestants(CLASSROOM.live_config)["gpt2"]
    name = trained.keep(gpt2, random_weights(gpt2), "GPT-2", ME)
    assert "another shape" in weights_of(moved(weights=name)).note
    assert isinstance(trained.get(name).load(), GPT2)


def test_a_readers_model_without_sinks_runs_only_without_them(shelf):
    contestant = Contestant("no-sinks", "mine", CLASSROOM.live_config, sinks=False)
    name = trained.keep(contestant, random_weights(contestant), "no sinks", ME)
    assert weights_of(moved(weights=name, sinks="off")).name == name
    weights = weights_of(moved(weights=name))
    assert weights.name == "classroom" and "trained without sinks" in weights.note


def test_results_of_a_model_that_is_gone_are_not_shown_as_anothers(shelf):
    """The caches are keyed by the weights that run, not by the word in the address."""
    name = trained.keep(MINE, random_weights(MINE), "mine", ME)
    study, tokens = moved(weights=name), (300, 301, 302)
    before = live.live_run(study, tokens, 0).trace["logits"]
    trained._kept.clear()
    after = live.live_run(study, tokens, 0).trace["logits"]
    assert not torch.equal(before, after)
    assert torch.equal(after, live.live_run(CLASSROOM, tokens, 0).trace["logits"])


def test_the_oldest_model_goes_first(shelf):
    names = [trained.keep(TINY, random_weights(TINY), f"run {n}", ME) for n in range(trained.MAX_KEPT + 2)]
    assert len(set(names)) == len(names)
    assert [trained.get(name) is None for name in names] == [True] * 2 + [False] * trained.MAX_KEPT
    assert trained.get(names[-1]).title == f"run {trained.MAX_KEPT + 1}"


def test_the_models_of_a_browser_stay_within_their_memory(shelf, monkeypatch):
    weights = random_weights(TINY)
    size = sum(value.numel() for value in weights.values()) * 2
    monkeypatch.setattr(trained, "MAX_BYTES_EACH", 2 * size)
    other = Visitor("another page", ME.browser)
    names = [trained.keep(TINY, weights, "run", whose) for whose in (ME, other, ME)]
    assert [trained.get(name) is None for name in names] == [True, False, False]
    monkeypatch.setattr(trained, "MAX_BYTES_EACH", size - 1)
    with pytest.raises(ValueError, match="the weights take .* at most .* can be kept"):
        trained.keep(TINY, weights, "too large", ME)
    assert trained.get(names[-1]) is not None


def test_nobody_pushes_out_what_others_keep(shelf, monkeypatch):
    weights = random_weights(TINY)
    monkeypatch.setattr(trained, "MAX_BYTES", 3 * 2 * sum(value.numel() for value in weights.values()))
    there = [True]
    yours = trained.keep(TINY, weights, "yours", Visitor("you", "your browser", present=lambda: there[0]))
    mine = [trained.keep(TINY, weights, "mine", ME) for _ in range(5)]
    assert trained.get(yours) and [trained.get(name) is not None for name in mine] == [False] * 3 + [True] * 2
    third = Visitor("third", "a third browser")
    with pytest.raises(ValueError, match="other people's models fill this server's room"):
        trained.keep(TINY, weights, "no room", third)
    there[0] = False  # a session that is over makes room
    assert trained.get(trained.keep(TINY, weights, "room", third)) and trained.get(yours) is None


def test_an_id_cannot_be_guessed(shelf):
    names = {trained.keep(TINY, random_weights(TINY), "run", ME) for _ in range(4)}
    assert len(names) == 4 and all(re.fullmatch("run-[0-9a-f]{16}", name) and RUN.fullmatch(name) for name in names)


def test_what_is_kept_is_a_copy(shelf):
    weights = random_weights(TINY)
    before = weights["embedding.weight"].clone()
    name = trained.keep(TINY, weights, "run", ME)
    weights["embedding.weight"].zero_()
    assert torch.equal(trained.get(name).load().embedding.weight, before.bfloat16().float())


@pytest.mark.parametrize("dials", [{}, {"kv": 1}, {"every": 1}, {"window": 0}, {"sinks": "off", "active": 1, "theta": 1000}])
def test_dials_reach_the_architecture_that_they_make(dials):
    wanted = moved(**dials)
    for start in (CLASSROOM, moved(layers=2, heads=16, experts=1, factor=1, context=128)):
        there = start.reaching(wanted.live_config, wanted.sinks != "off")
        assert there.live_config == wanted.live_config and there.sinks == wanted.sinks and there.context == start.context


def test_dials_reach_a_scale_model_from_where_they_are_and_no_dense_mlp():
    study = Study.of_preset("gpt-oss-20b").moved(kv=4)[0]
    assert Study.of_preset("gpt-oss-20b").reaching(study.live_config, True) == study
    assert CLASSROOM.reaching(study.live_config, True) is None
    assert CLASSROOM.reaching(shipped()["dense"].config, True) is None


STORIES = Study.of_preset("storyteller")


def test_storyteller_runs_whole_with_its_weights_and_tokens_and_any_other_shape_of_it_is_a_scale_model():
    assert weights_of(STORIES) == Weights(TRAINED, "storyteller", "weights trained on stories")
    assert STORIES.live_config == STORIES.config == shipped()["storyteller"].config
    assert STORIES.vocabulary == shipped()["storyteller"].vocabulary
    window = STORIES.moved(window=8)[0]
    assert weights_of(window).words == "weights trained on stories, window changed" and window.live_config == window.config
    fewer = STORIES.moved(kv=1)[0]
    assert weights_of(fewer) == Weights(TRAINED, "storyteller-kv-1", "weights trained on stories")
    other = STORIES.moved(layers=6)[0]
    assert weights_of(other).kind == RANDOM and other.live_config != other.config
    assert other.vocabulary.o200k_ids == STORIES.vocabulary.o200k_ids[:other.live_config.vocab_size]
    assert back_to_trained(other) == STORIES, "not classroom: the reader came from stories"
    assert twin(STORIES).live_config == STORIES.live_config


@pytest.mark.parametrize("dials, name", [({"sinks": "off"}, "no-sinks"), ({"window": 0}, "all-full")], ids=str)
def test_storytellers_without_sinks_and_without_windows_are_trained(dials, name):
    study = STORIES.moved(**dials)[0]
    weights, ship = weights_of(study), shipped()[f"storyteller-{name}"]
    assert weights == Weights(TRAINED, ship.name, "weights trained on stories")
    assert torch.equal(live_model(study).model.block[0].attn.qkv.weight, ship.load().block[0].attn.qkv.weight)
    theta = weights_of(study.moved(theta=1000)[0])
    assert theta.kind == CHANGED and "not retrained" in theta.note


def test_weights_that_a_reader_trained_stand_for_the_tokens_of_classroom(shelf):
    name = trained.keep(MINE, random_weights(MINE), "mine", ME)
    assert weights_of(moved(weights=name)).name == name
    weights = weights_of(STORIES.moved(weights=name)[0])
    assert weights.name == "storyteller" and "do not fit: they stand for other tokens" in weights.note


def test_what_trains_in_place_of_storyteller_is_classroom_with_the_same_dials():
    assert STORIES.in_classroom == CLASSROOM and moved(kv=4).in_classroom == moved(kv=4)
    assert STORIES.moved(kv=4, weights="random")[0].in_classroom == moved(kv=4, weights="random")
