"""One short story in many languages and in Python, to compare what the same content costs in tokens."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import pandas as pd

from gptoss.tokenizer.encodings import get_encoding
from gptoss.tokenizer.merges import CutVocabulary
from gptoss.tokenizer.text import encode_text

SMALL_VOCABULARY = 32_000  # the smaller of the two sizes for which the notebook gives an estimate
NOTEBOOK_ESTIMATES = {50_257: 1.3, SMALL_VOCABULARY: 1.5}  # its tokens for the same text, as a multiple of o200k's


@dataclass(frozen=True)
class Language:
    """The story in one language."""

    name: str
    text: str


LANGUAGES: tuple[Language, ...] = (
    Language("English",
             "Every morning the baker counts her loaves of bread. If there are fewer than twenty, she bakes thirty "
             "more; otherwise she opens the shop. In the evening she writes down how many she has sold, and gives "
             "what is left to her neighbours."),
    Language("German",
             "Jeden Morgen zählt die Bäckerin ihre Brote. Sind es weniger als zwanzig, backt sie dreißig weitere; "
             "sonst öffnet sie den Laden. Am Abend schreibt sie auf, wie viele sie verkauft hat, und schenkt den "
             "Nachbarn, was übrig ist."),
    Language("French",
             "Chaque matin, la boulangère compte ses pains. S’il y en a moins de vingt, elle en cuit trente de plus ; "
             "sinon, elle ouvre la boutique. Le soir, elle note combien elle en a vendu et donne ce qui reste à ses "
             "voisins."),
    Language("Spanish",
             "Cada mañana la panadera cuenta sus panes. Si hay menos de veinte, hornea treinta más; si no, abre la "
             "tienda. Por la noche anota cuántos ha vendido y regala a sus vecinos lo que queda."),
    Language("Russian",
             "Каждое утро пекарь считает свои буханки хлеба. Если их меньше двадцати, она печёт ещё тридцать; иначе "
             "она открывает лавку. Вечером она записывает, сколько продала, а то, что осталось, отдаёт соседям."),
    Language("Greek",
             "Κάθε πρωί η φουρνάρισσα μετράει τα ψωμιά της. Αν είναι λιγότερα από είκοσι, ψήνει άλλα τριάντα· αλλιώς "
             "ανοίγει το μαγαζί. Το βράδυ σημειώνει πόσα πούλησε και δίνει στους γείτονες ό,τι περίσσεψε."),
    Language("Turkish",
             "Fırıncı her sabah ekmeklerini sayar. Yirmiden azsa otuz tane daha pişirir; değilse dükkânı açar. Akşam "
             "kaç tane sattığını yazar ve kalanları komşularına verir."),
    Language("Swahili",
             "Kila asubuhi mwokaji huhesabu mikate yake. Ikiwa ni chini ya ishirini, huoka mingine thelathini; la "
             "sivyo, hufungua duka. Jioni huandika ameuza mingapi, na huwapa majirani iliyobaki."),
    Language("Arabic",
             "كل صباح تعدّ الخبّازة أرغفتها. إذا كانت أقل من عشرين خبزت ثلاثين أخرى، وإلا فتحت المتجر. وفي المساء تكتب "
             "كم باعت، وتعطي ما بقي لجيرانها."),
    Language("Hindi",
             "हर सुबह बेकरी वाली अपनी रोटियाँ गिनती है। अगर वे बीस से कम हों, तो वह तीस और पकाती है; नहीं तो वह दुकान "
             "खोलती है। शाम को वह लिखती है कि कितनी बिकीं, और जो बचता है उसे पड़ोसियों को दे देती है।"),
    Language("Bengali",
             "প্রতিদিন সকালে রুটিওয়ালি তার রুটিগুলো গোনে। কুড়িটির কম হলে সে আরও ত্রিশটি সেঁকে; না হলে সে দোকান খোলে। "
             "সন্ধ্যায় সে লিখে রাখে কতগুলো বিক্রি হয়েছে, আর যা বাকি থাকে তা প্রতিবেশীদের দিয়ে দেয়।"),
    Language("Thai",
             "ทุกเช้าคนทำขนมปังจะนับขนมปังของเธอ ถ้ามีน้อยกว่ายี่สิบก้อน เธอจะอบเพิ่มอีกสามสิบก้อน "
             "ไม่อย่างนั้นเธอก็เปิดร้าน ตอนเย็นเธอจดไว้ว่าขายได้กี่ก้อน แล้วแบ่งที่เหลือให้เพื่อนบ้าน"),
    Language("Chinese",
             "每天早上，面包师都会数一数她的面包。如果少于二十个，她就再烤三十个；否则她就开门营业。晚上，她记下卖了多少个，"
             "并把剩下的送给邻居。"),
    Language("Japanese",
             "毎朝、パン屋の女性は自分のパンを数えます。二十個より少なければ、さらに三十個焼きます。そうでなければ店を開けます。"
             "夕方にはいくつ売れたかを書きとめ、残った分を近所の人に分けます。"),
    Language("Korean",
             "매일 아침 제빵사는 빵의 개수를 셉니다. 스무 개보다 적으면 서른 개를 더 굽고, 그렇지 않으면 가게 문을 엽니다. "
             "저녁에는 몇 개를 팔았는지 적어 두고, 남은 빵은 이웃에게 나누어 줍니다."),
    Language("Python",
             "def day(loaves, shop, notes, neighbours):\n"
             '    """What the baker does from morning to evening."""\n'
             "    if len(loaves) < 20:\n"
             "        loaves += bake(30)\n"
             "    else:\n"
             "        shop.open()\n"
             "    sold = shop.sell(loaves)\n"
             '    notes.write(f"sold: {len(sold)}")\n'
             "    neighbours.give(loaf for loaf in loaves if loaf not in sold)\n"),
)


def token_counts(text: str, cut: CutVocabulary) -> dict[str, int]:
    """What `text` measures: characters, and tokens by o200k, by GPT-2, and by o200k's first 50,257 and 32,000 ranks.

    `cut` is the text's own `CutVocabulary`.
    """
    return {
        "characters": len(text),
        "o200k": cut.tokens(get_encoding().n_vocab),
        "gpt2": len(encode_text(text, "gpt2")),
        "first_50257": cut.tokens(get_encoding("gpt2").n_vocab),
        "first_32000": cut.tokens(SMALL_VOCABULARY),
    }


@functools.cache
def language_counts() -> pd.DataFrame:
    """`token_counts` of the story in every language, one row each with its `language`. Shared: not to be changed."""
    return pd.DataFrame([{"language": language.name} | token_counts(language.text, CutVocabulary(language.text))
                         for language in LANGUAGES])
