"""``python -m napari_coseg``: the program, for launchers that want a module."""

from napari_coseg.cli.main import main

if __name__ == "__main__":
    main()
