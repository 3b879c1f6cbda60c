"""Pixels in and out: images by window, labels, tables, GeoJSON, pictures."""
