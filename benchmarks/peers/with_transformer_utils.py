"""transformer-utils, by the author of the logit lens: the logits that its plots are of."""

import numpy as np
import torch
from transformer_utils.logit_lens.hooks import make_lens_hooks
from transformer_utils.logit_lens.layer_names import make_layer_names
from transformer_utils.logit_lens.plotting import collect_logits, kl_div, postprocess_logits


def tasks(given):
    model = given.model()
    names = make_layer_names(model)
    make_lens_hooks(model, names, verbose=False)

    def lens():
        found = []
        for ids in given.ids:
            logits, _ = collect_logits(model, ids, names, ["final_layernorm", "lm_head"])
            preds, probs = postprocess_logits(logits)
            own = np.take_along_axis(logits, np.broadcast_to(preds[-1][None, :, None], (*preds.shape, 1)), -1)
            top = np.argsort(-logits, axis=-1)[..., :5]
            found.append({"top": top, "rank": (logits > own).sum(-1), "kl": kl_div(probs[-1], probs)})
        return {n: torch.from_numpy(np.concatenate([each[n] for each in found], 1)) for n in found[0]}

    return {"lens": lens}
