"""The command that trains a lesion embedding: `python -m lens_training recipe embed`, or `lens recipe embed`."""

from pathlib import Path
from typing import Annotated

import typer

from lens_training.cli.context import AnewOption, ResumeOption, process_of_run
from lens_training.lesion_embedding.run import PHANTOM, EmbeddingRequest, run_embedding
from lens_training.recipes.lesion_embedding import load_embedding_recipe
from lens_training.running.runner import Reports

RUNS_FOLDER = Path("runs")


def embed_command(  # noqa: PLR0913 # an option of a verb is a parameter of its function
    name: Annotated[
        str, typer.Argument(help="lesanet, deeplesion-without-reports, phantom-embedding, or a YAML file.")
    ],
    data: Annotated[str, typer.Option(help="'phantom', or the folder of DeepLesion.")] = PHANTOM,
    labels: Annotated[
        Path | None, typer.Option(help="Folder with the public label files of LesaNet (its program_data).")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Output folder; by default runs/NAME.")] = None,
    seed: Annotated[int, typer.Option(help="Decides initial weights and batches.")] = 0,
    resume: ResumeOption = False,
    anew: AnewOption = False,
) -> None:
    """Train the network that tells whether two lesions are one."""
    folder = out or RUNS_FOLDER / Path(name).stem
    with process_of_run(folder, 1, 1, resume=resume, anew=anew) as process:
        request = EmbeddingRequest(load_embedding_recipe(name), data, folder, labels, seed)
        report = run_embedding(request, Reports(process.log, process.stop), resume=resume)
    if report is not None:
        typer.echo(report.text, nl=False)
