"""The house: doors open one way, every page has one folder, and no file knows the machine it was written on."""

import ast
import re
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

from gptoss.app.book import ALL_PAGES

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted([*ROOT.glob("gptoss/**/*.py"), *ROOT.glob("pages/**/*.py"), ROOT / "app.py"])

# Each room may import from its own floor and from those below it.
FLOORS = (("units", "timing", "strict_json", "syntax", "ipynb", "config", "ladder", "notation"), ("checkpoint",), ("model",),
          ("charts", "training", "trace", "cost", "tokenizer", "take_home", "exercises", "room",
           "record", "replay"), ("app",), ("lessons",),
          ("claims",), ("pages", "router"))
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}

# What may be in a page's folder, and which rooms beside its own parts each file may ask. The order is that of the
# doors: a part may import those before it.
PARTS = {
    "measure": {"units", "timing", "config", "ladder", "checkpoint", "model", "training", "trace", "cost", "tokenizer"},
    "charts": {"units", "config", "ladder", "charts", "cost", "tokenizer", "training"},
    "claims": {"units", "timing", "config", "ladder", "checkpoint", "model", "training", "trace", "cost", "tokenizer",
               "app"},
    "accounts": {"units", "config", "charts", "cost"},
    "notebook": {"units", "config", "ladder", "model", "training", "trace", "cost", "tokenizer", "charts", "take_home"},
    "controls": set(FLOOR_OF) - {"claims", "pages", "router", "lessons"},
}
MAY_ASK = {"measure": {"measure"}, "charts": {"charts"}, "claims": {"measure", "claims"},
           "accounts": {"charts", "accounts"}, "notebook": {"measure", "charts", "accounts"},
           "controls": {"measure", "charts", "accounts", "claims", "controls"}}


def name_of(path):
    """The module's name: `gptoss.app.study`."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in SOURCES}


def room_of(module):
    parts = module.split(".")
    return {"app": "router"}.get(parts[0], parts[0]) if parts[0] != "gptoss" else parts[1] if len(parts) > 1 else "gptoss"


def imported_modules(tree):
    """Every module imported anywhere below `tree`; `from a import b` may mean the module a.b, so both are named."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"line {node.lineno}: imports here are absolute"
            for name in node.names:
                whole = f"{node.module}.{name.name}"
                yield whole if whole in MODULES else node.module


@cache
def imports_of(module):
    return frozenset(imported_modules(ast.parse(MODULES[module].read_text(encoding="utf-8"))))


def ours(module):
    return {other for other in imports_of(module) if other in MODULES}


def rooms_entered(module):
    """The rooms that a module imports from; names of `gptoss` itself come from its config or its model."""
    return {"model" if room == "gptoss" else room for room in map(room_of, ours(module))}


@cache
def reached(module):
    """All modules of ours that are loaded with this one, packages' own files included."""
    waiting, loaded = [module], set()
    while waiting:
        for other in ours(waiting.pop()) - loaded:
            loaded.add(other)
            waiting.append(other)
    return loaded


def among(modules):
    """Which of some modules each of them imports."""
    return {module: ours(module) & modules - {module} for module in modules}


def floors(doors):
    """How many floors there are below doors from names to others: the longest way down. In a circle it never ends."""
    count = 0
    while doors:
        leaves = {name for name, others in doors.items() if not others & doors.keys()}
        assert leaves, f"these import each other: {sorted(doors)}"
        doors = {name: others for name, others in doors.items() if name not in leaves}
        count += 1
    return count


def loads(statement, *modules):
    """Which of `modules` are loaded after a fresh Python has run `statement`."""
    script = f"{statement}\nimport sys\nprint(*(name for name in {modules!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def lessons():
    """Every file of a page's folder: its module, the page and the part that it is."""
    for module in MODULES:
        parts = module.split(".")
        if parts[:2] == ["gptoss", "lessons"] and len(parts) > 3:
            yield module, parts[2], parts[3]


def test_there_is_something_to_look_at():
    assert {"config", "model", "checkpoint", "cost", "tokenizer", "trace", "app", "lessons"} <= set(map(room_of, MODULES))


def test_doors_open_one_way():
    for module in MODULES.keys() - {"gptoss"}:
        for entered in rooms_entered(module) - {room_of(module)}:
            assert FLOOR_OF[entered] <= FLOOR_OF[room_of(module)], f"{module} may not import {entered}"


def test_no_file_imports_itself_by_way_of_others():
    assert floors(among(MODULES.keys() - {"gptoss"}))


def test_below_the_pages_are_at_most_eight_floors_of_rooms_and_no_circle():
    doors = {}
    for module in MODULES.keys() - {"gptoss"}:
        doors.setdefault(room_of(module), set()).update(rooms_entered(module) - {room_of(module)})
    below = doors.keys() - {"pages", "router"}
    assert floors(doors) and floors({room: doors[room] & below for room in below}) <= 8


def test_the_frame_and_the_folders_of_pages_have_few_floors():
    assert floors(among({module for module in MODULES if room_of(module) == "app"})) <= 8
    for page in ALL_PAGES:
        assert floors(among({module for module, folder, _ in lessons() if folder == page.path})) <= 4, page.path


def test_a_folder_belongs_to_a_page():
    folders = {path.name for path in (ROOT / "gptoss/lessons").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert folders <= {page.path for page in ALL_PAGES}


@pytest.mark.parametrize("page", [page.path for page in ALL_PAGES])
def test_a_page_is_found_by_its_address(page):
    assert (ROOT / f"pages/{page}.py").is_file()
    parts = {part for _, folder, part in lessons() if folder == page}
    assert parts <= set(PARTS), f"{page} has files under other names: {sorted(parts - set(PARTS))}"


def test_parts_of_a_page_ask_only_their_own_page_and_the_rooms_below():
    for module, page, part in lessons():
        for other in ours(module):
            if room_of(other) != "lessons":
                assert room_of(other) in PARTS[part] | {"gptoss"}, f"{module} may not import {other}"
            elif other != "gptoss.lessons":
                _, _, folder, asked, *_ = other.split(".")
                assert folder == page and asked in MAY_ASK[part], f"{module} may not import {other}"


def test_only_controls_the_frame_pages_and_the_router_import_streamlit():
    for module in MODULES:
        if "streamlit" in {name.split(".")[0] for name in imports_of(module)}:
            controls = room_of(module) == "lessons" and module.split(".")[3] == "controls"
            assert controls or room_of(module) in ("app", "pages", "router"), module


def test_what_is_taken_home_reaches_no_streamlit():
    for module in (module for module, _, part in lessons() if part == "notebook"):
        loaded = {name.split(".")[0] for other in {module, *reached(module)} for name in imports_of(other)}
        assert "streamlit" not in loaded, module


def test_charts_need_no_torch():
    for module in [*(module for module in MODULES if room_of(module) == "charts"),
                   *(module for module, _, part in lessons() if part == "charts")]:
        loaded = {name.split(".")[0] for other in {module, *reached(module)} - {"gptoss"} for name in imports_of(other)}
        assert not loaded & {"torch", "transformers", "streamlit"}, module


def test_costs_need_python_alone():
    """Neither torch nor any other package, so that a page can ask for gpt-oss-120b's as cheaply as for a classroom's."""
    packages = {name.split(".")[0] for module in MODULES if room_of(module) == "cost" for name in imports_of(module)}
    assert packages - {"gptoss"} <= sys.stdlib_module_names


def test_what_a_server_parses_it_parses_by_one_thread_at_a_time():
    """`gptoss.syntax` says why. A command and a notebook have one thread."""
    alone = {ROOT / "gptoss" / part for part in ("syntax.py", "tokenizer/rank.py", "claims/notebook.py")}
    parses = re.compile(r"ast\.parse\(|inspect\.getsource\(")
    assert {source for source in SOURCES if parses.search(source.read_text(encoding="utf-8"))} == alone


def test_the_app_runs_no_code_of_a_visitors():
    """Neither what runs a learner's functions, nor, where exercises are shown, anything else that makes code of text."""
    runs = {f"gptoss.exercises.{name}" for name in ("check", "learner", "assembled", "together", "__main__")}
    assert runs <= MODULES.keys()
    loaded = {module for top in MODULES if room_of(top) in ("pages", "router") for module in (top, *reached(top))}
    shown = {module for module in loaded if "exercises" in module}
    assert "gptoss.exercises.catalogue" in shown and not loaded & runs
    for module in shown:
        tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
        called = {node.func.id for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
        assert not called & {"exec", "eval", "compile", "__import__"}, module
        assert not imports_of(module) & {"importlib", "runpy", "subprocess", "code", "os"}, module


@pytest.mark.parametrize("statement", [
    "import gptoss", "from gptoss import PRESETS, ModelConfig", "import gptoss.tokenizer", "import gptoss.cost"])
def test_light_rooms_load_neither_torch_nor_streamlit(statement):
    assert loads(statement, "torch", "streamlit", "gptoss.config") == ["gptoss.config"]


def test_the_model_loads_no_streamlit_and_no_transformers():
    assert loads("from gptoss import Transformer, RotaryEmbedding", "streamlit", "transformers", "torch") == ["torch"]


def test_gptoss_exports_what_it_names():
    import gptoss

    for name in gptoss.__all__:
        assert getattr(gptoss, name).__name__ == name if not name.endswith("PRESETS") else getattr(gptoss, name)
    with pytest.raises(AttributeError, match="gptoss.*has no attribute 'Nothing'"):
        _ = gptoss.Nothing


def files_of_the_repository():
    """Everything that git knows or would take in."""
    listed = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT,
                            capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("this is no git checkout")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def test_no_file_names_a_machine_or_a_package_registry():
    # Put together from parts, so that this file passes its own test.
    machine = r"(?<![\w.:/>-])/(?:" + "|".join(("work", "home", "root", "Users", "tmp", "mnt")) + r")/\w"
    registry = "|".join(("pypi" + r"\.org", "python" + "hosted", "npm" + r"js\.org"))
    places = []
    for path in files_of_the_repository():
        content = path.read_bytes()
        if b"\0" in content:
            continue
        for number, line in enumerate(content.decode("utf-8", errors="replace").splitlines(), 1):
            if re.search(f"{machine}|{registry}", line):
                places.append(f"{path.relative_to(ROOT)}:{number}")
    assert not places


def test_a_model_is_made_without_torchs_compiler():
    """It and its algebra take 40 MB and a second of whoever only runs the model."""
    run = ("import torch\nfrom gptoss.config import ModelConfig\nfrom gptoss.model import Transformer\n"
           "Transformer(ModelConfig.preset('classroom'))(torch.zeros(1, 2, dtype=torch.long))")
    assert not loads(run, "sympy", "torch._dynamo", "torch._inductor")


def test_a_model_is_trained_without_torchs_compiler():
    """It would take 70 MB of a server from its first run on, and two seconds before that run begins."""
    run = ("from gptoss.config import ModelConfig\n"
           "from gptoss.training.contest import Contest, Plan\nfrom gptoss.training.contestants import contestants\n"
           "from gptoss.training.recipe import Recipe\nfrom gptoss.training.corpus import Mixture\n"
           "from gptoss.lessons.training.measure import interrupted\n"
           "recipe = Recipe(steps=2, batch=2, length=8, warmup=1)\n"
           "models = (contestants(ModelConfig.preset('classroom'))[name] for name in ('study', 'gpt2'))\n"
           "plan = Plan(tuple(models), recipe, Mixture.of({'recall': 1}))\ncontest = Contest(plan, plan.corpus())\n"
           "while not contest.done:\n    contest.step()\n"
           "interrupted(8, 2)")
    assert not loads(run, "sympy", "torch._dynamo", "torch._inductor")
