"""o200k_harmony and GPT-2 without a network, safe encoding of any text, and small vocabularies of real tokens."""

from gptoss.tokenizer.compact import MINIMUM_SIZE, SPECIAL_TOKENS, CompactVocabulary, compact_vocabulary
from gptoss.tokenizer.encodings import ENCODING_NAMES, get_encoding
from gptoss.tokenizer.samples import DEFAULT_SAMPLE, LEARNED, RANKED, SAMPLES, STORIES, Sample, sample
from gptoss.tokenizer.text import (
    EncodedPrefix,
    clean_text,
    encode_prefix,
    encode_text,
    printable,
    token_bytes,
    token_label,
    token_spans,
)

__all__ = ["DEFAULT_SAMPLE", "ENCODING_NAMES", "LEARNED", "MINIMUM_SIZE", "RANKED", "SAMPLES", "SPECIAL_TOKENS", "STORIES",
           "CompactVocabulary", "EncodedPrefix", "Sample", "clean_text", "compact_vocabulary", "encode_prefix",
           "encode_text", "get_encoding", "printable", "sample", "token_bytes", "token_label", "token_spans"]
