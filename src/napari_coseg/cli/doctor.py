"""``napari-coseg doctor``."""

from __future__ import annotations

from typing import Annotated

import typer


def doctor(
    device: Annotated[
        str, typer.Option(help="Where the test runs: auto, cpu, cuda, cuda:1, mps.")
    ] = "auto",
    test: Annotated[
        bool, typer.Option(help="Segment a small picture, and time it; --no-test leaves it out.")
    ] = True,
    window: Annotated[
        bool, typer.Option(help="Ask napari for Qt and OpenGL; --no-window leaves it out.")
    ] = True,
) -> None:
    """Print what a bug report needs, and test that everything works here.

    Versions, machine, device, models with their hashes, napari with Qt and OpenGL, and a timed test
    of the model worker. Leaves with 1 if something does not work. Nothing is sent anywhere.
    """
    from napari_coseg.cli.doctor_facts import (
        machine_facts,
        model_facts,
        napari_facts,
        package_facts,
        without_home,
    )
    from napari_coseg.cli.doctor_test import run_tests

    good = True
    parts = [
        ("Versions", package_facts()),
        ("Machine", machine_facts()),
        ("Models", model_facts()),
    ]
    for title, facts in parts:
        _print(title, [(name, without_home(value)) for name, value in facts])
    if window:
        facts, opened = napari_facts()
        good = good and opened
        _print("napari, Qt, OpenGL", [(name, without_home(value)) for name, value in facts])
    if test:
        print("\nTest")
        for one in run_tests(device):
            good = good and one.passed
            print(f"  {one.name:<28} {without_home(one.told)}", flush=True)
    print("\nLook through it before you send it: it may hold names of folders and models.")
    if not good:
        print("Something does not work here: see the lines with FAILED.")
        raise typer.Exit(1)


def _print(title: str, facts: list[tuple[str, str]]) -> None:
    print(f"\n{title}")
    for name, value in facts:
        print(f"  {name:<28} {value}".rstrip())
