"""One model, one text, one line: what a person asks for in a notebook, without the pipeline.

`strata.notebook.load` a model, read a text through the `strata.notebook.lens`, `strata.notebook.trace` a
prompt, `strata.notebook.open` results of the pipeline. What comes of a text is what the pipeline would write,
made by the same functions, and shows its picture.
"""
