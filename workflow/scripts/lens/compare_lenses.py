"""Compare the decoders by depth and category, and answer what the lens's author and readers asked.

Input: lens/{decoder}.nc of every decoder, prompts.tsv, token counts.
Output: lens/comparison.tsv, lens/questions.nc, lens/answers.tsv.
"""

from pipeline.job import job
from strata import io
from strata.lens.answers import answers
from strata.lens.comparison import compare
from strata.lens.questions import ask
from strata.text.tokens import of_text

with job(snakemake):
    lenses = {name: of_text(io.open_dataset(snakemake.input[name])) for name in snakemake.params.decoders}
    prompts = io.read_prompts(snakemake.input.prompts)
    counts = io.read_table(snakemake.input.counts).set_index("token_id")["count"]
    model, config = io.made_by(next(iter(lenses.values())))["model"], snakemake.params.statistics
    questions = ask(lenses, prompts, counts, **config)
    io.write_table(compare(lenses, **config), snakemake.output.comparison)
    io.write_dataset(questions, snakemake.output.questions, model=model, config=config)
    io.write_table(answers(questions), snakemake.output.answers)
