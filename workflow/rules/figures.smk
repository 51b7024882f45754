# workflow/figures.yaml, data of every stage -> results/{model}/figures/*.png, and *.svg or *.pdf: a rule draw_JOB for each job of the table


for name, figures in jobs(PROJECT.figures).items():

    rule:
        name:
            f"draw_{name}"
        input:
            data=sorted({path for figure in figures for path in drawn_from(figure, config["run"])}),
        output:
            png=[in_report(figure) for figure in figures],
            drawing=[figure.drawing for figure in figures],
        priority: 100 if any(figure.first_look for figure in figures) else 80
        localrule: True
        params:
            **FORM,
            figures={figure.name: figure.how() for figure in figures},
            modules=digest(modules_behind(figure.module for figure in figures)),
            models=config["run"] if any(figure.across for figure in figures) else None,
        script:
            "../scripts/figures/draw_figures.py"
