"""Freeze an SSD with TensorFlow's Object Detection API, or run a frozen graph. `compare_object_detectors.py` calls it.

    pip install tensorflow==1.15.5 protobuf==3.20.3 scipy matplotlib pandas lxml contextlib2    # in an environment of Python 3.7
    pip install --no-deps tf-slim
    pip download --no-deps tf-models-research-object-detection==2.8.0.post1
    mkdir object-detection && tar xf tf_models_research_object_detection-2.8.0.post1.tar.gz -C object-detection --strip-components 1
    python notebooks/ssd_in_tensorflow.py freeze MODEL --object-detection-api object-detection
    python notebooks/ssd_in_tensorflow.py run MODEL/frozen_inference_graph.pb picture.npy --threads 2

`freeze` reads `pipeline.config` and `model.safetensors` of the folder MODEL, and writes `frozen_inference_graph.pb` beside them.
`run` answers the lines of its standard input as `compare_object_detectors.py` documents. The package is the Object Detection API of 2022.
"""

import argparse
import os
import sys
import tempfile
import warnings
from pathlib import Path

import numpy

from compare_object_detectors import DETECTIONS, answer_lines, read_weights

warnings.filterwarnings("ignore")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# The encodings of boxes and the logits, before anything becomes of them.
RAW = ["concat:0", "concat_1:0"]


def freeze(model):
    import tensorflow.compat.v1 as tf
    from google.protobuf import text_format
    from object_detection import exporter
    from object_detection.builders import model_builder
    from object_detection.protos import pipeline_pb2

    pipeline = pipeline_pb2.TrainEvalPipelineConfig()
    text_format.Merge((model / "pipeline.config").read_text(), pipeline)
    values = read_weights(model / "model.safetensors")
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = str(Path(folder) / "model.ckpt")
        with tf.Graph().as_default(), tf.Session() as session:
            network = model_builder.build(pipeline.model, is_training=False)
            inputs, shapes = network.preprocess(tf.zeros([1, 300, 300, 3]))
            network.predict(inputs, shapes)
            tf.train.get_or_create_global_step()
            session.run(tf.global_variables_initializer())
            variables = {variable.op.name: variable for variable in tf.global_variables()}
            assert set(values) == set(variables) - {"global_step"}, set(values) ^ set(variables)
            for name, value in values.items():
                variables[name].load(value, session)
            tf.train.Saver().save(session, checkpoint)
        exporter.export_inference_graph("image_tensor", pipeline, checkpoint, folder)
        (model / "frozen_inference_graph.pb").write_bytes((Path(folder) / "frozen_inference_graph.pb").read_bytes())


def run(graph, picture, threads, is_whole):
    import tensorflow.compat.v1 as tf

    definition = tf.GraphDef()
    definition.ParseFromString(graph.read_bytes())
    tf.import_graph_def(definition, name="")
    # Classes are suppressed at once, which one operation after the other would not.
    settings = tf.ConfigProto(intra_op_parallelism_threads=threads, inter_op_parallelism_threads=threads)
    session = tf.Session(config=settings)
    names = ["%s:0" % name for name in DETECTIONS] if is_whole else RAW
    inputs = {"image_tensor:0": numpy.load(str(picture))[None]}
    answer_lines("TensorFlow " + tf.__version__, lambda: session.run(names, inputs))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=["freeze", "run"])
    parser.add_argument("path", type=Path, help="the folder of a model, or a frozen graph")
    parser.add_argument("picture", type=Path, nargs="?", help="uint8, (height, width, 3)")
    parser.add_argument("--object-detection-api", type=Path, help="its folder, with `object_detection` and `slim`")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--whole", action="store_true", help="to detections, and not to encodings and logits")
    options = parser.parse_args()
    if options.what == "run":
        return run(options.path, options.picture, options.threads, options.whole)
    sys.path[:0] = [str(options.object_detection_api), str(options.object_detection_api / "slim")]
    freeze(options.path)


if __name__ == "__main__":
    main()
