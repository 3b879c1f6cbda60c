"""Boxes, points and masks as tokens: segment-anything's prompt encoder, for mixed batches.

Kirillov et al. 2023, "Segment Anything", section 3. Its own forward takes either boxes or none for
a whole batch; here each object has what it has, and the rest is padding.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from segment_anything.modeling import PromptEncoder
from torch import Tensor, nn

from napari_coseg.models.syncsam.config import SyncSamConfig

#: What a point is.
PADDING, NEGATIVE, POSITIVE = -1, 0, 1
#: What a cell that lies wholly inside of a mask before is given back as; outside, its negative.
MASK_LOGIT = 6.0
_FIRST_CORNER, _LAST_CORNER = 2, 3


def mask_logits(coverage: Tensor) -> Tensor:
    """Return a mask before as `PromptBatch.masks` wants it.

    A network that sees its own logits again has to trust how sure it was; a mask that a person
    has corrected, or another program made, has none. So all of them come as if from one source.

    Parameters
    ----------
    coverage : Tensor, (..., S/4, S/4)
        Share of each cell that the mask covers, 0 to 1.

    Returns
    -------
    Tensor
        `MASK_LOGIT` where it covers all, 0 at a half, ``-MASK_LOGIT`` where it covers nothing.
    """
    return (2.0 * coverage - 1.0) * MASK_LOGIT


@dataclass(frozen=True)
class PromptBatch:
    """Prompts for M objects, in pixels of the square that the network sees.

    Attributes
    ----------
    boxes : Tensor or None
        (M, 4): first row and column, last row and column, the last ones exclusive. A row of NaN
        is an object without a box.
    points : Tensor or None
        (M, N, 2): row and column in pixel centres.
    labels : Tensor or None
        (M, N) of int: `POSITIVE`, `NEGATIVE`, or `PADDING` where an object has fewer points.
    masks : Tensor or None
        (M, S/4, S/4): logits of a mask before. A plane of NaN is an object without one.
    """

    boxes: Tensor | None = None
    points: Tensor | None = None
    labels: Tensor | None = None
    masks: Tensor | None = None

    def __len__(self) -> int:
        """Return how many objects."""
        for known in (self.boxes, self.points, self.masks):
            if known is not None:
                return len(known)
        return 0


class SyncPromptEncoder(nn.Module):
    """segment-anything's prompt encoder; its tensors keep their names."""

    def __init__(self, config: SyncSamConfig) -> None:
        super().__init__()
        grid = (config.grid, config.grid)
        self.side = config.side
        self.sam: Any = PromptEncoder(
            embed_dim=config.embedding,
            image_embedding_size=grid,
            input_image_size=(config.side, config.side),
            mask_in_chans=16,
        )

    def positions(self) -> Tensor:
        """Positional encoding of the image embedding, (1, embedding, S/16, S/16)."""
        dense: Tensor = self.sam.get_dense_pe()
        return dense

    def forward(self, prompts: PromptBatch) -> tuple[Tensor, Tensor]:
        """Encode prompts.

        Returns
        -------
        sparse : Tensor, (M, tokens, embedding)
        dense : Tensor, (M, embedding, S/16, S/16)
            Or (1, embedding, 1, 1), the same everywhere, where no object has a mask before.

        Raises
        ------
        ValueError
            If there is no prompt, or points have no labels.
        """
        if not len(prompts):
            raise ValueError("no prompt at all")
        places, kinds = self._corners_and_points(prompts)
        return self._sparse(places, kinds), self._dense(prompts)

    def _corners_and_points(self, prompts: PromptBatch) -> tuple[Tensor, Tensor]:
        """Columns and rows (M, T, 2) as SAM has them, and what each is (M, T)."""
        some = next(p for p in (prompts.boxes, prompts.points, prompts.masks) if p is not None)
        places, kinds = [], []
        if prompts.boxes is not None:
            known = prompts.boxes.isfinite().all(-1)
            boxes = torch.where(known[:, None], prompts.boxes, 0.0)
            # SAM's corners are the centres of the first and of the last pixel.
            places.append(boxes.reshape(-1, 2, 2).flip(-1) + boxes.new_tensor([[0.5], [-0.5]]))
            corners = torch.tensor([_FIRST_CORNER, _LAST_CORNER], device=boxes.device)
            kinds.append(torch.where(known[:, None], corners, PADDING))
        if prompts.points is not None:
            if prompts.labels is None or prompts.labels.shape != prompts.points.shape[:-1]:
                raise ValueError("each point needs a label")
            places.append(prompts.points.flip(-1) + 0.5)
            kinds.append(prompts.labels)
        if prompts.boxes is None:
            # SAM has seen points without a box with one more that is none.
            places.append(some.new_zeros(len(some), 1, 2))
            kinds.append(torch.full((len(some), 1), PADDING, device=some.device))
        return torch.cat(places, 1), torch.cat(kinds, 1)

    def _sparse(self, places: Tensor, kinds: Tensor) -> Tensor:
        tokens: Tensor = self.sam.pe_layer.forward_with_coords(places, (self.side, self.side))
        known = (kinds != PADDING)[..., None]
        table = torch.cat(
            [
                self.sam.not_a_point_embed.weight,
                *(one.weight for one in self.sam.point_embeddings),
            ]
        )
        return torch.where(known, tokens, 0.0) + table[kinds + 1]

    def _dense(self, prompts: PromptBatch) -> Tensor:
        none: Tensor = self.sam.no_mask_embed.weight.reshape(1, -1, 1, 1)
        if prompts.masks is None:
            return none
        known = prompts.masks.isfinite().all(-1).all(-1)[:, None, None, None]
        masks = torch.where(known, prompts.masks[:, None], 0.0)
        return torch.where(known, self.sam.mask_downscaling(masks), none)
