"""Reconstruction and editability, as the Textual Inversion paper defines them (2208.01618, section 5.1).

All scores are cosines of unit vectors of a CLIP that never conditioned the model. Editability has
two forms: the paper compares the prompt with the MEAN image vector, its code averages the cosines.
The first divides by the length of the mean, so it rewards diverse images; both are reported.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import normalize
from torchvision.transforms import InterpolationMode
from torchvision.transforms import functional as vision

from helpers.scorers import Scorer

BATCH = 64


def embed_images(scorer: Scorer, images: Tensor) -> Tensor:
    """Unit vectors [N, D], float32 on the CPU, of images [N, 3, H, W] uint8."""
    return normalize(raw_images(scorer, images), dim=-1)


@torch.no_grad()
def raw_images(scorer: Scorer, images: Tensor) -> Tensor:
    """Vectors [N, D] of images [N, 3, H, W] uint8 as the scorer gives them, their lengths untouched."""
    device = next(scorer.model.parameters()).device
    vectors = [scorer.model.encode_image(_prepare(scorer, part).to(device)) for part in images.split(BATCH)]
    return torch.cat(vectors).float().cpu()


def _prepare(scorer: Scorer, images: Tensor) -> Tensor:
    """Resize, crop and scale images as open_clip does; [N, 3, H, W] uint8 to [N, 3, size, size]."""
    mode = InterpolationMode(scorer.interpolation)
    if images.shape[-2:] != (scorer.size, scorer.size):
        images = vision.center_crop(vision.resize(images, scorer.size, mode, antialias=True), scorer.size)
    return vision.normalize(images / 255, scorer.mean, scorer.std)


def embed_texts(scorer: Scorer, texts: Sequence[str]) -> Tensor:
    """Unit vectors [N, D], float32 on the CPU, of texts."""
    return normalize(raw_texts(scorer, texts), dim=-1)


@torch.no_grad()
def raw_texts(scorer: Scorer, texts: Sequence[str]) -> Tensor:
    """Vectors [N, D] of texts as the scorer gives them, their lengths untouched."""
    device = next(scorer.model.parameters()).device
    batches = [list(texts[start : start + BATCH]) for start in range(0, len(texts), BATCH)]
    vectors = [scorer.model.encode_text(scorer.tokenizer(batch).to(device)) for batch in batches]
    return torch.cat(vectors).float().cpu()


def reconstruction(images: Tensor, references: Tensor) -> Tensor:
    """Cosine of each image with the references, averaged over these; their mean is the paper's score.

    Args:
        images: [..., N, D] unit vectors of generated images.
        references: [M, D] unit vectors of training images.

    Returns:
        [..., N].
    """
    return (images @ references.T).mean(dim=-1)


def editability_of_mean(images: Tensor, texts: Tensor) -> Tensor:
    """Cosine of the mean image vector with the text, as in the paper.

    Args:
        images: [P, N, D] unit vectors of N images of each of P prompts.
        texts: [P, D] unit vectors of the prompts without S*.

    Returns:
        [P].
    """
    return (normalize(images.mean(dim=1), dim=-1) * texts).sum(dim=-1)


def editability_shares(images: Tensor, texts: Tensor) -> Tensor:
    """Each image's share in `editability_of_mean`: the jackknife's pseudo-values (Tukey 1958), shapes as there.

    A mean vector of few images is long for what they have in common, so that the score depends on their number. The
    mean of these values is the score without that bias to first order, and they are one number an image: intervals
    and differences are those of a mean.

    Returns:
        [P, N].
    """
    count = images.shape[1]
    if count == 1:
        return (images * texts.unsqueeze(1)).sum(dim=-1)
    others = (images.sum(dim=1, keepdim=True) - images) / (count - 1)  # the mean without each image
    without = (normalize(others, dim=-1) * texts.unsqueeze(1)).sum(dim=-1)
    return count * editability_of_mean(images, texts).unsqueeze(1) - (count - 1) * without


def mean_editability(images: Tensor, texts: Tensor) -> Tensor:
    """Mean of the images' cosines with the text, as in the paper's code; shapes as above, returns [P]."""
    return (images * texts.unsqueeze(1)).sum(dim=-1).mean(dim=1)


def on_grey(images: Tensor, masks: Tensor) -> Tensor:
    """Images [N, 3, S, S] uint8 whose places outside of masks [N, S, S] bool are mid-grey.

    For scores of the foreground alone, and with inverted masks of the background alone.
    """
    return torch.where(masks.unsqueeze(1), images, torch.full_like(images, 128))


def diversity(images: Tensor) -> Tensor:
    """1 minus the mean cosine of different images [..., N, D], N at least 2; returns [...]."""
    count = images.shape[-2]
    total = images.sum(dim=-2).square().sum(dim=-1)  # of all pairs, each image with itself included
    return 1 - (total - count) / (count * (count - 1))


def nearest_reference(images: Tensor, references: Tensor) -> tuple[Tensor, Tensor]:
    """The highest cosine of each image [..., N, D] with a reference [M, D], and which one that is: [..., N] each.

    A picture that is nearer to one training image than these are to each other is a copy of it.
    """
    highest = (images @ references.T).max(dim=-1)
    return highest.values, highest.indices
