"""Grey values of the CBCT generator: like a scanner's, or drawn anew for each volume."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

#: What is brighter than metal is cut off there by any scanner.
METAL = 9000.0


@dataclass(frozen=True)
class Intensities:
    """Grey value of each structure, in Hounsfield-like units."""

    air: float
    fat: float
    muscle: float
    pulp: float
    trabecular: float
    cortical: float
    dentine: float
    enamel: float
    composite: float
    metal: float = METAL


def scanner_intensities(rng: np.random.Generator) -> Intensities:
    """Values as on a calibrated scanner, with the spread between people."""
    return Intensities(
        air=-1000.0,
        fat=float(rng.uniform(-120, -80)),
        muscle=float(rng.uniform(35, 75)),
        pulp=float(rng.uniform(40, 160)),
        trabecular=float(rng.uniform(120, 420)),
        cortical=float(rng.uniform(1250, 1600)),
        dentine=float(rng.uniform(1650, 1950)),
        enamel=float(rng.uniform(2500, 2950)),
        composite=float(rng.uniform(2600, 3600)),
    )


def random_intensities(rng: np.random.Generator) -> Intensities:
    """Values drawn for training, with little regard to physics.

    In four of five volumes air is darker than soft tissue, that darker than dentine, and that
    darker than enamel; in the others only air is the darkest and bone differs from soft tissue.

    Notes
    -----
    Billot et al., "SynthSeg: Segmentation of brain MRI scans of any contrast and resolution
    without retraining", Medical Image Analysis 86, 2023, draw all values; a CBCT has an order.
    """
    air = float(rng.uniform(-1000, -600))
    if rng.random() < 0.8:
        muscle, cortical, enamel = (float(v) for v in np.sort(rng.uniform(-500, 3000, 3)))
        muscle = max(muscle, air + 200)
        cortical = max(cortical, muscle + 400)
        dentine = cortical + float(rng.uniform(-0.15, 0.5)) * max(enamel - cortical, 300)
        enamel = max(enamel, dentine + 150, cortical + 300)
    else:
        muscle = float(rng.uniform(air + 150, 1000))
        cortical, dentine, enamel = (float(v) for v in rng.uniform(muscle + 250, 3000, 3))
    return Intensities(
        air=air,
        fat=muscle - float(rng.uniform(0, 200)),
        muscle=muscle,
        pulp=muscle + float(rng.uniform(-50, 200)),
        trabecular=muscle + float(rng.uniform(0.1, 0.6)) * (cortical - muscle),
        cortical=cortical,
        dentine=dentine,
        enamel=enamel,
        composite=float(rng.uniform(cortical, 3600)),
    )
