"""Runs a notebook as Jupyter would, and writes it with what it shows into a folder:

    python run_notebook.py notebooks/pipeline.ipynb executed

With the folder `notebooks` the outputs of the notebook itself are renewed: in the repository's root, with a fresh
`time-traveler up` running and the environment that the notebook's first cell tells of.
"""

import os
import sys
import tempfile
from pathlib import Path

SECONDS_PER_CELL = 180


def main(path, folder):
    with tempfile.TemporaryDirectory() as settings:
        # Nobody's own settings, whose figures and start-up files would be others.
        for name in ["IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"]:
            os.environ[name] = os.path.join(settings, name.lower())
            os.mkdir(os.environ[name])
        os.environ.pop("MPLBACKEND", None)
        os.environ["MPLCONFIGDIR"] = os.path.join(sys.prefix, "matplotlib")
        # Which fonts there are is found out here: in the notebook it would say so if it took long.
        import matplotlib.font_manager  # noqa: F401

        # The kernel is that of this very Python.
        os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
        error = executed(path, folder)
    if error:
        raise SystemExit(error)


def executed(path, folder):
    """What went wrong, if something did: then too what it showed is written, unless over the notebook itself."""
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
        error = f"{path}, cell {reached[-1]}: {words}\n\n{cell.source}\n\nIt said: {said!r}"
    written = Path(folder) / Path(path).name
    if error and written.exists() and written.samefile(path):
        return error
    # Nothing of this machine: which Python it was.
    notebook.metadata["language_info"] = {"name": "python"}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            # The description of a figure whose picture is there.
            if any(kind.startswith("image/") for kind in output.get("data", {})):
                output.data.pop("text/plain", None)
    written.parent.mkdir(parents=True, exist_ok=True)
    # As it is kept in the repository: pictures and text, one change a line.
    with open(written, "w", encoding="utf-8") as file:
        nbformat.write(notebook, file)
    return error


main(*sys.argv[1:])
