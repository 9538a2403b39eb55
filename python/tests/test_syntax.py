"""The package's syntax: that of the oldest Python that it promises."""

import ast
import pathlib

import pytest

PACKAGE = pathlib.Path(__file__).parent.parent / "ferrolab"
OLDEST = (3, 8)


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_syntax(path):
    ast.parse(path.read_text(encoding="utf-8"), str(path), feature_version=OLDEST)
