"""The corpus: the same documents for the same step, splits that share nothing, and texts that cannot be had."""

import ast
import re
from collections import Counter

import numpy as np
import pytest
from tiny_runs import EVERY_DOMAIN, VOCABULARY, tiny_corpus

from gptoss.tokenizer import compact_vocabulary
from gptoss.training import corpus as corpus_module
from gptoss.training import library
from gptoss.training.corpus import (
    DEFAULT_MIXTURE,
    LARGEST_TEXT,
    OWN,
    SHORTEST,
    Corpus,
    Mixture,
    for_validation,
    read_own_text,
)
from gptoss.training.domains import GENERATED, TAGS

OF_THE_LIBRARY = Mixture.of({"prose": 1.0, "code": 1.0})
OWN_TEXT = Mixture.of({OWN: 1.0})


@pytest.fixture
def small_library(tmp_path, monkeypatch):
    """Some modules of our own in place of the standard library's; every function is recognised by its number."""
    filler = " ".join(f"word{n}" for n in range(12))
    for module in range(4):
        functions = (f'def function_{n}(x):\n    """Docstring {n} says {filler}."""\n    return x + {n}  # {filler}\n'
                     for n in range(100 * module, 100 * module + 100))
        (tmp_path / f"module_{module}.py").write_text("\n\n".join(functions))
    return use_library(monkeypatch, sorted(tmp_path.glob("*.py")))


def use_library(monkeypatch, paths):
    paths = tuple(paths)
    monkeypatch.setattr(library, "source_files", lambda: paths)
    monkeypatch.setattr(corpus_module, "_shares_of_bytes", corpus_module._shares_of_bytes.__wrapped__)
    return paths


def numbers_in(documents, pattern):
    """Of the functions whose text or docstring is in these documents."""
    return {int(number) for row in documents for number in re.findall(pattern, VOCABULARY.decode(row))}


def test_batches_are_the_same_whenever_they_are_asked_for():
    first, second = tiny_corpus(), tiny_corpus()
    forwards = [first.batch(step, 6) for step in range(4)]
    backwards = [second.batch(step, 6) for step in reversed(range(4))][::-1]
    for one, other in zip(forwards, backwards, strict=True):
        assert (one.tokens == other.tokens).all() and one.domain == other.domain
    assert forwards[0].tokens.shape == (6, 33) and forwards[0].tokens.dtype == np.int64
    assert len({batch.tokens.tobytes() for batch in (*forwards, tiny_corpus(seed=1).batch(0, 6))}) == 5


def test_every_document_starts_with_its_tag():
    batch = tiny_corpus().batch(0, 64)
    assert set(batch.domain) == set(GENERATED)
    for row, domain in zip(batch.tokens, batch.domain, strict=True):
        assert VOCABULARY.decode(row[:2]) == f"{TAGS[domain]}\n"


def test_validation_is_the_same_for_every_seed_and_mixture():
    all_domains, some = tiny_corpus().validation(20), tiny_corpus(7, Mixture.of({"recall": 3, "brackets": 1})).validation(20)
    assert list(some) == ["recall", "brackets"]
    for domain, documents in some.items():
        assert (documents.tokens == all_domains[domain].tokens).all()
        assert len(documents.tokens) == 20
    assert tiny_corpus().validation(3, length=50)["recall"].tokens.shape == (3, 51)


def test_no_document_is_in_both_splits():
    """Brackets are cut short so that documents come back often: a split by place instead of content would show."""
    for corpus in (tiny_corpus(), tiny_corpus(mixture=Mixture.of({"brackets": 1.0}), length=SHORTEST)):
        trained = {row.tobytes() for step in range(100) for row in corpus.batch(step, 32).tokens}
        tested = {row.tobytes() for documents in corpus.validation(128).values() for row in documents.tokens}
        assert tested and not trained & tested
        assert all(for_validation(row) for row in tested) and not any(for_validation(row) for row in trained)


def test_no_text_of_the_library_is_in_both_splits(small_library):
    corpus = tiny_corpus(mixture=OF_THE_LIBRARY)
    assert corpus.domains == ("prose", "code") and not corpus.notices
    for domain, pattern in (("prose", r"Docstring (\d+) says"), ("code", r"function_(\d+)\(x\)")):
        batches = [corpus.batch(step, 64) for step in range(40)]
        trained = numbers_in([row for batch in batches for row, of in zip(batch.tokens, batch.domain, strict=True)
                              if of == domain], pattern)
        tested = numbers_in(corpus.validation(256)[domain].tokens, pattern)
        assert len(trained) > 50 and len(tested) > 5 and not trained & tested
        assert np.isnan(corpus.floors(8)[domain])


def test_prose_is_without_code_and_code_without_prose(small_library):
    documents = tiny_corpus(mixture=OF_THE_LIBRARY).validation(64)
    assert not any(re.search("return|def ", VOCABULARY.decode(row)) for row in documents["prose"].tokens)
    assert not any("Docstring" in VOCABULARY.decode(row) for row in documents["code"].tokens)


@pytest.mark.parametrize("domain", ["prose", "code"])
@pytest.mark.parametrize("validation", [False, True])
def test_documents_longer_than_any_text_name_the_longest(small_library, domain, validation):
    corpus = Corpus(VOCABULARY, Mixture(((domain, 1.0),)), 500_000)
    with pytest.raises(ValueError, match=f"500,000 tokens are too long: the longest text of {domain} kept for .* has [0-9]"):
        corpus.validation(1) if validation else corpus.batch(0, 1)


def test_texts_are_looked_for_before_the_first_document(small_library):
    """The sentence names the part that allows the shortest documents; without library texts any length will do."""
    with pytest.raises(ValueError) as of_both:
        tiny_corpus(mixture=OF_THE_LIBRARY, length=500_000).require_texts()
    longest = {}
    for kind in ("prose", "code"):
        for validation in (False, True):
            texts = [text for path in library.source_files() for text in corpus_module._module_tokens(path, kind, VOCABULARY)
                     [validation]]
            longest[kind, "validation" if validation else "training"] = max(map(len, texts), default=0)
    kind, kept_for = min(longest, key=longest.get)
    assert f"longest text of {kind} kept for {kept_for} has {longest[kind, kept_for]:,}," in str(of_both.value)
    tiny_corpus(mixture=OF_THE_LIBRARY).require_texts()
    tiny_corpus(mixture=Mixture.of({"recall": 1}), length=500_000).require_texts()


def test_docstrings_come_in_the_order_of_the_walk_through_the_whole_tree(tmp_path):
    source = 'def first():\n    "1"\n    match x:\n        case 1:\n            def deep():\n                "5"\n' \
             'try:\n    class A:\n        "2"\nexcept B:\n    def c():\n        "4"\nelse:\n    async def d():\n' \
             '        "3"\nfinally:\n    f = lambda: "no"\nif a:\n    pass\nelse:\n    with b:\n' \
             '        class E:\n            "6"\n'
    (tmp_path / "odd.py").write_text(source)
    walked = [ast.get_docstring(node) for node in ast.walk(ast.parse(source)) if isinstance(node, library._DEFINITIONS)]
    assert library.texts_of(tmp_path / "odd.py")["prose"] == walked and sorted(walked) == list("123456")


def test_a_form_feed_moves_no_line(tmp_path):
    """Python's own sources hold some; they are no ends of lines to its parser."""
    path = tmp_path / "old.py"
    path.write_text('a = 1\n\x0c\ndef old():\n    """What it does."""\n    return 1\n')
    assert library.texts_of(path) == {"prose": ["What it does."], "code": ["def old():\n    return 1"]}


@pytest.mark.parametrize("content", [b"def broken(:\n", b"x = '\xe9'\n", b"x = 1\0\n"])
def test_a_module_that_cannot_be_read_has_no_texts(tmp_path, content):
    (tmp_path / "odd.py").write_bytes(content)
    assert library.texts_of(tmp_path / "odd.py") == {"prose": [], "code": []}
    assert library.texts_of(tmp_path / "missing.py") == {"prose": [], "code": []}


def test_the_standard_library_is_found_without_its_tests():
    names = [path.name for path in library.source_files()]
    assert {"textwrap.py", "dataclasses.py", "decoder.py"} <= set(names) and len(names) > 200
    assert not [path for path in library.source_files() if {"test", "tests", "site-packages"} & set(path.parts)]
    path = next(path for path in library.source_files() if path.name == "textwrap.py")
    texts = library.texts_of(path)
    assert ast.get_docstring(ast.parse(path.read_text())) == texts["prose"][0]
    assert any(text.startswith("def dedent(") for text in texts["code"])


def test_prose_and_code_of_the_real_library_fill_a_batch():
    batch = Corpus(compact_vocabulary(4096), OF_THE_LIBRARY).batch(0, 6)
    assert batch.tokens.shape == (6, 65) and set(batch.domain) == {"prose", "code"}


def test_shares_of_the_mixture_are_honoured():
    shares = {"arithmetic": 1, "brackets": 2, "recall": 0, "repetition": 5}
    count = 4000
    seen = Counter(tiny_corpus(mixture=Mixture.of(shares)).batch(0, count).domain)
    assert seen.keys() == {"arithmetic", "brackets", "repetition"}
    for domain, of in seen.items():
        share = shares[domain] / 8
        assert abs(of - count * share) < 4 * (count * share * (1 - share)) ** 0.5


def test_without_the_library_generated_domains_take_its_place_and_a_notice_says_so(monkeypatch):
    use_library(monkeypatch, ())
    only_library = tiny_corpus(mixture=OF_THE_LIBRARY)
    assert set(only_library.domains) == set(GENERATED)
    default = tiny_corpus(mixture=Mixture())
    assert set(default.domains) == set(GENERATED) and sum(default.shares.values()) == pytest.approx(1)
    assert default.shares["recall"] / default.shares["brackets"] == pytest.approx(
        DEFAULT_MIXTURE["recall"] / DEFAULT_MIXTURE["brackets"])
    for corpus in (only_library, default):
        assert len(corpus.notices) == 1 and "without the sources of its library" in corpus.notices[0]
        assert set(corpus.batch(0, 64).domain) == set(GENERATED)
    assert not tiny_corpus(mixture=EVERY_DOMAIN).notices  # nothing was asked for that is not there


def test_floors_are_the_mean_entropy_of_what_is_predicted():
    corpus = tiny_corpus()
    for domain, documents in corpus.validation(64).items():
        assert documents.entropy.shape == (64, 33)
        assert corpus.floors(64)[domain] == pytest.approx(documents.entropy[:, 1:].sum() / (64 * 32))
        assert corpus.floors(64)[domain] > 0


def test_an_own_text_is_cut_into_windows_of_two_splits():
    text = " ".join(f"{n}" for n in range(1000))
    corpus = tiny_corpus(mixture=OWN_TEXT, own_text=text)
    windows, held_out = corpus._own
    length = corpus.length - 1  # a tag and a line break come before it, one more token is only predicted
    assert windows.shape[1] == held_out.shape[1] == length
    assert len(held_out) and len(windows) > 3 * len(held_out)
    tokens = VOCABULARY.encode(text)
    where = {tuple(tokens[n:n + length]) for n in range(0, len(tokens) - length + 1, length)}
    assert where == set(map(tuple, windows)) | set(map(tuple, held_out))
    trained = {tuple(row[2:]) for step in range(20) for row in corpus.batch(step, 16).tokens}
    tested = {tuple(row[2:]) for row in corpus.validation(32)[OWN].tokens}
    assert trained <= set(map(tuple, windows)) and tested <= set(map(tuple, held_out)) and not trained & tested
    assert VOCABULARY.decode(corpus.batch(0, 1).tokens[0, :2]) == "O\n" and np.isnan(corpus.floors(4)[OWN])


def test_two_windows_are_one_for_each_split_and_fewer_are_refused():
    two = tiny_corpus(mixture=OWN_TEXT, own_text="a" + " 7" * 31)  # 63 tokens: 31 are a window
    assert [len(windows) for windows in two._own] == [1, 1]
    with pytest.raises(ValueError, match="The text has 61 tokens; training needs at least 62"):
        tiny_corpus(mixture=OWN_TEXT, own_text="a" + " 7" * 30)
    with pytest.raises(ValueError, match="The text has 0 tokens"):
        tiny_corpus(mixture=OWN_TEXT)


def test_an_own_text_of_one_window_again_and_again_is_still_split():
    corpus = tiny_corpus(mixture=OWN_TEXT, own_text="a" * 5000)
    assert all(len(windows) for windows in corpus._own)


def test_an_uploaded_file_is_read_or_refused_with_a_sentence():
    assert read_own_text("Grüße, 世界\n".encode()) == "Grüße, 世界\n"
    assert read_own_text(b"\xef\xbb\xbfwith a mark in front") == "with a mark in front"
    assert len(read_own_text(b"a" * LARGEST_TEXT)) == LARGEST_TEXT
    for data, words in ((b"caf\xe9 au lait", "not UTF-8 text: byte 3"), (b"a" * (LARGEST_TEXT + 1), "1,000,001 bytes"),
                        (b"", "holds no text"), (b"\xef\xbb\xbf", "holds no text"), (b" \n\t", "holds no text"),
                        ("text".encode("utf-16"), "not UTF-8")):
        with pytest.raises(ValueError, match=words):
            read_own_text(data)


def test_the_fingerprint_knows_everything_that_decides_the_documents(small_library, monkeypatch):
    text = "own words " * 50
    both = Mixture.of({"prose": 1.0, OWN: 1.0})
    corpora = [tiny_corpus(), tiny_corpus(seed=1), tiny_corpus(length=31), tiny_corpus(vocabulary=compact_vocabulary(400)),
               tiny_corpus(mixture=Mixture.of({"recall": 1.0})), tiny_corpus(mixture=Mixture.of({"prose": 1.0})),
               tiny_corpus(mixture=both, own_text=text), tiny_corpus(mixture=both, own_text=text + "more")]
    prints = [corpus.fingerprint() for corpus in corpora]
    small_library[1].write_text("x = 1\n")
    prints.append(corpora[5].fingerprint())
    assert len(set(prints)) == len(prints) == 9
    assert tiny_corpus().fingerprint() == prints[0]  # which holds nothing of the library
    assert tiny_corpus(own_text="nobody asked for it").fingerprint() == prints[0]


@pytest.mark.parametrize(("shares", "words"), [
    ({"poetry": 1.0}, "domain='poetry' is unknown; allowed: prose, code, arithmetic, brackets, recall, repetition, own"),
    ({"recall": -0.1}, "the share of recall is -0.1; allowed: 0 or more"),
    ({"recall": float("nan")}, "the share of recall is nan"),
    ({"recall": float("inf")}, "the share of recall is inf"),
    ({"recall": 0, "prose": 0}, "nothing to train on"),
    ({}, "nothing to train on"),
])
def test_impossible_mixtures_are_refused(shares, words):
    with pytest.raises(ValueError, match=words):
        Mixture.of(shares)


def test_the_shortest_documents_are_split_and_shorter_ones_refused():
    corpus = tiny_corpus(length=SHORTEST)
    assert {len(documents.tokens) for documents in corpus.validation(8).values()} == {8}
    assert len(corpus.batch(0, 64).tokens) == 64
    for length in (1, SHORTEST - 1):
        with pytest.raises(ValueError, match=f"length={length} is impossible; allowed: {SHORTEST} or more"):
            tiny_corpus(length=length)
