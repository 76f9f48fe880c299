"""Scores against open_clip's own preprocessing and against their definitions written out."""

import open_clip
import pytest
import tiny
import torch
from PIL import Image

from helpers import scores
from helpers.scorers import load_scorer


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny.save_scorer(tmp_path_factory.mktemp("models") / "scorer")


@pytest.mark.parametrize(("side", "tolerance"), [(24, 1e-5), (48, 1e-2)])
def test_vectors_are_those_of_plain_open_clip(folder, side, tolerance):
    model, _, preprocess = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    words = open_clip.get_tokenizer(f"local-dir:{folder}")
    images = torch.randint(0, 256, (3, 3, side, side), dtype=torch.uint8)
    pictures = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in images]
    texts = ["a photo of on the moon", "a dog"]
    with torch.no_grad():
        seen = model.eval().encode_image(torch.stack([preprocess(p) for p in pictures]), normalize=True)
        read = model.encode_text(words(texts), normalize=True)
    scorer = load_scorer(str(folder), device="cpu")
    assert torch.allclose(scores.embed_images(scorer, images), seen, atol=tolerance)
    assert torch.allclose(scores.embed_texts(scorer, texts), read, atol=1e-5)


def unit(*shape):
    return torch.nn.functional.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(0)), dim=-1)


def test_reconstruction_is_the_mean_of_all_pairs():
    images, references = unit(6, 8), unit(3, 8)
    pairs = [image @ reference for image in images for reference in references]
    assert scores.reconstruction(images, references).mean() == pytest.approx(sum(pairs).item() / 18)


def test_the_two_forms_of_editability_differ_by_the_length_of_the_mean():
    images, texts = unit(4, 6, 8), unit(4, 8)
    paper, code = scores.editability_of_mean(images, texts), scores.mean_editability(images, texts)
    lengths = images.mean(dim=1).norm(dim=-1)
    assert torch.allclose(paper * lengths, code, atol=1e-6)
    assert (lengths < 1).all()
    single = scores.editability_of_mean(images[:, :1], texts), scores.mean_editability(images[:, :1], texts)
    assert torch.allclose(*single, atol=1e-6)


def test_diversity_is_of_all_pairs_of_different_images():
    images = unit(2, 5, 8)
    cosines = images @ images.mT
    pairs = [[1 - cosines[p, i, k] for i in range(5) for k in range(5) if i != k] for p in range(2)]
    assert torch.allclose(scores.diversity(images), torch.tensor(pairs).mean(1), atol=1e-5)
    assert scores.diversity(images[:, :1].expand(-1, 4, -1)).abs().max() < 1e-5, "copies have none"


def test_the_nearest_reference_is_named():
    references = unit(4, 8)
    cosine, which = scores.nearest_reference(references[[2, 0]][None], references)
    assert which.tolist() == [[2, 0]] and torch.allclose(cosine, torch.ones(1, 2))


def test_outside_of_the_mask_is_grey():
    images, masks = torch.randint(0, 256, (2, 3, 4, 4)).to(torch.uint8), torch.rand(2, 4, 4) > 0.5
    masked = scores.on_grey(images, masks)
    assert torch.equal(masked.movedim(1, -1)[masks], images.movedim(1, -1)[masks])
    assert (masked.movedim(1, -1)[~masks] == 128).all() and masked.dtype == torch.uint8


def test_shares_in_the_editability_do_not_depend_on_how_many_pictures_there_are():
    generator = torch.Generator().manual_seed(0)
    mean, text = torch.nn.functional.normalize(torch.randn(2, 16, generator=generator), dim=-1)
    noisy = mean + 0.3 * torch.randn(4000, 4, 16, generator=generator)  # 4,000 prompts of 4 pictures
    images, texts = torch.nn.functional.normalize(noisy, dim=-1), text.expand(4000, 16)
    truth = scores.editability_of_mean(images.flatten(0, 1)[None], text[None])
    few, corrected = scores.editability_of_mean(images, texts).mean(), scores.editability_shares(images, texts).mean()
    assert abs(corrected - truth) < abs(few - truth) / 3
    shares = scores.editability_shares(images[:1], texts[:1])[0]
    loo = [scores.editability_of_mean(images[:1, [j for j in range(4) if j != i]], texts[:1]).item() for i in range(4)]
    whole = scores.editability_of_mean(images[:1], texts[:1]).item()
    assert shares.tolist() == pytest.approx([4 * whole - 3 * value for value in loo], abs=1e-5)
    assert torch.allclose(scores.editability_shares(images[:1, :1], texts[:1])[0], images[0, :1] @ text)
