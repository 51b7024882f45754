"""The trace statistics prompt by prompt and depth by depth, in plain Python loops."""

import math


def mean(values):
    values = [value for value in values if not math.isnan(value)]
    return sum(values) / len(values) if values else math.nan


def restored(p, corrupted, clean, min_gap, rule=None):
    """Ratio of (weighted) sample means: ``p`` and ``corrupted`` are lists over samples.

    ``rule`` (corrupted, clean) are the values that decide on exclusion, where they are others.
    """
    p_mean, corrupted_mean = sum(p) / len(p), sum(corrupted) / len(corrupted)
    deciding, whole = rule or (corrupted, clean)
    if not whole - sum(deciding) / len(deciding) >= min_gap * whole:
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


VARIABLES = {  # clean, corrupted
    "p_target": ("p_clean", "p_corrupted"),
    "logit_difference": ("logit_difference_clean", "logit_difference_corrupted"),
    "kl_clean": (None, "kl_clean_corrupted"),
    "p_set": ("p_set_clean", "p_set_corrupted"),
    "p_whole": ("p_whole_clean", "p_whole_corrupted"),
}


def curve(trace, prompt, noise, samples, min_gap, position, measure="p_target"):
    """[depth or layer] of one prompt at one position, from the given (possibly repeated) samples."""
    values = trace[measure].transpose("prompt", "noise", "sample", ..., "position").values
    clean_name, corrupted_name = VARIABLES[measure]

    def noised_and_clean(clean_name, corrupted_name):
        every = trace[corrupted_name].transpose("prompt", "noise", "sample").values.tolist()
        clean = 0.0 if clean_name is None else float(trace[clean_name][prompt])
        return [every[prompt][noise][s] for s in samples], clean

    noised, clean = noised_and_clean(clean_name, corrupted_name)
    rule = noised_and_clean(*VARIABLES["p_target"]) if clean_name is None else None
    result = []
    for depth in range(values.shape[3]):
        lifted = [float(values[prompt, noise, s, depth, position]) for s in samples]
        result.append(restored(lifted, noised, clean, min_gap, rule))
    return result


def curves(trace, prompt, noise, samples, min_gap, measure="p_target"):
    """[site][depth or layer] of one prompt: subject, then final token."""
    positions = (int(trace.subject_position[prompt]), int(trace.n_tokens[prompt]) - 1)
    return [curve(trace, prompt, noise, samples, min_gap, at, measure) for at in positions]


def averages(trace, noise, draws, min_gap, margin):
    """Mean curves [site][depth] and mean transition of ``draws``: pairs (prompt, samples)."""
    each = [curves(trace, prompt, noise, samples, min_gap) for prompt, samples in draws]
    depths = range(trace.sizes["depth"])
    average = [[mean([one[site][d] for one in each]) for d in depths] for site in (0, 1)]
    return average, mean([crossing(subject, final, margin) for subject, final in each])


def mean_curve(trace, noise, draws, min_gap, position, measure="p_target"):
    """Mean over ``draws``, pairs (prompt, samples), at ``position(prompt)``."""
    each = [curve(trace, p, noise, samples, min_gap, position(p), measure) for p, samples in draws]
    return [mean([one[d] for one in each]) for d in range(len(each[0]))]


def share(state, severed, noise, draws, min_gap):
    """effect(severed) / effect(state) by depth at the subject, means over the same draws."""

    def subject(prompt):
        return int(state.subject_position[prompt])

    # Severed or not, 0 is the corrupted run and 1 the clean one of the state's trace.
    severed = severed.assign(p_clean=state.p_clean, p_corrupted=state.p_corrupted)
    part, whole = (mean_curve(trace, noise, draws, min_gap, subject) for trace in (severed, state))
    return [a / b for a, b in zip(part, whole, strict=True)]
