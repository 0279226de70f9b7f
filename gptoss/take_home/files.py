"""The files that a reader takes home: a notebook and a script of the same cells."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from urllib.parse import quote, urlsplit, urlunsplit

from gptoss import ipynb
from gptoss.cost import scale_model
from gptoss.ipynb import NotebookCell
from gptoss.take_home.here import Here, configuration, literal
from gptoss.take_home.recipe import Cell, recipe_of, values_of

REPOSITORY = "GPTOSS_REPOSITORY"  # names the address from which git can clone this repository, if there is one
CHECKPOINT = "checkpoint"
_SEED = "seed "  # what the name of random weights begins with
_NO_SINKS = ', float("-inf")'


def file_name(here: Here) -> str:
    """What the files are called, without their ending: page and preset."""
    return f"{here.path}-{here.preset}"


def notebook(here: Here) -> str:
    """The notebook of a page's state, as JSON."""
    parts = (part for place, cell in enumerate(cells(here)) for part in (
        NotebookCell(f"cell-{place}-words", cell.words), NotebookCell(f"cell-{place}-code", cell.code, is_code=True)))
    return ipynb.written(part for part in parts if part.words)


def script(here: Here) -> str:
    """The same cells as a plain script, in the form that editors and Jupytext read."""
    parts = []
    for cell in cells(here):
        if cell.words:
            parts.append("# %% [markdown]\n" + "\n".join(f"# {line}".rstrip() for line in cell.words.split("\n")))
        if cell.code:
            parts.append(f"# %%\n{cell.code}")
    return "\n\n".join(parts) + "\n"


def cells(here: Here) -> list[Cell]:
    """Everything from the first cell to the last."""
    recipe = recipe_of(here.path)
    given = values_of(here)
    values = {name: given[name] for name in recipe.needs if name in given}
    before = [cell for needed, cell in _set_up(here, {*recipe.needs} - given.keys()) if needed]
    own = [Cell("## What the page's controls say", _assignments(values))] if values else []
    imports = [*_IMPORTS, *recipe.imports, *(["import torch"] if "model" in recipe.needs else [])]
    return [Cell(_introduction(here, recipe.introduction)), _install(), Cell("", "\n".join(_in_order(imports))), *before,
            *own, *recipe.cells, Cell(_farewell(here))]


_IMPORTS = ("from gptoss.config import ModelConfig", "from gptoss.take_home import show")


def _assignments(values: Mapping[str, object]) -> str:
    return "\n".join(f"{name} = {literal(value)}" for name, value in values.items())


def _in_order(imports: list[str]) -> list[str]:
    """Imports by their module, each once, those of other packages first."""
    return sorted({*imports}, key=lambda line: ("gptoss" in line.split()[1], line.split()[1], line))


def _introduction(here: Here, words: str) -> str:
    link = f"\n\n[This state in the app]({_safe(here.address)})" if here.address else ""
    return (f"# {here.title}\n\n{here.teaches}\n\n{words}\n\nThe model under study is {here.name}; {here.in_words} run."
            f"{link}")


def _farewell(here: Here) -> str:
    link = f" [Back to this state in the app]({_safe(here.address)})." if here.address else ""
    return f"---\nChange a number above, run the cells again, and see what moves.{link}"


def _safe(address: str) -> str:
    """An address in which nothing ends a link or a comment, whatever it was."""
    parts = urlsplit(address)
    if parts.scheme not in ("http", "https"):
        return ""
    return urlunsplit((parts.scheme, quote(parts.netloc, safe=":"), quote(parts.path, safe="/%"),
                       quote(parts.query, safe="=&%+"), ""))


def _install() -> Cell:
    """The package: as it is installed, as it lies in the folder, or from the repository's address."""
    address = os.environ.get(REPOSITORY, "")
    if address:
        return Cell("## The package `gptoss`\n\nIt is installed from its repository, unless it is here already.", (
            "import importlib.util\nimport subprocess\nimport sys\n\n"
            'if importlib.util.find_spec("gptoss") is None:\n'
            f"    source = {literal(f'gptoss-dashboard[notebook] @ git+{address}')}\n"
            '    subprocess.run([sys.executable, "-m", "pip", "install", source], check=True)'))
    words = ("## The package `gptoss`\n\nRun this file in the folder of the repository, beside `app.py`. Or install the "
             "package once, with `pip install '.[notebook]'` in that folder, and run this file anywhere.")
    return Cell(words, (
        "import importlib.util\n\n"
        'if importlib.util.find_spec("gptoss") is None:\n'
        '    raise ModuleNotFoundError("Put this file into the folder of the repository, beside app.py.")'))


def _set_up(here: Here, needed: set[str]) -> Iterator[tuple[bool, Cell]]:
    """The cells for the names that every page can ask for, each with whether this page does."""
    runs = bool(needed & {"model", "live", "vocabulary", "ids", "labels", "names"})
    yield bool(needed & {"config"} or runs), Cell(
        f"## The model under study\n\n{here.name}, with every dial as it stands.", f"config = {configuration(here.real)}")
    yield "context" in needed, Cell("", f"context = {here.context}  # tokens, for which is accounted")
    yield runs, Cell("What runs is a scale model: the same architecture with fewer layers and less width."
                     if here.live != here.real else "It is small enough to run as it is.", _live(here))
    yield "model" in needed, _model(here)
    yield bool(needed & {"text", "ids", "labels"}), Cell("## The text", f"text = {literal(here.text)}")
    yield bool(needed & {"vocabulary", "ids", "labels", "names"}), Cell("", _tokens(here, needed))
    yield "seed" in needed, Cell("", f"seed = {here.seed}")


def _live(here: Here) -> str:
    if here.live == here.real:
        return "live = config"
    if here.live == scale_model(here.real):
        return "from gptoss.cost import scale_model\n\nlive = scale_model(config)"
    return f"live = {configuration(here.live)}"


def _model(here: Here) -> Cell:
    """The model with its weights: those that ship, random ones of the same seed, or what has to be there beside this."""
    dtype = f"torch.{here.precision}"
    off = "" if here.sinks else _NO_SINKS
    if here.weights.startswith(_SEED):
        sharing = f".sharing_weights(live{off})" if off else ""
        return Cell(f"Its weights are random, from seed {here.seed}: what it does is chance.", (
            "from gptoss.model import Transformer\n\n"
            f"model = Transformer(live, dtype={dtype}, seed={here.seed}){sharing}.eval().requires_grad_(False)"))
    if here.weights == CHECKPOINT:
        return _own_weights(here, "the checkpoint that the app's server has", 'os.environ.get("GPTOSS_CHECKPOINT", "")',
                            "Set the environment variable GPTOSS_CHECKPOINT to your own copy's folder")
    if here.weights.startswith("run-"):
        return _own_weights(here, "a model that was trained on the app's server", literal(here.weights),
                            f"Download it on the page Training and unpack it into a folder {here.weights}")
    return Cell(f"Its weights ship with the repository: {here.in_words}.", (
        "from gptoss.training.shipped import shipped\n\n"
        f"model = shipped()[{literal(here.weights)}].load({dtype}).sharing_weights(live{off}).eval().requires_grad_(False)"))


def _own_weights(here: Here, what: str, folder: str, how: str) -> Cell:
    """Weights that only the app's server has, from a folder of the reader's, or else random ones."""
    words = (f"In the app it ran with {what}. {how}; without it a scale model with random weights stands in, and the "
             "numbers below are others.")
    off, dtype = "" if here.sinks else _NO_SINKS, f"dtype=torch.{here.precision}"
    return Cell(words, "\n".join((
        "import os", "from pathlib import Path", "", "from gptoss.cost import scale_model",
        "from gptoss.model import Transformer", "",
        f"folder = {folder}",
        "if folder and Path(folder).is_dir():",
        f"    model = Transformer.from_checkpoint(folder, {dtype})",
        "else:",
        "    live = scale_model(live)",
        f"    model = Transformer(live, {dtype}, seed={here.seed})",
        f"model = model.sharing_weights(live{off}).eval().requires_grad_(False)")))


def _tokens(here: Here, needed: set[str]) -> str:
    special = ", special=True" if here.special else ""
    lines = ["from gptoss.training.shipped import vocabulary_of\n",
             f"vocabulary = vocabulary_of({literal(here.preset)}, live.vocab_size)"] if here.own_vocabulary else [
        "from gptoss.tokenizer import compact_vocabulary\n", "vocabulary = compact_vocabulary(live.vocab_size)"]
    if needed & {"ids", "labels"}:
        lines += [f"ids = tuple(vocabulary.encode_prefix(text, {here.most_tokens}{special}).ids)",
                  "labels = tuple(map(vocabulary.label, ids))"]
    if "names" in needed:
        lines.append("names = tuple(map(vocabulary.label, range(vocabulary.size)))")
    return "\n".join(lines)
