"""What ``napari-coseg train`` says before it starts."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_coseg.cli.main import main


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
