"""Python's own parser, one thread at a time.

Up to Python 3.12 it counts how deep it is in one place for all threads. Where garbage is collected within it, another thread
may run, parse too, and leave a wrong count behind: `SystemError: AST constructor recursion depth mismatch`.
`inspect.getsource` of a class parses, and so does NumPy for the head of every array in a file.
"""

from __future__ import annotations

import ast
import inspect
import threading

PARSER = threading.RLock()  # whoever parses holds it


def parse(source: str) -> ast.Module:
    """The syntax tree of a program. Raises what `ast.parse` raises."""
    with PARSER:
        return ast.parse(source)


def source_of(thing: object) -> str:
    """The program's text of a module, class or function. Raises what `inspect.getsource` raises."""
    with PARSER:
        return inspect.getsource(thing)
