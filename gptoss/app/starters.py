"""What a trained model can do, as texts to start it with. No Streamlit here."""

from __future__ import annotations

from typing import NamedTuple

from gptoss.tokenizer import sample
from gptoss.training.shipped import CLASSROOM, STORYTELLER


class Starter(NamedTuple):
    """One text that a model goes on with.

    Attributes:
        label: what the model does with it, in a few words.
        text: the text.
        expected: how it goes on when it always takes the likeliest token, as its weights ship. A test asks the model.
    """

    label: str
    text: str
    expected: str

    def promise(self, model: str) -> str:
        """What to look for, with the words that the model of this name will say."""
        return f"With its trained weights, {model} takes “{self.expected.strip()}” for the likeliest to come next."


# By the name of the weights that ship.
STARTERS = {
    CLASSROOM: (
        Starter("Repeat", sample("repetition").text, " offers when summer agree man token found wind word"),
        Starter("Recall", sample("recall").text, " listened"),
        Starter("Add", sample("sums").text, "87\n"),
        Starter("Close brackets", sample("brackets").text, " ]"),
    ),
    STORYTELLER: (
        Starter("Tell a story", "Once upon a time, there was a little girl", " named"),
        Starter("Recall a word", sample("bird").text, " bird"),
        Starter("Who has it?", sample("ball").text, " Tom"),
        Starter("Answer", sample("asked").text, "A lion lives in Africa"),
        Starter("Where is he?", "Ben came to the school with the key. Anna came to the barn. Ben went to the barn. Ben gave "
                "the key to Anna. Where is Ben? In the", " barn"),
    ),
}
