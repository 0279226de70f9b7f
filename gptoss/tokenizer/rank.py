"""Writes the ranked list behind the compact vocabularies: `python -m gptoss.tokenizer.rank`.

First come all tokens of the samples that are there for it (`RANKED`), then a small alphabet, then tokens by how frequent
they are in the standard library of the Python that runs this: its docstrings and language reference count as prose, its
sources as code. Each of the two counts as a share of its own total, so that the larger one does not decide alone.

The trained weights that ship belong to the list as it is. A new one would need new weights.
"""

from __future__ import annotations

import ast
import platform
import string
import sysconfig
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from pydoc_data.topics import topics

from gptoss.tokenizer.compact import BYTE_IDS, RANKED_FILE, SPECIAL_TOKENS
from gptoss.tokenizer.encodings import get_encoding
from gptoss.tokenizer.samples import RANKED
from gptoss.tokenizer.text import encode_text

LIST_LENGTH = 16_384

# Not written to be read: installed packages, tests, character tables, the reference that is counted as prose.
_LEFT_OUT = {"site-packages", "dist-packages", "test", "tests", "idle_test", "encodings", "pydoc_data"}

_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def sample_tokens() -> list[int]:
    """The distinct o200k ids of all samples, in order of first appearance."""
    return list(dict.fromkeys(chain.from_iterable(encode_text(sample.text, special=sample.special) for sample in RANKED)))


def alphabet_tokens() -> list[int]:
    """Numbers 0 to 99, letters and brackets (each alone and after a space), as far as they are one token."""
    signs = [str(number) for number in range(100)] + list(string.ascii_letters) + list("()[]{}<>")
    spelt = (encode_text(space + sign) for space in ("", " ") for sign in signs)
    return [ids[0] for ids in spelt if len(ids) == 1]


def corpus_tokens() -> list[int]:
    """The o200k ids of the standard library, the most frequent first."""
    prose: Counter[int] = Counter()
    code: Counter[int] = Counter()
    for text in topics.values():
        prose.update(encode_text(text))
    for source in _sources():
        code.update(encode_text(source))
        for docstring in _docstrings(source):
            prose.update(encode_text(docstring))
    share = {token: prose[token] / prose.total() + code[token] / code.total() for token in prose | code}
    return sorted(share, key=lambda token: (-share[token], token))


def ranked(length: int = LIST_LENGTH) -> list[int]:
    """The first `length` ids of the ranking, without the bytes and special tokens that every vocabulary holds."""
    order = dict.fromkeys(chain(sample_tokens(), alphabet_tokens(), corpus_tokens()))
    return [token for token in order if token not in BYTE_IDS and token not in SPECIAL_TOKENS.values()][:length]


def _sources() -> Iterator[str]:
    library = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(library.rglob("*.py")):
        if _LEFT_OUT.isdisjoint(path.relative_to(library).parts):
            yield path.read_text(encoding="utf-8", errors="replace")


def _docstrings(source: str) -> Iterable[str]:
    nodes = (node for node in ast.walk(ast.parse(source)) if isinstance(node, _DOCUMENTED))
    return filter(None, map(ast.get_docstring, nodes))


def main() -> None:
    """Write the list beside this module."""
    ids = ranked()
    heading = (
        f"# o200k token ids, most useful first: python -m gptoss.tokenizer.rank, Python {platform.python_version()}, "
        f"{get_encoding('o200k_harmony').name}"
    )
    target = Path(__file__).with_name(RANKED_FILE)
    target.write_text("\n".join([heading, *map(str, ids)]) + "\n", encoding="ascii")
    print(f"{target.name}: {len(ids):,} ids, {len(sample_tokens()):,} distinct tokens in {len(RANKED)} samples")


if __name__ == "__main__":
    main()
