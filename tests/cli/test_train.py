"""What ``napari-coseg train`` says before it starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from napari_coseg.cli.main import main
from napari_coseg.training import loop


@pytest.mark.parametrize(
    ("text", "words", "said"),
    [
        ("[model]\nname = 'x'\n", (), "model.region_mpp"),
        ("[[[", (), "TOML"),
        ("", ("--set", "run.steps"), "run.steps"),
    ],
)
def test_a_config_that_cannot_be_used(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    text: str,
    words: tuple[str, ...],
    said: str,
) -> None:
    path = tmp_path / "config.toml"
    path.write_text(text)
    with pytest.raises(SystemExit) as left:
        main(["train", str(path), "--out", str(tmp_path / "run"), *words])
    assert left.value.code == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_missing_config_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(["train", str(tmp_path / "no.toml")])
    assert left.value.code == 2
    assert "no.toml" in capsys.readouterr().err


def test_ctrl_c_says_where_the_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(config: Any, folder: Path, *, resume: bool, progress: Any) -> None:
        progress("begin", 3, 9, {})
        progress("train", 5, 9, {"loss": 1.0})
        raise KeyboardInterrupt

    monkeypatch.setattr(loop, "train", stopped)
    config = Path(__file__).parents[2] / "configs" / "coseg-lite-histology.toml"
    with pytest.raises(SystemExit) as left:
        main(["train", str(config), "--out", str(tmp_path / "run")])
    assert left.value.code == 130
    said = capsys.readouterr().err
    assert "stopped after step 5." in said
    assert str(tmp_path / "run") in said
    assert "--resume" in said
