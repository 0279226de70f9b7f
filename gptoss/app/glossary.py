"""The words of the app: each explained in two sentences, with one number of the model under study.

A page links a word where it first uses it, as `word("nat")` in any Markdown. The link opens the word in place (words.js);
where no script runs, it leads to the word in the drawer below the page. No Streamlit here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

from gptoss.app.accounts import figures
from gptoss.app.study import YOURS, Study
from gptoss.config import ModelConfig
from gptoss.cost import kv_slots, training_memory, weight_bytes
from gptoss.cost.accelerators import BY_NAME
from gptoss.cost.inference import Load, decode_operators
from gptoss.cost.roofline import ridge
from gptoss.model.rope import inverse_frequencies
from gptoss.notation import NOTATION, Symbol
from gptoss.tokenizer import SPECIAL_TOKENS
from gptoss.training.shipped import CLASSROOM, shipped
from gptoss.units import count, decimal, fixed, flops, number, percent, plural, seconds, size, spelled


class Model(NamedTuple):
    """The model that the numbers are of: its architecture, the context it is accounted for, what to call it."""

    config: ModelConfig
    context: int  # tokens
    name: str
    trained: str  # the one that ships trained, where this one does not

    @property
    def first(self) -> str:
        """Its name at the start of a sentence."""
        return self.name.capitalize() if self.name == YOURS else self.name

    @property
    def weights(self) -> int:
        return self.figure("total")

    @property
    def seen(self) -> int:
        """Tokens that a sliding layer sees; where none slides, all."""
        return kv_slots(self.config, self.context)[0]  # the first layer slides wherever one does

    @property
    def half_blocks(self) -> int:
        return 2 * self.config.num_hidden_layers

    @property
    def recipe(self) -> dict:
        """How `trained` was trained."""
        return shipped()[self.trained].history()["recipe"]

    def figure(self, name: str) -> float:
        """One of its vital signs."""
        return figures(self.config, self.context)[name]

    def experts(self, number_format: str) -> int:
        """Bytes of the experts' matrices in a format."""
        parts = weight_bytes(self.config, experts=number_format)
        return parts["mlp1"] + parts["mlp2"]

    def intensity(self) -> float:
        """FLOPs a byte while one sequence is continued by a token."""
        operators = decode_operators(self.config, Load(context=self.context))
        return sum(operator.flops for operator in operators) / sum(operator.bytes for operator in operators)


class Word(NamedTuple):
    """One word: its explanation, the page that shows it, and a sentence with a number of the model under study."""

    says: str
    page: str
    live: Callable[[Model], str]


def _share(apart: float) -> str:
    """Of two tokens whose logits are so far apart: the share of the better one."""
    return percent(1 / (1 + math.exp(-apart)))


def _rows_of_a_token(model: Model, one: str, many: str, count: int) -> str:
    """How many queries, keys or values a token has in a layer, and of how many numbers."""
    return (f"In {model.name} a token has {plural(count, one, many)} in each layer, of {model.config.head_dim} numbers "
            f"{'each' if count > 1 else 'in all'}.")


_MACHINE = BY_NAME["H100"]

WORDS: dict[str, Word] = {
    # from text to the stream
    "token": Word(
        "A piece of text that the model reads or writes as one: a word, a part of a word, or a sign. Each has a number, its "
        "id.", "tokenizer",
        lambda model: f"The vocabulary of {model.name} has {model.config.vocab_size:,}."),
    "vocabulary": Word(
        "All the tokens that a model knows. It reads and writes nothing else, so that rare words are spelled in pieces.",
        "tokenizer",
        lambda model: f"Its rows are {percent(2 * model.config.vocab_size * model.config.hidden_size / model.weights)} of "
                      f"all weights of {model.name}."),
    "BPE": Word(
        "Byte-pair encoding: a text begins as bytes, and pairs of neighbours become one token, the most frequent pairs of "
        "the language first. So frequent words are one token, and any text can be written.", "tokenizer",
        lambda model: f"To 256 bytes the vocabulary of {model.name} adds {model.config.vocab_size - 256:,} more tokens."),
    "harmony": Word(
        "The form in which GPT-OSS writes a conversation: who speaks, in which channel, and where a message ends. Special "
        "tokens mark all of that, and a text that a user types never becomes one of them.", "tokenizer",
        lambda model: f"This app uses {len(SPECIAL_TOKENS)} special tokens, whatever the model."),
    "embedding": Word(
        "The row of learned numbers with which a token enters the model. All rows together are a matrix with a row for each "
        "token of the vocabulary.", "tokenizer",
        lambda model: f"In {model.name} that is {model.config.vocab_size:,} rows of {model.config.hidden_size:,} numbers."),
    "residual stream": Word(
        "The row of numbers that the model keeps for each token, from the first layer to the last. Every part reads it and "
        "adds to it; nothing is overwritten.", "block",
        lambda model: f"In {model.name}, {model.half_blocks} half blocks add to it, one after the other."),
    "hidden size": Word(
        "How many numbers the residual stream has for each token. Every matrix that reads the stream or writes to it is as "
        "wide as that.", "block",
        lambda model: f"It is {model.config.hidden_size:,} in {model.name}."),
    "layer": Word(
        "One round of the model: attention fetches from other tokens, then the experts work on each token alone. All layers "
        "are built alike, each with weights of its own.", "block",
        lambda model: f"{model.first} has {plural(model.config.num_hidden_layers, 'layer')}."),
    "weight": Word(
        "One of the learned numbers of a model, also called a parameter. Training sets them; afterwards they stay, whatever "
        "text runs through.", "block",
        lambda model: f"{model.first} has {spelled(model.weights)}."),
    "unembedding": Word(
        "The matrix at the end of the model, with a row for each token of the vocabulary. The last stream times all rows "
        "makes the logits.", "block",
        lambda model: f"In {model.name} it has {count(model.config.vocab_size * model.config.hidden_size)} weights."),
    "logit lens": Word(
        "A look at what the model would answer if it stopped early: the stream after each part goes straight to the "
        "unembedding. It shows where in the stack an answer appears.", "block",
        lambda model: f"In {model.name} there are {model.half_blocks + 1} places to look from."),
    "RMSNorm": Word(
        "A step that brings a row of numbers to one size, so that a part reads it alike however large it has grown. It "
        "divides by the root of the mean square and multiplies by a learned scale.", "rmsnorm",
        lambda model: f"{model.first} does it {model.half_blocks + 1} times for each token."),
    # attention and its parts
    "attention": Word(
        "The part of a layer in which a token fetches from earlier tokens what it needs. How much it takes of each is its "
        "attention weight.", "attention",
        lambda model: f"A token after {model.context - 1:,} others looks at "
                      f"{spelled(sum(kv_slots(model.config, model.context)))} keys with one head in every layer of "
                      f"{model.name}."),
    "head": Word(
        "One of several attentions that run side by side in a layer, each with matrices of its own. So each can look for "
        "something else.", "attention",
        lambda model: f"{model.first} has {plural(model.config.num_attention_heads, 'query head')} in each of "
                      f"{plural(model.config.num_hidden_layers, 'layer')}."),
    "query": Word(
        "What a token asks in one head: a row of numbers made from its stream. It is compared with the keys of the tokens "
        "before.", "attention",
        lambda model: _rows_of_a_token(model, "query", "queries", model.config.num_attention_heads)),
    "key": Word(
        "What a token offers to be found by: a row of numbers made from its stream. The better it matches a query, the more "
        "of the token's value is taken.", "attention",
        lambda model: _rows_of_a_token(model, "key", "keys", model.config.num_key_value_heads)),
    "value": Word(
        "What a token hands over where its key matches: a row of numbers made from its stream. A head returns the values "
        "mixed by their attention weights.", "attention",
        lambda model: _rows_of_a_token(model, "value", "values", model.config.num_key_value_heads)),
    "softmax": Word(
        "A rule that makes shares out of any numbers: e to the power of each, divided by the sum of all. Larger numbers get "
        "more, and the shares add up to 1.", "attention",
        lambda model: f"Over {model.config.vocab_size:,} equal logits of {model.name} each token gets "
                      f"{percent(1 / model.config.vocab_size, 4)}."),
    "induction head": Word(
        "A head that finds where the present token stood before, and attends to what came next there. With it a model "
        "continues whatever repeats.", "attention",
        lambda model: f"{model.first} has {model.config.num_attention_heads * model.config.num_hidden_layers:,} heads that "
                      "could become one."),
    "KV cache": Word(
        "The keys and values of all tokens so far, kept so that the next token need not compute them again. It grows with "
        "the text, which is why long texts need memory.", "memory",
        lambda model: f"At {model.context:,} tokens the cache of {model.name} takes {size(model.figure('kv_cache'))}."),
    "KV group": Word(
        "Query heads that share one KV head: its keys and its values. Fewer groups make the KV cache smaller, while the "
        "questions stay as many.", "gqa",
        lambda model: f"{model.first} has {plural(model.config.num_key_value_heads, 'group')} of "
                      f"{plural(model.config.group_size, 'query head')}."),
    "sink": Word(
        "A learned number that takes part in a head's softmax without being a token. The share that it takes brings no "
        "value, so a head can rest.", "sinks",
        lambda model: f"In {model.name} a sink with a logit of 0 beside {plural(model.seen, 'score')} of 0 takes "
                      f"{percent(1 / (model.seen + 1), 2)}."),
    "window": Word(
        "How many of the last tokens a sliding layer can see, the token itself included. What is further back has to come "
        "through other layers.", "window",
        lambda model: f"A sliding layer of {model.name} sees {model.seen:,} of {model.context:,} tokens."),
    "RoPE": Word(
        "Rotary position embedding: queries and keys are turned, pair by pair of their numbers, by an angle that grows with "
        "the position. So a score depends on how far apart two tokens are.", "rope",
        lambda model: f"In {model.name} it turns {model.config.head_dim // 2} pairs of every query and key."),
    "frequency": Word(
        "How far RoPE turns a pair of numbers from one token to the next. Fast pairs tell neighbours apart, slow ones tell "
        "far from near.", "rope",
        lambda model: f"In {model.name} the slowest pair needs "
                      f"{spelled(2 * math.pi / float(inverse_frequencies(model.config).min()))} tokens for one turn."),
    "YaRN": Word(
        "A way to use RoPE on longer texts than a model was first trained with: its slow pairs are slowed further, its fast "
        "ones are left alone. A little more training then suffices.", "rope",
        lambda model: f"In {model.name} it stretches {model.config.initial_context_length:,} tokens to "
                      f"{model.config.max_context_length:,}."),
    # experts
    "MLP": Word(
        "The part of a layer that works on each token alone: one matrix makes more numbers of its stream, a curve decides "
        "which of them count, and another matrix brings them back. Much of what a model knows is in these matrices.",
        "experts",
        lambda model: f"Each MLP of {model.name} has "
                      f"{count(3 * model.config.hidden_size * model.config.intermediate_size)} weights, biases left out."),
    "SwiGLU": Word(
        "The curve in the middle of an MLP of GPT-OSS: half of the numbers are gates, which open or close for the other "
        "half. So what is let through depends on the token itself.", "experts",
        lambda model: f"In each expert of {model.name} are {model.config.intermediate_size:,} gates."),
    "expert": Word(
        "One of many MLPs that stand side by side in a layer, of which each token uses a few. So a model can hold much and "
        "still compute little.", "experts",
        lambda model: f"{model.first} has {model.config.num_experts} in each layer and uses "
                      f"{model.config.experts_per_token} for a token."),
    "router": Word(
        "A small matrix that scores every expert for a token. Those with the best scores are used, and the scores say how "
        "much of each.", "experts",
        lambda model: f"In {model.name} it chooses one of "
                      f"{spelled(math.comb(model.config.num_experts, model.config.experts_per_token))} sets of experts."),
    "active parameters": Word(
        "The weights that one token passes through. In a mixture of experts they are a small part of all, because each "
        "token uses few of the experts.", "experts",
        lambda model: f"In {model.name} they are {count(model.figure('active'))} of {count(model.weights)}."),
    "load balance": Word(
        "How evenly tokens are spread over the experts. An expert that gets few tokens learns little, and one that gets "
        "most of them keeps the others waiting.", "experts",
        lambda model: f"With an even load each expert of {model.name} gets "
                      f"{percent(model.config.experts_per_token / model.config.num_experts)} of the tokens."),
    # what comes out
    "logit": Word(
        "The score that the model gives to one possible next token. Softmax makes probabilities out of all of them.",
        "sampling",
        lambda model: f"{model.first} gives {model.config.vocab_size:,} after every token."),
    "temperature": Word(
        "What logits are divided by before softmax. Below 1 the likely tokens become likelier, above 1 the unlikely ones "
        "get more of a chance.", "sampling",
        lambda model: f"Of two tokens with logits 1 apart the better one gets {_share(1)} at temperature 1 and {_share(2)} "
                      "at 0.5, in every model."),
    "top-k": Word(
        "A cut before a token is drawn: only the k most likely ones can be. It keeps out the many tokens that are unlikely "
        "one by one, but not all together.", "sampling",
        lambda model: f"Top-k 50 leaves {percent(50 / model.config.vocab_size, 2)} of the vocabulary of {model.name}."),
    "top-p": Word(
        "A cut before a token is drawn: the fewest tokens stay that together reach the probability p. They are few where "
        "the model is sure, and many where it is not.", "sampling",
        lambda model: f"Of {model.config.vocab_size:,} equally likely tokens top-p 0.9 keeps "
                      f"{math.ceil(0.9 * model.config.vocab_size):,}."),
    "entropy": Word(
        "How unsure a distribution is, in nats or bits: the mean surprise of a draw from it. It is 0 where one token is "
        "certain, and largest where all are equally likely.", "sampling",
        lambda model: f"Over the tokens of {model.name} it is at most {fixed(math.log2(model.config.vocab_size))} bits."),
    # training
    "nat": Word(
        "The unit of surprise: a token that was given the probability p costs minus ln p nats. A guess between two equally "
        "likely tokens costs 0.69 nats, which is one bit.", "training",
        lambda model: f"An even guess among {model.config.vocab_size:,} tokens costs "
                      f"{fixed(math.log(model.config.vocab_size))} nats."),
    "loss": Word(
        "How surprised a model is by a text: the mean over its tokens, in nats. Training makes it smaller; it cannot fall "
        "below what nobody could know beforehand.", "training",
        lambda model: f"Untrained, {model.name} guesses about evenly, which costs "
                      f"{fixed(math.log(model.config.vocab_size))} nats a token."),
    "perplexity": Word(
        "The loss in other words: among how many equally likely tokens the model seems to choose. It is e to the power of "
        "the loss.", "training",
        lambda model: f"Guessing evenly among its tokens, {model.name} has a perplexity of {model.config.vocab_size:,}."),
    "gradient": Word(
        "For every weight the direction in which the loss would rise, and how fast. Training steps the other way.",
        "training",
        lambda model: f"That of {model.name} has {count(model.weights)} numbers, one for each weight."),
    "learning rate": Word(
        "How large a step training takes. Too small and it learns slowly, too large and the loss jumps.", "training",
        lambda model: f"The training of {model.trained} rose to {number(model.recipe['peak'])}."),
    "batch": Word(
        "Texts that are worked on at once. In training one step learns from all of them; when a model is used, they share "
        "one reading of its weights.", "training",
        lambda model: f"One step of {model.trained} learned from {model.recipe['batch']} texts of {model.recipe['length']} "
                      "tokens."),
    "AdamW": Word(
        "The rule by which most models are trained: every weight steps by the mean of its last gradients, divided by their "
        "typical size. For that it keeps two more numbers for each weight.", "training",
        lambda model: f"For {model.name} these take {size(training_memory(model.config)['optimizer states'])}."),
    "checkpoint": Word(
        "The file with the weights of a model, written after training or on the way. Whoever has it can run the model.",
        "training",
        lambda model: f"One of {model.name} takes {size(model.figure('weights'))}, with its experts in MXFP4."),
    # true numbers
    "bf16": Word(
        "A number format of two bytes: the range of a 32-bit number, at about three decimal digits. GPT-OSS keeps "
        "everything but its experts in it.", "memory",
        lambda model: f"All of {model.name} in it would take {size(2 * model.weights)}."),
    "MXFP4": Word(
        "A number format of four bits: each weight is one of fifteen ticks, and 32 neighbours share a scale. So the "
        "experts, which are most of a model, take about a quarter of the room.", "mxfp4",
        lambda model: f"In {model.name} they take {size(model.experts('mxfp4'))}; in bf16 it would be "
                      f"{size(model.experts('bf16'))}."),
    "block scale": Word(
        "The factor that the 32 weights of an MXFP4 block share: a power of two, in one byte. It follows the largest of "
        "them.", "mxfp4",
        lambda model: f"The experts of {model.name} have {count(model.experts('bf16') / 64)} of them."),
    "FLOP": Word(
        "One operation on numbers with a decimal point: an addition or a multiplication. Work is counted in them because "
        "machines promise so many a second.", "memory",
        lambda model: f"One token after {model.context - 1:,} others costs {model.name} {flops(model.figure('flops'))}."),
    "bandwidth": Word(
        "How many bytes a second a machine moves from memory to where it computes. While a single text is written, this "
        "limits the speed, and not arithmetic.", "memory",
        lambda model: f"At the {decimal(_MACHINE.bandwidth, 'B/s')} of an {_MACHINE.name} reading all weights of "
                      f"{model.name} takes {seconds(model.figure('weights') / _MACHINE.bandwidth)}."),
    "roofline": Word(
        "A picture of what limits a computation: where each byte is used for few FLOPs it is memory, where it is used for "
        "many it is arithmetic. The "
        "bend between the two belongs to the machine.", "memory",
        lambda model: f"An {_MACHINE.name} bends at {number(ridge(_MACHINE, 'bf16'))} FLOPs a byte; writing one text, "
                      f"{model.name} has {number(model.intensity(), 2)}."),
}


def word(name: str, shown: str = "") -> str:
    """A link in Markdown that opens a word in place: `word("nat", "nats")`. KeyError where the glossary has no such word."""
    return f"[{shown or name}](#{anchor(name)})"


def anchor(name: str) -> str:
    """The id of a word in the page: `word-kv-cache`. KeyError where the glossary has no such word."""
    return _ANCHORS[name]


def live(study: Study, anchors: str) -> dict[str, str]:
    """The sentences with numbers of the words at `anchors`, by anchor: of one of them, or of `ALL` together with the numbers
    that letters stand for. Other anchors are passed over.
    """
    model = Model(study.config, study.context, study.name,
                  study.preset if study.preset in shipped() else CLASSROOM)
    words = {at: WORDS[name].live(model) for name, at in _ANCHORS.items() if anchors in (at, ALL)}
    return words | {row(symbol): number(getattr(study.config, symbol.field), 7) for symbol in NOTATION
                    if symbol.field and anchors == ALL}


def row(symbol: Symbol) -> str:
    """The id of a letter's row in the drawer, by its field of the configuration."""
    return f"letter-{symbol.field}"


ALL = "all"
_ANCHORS = {name: f"word-{name.lower().replace(' ', '-')}" for name in WORDS}
