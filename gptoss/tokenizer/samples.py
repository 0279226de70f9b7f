"""Texts to try a model on: several languages and scripts, code, sums, repetition, and one harmony conversation.

Written for this project. The tokens of `RANKED` lead the compact vocabularies (`gptoss.tokenizer.rank`), so that even a
model with a vocabulary of 2,048 reads every one of them in the same pieces as gpt-oss itself. These texts stay as they
are: another one would change the vocabularies, and with them what every row of the trained weights that ship means.

`STORIES` is for `storyteller`, in the words that its corpus has: what it is good at. `LEARNED` is what `classroom` and its
variants were trained to continue: validation documents, which no training step saw, of the
generated domains (`gptoss.training.domains`). The same vocabularies hold all their tokens.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Sample:
    """One text to begin with.

    Attributes:
        name: a short identifier, for addresses and keys.
        label: what a person chooses from a list.
        text: the text.
        special: whether spellings such as `<|start|>` in it are special tokens.
    """

    name: str
    label: str
    text: str
    special: bool = False


RANKED: tuple[Sample, ...] = (
    Sample("attention", "English: what attention does",
           "Attention lets a token look back at the tokens before it. Each token asks a question, and each earlier token "
           "offers a key. Where the question and the key agree, the token reads more of the value that belongs to the "
           "key. So when the cat sat on the mat because the cat was tired, attention can carry the cat to the word tired."),
    Sample("lighthouse", "English: a longer text",
           "The lighthouse keeper climbed the stairs every evening, and every evening she counted them. There were one "
           "hundred and twelve steps, and at the top there was the lamp. In summer she opened the window and listened to "
           "the sea. In winter she closed the window and listened to the wind.\n\n"
           "One evening a boat came too close to the rocks. The keeper saw its small light move to the left, then to the "
           "right, then to the left again. She turned the lamp towards the boat and waited. The boat stopped. Slowly, "
           "very slowly, it turned away from the rocks and found the way back to the harbour.\n\n"
           "In the morning a man came up the path with a basket of apples. “You do not know me,” he said, “but last "
           "night I was in the boat, and you were in the lighthouse.” The keeper took an apple and smiled. “I know you,” "
           "she said. “You were the small light that moved to the left.” They sat on the step in front of the lighthouse, "
           "ate the apples, and looked at the sea."),
    Sample("german", "German",
           "Am Abend sitzt die Großmutter am Fenster und erzählt von früher. Damals fuhr der Zug nur zweimal am Tag, und "
           "wer ihn verpasste, ging zu Fuß über die Felder nach Hause. Die Kinder hören zu und fragen, warum die Felder "
           "heute so klein aussehen. „Weil ihr gewachsen seid“, sagt sie."),
    Sample("french", "French",
           "Le marché ouvre à sept heures, mais les pêcheurs arrivent bien avant. L’un d’eux chante toujours la même "
           "chanson, et quand il oublie les paroles, il en invente de nouvelles. Aujourd’hui, c’était une chanson sur la "
           "pluie, et tout le monde a chanté avec lui."),
    Sample("spanish", "Spanish",
           "¿Quién dejó la puerta abierta? El perro salió al jardín, el gato salió detrás del perro y la niña corrió "
           "detrás de los dos. Al final del día, los tres volvieron cansados, llenos de barro y muy contentos. "
           "Nadie volvió a preguntar por la puerta."),
    Sample("hindi", "Hindi (Devanagari)",
           "सुबह की पहली बस गाँव से शहर जाती है। बस में हर दिन वही लोग मिलते हैं, और हर दिन वे मौसम की बात करते हैं। "
           "आज बारिश हुई, इसलिए सब लोग चुप थे और खिड़की से बाहर देख रहे थे। फिर किसी ने चाय की बात की और सब हँस पड़े।"),
    Sample("arabic", "Arabic (right to left)",
           "في المدينة القديمة مكتبة صغيرة لا يعرفها إلا القليل من الناس. يجلس صاحب المكتبة كل يوم قرب الباب ويقرأ كتابا "
           "جديدا، وإذا سأله أحد عن كتاب ابتسم وقال: اقرأ هذا أولا. "
           "وبعد أسبوع يعود القارئ ليسأل عن كتاب آخر."),
    Sample("chinese", "Chinese",
           "山下有一条小河，河边有一个小村子。村里的人每天早上去河边打水，晚上回家做饭。有一天，河水变少了，大家决定一起上山，"
           "看看水从哪里来。他们走了很久，终于看见一块大石头挡住了河水。"),
    Sample("japanese", "Japanese",
           "駅の前に小さなパン屋があります。毎朝六時に店が開くと、町の人たちが静かに並びます。雨の日も雪の日も、"
           "パンの匂いは同じです。昼にはもう何も残っていません。"),
    Sample("russian", "Russian (Cyrillic)",
           "Зимой река замерзает, и дорога через лес становится короче. Старый почтальон идёт по льду и несёт письма в "
           "деревню. Он знает каждый дом и каждую собаку, и собаки тоже знают его. "
           "Весной он снова пойдёт по дороге."),
    Sample("code", "Python code",
           "def fibonacci(n):\n"
           '    """Return the first n Fibonacci numbers."""\n'
           "    numbers = [0, 1]\n"
           "    while len(numbers) < n:\n"
           "        numbers.append(numbers[-1] + numbers[-2])\n"
           "    return numbers[:n]\n"
           "\n"
           "\n"
           "for index, number in enumerate(fibonacci(10)):\n"
           '    print(f"{index}: {number}")\n'),
    Sample("arithmetic", "Arithmetic",
           "2 + 2 = 4\n3 + 4 = 7\n12 + 30 = 42\n25 + 75 = 100\n9 - 5 = 4\n100 - 1 = 99\n6 * 7 = 42\n12 * 12 = 144\n"
           "81 / 9 = 9\n1024 / 2 = 512\n123 + 456 = 579\n1234 + 4321 = 5555\n"),
    Sample("rhyme", "A rhyme that repeats itself",
           "One little duck went over the hill,\nover the hill and away.\nOne little duck came back from the hill,\n"
           "back from the hill to stay.\n\n"
           "Two little ducks went over the hill,\nover the hill and away.\nTwo little ducks came back from the hill,\n"
           "back from the hill to stay.\n"),
    Sample("harmony", "A harmony conversation",
           "<|start|>system<|message|>You are a helpful assistant.\nReasoning: low<|end|>"
           "<|start|>user<|message|>How many legs do three spiders have?<|end|>"
           "<|start|>assistant<|channel|>analysis<|message|>A spider has 8 legs, so three spiders have 3 * 8 = 24.<|end|>"
           "<|start|>assistant<|channel|>final<|message|>Three spiders have 24 legs.<|return|>",
           special=True),
)

LEARNED: tuple[Sample, ...] = (
    Sample("repetition", "Repetition: a line of words comes back",
           "S\n and winter hundred the fu listened stopped lamp attention close\n"
           " and winter hundred the fu listened stopped lamp attention close\n"
           " apples she and tokens lets that summer moved lamp\n apples she and tokens lets that summer moved lamp\n"
           " listened know came right window offers when summer agree man token found wind word\n"
           " listened know came right window"),
    Sample("recall", "Recall: facts, and questions about them",
           "R\n: to came\n? to came\n: was can\n: tokens them\n: earlier listened\n: when listened\n? to came\n"
           "? earlier listened\n: sat every\n? to came\n? to came\n: key lamp\n: tired top\n: of opened\n: on attention\n"
           "? when"),
    Sample("sums", "Sums: as in training",
           "A\n45+19=64\n95+4=99\n54+22=76\n29+64=93\n73+13=86\n10+75=85\n20+65=85\n73+21=94\n2+88=90\n52+35="),
    Sample("brackets", "Brackets: what opens must close",
           "B\n [ ( [ ] ) ] { { { ( ) [ ] } } [ ] ( ( { [ { } { } [ ] [ ] [ ] ] } [ ] ) ) ( ) ( ) { } } "
           "( [ ] [ [ { [ [ ] { } { } ] } ( ) ["),
)

STORIES: tuple[Sample, ...] = (
    Sample("bird", "A story in which words come back",
           'One day, Mia found a small bird in the garden. "Are you hurt?" asked Mia. "Yes," said the bird. "I cannot fly." '
           'So Mia took the bird home and gave it some water. The bird was very happy. "Thank you, Mia," said the'),
    Sample("once", "The beginning of a story", "Once upon a time, there was a"),
    Sample("ball", "Who has the ball?",
           "Lily came to the park with the ball. Tom came to the park with the kite. Lily gave the ball to Tom. Now the "
           "ball is with"),
    Sample("asked", "A question in harmony format",
           "<|start|>system<|message|>You are Storyteller, a small language model.\n\nReasoning: low\n\n# Valid channels: "
           "final. Channel must be included for every message.<|end|><|start|>user<|message|>Where does a lion live?<|end|>"
           "<|start|>assistant<|channel|>final<|message|>", special=True),
)

DEFAULT_SAMPLE = RANKED[0]
SAMPLES: tuple[Sample, ...] = (*STORIES, DEFAULT_SAMPLE, *LEARNED, *RANKED[1:])


def sample(name: str) -> Sample:
    """The sample called `name`. Raises `ValueError` that lists the names where there is none."""
    for candidate in SAMPLES:
        if candidate.name == name:
            return candidate
    raise ValueError(f"unknown sample {name!r}: choose one of {', '.join(candidate.name for candidate in SAMPLES)}")
