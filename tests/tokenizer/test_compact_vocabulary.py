"""Small vocabularies of real tokens that lose nothing."""

import dataclasses
from hashlib import sha256

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gptoss.config import ModelConfig
from gptoss.tokenizer import (
    DEFAULT_SAMPLE,
    LEARNED,
    MINIMUM_SIZE,
    RANKED,
    SAMPLES,
    SPECIAL_TOKENS,
    STORIES,
    CompactVocabulary,
    clean_text,
    compact_vocabulary,
    encode_text,
    get_encoding,
    sample,
    token_bytes,
)
from gptoss.tokenizer.compact import RANKED_FILE, ranked_ids
from gptoss.tokenizer.rank import LIST_LENGTH, alphabet_tokens, sample_tokens
from gptoss.training.corpus import DOMAINS, VALIDATION_SEED, Corpus
from gptoss.training.domains import GENERATED, tag
from gptoss.training.shipped import CLASSROOM, STORYTELLER, shipped, vocabulary_of
from gptoss.training.storage import VOCABULARY

sizes = st.sampled_from([MINIMUM_SIZE, 1_024, 4_096])
any_text = st.one_of(
    st.text(st.characters(exclude_categories=()), max_size=60),
    st.lists(
        st.sampled_from(["strawberry ", " Antidisestablishment", "<|end|>", "<|reserved_200000|>", "<|reserved_200018|>",
                         "<|endofprompt|>", "\x00", "\ud800", "مرحبا", "😀", "   ", "\n", "2025"]), max_size=20,
    ).map("".join),
)  # fmt: skip
few = settings(max_examples=40)


@few
@given(sizes, any_text, st.booleans())
def test_nothing_is_lost(size, text, special):
    vocabulary = compact_vocabulary(size)
    indices = vocabulary.encode(text, special)
    assert all(0 <= index < size for index in indices)
    assert vocabulary.decode(indices) == clean_text(text)
    assert vocabulary.decode_bytes(indices) == clean_text(text).encode()
    assert vocabulary.from_o200k(vocabulary.to_o200k(indices)) == indices
    if not special:
        assert not set(vocabulary.to_o200k(indices)) & set(SPECIAL_TOKENS.values())


@few
@given(sizes, any_text, st.booleans(), st.integers(0, 40))
def test_prefix_equals_the_full_encoding(size, text, special, max_tokens):
    vocabulary = compact_vocabulary(size)
    full = vocabulary.encode(text, special)
    ids, used, total = vocabulary.encode_prefix(text, max_tokens, special)
    assert ids == full[:max_tokens] and total == len(clean_text(text))
    assert used == min((start for start, _ in vocabulary.spans(text, full)[max_tokens:]), default=total)


def test_smaller_vocabularies_begin_larger_ones():
    largest = compact_vocabulary(201_087)
    assert len(set(largest.o200k_ids)) == 201_087
    for size in (MINIMUM_SIZE, 512, 2_048, 16_000, 50_000):
        assert compact_vocabulary(size).o200k_ids == largest.o200k_ids[:size]
        assert compact_vocabulary(size) is compact_vocabulary(size)


def test_the_whole_vocabulary_is_o200k_itself():
    """The rows of OpenAI's checkpoints are in the order of o200k's ids."""
    whole = compact_vocabulary(201_088)
    assert list(whole.o200k_ids) == list(range(201_088))
    for example in SAMPLES:
        assert whole.encode(example.text, example.special) == encode_text(example.text, special=example.special)


def test_the_smallest_holds_bytes_and_named_special_tokens():
    smallest = compact_vocabulary(MINIMUM_SIZE)
    assert {smallest.token_bytes(index) for index in range(256)} == {bytes([byte]) for byte in range(256)}
    assert list(smallest.o200k_ids[256:]) == list(SPECIAL_TOKENS.values())
    encoded = {name: encode_text(name, special=True) for name in SPECIAL_TOKENS}
    assert encoded == {name: [token] for name, token in SPECIAL_TOKENS.items()}
    # Every other special id is one of the reserved ones.
    tokenizer = get_encoding()
    unnamed = tokenizer.special_tokens_set - set(SPECIAL_TOKENS)
    assert all(name.startswith("<|reserved_") for name in unnamed)


def test_a_missing_token_is_spelt_with_the_longest_pieces():
    straw, berry = encode_text(" straw"), encode_text("berry")
    assert len(straw) == 1 and len(berry) == 1
    vocabulary = CompactVocabulary([*range(256), *straw, *berry])
    assert vocabulary.encode(" strawberry") == [256, 257]
    assert [vocabulary.label(index) for index in vocabulary.encode(" strawberry!")] == ["␣straw", "berry", "!"]
    # Only what o200k calls one token is spelt as a whole: " straws" is " stra" + "ws" there.
    assert vocabulary.decode(vocabulary.encode(" straws")) == " straws"


def test_special_tokens_are_read_only_when_asked_for():
    vocabulary = compact_vocabulary(2_048)
    assert vocabulary.to_o200k(vocabulary.encode("<|end|>", special=True)) == [200007]
    assert len(vocabulary.encode("<|end|>")) > 1
    reserved = "<|reserved_200013|>"
    assert vocabulary.decode(vocabulary.encode(reserved, special=True)) == reserved
    assert vocabulary.decode(vocabulary.from_o200k([200013])) == reserved
    assert len(compact_vocabulary(201_088).encode(reserved, special=True)) == 1
    # Spelling out a special id that is not held must not produce another special token.
    bytes_only = CompactVocabulary(range(256))
    assert bytes_only.decode(bytes_only.encode("<|end|>", special=True)) == "<|end|>"


@pytest.mark.parametrize("example", STORIES, ids=lambda example: example.name)
def test_stories_run_on_their_real_tokens_in_the_model_that_writes_them(example):
    vocabulary = vocabulary_of(STORYTELLER, ModelConfig.preset(STORYTELLER).vocab_size)
    indices = vocabulary.encode(example.text, example.special)
    assert vocabulary.to_o200k(indices) == encode_text(example.text, special=example.special)


@pytest.mark.parametrize("example", [*RANKED, *LEARNED], ids=lambda example: example.name)
def test_samples_run_on_their_real_tokens(example):
    real = encode_text(example.text, special=example.special)
    for size in (2_048, 201_088):
        vocabulary = compact_vocabulary(size)
        assert vocabulary.to_o200k(vocabulary.encode(example.text, example.special)) == real


def test_the_samples_that_lead_the_list_stay_as_they_are():
    """The rows of the trained weights that ship are the tokens of this list, which begins with those of these texts."""
    texts = "\0".join(example.text for example in RANKED)
    assert sha256(texts.encode()).hexdigest() == "a75a9a61f304acfbc34d5a93db56cf698c4816874f57becd072704dab28e3099"
    lists = [model.directory / VOCABULARY for model in shipped().values() if model.family == CLASSROOM and model.has_weights]
    assert len(lists) > 1
    for path in lists:
        ids = path.read_text(encoding="ascii").split()
        assert tuple(map(int, ids)) == compact_vocabulary(len(ids)).o200k_ids


@pytest.mark.parametrize("example", LEARNED, ids=lambda example: example.name)
def test_a_sample_for_trained_models_is_a_validation_document(example):
    vocabulary = compact_vocabulary(4096)
    tokens = vocabulary.encode(example.text)
    domain = next(domain for domain in GENERATED if tag(domain, vocabulary) == tokens[0])
    rng = np.random.default_rng((DOMAINS.index(domain), *VALIDATION_SEED))  # as `Corpus.validation` draws them
    documents = Corpus(vocabulary)._draw(domain, rng, 64, validation=True).tokens
    assert any(row[:len(tokens)].tolist() == tokens for row in documents)
    assert len(tokens) <= 64, "as many as the models were trained on"


def test_the_list_that_ships_is_small_complete_and_current():
    import importlib.resources

    ids = ranked_ids()
    always = {*range(256), *SPECIAL_TOKENS.values()}
    assert len(importlib.resources.files("gptoss.tokenizer").joinpath(RANKED_FILE).read_bytes()) < 150_000
    assert len(ids) == len(set(ids)) == LIST_LENGTH and always.isdisjoint(ids)
    first = [token for token in dict.fromkeys(sample_tokens() + alphabet_tokens()) if token not in always]
    assert list(ids[: len(first)]) == first
    assert MINIMUM_SIZE + len(first) <= 2_000
    assert {str(number).encode() for number in range(100)} <= set(map(token_bytes, [*ids, *range(256)]))


@pytest.mark.parametrize("size", [0, MINIMUM_SIZE - 1, 201_089])
def test_sizes_out_of_range_are_refused(size):
    with pytest.raises(ValueError, match=str(MINIMUM_SIZE)):
        compact_vocabulary(size)


@pytest.mark.parametrize("ids", [[], range(255), [*range(256), 5], [*range(256), 201_088], [*range(256), -1]])
def test_vocabularies_without_bytes_or_with_wrong_ids_are_refused(ids):
    with pytest.raises(ValueError):
        CompactVocabulary(ids)


@pytest.mark.parametrize("index", [-1, 512])
def test_indices_out_of_range_are_refused(index):
    vocabulary = compact_vocabulary(512)
    for method in (vocabulary.token_bytes, vocabulary.label):
        with pytest.raises(ValueError, match="511"):
            method(index)
    for method in (vocabulary.decode, vocabulary.decode_bytes, vocabulary.to_o200k):
        with pytest.raises(ValueError, match="511"):
            method([index])
    with pytest.raises(ValueError):
        vocabulary.from_o200k([201_088])


def test_a_vocabulary_is_frozen_and_hashable():
    vocabulary = compact_vocabulary(512)
    assert hash(vocabulary) == hash(CompactVocabulary(vocabulary.o200k_ids)) and vocabulary.size == 512
    with pytest.raises(dataclasses.FrozenInstanceError):
        vocabulary.o200k_ids = ()


def test_samples_have_their_own_names():
    assert sample("attention") is DEFAULT_SAMPLE
    assert len({example.name for example in SAMPLES}) == len({example.label for example in SAMPLES}) == len(SAMPLES)
    with pytest.raises(ValueError, match="harmony"):
        sample("none")
