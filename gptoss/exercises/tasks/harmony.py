"""Exercise: a conversation as one text."""

from collections.abc import Sequence

from gptoss.exercises.exercise import MEDIUM, Case, Exercise, Mistake
from gptoss.tokenizer.harmony import Message
from gptoss.tokenizer.harmony import render as render_ours

Talk = Sequence[dict[str, str]]


def render(messages: list[dict[str, str]]) -> str:
    """A conversation in the harmony format, up to where the assistant's next message begins.

    A message has a "role" and a "content", and may have a "channel" and a "recipient". It becomes
    <|start|>{role} to={recipient}<|channel|>{channel}<|message|>{content}<|end|>, without " to=…" or "<|channel|>…" where it
    has none. What the assistant sends to a recipient is a call and ends with <|call|> in place of <|end|>. Reasoning, the
    channel "analysis", is left out where a later assistant message is "final". At the very end stands <|start|>assistant.
    """
    answers = [place for place, message in enumerate(messages)
               if message["role"] == "assistant" and message.get("channel") == "final"]
    text = ""
    for place, message in enumerate(messages):
        if message.get("channel") == "analysis" and answers and place < answers[-1]:
            continue
        recipient, channel = message.get("recipient"), message.get("channel")
        text += "<|start|>" + message["role"]
        text += f" to={recipient}" if recipient else ""
        text += f"<|channel|>{channel}" if channel else ""
        text += "<|message|>" + message["content"]
        text += "<|call|>" if recipient and message["role"] == "assistant" else "<|end|>"
    return text + "<|start|>assistant"


def _ours(messages: Talk) -> str:
    return render_ours([_message(**message) for message in messages], ending="completion").text


def _message(role: str, content: str, channel: str | None = None, recipient: str | None = None) -> Message:
    if role.startswith("functions."):  # a tool signs with its own name
        return Message("tool", content, channel, recipient, name=role)
    return Message(role, content, channel, recipient)


def said(role: str, content: str, channel: str = "", recipient: str = "") -> dict[str, str]:
    """A message as the exercise hands it over: without what is empty."""
    optional = {"channel": channel, "recipient": recipient}
    return {"role": role, "content": content} | {name: word for name, word in optional.items() if word}


def _cases() -> list[Case]:
    tool, question = "functions.get_weather", said("user", "Do I need an umbrella?")
    thought = said("assistant", "Rain decides. Ask for the weather.", "analysis")
    asked = said("assistant", '{"place": "Bergen"}', "commentary", tool)
    rain = said(tool, '{"sky": "rain"}', "commentary", "assistant")
    return [
        Case("1 message", ([said("user", "Hello!")],)),
        Case("a system message, a question, an answer, a question", ([
            said("system", "Reasoning: low"), question, said("assistant", "Yes.", "final"), said("user", "Why?")],)),
        Case("reasoning that has led to an answer", ([
            question, thought, said("assistant", "Yes.", "final"), said("user", "Sure?")],)),
        Case("reasoning while a tool is being called", ([question, thought, asked, rain],)),
        Case("reasoning before and after an answer", ([
            question, thought, said("assistant", "Yes.", "final"), said("user", "And tomorrow?"), thought, asked, rain],)),
        Case("no message", ([],)),
        Case("an empty message with line ends around it", ([said("user", ""), said("user", "\nhi\n")],)),
    ]


def _reasoning_kept(messages: Talk) -> str:
    return "".join(render([message]).removesuffix("<|start|>assistant") for message in messages) + "<|start|>assistant"


def _reasoning_dropped(messages: Talk) -> str:
    return render([message for message in messages if message.get("channel") != "analysis"])


def _no_opening(messages: Talk) -> str:
    return render(messages).removesuffix("<|start|>assistant")


def _calls_end(messages: Talk) -> str:
    return render(messages).replace("<|call|>", "<|end|>")


def _all_to_call(messages: Talk) -> str:
    tools = {message["role"] for message in messages if message.get("recipient")} - {"assistant"}
    parts = render(messages).split("<|start|>")
    return "<|start|>".join(part.replace("<|end|>", "<|call|>") if part.startswith(tuple(tools)) and tools else part
                            for part in parts)


def _returns(messages: Talk) -> str:
    parts = render(messages).split("<|start|>")
    return "<|start|>".join(part.replace("<|end|>", "<|return|>") if part.startswith("assistant<|channel|>final") else part
                            for part in parts)


def _recipient_last(messages: Talk) -> str:
    text = ""
    for part in render(messages).split("<|start|>")[1:]:
        header, message, rest = part.partition("<|message|>")
        role, recipient, channel = header.partition(" to=")
        name, mark, channel = channel.partition("<|channel|>")
        text += "<|start|>" + (role + mark + channel + recipient + name if recipient else header) + message + rest
    return text


def _line_ends(messages: Talk) -> str:
    return render(messages).replace("<|end|>", "<|end|>\n").replace("<|call|>", "<|call|>\n")


HARMONY = Exercise(
    name="harmony", title="Harmony", pages=("tokenizer",), difficulty=MEDIUM, minutes=12,
    story="""\
The model reads one stream of tokens. A conversation has to become such a stream, with special tokens that no person can
type: where a message starts, who speaks, where it ends. GPT-OSS also says on which channel it speaks: it thinks in
*analysis*, calls tools in *commentary* and answers in *final*. Thoughts that have led to an answer are dropped, because
the model was trained without them; those before a tool's answer are still needed.""",
    hints=(
        "Write one message first, as the docstring spells it, and add the end of the text. Leave reasoning for later.",
        "`message.get(\"channel\")` is None where there is none. Only the assistant makes calls: a tool's answer has a "
        "recipient too, and ends with `<|end|>`.",
        "Find the place of the last assistant message on the channel \"final\". Analysis before that place is skipped, "
        "analysis after it stays."),
    solution=render, ours=_ours, cases=_cases,
    mistakes=(
        Mistake("reasoning kept", "Analysis before the last final answer has to go: the model was trained without it.",
                _reasoning_kept),
        Mistake("all reasoning dropped", "Analysis after the last final answer stays: the model is still thinking, as it "
                "does while it calls a tool.", _reasoning_dropped),
        Mistake("no opening for the answer", "At the end stands <|start|>assistant: from there the model goes on.",
                _no_opening),
        Mistake("calls end like messages", "What the assistant sends to a recipient ends with <|call|>.", _calls_end),
        Mistake("a tool's answer as a call", "A tool's answer has a recipient too, but only the assistant calls. It ends "
                "with <|end|>.", _all_to_call),
        Mistake("answers end with <|return|>", "<|return|> is what the model says when it is done. In the history it "
                "becomes <|end|>.", _returns),
        Mistake("recipient behind the channel", "The recipient comes before the channel.", _recipient_last),
        Mistake("line ends between messages", "Nothing stands between two messages, no line end either.", _line_ends),
    ))
