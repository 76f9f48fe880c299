"""The plan's draws depend on seed, stream and step alone."""

import torch

from helpers.plan import Plan, generator


def plan(**changes):
    values = {"seed": 3, "images": 5, "templates": 7, "batch_size": 4, "latent_shape": (4, 2, 2), "timesteps": 1000}
    return Plan(**{**values, "flip_probability": 0.5, **changes})


def same(one, other):
    drawn = {name: value for name, value in vars(one).items() if name != "index"}
    return all(torch.equal(value, vars(other)[name]) for name, value in drawn.items())


def test_a_step_is_the_same_whenever_it_is_drawn():
    forwards = [plan().step(i) for i in range(3)]
    backwards = [plan().step(i) for i in reversed(range(3))][::-1]
    assert all(same(one, other) for one, other in zip(forwards, backwards, strict=True))
    assert not same(forwards[0], forwards[1])
    assert not same(forwards[0], plan(seed=4).step(0))


def test_streams_are_apart():
    """Another number of images changes which image is drawn, and no noise."""
    one, other = plan().step(0), plan(images=25, templates=1).step(0)
    assert torch.equal(one.noise, other.noise)
    assert torch.equal(one.timesteps, other.timesteps)
    assert not torch.equal(one.noise, one.vae_noise)


def test_draws_are_in_range_and_use_all_of_it():
    steps = [plan().step(i) for i in range(200)]
    assert set(torch.cat([s.images for s in steps]).tolist()) == set(range(5))
    assert set(torch.cat([s.templates for s in steps]).tolist()) == set(range(7))
    times = torch.cat([s.timesteps for s in steps])
    assert times.min() >= 0 and times.max() < 1000 and 450 < times.float().mean() < 550
    flips = torch.cat([s.flips for s in steps]).float().mean()
    assert 0.4 < flips < 0.6
    assert not torch.cat([plan(flip_probability=0.0).step(i).flips for i in range(20)]).any()


def test_timesteps_can_be_limited_and_purposes_draw_apart():
    limited = torch.cat([plan(first_timestep=100, timesteps=120).step(i).timesteps for i in range(100)])
    assert set(limited.tolist()) == set(range(100, 120))
    assert not torch.equal(plan().step(0).noise, plan(purpose="prior").step(0).noise)
    assert plan().step(7).index == 7


def test_a_generator_is_named():
    draws = {
        torch.randint(10**9, (1,), generator=generator(*name)).item()
        for name in [(0, "a"), (0, "b"), (1, "a"), (0, "a", 1), (0, "a", 1, 2)]
    }
    assert len(draws) == 5


def test_draws_move_to_a_device_as_a_whole():
    moved = plan().step(2).to(torch.device("meta"))
    assert moved.index == 2 and all(value.is_meta for name, value in vars(moved).items() if name != "index")
