"""SyncSAM: an image encoded once, a mask for each prompt on it."""

from __future__ import annotations

from torch import Tensor, nn

from napari_coseg.models.syncsam.config import SyncSamConfig
from napari_coseg.models.syncsam.decoder import SyncDecoder
from napari_coseg.models.syncsam.encoder import Encoding, SyncEncoder
from napari_coseg.models.syncsam.prompts import PromptBatch, SyncPromptEncoder


class SyncSamNetwork(nn.Module):
    """Encoder, prompt encoder and decoder (Yang et al. 2025).

    Parameters
    ----------
    config : SyncSamConfig
    """

    def __init__(self, config: SyncSamConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = SyncEncoder(config)
        self.prompt_encoder = SyncPromptEncoder(config)
        self.decoder = SyncDecoder(config, self.encoder.detail_channels)

    def encode(self, images: Tensor) -> Encoding:
        """Encode images.

        Parameters
        ----------
        images : Tensor, (B, 3, side, side)
            Normalised.
        """
        encoding: Encoding = self.encoder(images)
        return encoding

    def fold_norms(self) -> None:
        """Make ready for prediction alone; see `SyncEncoder.fold_norms` and `SharedTwoWay.fold`."""
        self.encoder.fold_norms()
        self.decoder.transformer.fold(self.prompt_encoder.positions())

    def prepare(self, encoding: Encoding) -> Encoding:
        """Do at once what every decoding of the same images would repeat.

        For images that prompts come to one after another. The maps of the stages, which nothing
        else needs, are let go.
        """
        return encoding._replace(fused=self.decoder.fused(encoding), stages=())

    def decode(self, encoding: Encoding, images: Tensor, prompts: PromptBatch) -> Tensor:
        """Segment what the prompts are on.

        Parameters
        ----------
        encoding : Encoding
            Of B images.
        images : Tensor of int, (M,)
            Which image each object lies in.
        prompts : PromptBatch
            Of M objects.

        Returns
        -------
        Tensor, (M, side / 4, side / 4)
            Logits; may be given back as `PromptBatch.masks`.

        Raises
        ------
        ValueError
            If there is no prompt, or not one an object.
        """
        if len(prompts) != len(images):
            raise ValueError(f"{len(prompts)} prompts for {len(images)} objects")
        sparse, dense = self.prompt_encoder(prompts)
        positions = self.prompt_encoder.positions()
        logits: Tensor = self.decoder(encoding, images, positions, sparse, dense)
        return logits

    def forward(self, images: Tensor, numbers: Tensor, prompts: PromptBatch) -> Tensor:
        """Encode and decode in one; see both."""
        return self.decode(self.encode(images), numbers, prompts)
