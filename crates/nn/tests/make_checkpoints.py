"""Makes the small checkpoints for the tests of the checkpoint reader, with PyTorch.

    pip install torch numpy
    python crates/nn/tests/make_checkpoints.py

The last run used PyTorch 2.15.0. float16 represents all values exactly.
"""

import argparse
import collections
import os
import pathlib
import zipfile

import numpy
import torch

FOLDER = pathlib.Path(__file__).parent / "checkpoints"


class Code:
    """An attack in a pickle: a call that is made while the pickle is loaded."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def state_dict(dtype):
    return collections.OrderedDict(
        [
            ("decoder.input.input", (torch.arange(24) / 8 - 1).reshape(1, 2, 3, 4).to(dtype)),
            # A transposed tensor, which is not contiguous.
            ("encoder.latlayer1.weight", torch.arange(6.0).reshape(2, 3).t().to(dtype)),
            ("encoder.input_layer.1.num_batches_tracked", torch.tensor(7)),
        ]
    )


def checkpoint(dtype=torch.float32, **more):
    # Values that argument parsers and training loops store.
    opts = {
        "start_from_encoded_w_plus": True,
        "learning_rate": 0.0001,
        "exp_dir": pathlib.PurePosixPath("/training"),
        "device": torch.device("cpu"),
        "dtype": torch.float32,
        "best": numpy.float64(0.5),
        "sizes": (256, 256),
        "nothing": None,
    }
    latent_avg = torch.full((2, 4), 0.5, dtype=dtype)
    return {"state_dict": state_dict(dtype), "latent_avg": latent_avg, "opts": opts} | more


def deflate(file):
    """Compresses the archive, which PyTorch writes uncompressed."""
    with zipfile.ZipFile(file) as archive:
        entries = [(entry.filename, archive.read(entry)) for entry in archive.infolist()]
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name, content in entries:
            archive.writestr(name, content)


def main():
    FOLDER.mkdir(exist_ok=True)
    torch.save(checkpoint(), FOLDER / "zip.pt")
    torch.save(checkpoint(torch.float16), FOLDER / "half.pt")
    torch.save(checkpoint(), FOLDER / "legacy.pt", _use_new_zipfile_serialization=False)
    torch.save(state_dict(torch.float32), FOLDER / "bare.pt")
    touch = Code(os.system, "touch /tmp/a-checkpoint-was-here")
    torch.save(checkpoint(more=touch), FOLDER / "code.pt")
    torch.save(checkpoint(state_dict={"encoder": Code(eval, "1 + 1")}), FOLDER / "code_in_weights.pt")
    torch.save(touch, FOLDER / "only_code.pt")
    # The call is in the state of a harmless class, so the type of the loaded object does not show it.
    settings = argparse.Namespace(output_size=256, hook=touch)
    torch.save(checkpoint(opts=settings), FOLDER / "code_in_settings.pt")
    torch.save(checkpoint(more=touch), FOLDER / "legacy_code.pt", _use_new_zipfile_serialization=False)
    torch.save(checkpoint(more=Code(torch.storage._load_from_bytes, b"a checkpoint of its own")), FOLDER / "nested.pt")
    torch.save(checkpoint(more=torch.nn.Linear(2, 2)), FOLDER / "module.pt")
    torch.save(checkpoint(opts=argparse.Namespace(output_size=256)), FOLDER / "settings.pt")
    torch.save(checkpoint(opts={"start_from_encoded_w_plus": False}), FOLDER / "variant.pt")
    torch.save(checkpoint(bomb=torch.zeros(1 << 24)), FOLDER / "bomb.pt")
    deflate(FOLDER / "bomb.pt")
    # A view that expands one value to eight gigabytes.
    torch.save(checkpoint(bomb=torch.zeros(1).expand(1 << 31)), FOLDER / "views.pt")


if __name__ == "__main__":
    main()
