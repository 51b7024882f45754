"""The trace statistics prompt by prompt and depth by depth, in plain Python loops."""

import math


def mean(values):
    values = [value for value in values if not math.isnan(value)]
    return sum(values) / len(values) if values else math.nan


def restored(p, corrupted, clean, min_gap):
    """Ratio of (weighted) sample means: ``p`` and ``corrupted`` are lists over samples."""
    p_mean, corrupted_mean = sum(p) / len(p), sum(corrupted) / len(corrupted)
    if clean - corrupted_mean < min_gap * clean:
        return math.nan
    return (p_mean - corrupted_mean) / (clean - corrupted_mean)


def crossing(subject, final, margin):
    """Walk down from the last depth until the final token no longer leads; interpolate there."""
    if any(math.isnan(value) for value in [*subject, *final]):
        return math.nan
    lead = [f - s for f, s in zip(final, subject, strict=True)]
    if lead[-1] <= margin:
        return math.nan
    for depth in range(len(lead) - 2, -1, -1):
        if lead[depth] <= margin:
            share = -lead[depth] / (lead[depth + 1] - lead[depth])
            return depth + min(max(share, 0.0), 1.0)
    return math.nan


def curves(trace, prompt, noise, samples, min_gap):
    """[site][depth] of one prompt, from the given (possibly repeated) samples."""
    p = trace.p_target.transpose("prompt", "noise", "sample", "depth", "position").values
    corrupted = trace.p_corrupted.transpose("prompt", "noise", "sample").values.tolist()
    clean = float(trace.p_clean[prompt])
    result = []
    for position in (int(trace.subject_position[prompt]), int(trace.n_tokens[prompt]) - 1):
        curve = []
        for depth in range(p.shape[3]):
            lifted = [float(p[prompt, noise, s, depth, position]) for s in samples]
            noised = [corrupted[prompt][noise][s] for s in samples]
            curve.append(restored(lifted, noised, clean, min_gap))
        result.append(curve)
    return result


def averages(trace, noise, draws, min_gap, margin):
    """Mean curves [site][depth] and mean transition of ``draws``: pairs (prompt, samples)."""
    each = [curves(trace, prompt, noise, samples, min_gap) for prompt, samples in draws]
    depths = range(trace.sizes["depth"])
    average = [[mean([one[site][d] for one in each]) for d in depths] for site in (0, 1)]
    return average, mean([crossing(subject, final, margin) for subject, final in each])
