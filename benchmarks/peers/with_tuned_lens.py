"""tuned-lens: trajectories of the logit lens, and the training of its lens."""

import numpy as np
import torch
from tuned_lens.nn.lenses import LogitLens, TunedLens
from tuned_lens.plotting import PredictionTrajectory


def tasks(given):
    model, tokenizer = given.model(), given.tokenizer()
    logit, tuned = LogitLens.from_model(model), TunedLens.from_model(model)

    @torch.no_grad()
    def lens():
        found = []
        for ids in given.ids:
            trajectory = PredictionTrajectory.from_lens_and_model(logit, model, ids[0].tolist(), tokenizer)
            logp = trajectory.log_probs
            final = logp[-1].argmax(-1)
            ranked = PredictionTrajectory(logp, trajectory.input_ids, final)
            kl = (np.exp(logp[-1]) * (logp[-1] - logp)).sum(-1)
            top = np.argsort(-logp, axis=-1)[..., :5]
            found.append({"top": top, "rank": ranked.rank().stats - 1, "kl": kl})
        return {n: torch.from_numpy(np.concatenate([each[n] for each in found], 1)) for n in found[0]}

    with torch.no_grad():
        outputs = [model(ids, output_hidden_states=True) for ids in given.ids]
    states = [torch.cat(depth, 1)[0, :64] for depth in zip(*(o.hidden_states for o in outputs), strict=True)]
    final = torch.cat([o.logits for o in outputs], 1)[0, :64].float().log_softmax(-1)
    adam = torch.optim.Adam(tuned.parameters(), 1e-3)

    def tuned_step():
        """The inner loop of its train command, with the loss that it has by default."""
        losses = []
        for depth, state in enumerate(states[:-1]):
            logp = tuned(state, idx=depth).float().log_softmax(-1)
            loss = (final.exp() * (final - logp)).sum(-1).mean()
            loss.backward()
            losses.append(loss.detach())
        torch.nn.utils.clip_grad_norm_(tuned.parameters(), 1.0)
        adam.step()
        adam.zero_grad()
        return {"loss": torch.stack(losses)}

    return {"lens": lens, "tuned_step": tuned_step}
