"""Interactive medical segmentation in napari: Co-Seg++ and SyncSAM."""

__version__ = "0.1.0"
