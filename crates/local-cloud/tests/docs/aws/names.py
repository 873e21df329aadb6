"""Writes the names of AWS's operations and of their members beside this file, from the models of an installed botocore.

    pip install botocore && python names.py

A line is an operation. Behind it stand, for S3, method and path, and members as `name=place:header-or-parameter`; for SageMaker the
members of its input. A required member ends with `!`. Deprecated names are left out.
"""

import pathlib

import botocore
from botocore.loaders import Loader

SERVICES = "dynamodb iam lambda logs s3 sagemaker sagemaker-runtime sns sqs sts".split()

for service in SERVICES:
    model = Loader().load_service_model(service, "service-2")
    shapes = model["shapes"]
    lines = [f"# botocore {botocore.__version__}"]
    for name, operation in sorted(model["operations"].items()):
        if operation.get("deprecated"):
            continue
        shape = shapes[operation["input"]["shape"]] if "input" in operation else {"members": {}}
        required = shape.get("required", [])
        members = [(member, found) for member, found in sorted(shape["members"].items()) if not found.get("deprecated")]
        words = [name]
        if service in ("s3", "lambda", "sagemaker-runtime"):
            words += [operation["http"]["method"], operation["http"]["requestUri"]]
        if service == "s3":
            for member, found in members:
                if found.get("location") in ("header", "querystring"):
                    mark = "!" if member in required else ""
                    words.append(f"{member}{mark}={found['location']}:{found['locationName']}")
        if service == "sagemaker":
            words += [member for member, _ in members]
        lines.append(" ".join(words))
    pathlib.Path(__file__).with_name(f"{service}.txt").write_text("\n".join(lines) + "\n")
