"""Runs a notebook as Jupyter does, and writes it with its outputs into a folder:

    python run_notebook.py notebooks/pipeline.ipynb executed

With the folder `notebooks`, it updates the outputs of the notebook itself. That needs a fresh `time-traveler up`, the
environment that the notebook's first cell names, and the repository's root as the working folder. The tests leave what they
executed in `tmp/notebooks` of the target folder, to be copied from there.
"""

import os
import sys
import tempfile
from pathlib import Path

# A training of many steps, whose outputs are saved, takes minutes.
SECONDS_PER_CELL = 900


def main(path, folder):
    with tempfile.TemporaryDirectory() as settings:
        # The user's own settings would change figures and start-up files.
        for name in ["IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"]:
            os.environ[name] = os.path.join(settings, name.lower())
            os.mkdir(os.environ[name])
        os.environ.pop("MPLBACKEND", None)
        os.environ["MPLCONFIGDIR"] = os.path.join(sys.prefix, "matplotlib")
        # Matplotlib builds its font cache here. In the notebook, it would print a message about that.
        import matplotlib.font_manager  # noqa: F401

        # The kernel has to be that of this Python.
        os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
        error = executed(path, folder)
    if error:
        raise SystemExit(error)


def executed(path, folder):
    """Runs and writes the notebook, and returns the error, if any. A failed run never overwrites the notebook itself."""
    import nbformat
    from nbclient import NotebookClient
    from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError

    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.update(execution_count=None, outputs=[])
    reached = []
    client = NotebookClient(
        notebook,
        timeout=SECONDS_PER_CELL,
        record_timing=False,
        # A line may arrive in two parts.
        coalesce_streams=True,
        kernel_name="python3",
        on_cell_execute=lambda cell, cell_index: reached.append(cell_index),
    )
    error = None
    try:
        client.execute(cwd=os.getcwd())
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as failure:
        words = f"{failure.ename}: {failure.evalue}" if isinstance(failure, CellExecutionError) else str(failure)
        cell = notebook.cells[reached[-1]]
        said = "".join(output.text for output in cell.outputs if output.output_type == "stream")
        error = f"{path}, cell {reached[-1]}: {words}\n\n{cell.source}\n\nIts output: {said!r}"
    written = Path(folder) / Path(path).name
    if error and written.exists() and written.samefile(path):
        return error
    # The version of this machine's Python must not be saved.
    notebook.metadata["language_info"] = {"name": "python"}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            # A figure's text description is dropped, since its picture is saved.
            if any(kind.startswith("image/") for kind in output.get("data", {})):
                output.data.pop("text/plain", None)
    written.parent.mkdir(parents=True, exist_ok=True)
    # The repository's format: pictures and text, with one change a line.
    with open(written, "w", encoding="utf-8") as file:
        nbformat.write(notebook, file)
    return error


main(*sys.argv[1:])
