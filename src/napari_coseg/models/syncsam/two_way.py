"""segment-anything's two-way transformer, for many objects on few images.

Same tensors under the same names and the same answers as its own forward (Kirillov et al. 2023,
"Segment Anything", appendix A), with less work: what an image alone says is computed once however
many objects lie on it, and what is asked of one map of keys is asked by a single product. The
positions' part of each projection is known beforehand: ``(keys + pe) W = keys W + pe W``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from segment_anything.modeling import TwoWayTransformer
from torch import Tensor, nn
from torch.nn import functional


class SharedTwoWay(TwoWayTransformer):  # type: ignore[misc]
    """Tokens of objects and keys of images attend to each other.

    Parameters
    ----------
    depth, embedding_dim, num_heads, mlp_dim : int
        As in segment-anything's class.
    """

    def __init__(self, depth: int, embedding_dim: int, num_heads: int, mlp_dim: int) -> None:
        super().__init__(depth, embedding_dim, num_heads, mlp_dim)
        self._folds = 0

    def fold(self, positions: Tensor) -> None:
        """Keep what the weights make of positions. For prediction alone: it is not renewed.

        Parameters
        ----------
        positions : Tensor, (1, embedding, rows, columns)
        """
        merged = self._merged(positions)
        for number, (weight, bias) in enumerate(merged):
            # Buffers go with the network to another device, and not into its file.
            self.register_buffer(f"folded_weight_{number}", weight.detach(), persistent=False)
            self.register_buffer(f"folded_bias_{number}", bias.detach(), persistent=False)
        self._folds = len(merged)

    def forward(
        self, keys: Tensor, images: Tensor | None, positions: Tensor, tokens: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Attend.

        Parameters
        ----------
        keys : Tensor, (B, embedding, rows, columns)
            Maps of B images, or of M objects.
        images : Tensor of int, (M,), or None
            Which map is each object's; none where each has its own.
        positions : Tensor, (1, embedding, rows, columns)
        tokens : Tensor, (M, N, embedding)

        Returns
        -------
        tokens : Tensor, (M, N, embedding)
        keys : Tensor, (M, rows * columns, embedding)
        """
        merged = self._known() if self._folds else self._merged(positions)
        seen = _as_rows(keys)
        queries = tokens
        for number, layer in enumerate(self.layers):
            to_image, to_token = layer.cross_attn_token_to_image, layer.cross_attn_image_to_token
            wide = to_image.internal_dim
            k, q, v = torch.split(
                _projected(seen, merged[number]), [wide, to_token.internal_dim, wide], -1
            )
            if images is not None:
                seen, k, q, v = (part[images] for part in (seen, k, q, v))
                images = None
            queries = layer.norm1(_with_itself(layer, queries, tokens))
            asked = _attended(to_image, to_image.q_proj(queries + tokens), k, v)
            queries = layer.norm2(queries + asked)
            queries = layer.norm3(queries + layer.mlp(queries))
            told = to_token.k_proj(queries + tokens), to_token.v_proj(queries)
            seen = layer.norm4(seen + _attended(to_token, q, *told))
        last = self.final_attn_token_to_image
        k, v = torch.split(_projected(seen, merged[-1]), last.internal_dim, -1)
        asked = _attended(last, last.q_proj(queries + tokens), k, v)
        return self.norm_final_attn(queries + asked), seen

    def _known(self) -> list[tuple[Tensor, Tensor]]:
        return [
            (self.get_buffer(f"folded_weight_{number}"), self.get_buffer(f"folded_bias_{number}"))
            for number in range(self._folds)
        ]

    def _merged(self, positions: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Weights and biases, one pair for each time that keys are projected."""
        pe = _as_rows(positions)[0]
        last = self.final_attn_token_to_image
        pairs = [
            _merge(
                pe,
                [layer.cross_attn_token_to_image.k_proj, layer.cross_attn_image_to_token.q_proj],
                layer.cross_attn_token_to_image.v_proj,
            )
            for layer in self.layers
        ]
        return [*pairs, _merge(pe, [last.k_proj], last.v_proj)]


def _as_rows(maps: Tensor) -> Tensor:
    """(B, C, rows, columns) to (B, rows * columns, C)."""
    return maps.flatten(2).transpose(1, 2)


def _merge(pe: Tensor, placed: Sequence[nn.Linear], plain: nn.Linear) -> tuple[Tensor, Tensor]:
    """Join layers that see positions and one that does not: (C, outputs), (places, outputs)."""
    weight = torch.cat([*(layer.weight for layer in placed), plain.weight])
    bias = [layer(pe) for layer in placed] + [plain.bias.expand(len(pe), -1)]
    return weight.t(), torch.cat(bias, 1)


def _projected(keys: Tensor, merged: tuple[Tensor, Tensor]) -> Tensor:
    weight, bias = merged
    out: Tensor = keys @ weight + bias
    return out


def _with_itself(layer: Any, queries: Tensor, tokens: Tensor) -> Tensor:
    attention = layer.self_attn
    if layer.skip_first_layer_pe:
        found: Tensor = attention(q=queries, k=queries, v=queries)
    else:
        placed = queries + tokens
        found = queries + attention(q=placed, k=placed, v=queries)
    return found


def _attended(attention: Any, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention of what is projected already."""

    def heads(part: Tensor) -> Tensor:
        count, length, _ = part.shape
        return part.reshape(count, length, attention.num_heads, -1).transpose(1, 2)

    found = functional.scaled_dot_product_attention(heads(q), heads(k), heads(v))
    out: Tensor = attention.out_proj(found.transpose(1, 2).flatten(2))
    return out
