"""Templates, edit prompts, and prompts without S*."""

import pytest

from helpers import prompts
from helpers.config import InputError


def test_every_template_has_the_placeholder_once_and_is_there_once():
    for texts in prompts.TEMPLATES.values():
        assert all(text.count("S*") == 1 for text in texts)
        assert len(set(texts)) == len(texts)
    assert len(prompts.templates("object")) == 27
    with pytest.raises(InputError, match="object, style, anime"):
        prompts.templates("none")


@pytest.mark.parametrize(
    ("prompt", "bare"),
    [
        ("a photo of S* on the moon", "a photo of on the moon"),
        ("a photo of a S* on the moon", "a photo of on the moon"),
        ("An S* in the snow", "in the snow"),
        ("a pencil sketch of the S*", "a pencil sketch of"),
        ("pixel art of S*", "pixel art of"),
        ("panorama S* waving", "panorama waving"),
    ],
)
def test_without_placeholder(prompt, bare):
    assert prompts.without_placeholder(prompt) == bare


def test_the_edit_prompts_cover_every_kind():
    edits = prompts.load_edit_prompts(prompts.edit_file("edits"))
    assert {edit.kind for edit in edits} == set(prompts.KINDS)
    assert len({edit.text for edit in edits}) == len(edits)
    few = prompts.few_of_each_kind(edits, 2)
    assert [edit.kind for edit in few].count("pose") == 2
    assert len(few) == 10


@pytest.mark.parametrize(
    ("content", "part"),
    [
        ("weather: [a photo of S* in rain]", "weather"),
        ("pose: [a photo of him]", "once"),
        ("pose: [3]", "once"),
        ("- a photo of S*", "holds no prompts"),
        ("pose: [", "not readable as YAML"),
        ("!!python/object/apply:os.getcwd []", "not readable as YAML"),
    ],
)
def test_bad_prompt_files_are_refused(content, part, tmp_path):
    path = tmp_path / "prompts.yaml"
    path.write_text(content)
    with pytest.raises(InputError, match=part) as caught:
        prompts.load_edit_prompts(path)
    assert "\n" not in str(caught.value)


def test_a_missing_prompt_file_is_named(tmp_path):
    with pytest.raises(InputError, match="missing.yaml does not exist"):
        prompts.load_edit_prompts(prompts.edit_file(str(tmp_path / "missing.yaml")))
