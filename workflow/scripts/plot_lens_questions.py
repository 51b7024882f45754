"""Draw the answers to what the lens's author and readers asked.

Input: lens/questions.nc. Output: figures/lens_{question}.{png,svg}.
"""

from pipeline.job import job
from strata import io
from strata.figures.lens_questions import FIGURES

with job(snakemake):
    questions = io.open_dataset(snakemake.input.questions)
    for number, question in enumerate(snakemake.params.questions):
        figure = FIGURES[question](questions)
        io.save_figure(figure, snakemake.output.png[number], snakemake.output.svg[number])
