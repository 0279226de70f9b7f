"""Train a model from the command line.

    python -m gptoss.training --contestant study --steps 300 --out runs/classroom
    torchrun --nproc-per-node 2 -m gptoss.training --device cuda --parallel ddp --out runs/two

The directory gets the model (safetensors, experts in MXFP4), its history, and the state from which `--resume` goes on. The
state is also written every few minutes, and when Ctrl-C or SIGTERM ends the run, so that nothing is lost.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from gptoss import strict_json
from gptoss.checkpoint import CheckpointError
from gptoss.config import PRESETS
from gptoss.cost import count_parameters
from gptoss.tokenizer import compact_vocabulary
from gptoss.training.beginning import begin_from
from gptoss.training.contestants import STUDY, Contestant, contestants
from gptoss.training.corpus import LARGEST_TEXT, OWN, Batch, Corpus, Mixture, read_own_text
from gptoss.training.distributed import WAYS, World, spread, world
from gptoss.training.evaluation import Evaluation, evaluate
from gptoss.training.given import require_file, require_memory, require_workers
from gptoss.training.recipe import Recipe
from gptoss.training.recording import Probe, Recording
from gptoss.training.run_directory import RECORDING, RunDirectory
from gptoss.training.storage import (
    HISTORY,
    STATE,
    history,
    load_model,
    resume,
    save_model,
    state_bytes,
    write_evaluation,
)
from gptoss.training.stories.corpus import StoryCorpus
from gptoss.training.stories.prompts import STORY
from gptoss.training.trainer import Diverged, Trainer
from gptoss.training.unrepeat import TEXTS, unrepeat

BYTES_A_PARAMETER = 26  # a state of three float32, twice while one takes the other's place, and the model in bfloat16
MOST_DOCUMENTS = 100_000  # of a domain in an evaluation
CARD_DOCUMENTS = 256  # of each domain, on which the written model is measured


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m gptoss.training", description="Train a GPT-OSS or GPT-2 model.")
    parser.add_argument("--preset", choices=PRESETS, default="classroom", help="the model under study")
    parser.add_argument("--contestant", default=STUDY, help="it, or it with one thing changed (a wrong name lists all)")
    parser.add_argument("--mixture", help='shares by domain, such as "prose=1,recall=2"')
    parser.add_argument("--text", type=Path, help="a UTF-8 file to train on instead")
    parser.add_argument("--stories", type=Path, help="a corpus of `python -m gptoss.training.stories` to train on instead")
    parser.add_argument("--out", type=_place, required=True, help="directory for model, history and state")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--parallel", choices=WAYS, default="ddp", help="how several processes share the work")
    parser.add_argument("--workers", type=_count, default=0, help="processes that prepare documents ahead")
    parser.add_argument("--documents", type=_above_zero, default=64, help="validation documents of each domain")
    parser.add_argument("--record", action="store_true", help="keep attention, routing and samples of every evaluation")
    parser.add_argument("--resume", action="store_true", help="go on from the state in the directory")
    parser.add_argument("--overwrite", action="store_true", help="replace the run that is in the directory")
    parser.add_argument("--save-every", type=_minutes, default=3.0, metavar="MINUTES", help="for --resume (default 3)")
    parser.add_argument("--compiled", action="store_true", help="attention and experts in kernels that torch compiles, on "
                        "a GPU two to three times quicker for small experts")
    parser.add_argument("--unrepeat", type=_count, default=0, metavar="ROUNDS", help="rounds after the last step, in which "
                        "a model of --stories unlearns to repeat itself")
    parser.add_argument("--texts", type=_above_zero, default=TEXTS, help=f"that it writes in each of them (default {TEXTS})")
    parser.add_argument("--begin-from", type=Path, metavar="DIRECTORY", help="a trained model to begin at instead of random "
                        "weights; what the contestant has not of it, sinks or windows, is taken out")
    parser.add_argument("--stop-after", type=_count, help="stop after so many steps of the recipe, to be resumed")
    for field in dataclasses.fields(Recipe):
        parser.add_argument(f"--{field.name.replace('_', '-')}", type=type(field.default), default=field.default,
                            help=f"(default {field.default})")
    return parser


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number of 0 or more")
    return int(text)


def _above_zero(text: str) -> int:
    if not 1 <= _count(text) <= MOST_DOCUMENTS:
        raise argparse.ArgumentTypeError(f"{text} is impossible; allowed: 1 to {MOST_DOCUMENTS:,}")
    return int(text)


def _place(text: str) -> Path:
    if not text:  # which `Path` takes for the folder that one is in
        raise argparse.ArgumentTypeError("it names no directory")
    return Path(text)


def _minutes(text: str) -> float:
    try:
        minutes = float(text)
    except ValueError:
        minutes = -1
    if not minutes >= 0:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of minutes")
    return minutes


class _Batches(Dataset):
    """The corpus's batches by step, for torch's loader to prepare ahead."""

    def __init__(self, corpus: Corpus | StoryCorpus, recipe: Recipe, first: int):
        self.corpus, self.recipe, self.first = corpus, recipe, first

    def __len__(self) -> int:
        return self.recipe.steps - self.first

    def __getitem__(self, number: int) -> Batch:
        return self.corpus.batch(self.first + number, self.recipe.batch)


def batches(trainer: Trainer, workers: int) -> Iterator[Batch]:
    """The documents of every step that is left."""
    ahead = {"num_workers": workers, "prefetch_factor": 8, "worker_init_fn": _leave_ctrl_c} if workers else {}
    return iter(DataLoader(_Batches(trainer.corpus, trainer.recipe, trainer.at), batch_size=None, **ahead))


def _leave_ctrl_c(worker: int) -> None:
    """Ctrl-C reaches every process of a terminal: workers leave it to the trainer to stop."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def make_corpus(options: argparse.Namespace, vocabulary_size: int) -> Corpus | StoryCorpus:
    """What the options ask for. Raises `ValueError` where the model has not as many tokens as the corpus, or no text is so
    long."""
    if options.stories:
        require_file(options.stories, "--stories")
        stories = StoryCorpus.read(options.stories, options.length, options.seed)
        if stories.vocabulary.size != vocabulary_size:
            raise ValueError(f"the corpus has {stories.vocabulary.size:,} tokens, the model {vocabulary_size:,}")
        return stories
    shares, text = Mixture().shares, ""
    if options.text:
        require_file(options.text, "--text", LARGEST_TEXT)
        text, shares = read_own_text(options.text.read_bytes()), ((OWN, 1.0),)
    elif options.mixture is not None:
        shares = _shares(options.mixture)
    corpus = Corpus(compact_vocabulary(vocabulary_size), Mixture(shares), options.length, text, options.seed)
    corpus.require_texts()
    return corpus


def _shares(text: str) -> tuple[tuple[str, float], ...]:
    """`--mixture`. Raises `ValueError`."""
    shares = []
    for part in text.split(","):
        domain, _, share = part.partition("=")
        try:
            shares.append((domain.strip(), float(share)))
        except ValueError:
            raise ValueError(f"--mixture {text!r}: {share!r} is no number; write it as prose=1,recall=2") from None
        if shares[-1][0] == OWN:
            raise ValueError(f"--mixture {text!r}: {OWN!r} is a text of one's own, which --text trains on alone")
    return tuple(shares)


def run(options: argparse.Namespace, here: World) -> None:
    """Train, and write what came of it. Raises `ValueError` or `CheckpointError` for what cannot be done."""
    everyone = contestants(PRESETS[options.preset])
    if options.contestant not in everyone:
        raise ValueError(f"contestant={options.contestant!r} is unknown; allowed: {', '.join(everyone)}")
    contestant = everyone[options.contestant]
    recipe = Recipe(**{field.name: getattr(options, field.name) for field in dataclasses.fields(Recipe)})
    recipe = recipe if contestant.balanced else recipe.replace(balance=0.0)
    _require_possible(options, contestant, recipe, here)
    corpus = make_corpus(options, contestant.config.vocab_size)
    model = contestant.build(recipe.seed, str(here.device))
    begun_from = begin_from(model, options.begin_from) if options.begin_from else ""
    if options.compiled:
        from gptoss.training.compiled import compile_parts  # brings torch's compiler along, which is slow to import

        compile_parts(model)
    trainer = Trainer(model, corpus, recipe, spread(model, options.parallel, here), here.rank, here.size, here.mean)
    trainer.begun_from = begun_from
    run_directory = RunDirectory(options.out)
    if here.rank == 0:
        run_directory.prepare(options.resume, options.overwrite, BYTES_A_PARAMETER * count_parameters(model.config).total)
    if options.resume:
        _go_on(trainer, run_directory)
    recording = _recording(options, trainer, run_directory) if options.record else None
    with tqdm(total=recipe.steps, initial=trainer.at, disable=here.rank > 0) as bar, asked_to_stop() as stop:
        save = partial(_save_state, trainer, here, recording, run_directory)
        stopped = follow(trainer, options, here, recording, bar, stop, save)
    save()
    if stop.signal:
        raise Interrupted(stop.signal, trainer, run_directory)
    rounds = []
    if options.unrepeat and not stopped:
        in_turn = tqdm(unrepeat(trainer, STORY, options.unrepeat, options.texts), total=options.unrepeat)
        rounds = [dataclasses.asdict(one) for one in in_turn]
    weights = trainer.weights()
    if here.rank == 0:
        save_model(options.out, contestant, weights, corpus.vocabulary)
        reloaded = evaluate(load_model(options.out, device=str(here.device)), corpus.validation(CARD_DOCUMENTS), here.device)
        record = run_record(trainer, contestant.name, stopped, reloaded, rounds)
        run_directory.write(HISTORY, (strict_json.write(gone_on(record, options)) + "\n").encode())
    if stopped:
        raise ValueError(stopped)


def _require_possible(options: argparse.Namespace, contestant: Contestant, recipe: Recipe, here: World) -> None:
    """Raise `ValueError` before a document is drawn where the machine has not what the options ask for."""
    if options.unrepeat and (not options.stories or here.size > 1):
        raise ValueError(f"--unrepeat {options.unrepeat} needs --stories, and one process")
    require_workers(options.workers)
    alone = here.size == 1 and here.device.type == "cpu"
    if alone and recipe.precision == "float32" and not options.compiled and options.stop_after != 0:
        require_memory(contestant.config, recipe)  # whose closed forms say too much of other ways to take a step


@dataclasses.dataclass
class Stop:
    """Which signal asked the run to stop, if one did."""

    signal: int = 0


class Interrupted(Exception):
    """The run was asked to stop, and can be gone on with."""

    def __init__(self, number: int, trainer: Trainer, run_directory: RunDirectory):
        super().__init__(f"Stopped by {signal.Signals(number).name} after {trainer.at} of {trainer.recipe.steps} steps. "
                         f"{run_directory.path / STATE} holds all of it: the same command with --resume goes on.")
        self.number = number


@contextmanager
def asked_to_stop() -> Iterator[Stop]:
    """Take Ctrl-C and SIGTERM as a wish to stop after the step that is running. A second one ends the program at once."""
    stop = Stop()

    def note(number: int, frame: object) -> None:
        if stop.signal:
            raise KeyboardInterrupt
        stop.signal = number

    if threading.current_thread() is not threading.main_thread():  # Python lets no other thread listen to signals
        yield stop
        return
    before = {number: signal.signal(number, note) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _go_on(trainer: Trainer, run_directory: RunDirectory) -> None:
    try:
        resume(trainer, run_directory.read_state())
    except ValueError as problem:
        raise ValueError(f"--resume: {run_directory.path / STATE}: {problem}") from None


def _recording(options: argparse.Namespace, trainer: Trainer, run_directory: RunDirectory) -> Recording:
    """A new one, or the one that a resumed run began, without moments that its state does not know of."""
    begun = run_directory.path / RECORDING
    if not (options.resume and begun.exists()):
        return Recording(Probe.of(trainer.corpus))
    try:
        recording = Recording.from_bytes(begun.read_bytes())
    except ValueError as problem:
        raise ValueError(f"--resume: {begun}: {problem}") from None
    recording.keep_until(trainer.evaluations)
    return recording


def _save_state(trainer: Trainer, here: World, recording: Recording | None, run_directory: RunDirectory) -> None:
    """Write all that `--resume` needs. The recording first: one that is ahead of its state is cut back to it."""
    state = state_bytes(trainer)  # all processes together
    if here.rank == 0:
        if recording:
            run_directory.write(RECORDING, recording.to_bytes())
        run_directory.write(STATE, state)


def follow(trainer: Trainer, options: argparse.Namespace, here: World, recording: Recording | None, bar: tqdm,
           stop: Stop, save: Callable[[], None]) -> str:
    """Run the recipe to its end, or to where it is to stop, and `save` now and then; why it could not go on, or nothing."""
    until = trainer.recipe.steps if options.stop_after is None else min(trainer.recipe.steps, options.stop_after)
    ready = batches(trainer, options.workers)
    saved = time.monotonic()
    try:
        while True:
            if trainer.evaluation_due:
                result = trainer.evaluate(options.documents)
                bar.set_postfix_str(", ".join(f"{domain} {loss:.2f}" for domain, loss in result.losses.items()))
                if recording:
                    recording.add(trainer.at, trainer.model)
            stop.signal = here.largest(stop.signal)
            if trainer.at >= until or stop.signal:
                return ""
            trainer.train(next(ready))
            bar.update()
            if here.largest(time.monotonic() - saved >= 60 * options.save_every):
                save()
                saved = time.monotonic()
    except Diverged as reason:
        return str(reason)


def run_record(trainer: Trainer, name: str, stopped: str, reloaded: Evaluation, rounds: list[dict]) -> dict:
    """The run as JSON has it: what was trained on what, every tenth step, every evaluation, and the file's own."""
    corpus = trainer.corpus
    data = {"shares": corpus.shares, "fingerprint": corpus.fingerprint(), "python": platform.python_version(),
            "floors": corpus.floors(CARD_DOCUMENTS)}
    seconds = sum(step.seconds for step in trainer.steps)
    record = {"contestant": name, "torch": torch.__version__, "device": _device(trainer.model.device), "stopped": stopped,
              "seconds": round(seconds, 1), "corpus": data, "reloaded": write_evaluation(reloaded)}
    record |= history(trainer, every=10) | ({"unrepeat": rounds} if rounds else {})
    return record | ({"begun_from": trainer.begun_from} if trainer.begun_from else {})


def gone_on(record: dict, options: argparse.Namespace) -> dict:
    """A run's record; of one that took no step, and had only rounds, within that of the run whose weights it began at.

    What it measured of its file takes the place of what was measured before.
    """
    alone = "unrepeat" in record and not record["at"] and options.begin_from
    if not alone or not (options.begin_from / HISTORY).exists():
        return record
    before = json.loads((options.begin_from / HISTORY).read_text(encoding="utf-8"))
    if before["contestant"] != record["contestant"]:
        return record
    own = {name: value for name, value in record.items() if name not in ("reloaded", "steps")} | {"texts": options.texts}
    return before | {"reloaded": record["reloaded"], "then": [*before.get("then", []), own]}


def _device(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"


def main() -> None:
    options = parser().parse_args()
    torch.set_float32_matmul_precision("high")  # TF32, where a GPU has it
    try:
        with world(options.device) as here:
            run(options, here)
    except Interrupted as interruption:
        print(interruption, file=sys.stderr)
        sys.exit(128 + interruption.number)  # as shells report the end by a signal
    except (ValueError, CheckpointError, OSError) as problem:
        sys.exit(str(problem))
    except (MemoryError, RuntimeError) as problem:
        if not out_of_memory(problem):
            raise
        sys.exit(f"--batch {options.batch} --length {options.length}: the run needs more memory than there is; a smaller "
                 "batch, a shorter length or more --accumulation takes less")


def out_of_memory(problem: Exception) -> bool:
    """Whether memory was refused, by NumPy, by a GPU or by torch on the CPU, which says so only in words."""
    return isinstance(problem, MemoryError | torch.OutOfMemoryError) or "allocate memory" in str(problem)


if __name__ == "__main__":
    main()
