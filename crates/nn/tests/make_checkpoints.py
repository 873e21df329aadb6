"""Has PyTorch write the small checkpoints that the tests of the reader read: `pip install torch numpy`, then run.

PyTorch 2.15.0 wrote those that are here. The values are such that float16 holds them exactly.
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
    """What an attacker puts into a pickle: a call that happens while it is loaded."""

    def __init__(self, function, *arguments):
        self.call = (function, arguments)

    def __reduce__(self):
        return self.call


def state_dict(dtype):
    return collections.OrderedDict(
        [
            ("decoder.input.input", (torch.arange(24) / 8 - 1).reshape(1, 2, 3, 4).to(dtype)),
            # Not contiguous: rows and columns changed places.
            ("encoder.latlayer1.weight", torch.arange(6.0).reshape(2, 3).t().to(dtype)),
            ("encoder.input_layer.1.num_batches_tracked", torch.tensor(7)),
        ]
    )


def checkpoint(dtype=torch.float32, **more):
    # What argument parsers and training loops leave behind.
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
    """Compresses what PyTorch left uncompressed."""
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
    # The call is in what a harmless class would be made of, so that nothing of it stays in the loaded object's type.
    settings = argparse.Namespace(output_size=256, hook=touch)
    torch.save(checkpoint(opts=settings), FOLDER / "code_in_settings.pt")
    torch.save(checkpoint(more=touch), FOLDER / "legacy_code.pt", _use_new_zipfile_serialization=False)
    torch.save(checkpoint(more=Code(torch.storage._load_from_bytes, b"a checkpoint of its own")), FOLDER / "nested.pt")
    torch.save(checkpoint(more=torch.nn.Linear(2, 2)), FOLDER / "module.pt")
    torch.save(checkpoint(opts=argparse.Namespace(output_size=256)), FOLDER / "settings.pt")
    torch.save(checkpoint(opts={"start_from_encoded_w_plus": False}), FOLDER / "variant.pt")
    torch.save(checkpoint(bomb=torch.zeros(1 << 24)), FOLDER / "bomb.pt")
    deflate(FOLDER / "bomb.pt")
    # Views of one value that would take eight gigabytes.
    torch.save(checkpoint(bomb=torch.zeros(1).expand(1 << 31)), FOLDER / "views.pt")


if __name__ == "__main__":
    main()
