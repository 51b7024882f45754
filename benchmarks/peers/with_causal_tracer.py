"""causal-tracer: its trace of hidden states, those that leave each layer."""

import torch
from causal_tracer import CausalTracer
from causal_tracer.causal_tracing.CausalTracer import HiddenFlowQuery


def tasks(given):
    tracer = CausalTracer(given.model(), given.tokenizer(), noise=given.noise_sd)
    names = zip(given.prompts["text"], given.prompts["words"], given.prompts["target"], strict=True)
    queries = [HiddenFlowQuery(*each) for each in names]

    def trace():
        flows = tracer.calculate_hidden_flows(queries, samples=given.samples, batch_size=32)
        n_layers = flows[0].scores.shape[1]
        p = torch.full((len(flows), n_layers, max(len(flow.input_ids) for flow in flows)), torch.nan)
        for own, flow, ids in zip(p, flows, given.ids, strict=True):
            own[1:, : ids.shape[1]] = flow.scores.T[:-1]
        return {"p": p}

    return {"trace": trace}
