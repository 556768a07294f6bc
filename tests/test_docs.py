"""What the documentation shows, works: Python blocks run, commands are ones the parser accepts, and
links lead to files."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from archsearch.cli.commands import COMMANDS, command_module, run

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", ROOT / "benchmarks/README.md", *ROOT.glob("docs/*.md")])
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def blocks(page: Path, *languages: str) -> list[str]:
    """Fenced blocks of a page in these languages."""
    return [body for language, body in BLOCK.findall(page.read_text()) if language in languages]


def commands() -> list[str]:
    """Every line of a shell block that calls archsearch, comments and prompts removed."""
    found = []
    for page in PAGES:
        for body in blocks(page, "sh", "bash"):
            lines = body.replace("\\\n", " ").splitlines()
            words = [line.partition("&& archsearch ")[2] or line for line in lines]
            found += [
                line.removeprefix("archsearch ").strip()
                for line, whole in zip(words, lines, strict=True)
                if line.startswith("archsearch ") or "&& archsearch " in whole
            ]
    return sorted(set(found))


def pages_with_python() -> list[Path]:
    return [page for page in PAGES if page.parent.name == "docs" and blocks(page, "python")]


@pytest.mark.parametrize("page", pages_with_python(), ids=lambda page: page.name)
def test_python_blocks_run(page: Path, tmp_path: Path) -> None:
    """The blocks of a page are one program, run in a folder of its own."""
    program = tmp_path / "page.py"
    program.write_text("\n".join(blocks(page, "python")))
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, str(program)],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def test_python_blocks_of_the_readme_are_python() -> None:
    for body in blocks(ROOT / "README.md", "python"):
        compile(body, "README.md", "exec")


@pytest.mark.parametrize("line", commands())
def test_commands_are_understood(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parsed as the command line would, and not run."""
    words = shlex.split(line, comments=True)
    assert words[0] in COMMANDS
    seen = []
    module = command_module(words[0])
    monkeypatch.setattr(module, "run", lambda args: seen.append(args) or 0)
    assert run(words) == 0
    assert len(seen) == 1


def test_some_commands_were_found() -> None:
    assert {line.partition(" ")[0] for line in commands()} == set(COMMANDS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_to_files(page: Path) -> None:
    broken = [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert not broken
