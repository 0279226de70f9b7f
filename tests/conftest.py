"""Settings of the whole test set."""

from functools import cache
from unittest.mock import MagicMock

import torch
from hypothesis import settings
from nightly import EXAMPLES, NIGHTLY
from streamlit.components.v2 import manifest_scanner
from streamlit.runtime.scriptrunner import script_runner
from streamlit.runtime.scriptrunner.script_cache import ScriptCache
from streamlit.testing.v1 import app_test, local_script_runner

torch.set_num_threads(1)  # the models are tiny: a second thread costs more than it gives

# Every new AppTest reads the metadata of all installed packages, to see whether one brings a component. That takes 0.1 s,
# twice as long as most pages, and never changes.
manifest_scanner.scan_component_manifests = cache(manifest_scanner.scan_component_manifests)

# Every run of an AppTest compiles the router and its page, which a server does once.
app_test.ScriptCache = local_script_runner.ScriptCache = cache(ScriptCache)


@cache
def a_server(spec: type) -> MagicMock:
    """What stands for the server in every AppTest, made once, since that takes as long as a light page.

    Its visitors come from its own machine and without cookies, so that each of them is somebody else.
    """
    server = MagicMock(spec=spec)
    server.get_client.return_value = None
    return server


app_test.MagicMock = a_server


def run_app(main_script: str) -> None:
    """Run the router, as a server does from its second visitor on."""
    exec(local_script_runner.ScriptCache().get_bytecode(main_script), {"__name__": "__main__", "__file__": main_script})


# Before its first `st.navigation` a server runs the page's file, which hands over to the router (`ensure_app`), as would
# every run of an AppTest. `tests/browser/test_first_visit.py` goes that way.
script_runner._mpa_v1 = run_app

# The first example pays for imports and warm-up, so no example has a deadline. By day every run tries the same examples, so
# that a change is judged by what it changed; the night tries new ones.
settings.register_profile("gptoss", deadline=None, max_examples=25, derandomize=not NIGHTLY)
settings.load_profile("gptoss")


def pytest_collection_modifyitems(items):
    """Many examples of every property at night."""
    for test in (item.obj for item in items if NIGHTLY and hasattr(item, "obj")):
        few = getattr(test, "_hypothesis_internal_use_settings", None)
        if few:
            test._hypothesis_internal_use_settings = settings(few, max_examples=EXAMPLES * few.max_examples)
