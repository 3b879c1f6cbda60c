"""Semantic, instance and panoptic scores, and the evaluation report."""
