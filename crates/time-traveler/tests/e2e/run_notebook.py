"""Runs the code cells of a notebook, top to bottom, as Jupyter would: python run_notebook.py NOTEBOOK"""

import json
import sys

with open(sys.argv[1]) as file:
    notebook = json.load(file)
namespace = {"__name__": "__main__", "display": print}
for number, cell in enumerate(notebook["cells"]):
    if cell["cell_type"] == "code":
        code = compile("".join(cell["source"]), f"cell {number}", "exec")
        exec(code, namespace)
