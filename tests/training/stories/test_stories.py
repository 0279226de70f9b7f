"""From what a teacher writes to a corpus: judging, harmony, near copies, vocabulary, rows."""

import json

import numpy as np
import pytest
import torch

from gptoss.tokenizer import SPECIAL_TOKENS, CompactVocabulary, encode_text
from gptoss.tokenizer.harmony_reader import read_ids
from gptoss.training.stories import __main__ as command
from gptoss.training.stories.corpus import END_OF_TEXT, StoryCorpus, choose_vocabulary, pack, respell
from gptoss.training.stories.possession import POSSESSION
from gptoss.training.stories.prompts import CONVERSATION, EXPLANATION, KINDS, STORY, Ask, ask
from gptoss.training.stories.teacher import AGAIN, _less_again
from gptoss.training.stories.texts import Document, finished, judge
from gptoss.training.stories.wellformed import (
    distinct_trigrams,
    good,
    good_beginning,
    has_loop,
    sentences,
    signature,
    well_formed,
    whole_sentences,
)

PLAIN = ('The dog saw a cat by the river. It was a warm day and they were glad. "Come and play!" said the cat. They ran '
         "up the hill and down to the water. Then they went home to eat some bread with honey.")


@pytest.mark.parametrize("sentence", ["Tom ran.", '"Come here!"', '"I am glad," said Max.', '"Hello!" said Tom.',
                                      "He ran...and ran.", "It is Max's ball, isn't it?"])
def test_these_are_well_formed(sentence):
    assert well_formed(sentence)


@pytest.mark.parametrize("sentence", ["tom ran.", "Tom ran", "Tom has 3 balls.", "# Title.", "A sad sad sad boy.",
                                      "Word " * 50 + "end."])
def test_these_are_not(sentence):
    assert not well_formed(sentence)


def test_sentences_keep_their_quotation_marks():
    assert sentences('Max smiled. "What is it?" Tom asked. "I do not know."') == [
        "Max smiled.", '"What is it?"', "Tom asked.", '"I do not know."']
    assert whole_sentences('He said, "I am here. You are') == ""
    assert whole_sentences("One. Two. Thr") == "One. Two."


def test_loops_and_repetitions_are_found():
    assert has_loop("a b c d e f d e f g".split()) and not has_loop("a b c d e f g h".split())
    assert not has_loop("no no yes".split())
    assert distinct_trigrams("He was old. He was old. He was old.") < 0.5
    looping = PLAIN + " He was very old. He was very old. He was very old."
    assert good(PLAIN, 20, 1000) and not good(looping, 20, 1000)
    assert good_beginning(looping) == PLAIN + " He was very old."
    assert not good("I am an AI assistant.", 1, 100)


def test_near_copies_share_their_signature_and_others_do_not():
    assert signature(PLAIN) == signature(PLAIN.upper())
    numbered = [ask(STORY, seed).opening + " " + PLAIN for seed in range(40)]
    assert len({signature(text) for text in numbered}) < 40  # the same story after other openings
    assert signature(PLAIN) != signature("A bee lives in a hive with many other bees and makes honey there all summer.")


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_asks_the_same_question_again_and_another_seed_another(kind):
    assert ask(kind, 5) == ask(kind, 5)
    assert len({(ask(kind, seed).turns, ask(kind, seed).opening) for seed in range(50)}) > 30


def test_a_story_becomes_a_document_up_to_where_it_gets_bad():
    document = judge(ask(STORY, 1), " " + PLAIN + " He was big. He was big. He was")
    assert isinstance(document, Document) and document.ids[-1] == END_OF_TEXT
    assert judge(ask(STORY, 1), " no. # * no") is None
    assert finished(EXPLANATION, "Rain is water. It falls. It f") == "Rain is water. It falls."


def a_conversation(seed):
    turn = ask(CONVERSATION, seed)
    while isinstance(turn, Ask):
        turn = judge(turn, " good to do with a friend. It is fun! And a")
    return turn


@pytest.mark.parametrize("seed", range(12))
def test_a_conversation_is_harmony_and_reads_back(seed):
    document = a_conversation(seed)
    if document is None:  # an opening that the same answer does not suit
        return
    reading = read_ids(document.ids.tolist())
    assert reading.well_formed and reading.next_role is None
    roles = [message.role for message in reading.messages]
    assert roles[0] == "system" and roles[1:] == ["user", "assistant"] * (len(roles) // 2) and 5 <= len(roles) <= 7
    assert all(message.channel == "final" for message in reading.messages if message.role == "assistant")
    assert document.ids[-1] == SPECIAL_TOKENS["<|return|>"]


def test_most_conversations_come_through():
    assert sum(a_conversation(seed) is not None for seed in range(30)) > 15


def test_a_harvest_keeps_nothing_twice_and_reads_back(tmp_path):
    harvest = command.Harvest()
    judged = (judge(ask(STORY, seed), " " + PLAIN) for seed in range(60))
    documents = [document for document in judged if document]
    harvest.take(STORY, [*documents, *documents, None])
    signatures = [one.signature for one in harvest.documents[STORY]]
    assert len(signatures) == len(set(signatures)) == harvest.counts["story kept"]
    assert harvest.counts["story left out"] == 1
    assert harvest.counts["story near copies"] == 2 * len(documents) - len(signatures)
    harvest.write(tmp_path / "a.npz")
    read = command.Harvest.read([tmp_path / "a.npz", tmp_path / "a.npz"])
    assert [one.ids.tolist() for one in read.documents[STORY]] == [one.ids.tolist() for one in harvest.documents[STORY]]


def test_a_vocabulary_has_bytes_specials_the_grammar_and_what_is_frequent():
    counts = np.zeros(201_088, dtype=int)
    often = encode_text(" zebra")[0]
    counts[often] = 5
    vocabulary = choose_vocabulary(counts, 400)
    assert vocabulary.size == 400 and often in vocabulary.o200k_ids
    assert {*SPECIAL_TOKENS.values(), *range(256), *encode_text(" kitchen")} <= set(vocabulary.o200k_ids)


def test_documents_are_spelt_as_the_vocabulary_spells_them():
    vocabulary = choose_vocabulary(np.zeros(201_088, dtype=int), 400)
    texts = [PLAIN, "Zebras and kangaroos.", "Tom gave the ball to Lily."]
    documents = [np.array(encode_text(text), dtype=np.uint32) for text in texts]
    for text, indices in zip(texts, respell(documents, vocabulary), strict=True):
        assert indices.tolist() == vocabulary.encode(text)


def test_rows_hold_whole_documents_each_once():
    rng = np.random.default_rng(0)
    documents = [np.full(length, number + 1) for number, length in enumerate(rng.integers(1, 20, 80))]
    rows = pack([*documents, np.zeros(30)], 20, filler=0)
    assert rows.shape[1] == 20 and rows.dtype == np.uint16
    for number, document in enumerate(documents, start=1):
        row, places = np.nonzero(rows == number)
        assert len(row) == len(document) and len(set(row)) == 1
        assert (np.diff(places) == 1).all()
    assert (rows == 0).mean() < 0.1


@pytest.fixture
def corpus():
    vocabulary = CompactVocabulary((*range(256), *SPECIAL_TOKENS.values(), *encode_text("Once upon a time")))
    all_rows = np.arange(90, dtype=np.uint16).reshape(10, 9)
    rows = {STORY: all_rows[:7], EXPLANATION: all_rows[7:]}
    return StoryCorpus(vocabulary, rows, {STORY: rows[STORY][:2], EXPLANATION: rows[EXPLANATION][:1]}, length=8)


def test_an_epoch_reads_each_row_once_and_the_next_in_another_order(corpus):
    first, second = (np.concatenate([corpus.batch(step, 5).tokens for step in steps]) for steps in ((0, 1), (2, 3)))
    assert sorted(map(tuple, first)) == sorted(map(tuple, second)) and len(set(map(tuple, first))) == 10
    assert (first != second).any()
    batch = corpus.batch(3, 5)
    assert (batch.tokens == corpus.batch(3, 5).tokens).all() and set(batch.domain) <= {STORY, EXPLANATION}


def test_a_corpus_reads_back(corpus, tmp_path):
    corpus.write(tmp_path / "corpus.npz")
    read = StoryCorpus.read(tmp_path / "corpus.npz", length=8)
    assert read.fingerprint() == corpus.fingerprint() and read.shares == corpus.shares
    with pytest.raises(ValueError, match="8 predicted tokens, not 16"):
        StoryCorpus.read(tmp_path / "corpus.npz", length=16)


def test_finishing_adds_the_grammar_and_holds_texts_out(tmp_path):
    harvest = command.Harvest()
    for number in range(300):
        ids = np.array([*encode_text(f"{PLAIN} {'Yes. ' * (number % 5)}"), END_OF_TEXT], dtype=np.uint32)
        harvest.add(Document(STORY, number, ids))
    options = command.parser().parse_args(["teacher", str(tmp_path / "c.npz"), "--vocabulary", "700", "--processes", "1",
                                           "--length", "128"])

    class Alone:
        def starmap(self, function, parts, chunksize):
            return [function(*part) for part in parts]

    corpus = command.finish(options, harvest, Alone())
    assert corpus.vocabulary.size == 700 and set(corpus.rows) == {STORY, POSSESSION}
    assert len(corpus.held_out[STORY]) >= 1
    share = len(corpus.rows[POSSESSION]) / sum(map(len, corpus.rows.values()))
    assert share == pytest.approx(command.GRAMMAR_SHARE, abs=0.03)
    json.dumps(dict(harvest.counts))
    (tmp_path / "vocabulary.txt").write_text("\n".join(map(str, corpus.vocabulary.o200k_ids)), encoding="ascii")
    options.vocabulary, options.vocabulary_of = 650, tmp_path / "vocabulary.txt"
    assert command.finish(options, harvest, Alone()).vocabulary == corpus.vocabulary


def test_the_teacher_pays_for_each_time_that_a_run_of_three_comes_again():
    picked = torch.tensor([[1, 2, 3, 1, 2, 3, 1, 2], [5, 4, 5, 4, 5, 4, 5, 4], [0, 1, 2, 3, 4, 5, 6, 7]])
    charged = -_less_again(torch.zeros(3, 8), picked) / AGAIN
    assert charged.tolist() == [[0, 0, 0, 2, 0, 0, 0, 0], [0, 0, 0, 0, 0, 3, 0, 0], [0] * 8]
    assert _less_again(torch.ones(3, 8), picked[:, :2]).eq(1).all(), "two tokens are no run of three"
