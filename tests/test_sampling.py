"""The race for the next token: top-k as audiocraft's, the right distribution, independent streams."""

from __future__ import annotations

import torch

from mech_music.models.sampling import RowNoise, Sampling, race_top_k, sample_top_k


def noise_of(seeds: range, shape: tuple[int, int] = (4, 64)) -> torch.Tensor:
    return RowNoise(["a prompt"] * len(seeds), list(seeds), shape, torch.device("cpu"))(0)


def test_top_k_is_the_race_among_the_k_most_probable() -> None:
    """Against sorting everything, on logits so flat that the overall winner is often not among the k."""
    logits = torch.randn(50, 4, 64, generator=torch.Generator().manual_seed(0))
    noise = noise_of(range(50))
    for k in (1, 3, 20, 63, 64, 250, 0):
        probs = logits.softmax(-1)
        if 0 < k < 64:
            kth = probs.sort(dim=-1, descending=True).values[..., k - 1 : k]
            probs = torch.where(probs >= kth, probs, 0.0)
        expected = (probs / noise).argmax(-1)
        assert torch.equal(sample_top_k(logits, noise, Sampling(top_k=k)), expected)


def test_tokens_have_the_probabilities_of_the_softmax() -> None:
    logits = torch.tensor([2.0, 1.0, 0.0, -1.0]).expand(4000, 1, 4)
    drawn = sample_top_k(logits, noise_of(range(4000), (1, 4)), Sampling(top_k=3, temperature=2.0))
    wanted = torch.tensor([1.0, 0.5, 0.0, -torch.inf]).softmax(0)
    shares = torch.bincount(drawn[:, 0], minlength=4) / 4000
    torch.testing.assert_close(shares, wanted, rtol=0, atol=4 * 0.5 / 4000**0.5)
    assert shares[3] == 0


def test_streams_are_their_rows_own() -> None:
    device = torch.device("cpu")
    noise = RowNoise(["a", "a", "b", "a"], [0, 1, 0, 0], (2, 8), device)
    steps = torch.stack([noise(step).clone() for step in range(40)])
    assert torch.equal(steps[:, 0], steps[:, 3])
    assert len({row.numpy().tobytes() for row in steps[:, :3].transpose(0, 1)}) == 3
    assert len({step.numpy().tobytes() for step in steps[:, 0]}) == 40
    alone = RowNoise(["b"], [0], (2, 8), device)
    assert all(torch.equal(alone(step)[0], steps[step, 2]) for step in range(40))


def test_a_race_for_many_readings_is_won_by_the_same_tokens() -> None:
    """As `sample_top_k`: winners within and outside the k, ties at the edge and throughout, few codes and many."""
    generator = torch.Generator().manual_seed(0)
    outside = 0
    for card, temperature in ((16, 1.0), (64, 1.0), (64, 2.5), (300, 0.7)):
        noise = noise_of(range(60), (4, card))
        gumbel = -temperature * noise.log()
        flat = torch.randn(60, 4, card, generator=generator)
        steep = flat * 6
        tied = (flat * 2).round()
        equal = torch.zeros_like(flat)
        for logits in (flat, steep, tied, equal):
            for k in (1, 3, card // 2, card - 1, card, 0):
                wanted = sample_top_k(logits, noise, Sampling(top_k=k, temperature=temperature))
                assert torch.equal(race_top_k(logits, gumbel, k), wanted), (card, temperature, k)
                overall = race_top_k(logits, gumbel, 0)
                outside += int((overall != wanted).sum())
    assert outside > 1000, "else the second look is not tried"


def test_kept_noise_begins_again() -> None:
    device = torch.device("cpu")
    once, kept = (RowNoise(["a", "b"], [0, 1], (2, 8), device, keep=keep) for keep in (False, True))
    steps = [once(step).clone() for step in range(40)]
    for _ in range(3):
        assert all(torch.equal(kept(step), steps[step]) for step in range(20))
        kept.rewind()
    assert all(torch.equal(kept(step), steps[step]) for step in range(40)), "further than it was drawn before"
    once.rewind()
    assert all(torch.equal(once(step), steps[step]) for step in range(40)), "drawn again"
