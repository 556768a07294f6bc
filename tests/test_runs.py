"""Run folders: whole or not at all, never overwritten, nothing left behind by a failure."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archsearch import runs
from archsearch.errors import UserError
from archsearch.files import write_atomically
from archsearch.runs import check_name, check_output, create_run, default_name

FILES = {"architecture.json": "{}\n", "model.py": b"import torch\n"}


def everything(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def test_a_run_holds_its_files(tmp_path: Path) -> None:
    path = create_run(tmp_path / "runs", FILES, name="first")
    assert path == tmp_path / "runs" / "first"
    assert (path / "architecture.json").read_text() == "{}\n"
    assert (path / "model.py").read_bytes() == b"import torch\n"
    assert everything(tmp_path) == [
        "runs", "runs/first", "runs/first/architecture.json", "runs/first/model.py",
    ]  # fmt: skip


def test_permissions_are_those_of_any_new_folder(tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    path = create_run(tmp_path, FILES)
    assert path.stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_default_names_are_numbered(tmp_path: Path) -> None:
    names = [create_run(tmp_path, FILES, default="mobile-5M").name for _ in range(3)]
    assert names == ["mobile-5M", "mobile-5M-2", "mobile-5M-3"]


def test_an_existing_run_is_never_overwritten(tmp_path: Path) -> None:
    first = create_run(tmp_path, {"a": "1"}, name="mine")
    before = everything(tmp_path)
    with pytest.raises(UserError, match="--name mine: .* exists; choose another name or delete it"):
        create_run(tmp_path, {"a": "2"}, name="mine")
    assert everything(tmp_path) == before
    assert (first / "a").read_text() == "1"


def test_not_even_one_made_between_check_and_rename(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = os.rename

    def slow(source: Path, target: Path) -> None:
        if not target.exists():
            target.mkdir()
            (target / "theirs").write_text("theirs")
        rename(source, target)

    monkeypatch.setattr(runs.os, "rename", slow)
    with pytest.raises(UserError, match="exists"):
        create_run(tmp_path, FILES, name="mine")
    assert everything(tmp_path) == ["mine", "mine/theirs"]


def test_not_even_an_empty_folder_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    assert create_run(tmp_path, FILES, default="mine").name == "mine-2"
    assert everything(tmp_path / "mine") == []


def test_many_at_once_all_get_a_folder_of_their_own(tmp_path: Path) -> None:
    made: list[Path] = []
    threads = [
        threading.Thread(target=lambda: made.append(create_run(tmp_path, FILES))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(made)) == 8
    assert all(sorted(p.name for p in path.iterdir()) == sorted(FILES) for path in made)


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()]
)
@pytest.mark.parametrize("at", [1, 2, 3])
@pytest.mark.parametrize("call", ["fsync", "rename"])
def test_a_failure_at_any_step_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, at: int, call: str
) -> None:
    original, calls = getattr(os, call), 0

    def failing(*args: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == at or call == "rename":
            raise error
        return original(*args)

    monkeypatch.setattr(os, call, failing)
    if call == "fsync" and at > len(FILES):
        create_run(tmp_path / "new" / "runs", FILES)
        return
    with pytest.raises((UserError, KeyboardInterrupt)) as caught:
        create_run(tmp_path / "new" / "runs", FILES)
    assert everything(tmp_path) == []
    if isinstance(error, OSError):
        text = str(caught.value)
        assert "No space left on device" in text and "free some space" in text
        assert "\n" not in text


def test_a_failure_keeps_the_runs_that_were_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_run(tmp_path, FILES, name="old")
    before = everything(tmp_path)

    def failing(*args: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(UserError, match="Input/output error"):
        create_run(tmp_path, FILES)
    assert everything(tmp_path) == before


@pytest.mark.parametrize(
    "name", ["", ".hidden", "-dash", "a/b", "..", "a b", "a\nb", "x" * 101, "naïve", "nul\0"]
)
def test_names_that_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match="--name"):
        create_run(tmp_path, FILES, name=name)
    assert everything(tmp_path) == []


@given(st.lists(st.text(max_size=40), max_size=4))
def test_default_names_are_allowed_whatever_they_are_made_of(words: list[str]) -> None:
    check_name(default_name(*words))


def test_an_output_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "file", tmp_path / "file" / "runs"):
        with pytest.raises(UserError, match="is not a folder"):
            check_output(place)
    with pytest.raises(UserError, match="not a path"):
        check_output(tmp_path / ("x" * 300))


def test_an_output_nobody_may_write_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda *_: False)  # the tests may run as root
    with pytest.raises(UserError, match="Permission denied"):
        create_run(tmp_path / "runs", FILES)
    assert everything(tmp_path) == []


def test_a_dangling_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "mine").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UserError, match="exists"):
        create_run(tmp_path, FILES, name="mine")
    assert create_run(tmp_path, FILES, default="mine").name == "mine-2"


def test_one_file_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "file"
    write_atomically(target, "old")
    write_atomically(target, "new")

    def failing(*args: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", failing)
    with pytest.raises(OSError, match="No space"):
        write_atomically(target, "newer")
    assert target.read_text() == "new"
    assert everything(tmp_path) == ["file"]
