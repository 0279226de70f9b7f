"""A server that nobody has opened yet: everything is imported before the first session comes."""

import subprocess
import sys

import pytest
from nightly import NIGHTLY

from tests.benchmarks.servers import ROOT
from tests.load import cold

# What a page's first import could still have to import, once the server has imported `app`: only pages' own scripts.
LATE = """
import sys
import app
before = set(sys.modules)
import ast, pathlib
for path in [*pathlib.Path('pages').glob('*.py'), pathlib.Path('app.py')]:
    imports = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, (ast.Import, ast.ImportFrom))]
    exec(compile(ast.Module(imports, []), path, 'exec'), {})
print(sorted(name for name in set(sys.modules) - before))
"""


def test_pages_find_every_module_imported():
    """No session imports, so that no two can meet in a module half made."""
    done = subprocess.run([sys.executable, "-c", LATE], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.stdout.splitlines()[-1:] == ["[]"], done.stdout + done.stderr[-2000:]


@pytest.mark.skipif(not NIGHTLY, reason="a minute and a half: NIGHTLY=1")
def test_a_whole_class_meets_a_cold_server_without_an_error():
    for _ in range(3):
        errors, _ = cold.round_of(100)
        assert errors == []
