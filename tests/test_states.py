"""Hidden states of the text encoder: what is asserted of any, and populations of texts."""

import pytest
import tiny
import torch
from torch import nn

from helpers import clip_states, geometry, states, textspace, tokens
from helpers.config import InputError


@pytest.fixture(scope="module")
def pipeline():
    return tiny.pipeline()


TEXTS = ["a photo of a dog", "an anime illustration of character", "a toy on the moon in snow", "a dog"]


def ids_of(pipeline, texts=TEXTS):
    return tokens.tokenize(pipeline.tokenizer, texts)


def test_states_are_those_of_the_encoder(pipeline):
    ids = ids_of(pipeline)
    found = states.layer_states(pipeline.text_encoder, ids, batch=3)
    assert found.shape == (4, 4, tiny.TEXT_LENGTH, tiny.WIDTH)  # embeddings, two blocks, the norm
    assert torch.allclose(found[-1], tokens.encode(pipeline.text_encoder, ids))
    norm = states.final_norm(pipeline.text_encoder)
    assert torch.allclose(norm(found[-2]), found[-1], atol=1e-6)


def test_after_the_norm_all_states_are_on_its_ellipsoid(pipeline):
    norm = states.final_norm(pipeline.text_encoder)
    z = states.normed(states.layer_states(pipeline.text_encoder, ids_of(pipeline))[-1], norm)
    assert torch.allclose(z.norm(dim=-1), torch.tensor(tiny.WIDTH**0.5), rtol=0.02)
    assert z.sum(-1).abs().max() < 1e-4


def test_a_causal_encoder_passes_and_another_does_not(pipeline):
    eos = pipeline.tokenizer.eos_token_id
    found = states.check_causal(pipeline.text_encoder, ids_of(pipeline), eos)
    assert max(found.values()) <= states.TOLERANCE

    class Backwards(nn.Module):
        """Reads the text from its end."""

        device = pipeline.device

        def __init__(self):
            super().__init__()
            self.inner = pipeline.text_encoder

        def forward(self, ids, **options):
            return self.inner(ids.flip(1), **options)

    with pytest.raises(ValueError, match="not causal"):
        states.check_causal(Backwards(), ids_of(pipeline), eos)


def test_an_untrained_twin_has_other_weights_and_draws_nothing(pipeline):
    before = torch.random.get_rng_state()
    one, again, other = (states.untrained_like(pipeline.text_encoder, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(before, torch.random.get_rng_state())
    row = [model.get_input_embeddings().weight for model in (one, again, other, pipeline.text_encoder)]
    assert torch.equal(row[0], row[1]) and row[0].shape == row[3].shape
    assert not torch.equal(row[0], row[2]) and not torch.equal(row[0], row[3])


def test_where_things_stand(pipeline):
    assert states.placeholder_index(pipeline.tokenizer) == 5
    eos = pipeline.tokenizer.eos_token_id
    assert states.end_of_text(ids_of(pipeline), eos).tolist() == [6, 6, 8, 3]
    assert states.long_enough(ids_of(pipeline), eos, 5).tolist() == [True, True, True, False]
    with pytest.raises(InputError, match="2 of 3 captions have a word at index 5"):
        states.long_enough(ids_of(pipeline, TEXTS[:2] + ["a dog"]), eos, 5)
    sets = states.position_sets(5, 10)
    assert sets["padding"] == (7, 8, 9) and sets["all"] == (5, 6, 7, 8, 9) and sets["none"] == ()
    assert sets["all after the name"] == (6, 7, 8, 9) and sets["index 5 and padding"] == (5, 7, 8, 9)


def test_patching_takes_positions_of_another_prompt():
    one, other = torch.zeros(6, 3), torch.ones(6, 3)
    assert states.patched(one, other, (1, 4)).sum(1).tolist() == [0, 3, 0, 0, 3, 0]
    assert not one.any()


def test_a_model_without_a_final_norm_is_refused():
    with pytest.raises(InputError, match="has no final layer norm"):
        states.final_norm(nn.Linear(2, 2))


def test_populations(pipeline):
    captions = textspace.of_captions(pipeline.tokenizer, TEXTS, index=5)
    assert captions.kept.sum(1).tolist() == [7, 7, 9] and len(captions.ids) == 3
    words = textspace.nouns(["a dog on the moon", "the dog", "an xylophone"], pipeline.tokenizer, names=WORDS)
    assert words[:2] == ["dog", "moon"] and "xylophone" not in words and "character" in words
    placed = textspace.of_words(pipeline.tokenizer, words)
    assert placed.kept.all() and (placed.ids[:, 6] == pipeline.tokenizer.eos_token_id).all()


def test_placeholders_in_captions_are_text(pipeline):
    texts = [f"a photo of a {word} on the S* and S_i" for word in ("dog", "toy", "girl")]
    assert (textspace.of_captions(pipeline.tokenizer, texts, index=5).ids >= 0).all()


def test_too_few_words_are_refused(pipeline, monkeypatch):
    monkeypatch.setattr(tokens, "GENERAL_WORDS", ())
    with pytest.raises(InputError, match="2 words after an article"):
        textspace.nouns(["a dog on the moon"], pipeline.tokenizer)


WORDS = ["dog", "moon", "snow", "toy", "girl", "ball", "beach", "forest"]


def test_maps_leave_out_what_is_constant_or_rare(pipeline, monkeypatch):
    monkeypatch.setattr(textspace, "FEWEST", 5)
    placed = textspace.of_words(pipeline.tokenizer, WORDS)
    states_of = states.layer_states(pipeline.text_encoder, placed.ids)
    found = textspace.shell_map(states_of, placed.kept)
    assert set(found["position"]) == set(range(5, tiny.TEXT_LENGTH))  # before the word all texts are the same
    assert set(found[found["position"] == 6]["layer"]) == {1, 2, 3}  # embeddings of end-of-text are the same
    assert (found["n"] == 8).all() and found.notna().all().all()
    few = placed.kept.clone()
    few[:4, 8] = False
    assert 8 not in set(textspace.shell_map(states_of, few)["position"])
    assert list(textspace.shell_map(states_of[:, :3], few[:3]).columns) == list(found.columns)


@pytest.fixture(scope="module")
def encoders(pipeline):
    placed = textspace.of_words(pipeline.tokenizer, WORDS * 4)
    models = {"trained": pipeline.text_encoder, "untrained": states.untrained_like(pipeline.text_encoder, seed=3)}
    return placed, {name: textspace.encoded(model, placed, placed) for name, model in models.items()}


def test_both_encoders_are_on_their_ellipsoid(encoders):
    _, both = encoders
    for one in both.values():
        assert one.off_ellipsoid(5) < 0.05
        assert 0 <= one.off_centre(one.words.after[:, 5]) <= 1


def test_a_mean_near_the_centre_makes_a_thin_shell(encoders):
    _, both = encoders
    points = states.normed(both["trained"].words.after[:, 5], both["trained"].norm)
    opposite = torch.cat([points, -points]) * both["trained"].norm.weight + both["trained"].norm.bias
    assert both["trained"].off_centre(opposite) < 1e-5
    assert textspace.shells_at(opposite, unit="words")["cv"].value < 0.01


def test_shells_have_intervals_and_untrained_ones_the_spread_of_their_weights(pipeline):
    points = [torch.randn(60, 6, generator=torch.Generator().manual_seed(seed)).double() for seed in range(4)]
    found = textspace.shells_at(points[0], unit="words")
    assert found["over_gaussian"].low < 1 < found["over_gaussian"].high and found["cv"].unit == "words"
    alone = textspace.untrained_cv(points[:1] * 2)
    several = textspace.untrained_cv(points)
    assert several.value == pytest.approx(sum(geometry.shell_cv(one) for one in points) / 4)
    assert several.high - several.low > 0 and alone.value == pytest.approx(geometry.shell_cv(points[0]))
    assert textspace.untrained_cv([points[0]] * 3, points[0]).value == pytest.approx(1)
    placed = textspace.of_words(pipeline.tokenizer, WORDS)
    drawn = textspace.untrained_shells(pipeline.text_encoder, placed, index=5, seed=0)
    assert len(drawn) == textspace.INITS and not torch.equal(drawn[0], drawn[1])


def test_report_tables_of_shells(encoders, monkeypatch):
    placed, both = encoders
    found = clip_states.shells_of(both, placed, placed, 5)
    assert len(found) == 10 and len(clip_states.about_shells(found)) == 10
    ratio = textspace.untrained_cv(
        [both["untrained"].words.after[:, 5].double()] * 2, both["trained"].words.after[:, 5].double()
    )
    assert "Around beta the shell is exact" in clip_states.verdict_on_index(both, found, ratio, 5)
    assert clip_states.verdict_on_places(found).count("radii off beta") == 2
    assert set(clip_states.maps(both)) == {f"{a}, {b}" for a in ("captions", "template") for b in both}
