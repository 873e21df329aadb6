//! Files of TensorFlow Lite, whose today's name is LiteRT.

mod schema;

use super::graph::{Activation, Convolution, Graph, Kernel, Operation, Scores, ValueId};
use super::post_processing::PostProcessing;
use super::quantization::{Ranges, Scale, WholeWeights};
use schema::{Code, ElementType, Model, Operator, Options, Quantization, Tensor};

/// The program that wrote the file.
const DESCRIPTION: &str = "Time Traveler";
/// The operation that is none of TensorFlow Lite's own, and that its interpreters have.
const POST_PROCESS: &str = "TFLite_Detection_PostProcess";
/// Between numbers of -128 to 127 and those of 0 to 255.
const UNSIGNED: i32 = 128;

/// A graph as a file of TensorFlow Lite.
///
/// Without `ranges`, it is in float32. With them, it computes in whole numbers of 8 bits: its input is the picture itself, of 0 to 255,
/// and its answers are such numbers too.
///
/// With `post_processing`, whose anchors are those of the graph, it answers with detections in float32: boxes `(1, detections, 4)` as top,
/// left, bottom and right in multiples of the picture's height and width, not clipped; classes from 0 `(1, detections)`; scores
/// `(1, detections)`; and their number `(1)`.
pub fn tflite(graph: &Graph, post_processing: Option<&PostProcessing>, ranges: Option<&Ranges>) -> Vec<u8> {
    let model = Model { description: DESCRIPTION.to_owned(), ..Model::default() };
    let scales = ranges.map(|ranges| ranges.scales(graph));
    let mut lowering = Lowering { graph, scales, model };
    lowering.values();
    lowering.input();
    for operation in graph.operations() {
        lowering.operation(operation);
    }
    match post_processing {
        Some(post_processing) => lowering.detections(post_processing),
        None => lowering.answers(),
    }
    lowering.model.write()
}

/// The graph's values are the first tensors, in their order.
fn index(value: ValueId) -> i32 {
    value.0 as i32
}

fn extents(shape: &[usize]) -> Vec<i32> {
    shape.iter().map(|extent| *extent as i32).collect()
}

fn bytes(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

fn whole_bytes(values: &[i32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// A tensor in float32; without data, it is computed.
fn floats(name: &str, shape: &[usize], data: Vec<u8>) -> Tensor {
    let (name, shape) = (name.to_owned(), extents(shape));
    Tensor { name, shape, elements: ElementType::Float32, quantization: None, data }
}

/// A whole number for all values.
fn single(scale: f32, zero_point: i32) -> Option<Quantization> {
    Some(Quantization { scales: vec![scale], zero_points: vec![i64::from(zero_point)], dimension: 0 })
}

struct Lowering<'a> {
    graph: &'a Graph,
    /// Of each value, where the model computes in whole numbers.
    scales: Option<Vec<Scale>>,
    model: Model,
}

impl Lowering<'_> {
    fn tensor(&mut self, tensor: Tensor) -> i32 {
        self.model.tensors.push(tensor);
        self.model.tensors.len() as i32 - 1
    }

    fn scale(&self, value: ValueId) -> Option<Scale> {
        self.scales.as_ref().map(|scales| scales[value.0])
    }

    fn operator(&mut self, code: Code, inputs: Vec<i32>, outputs: Vec<i32>, options: Options) {
        self.model.operators.push(Operator { code, inputs, outputs, options, custom_options: Vec::new() });
    }

    fn values(&mut self) {
        for (index, value) in self.graph.values().iter().enumerate() {
            let mut tensor = floats(&value.name, &value.shape, Vec::new());
            if let Some(Scale { scale, zero_point }) = self.scale(ValueId(index)) {
                tensor.elements = ElementType::Int8;
                tensor.quantization = single(scale, zero_point);
                if ValueId(index) == self.graph.input() || self.graph.outputs().contains(&ValueId(index)) {
                    tensor.name.push_str("_int8");
                }
            }
            self.tensor(tensor);
        }
    }

    /// The same value in numbers of 0 to 255, under its own name.
    fn unsigned(&mut self, value: ValueId, Scale { scale, zero_point }: Scale) -> i32 {
        let known = self.graph.value(value);
        self.tensor(Tensor {
            name: known.name.clone(),
            shape: extents(&known.shape),
            elements: ElementType::Uint8,
            quantization: single(scale, zero_point + UNSIGNED),
            data: Vec::new(),
        })
    }

    fn input(&mut self) {
        let input = self.graph.input();
        self.model.inputs = vec![match self.scale(input) {
            None => index(input),
            Some(scale) => {
                let unsigned = self.unsigned(input, scale);
                self.operator(Code::of(Code::QUANTIZE, 1), vec![unsigned], vec![index(input)], Options::None);
                unsigned
            }
        }];
    }

    fn answers(&mut self) {
        for output in self.graph.outputs() {
            let answer = match self.scale(*output) {
                None => index(*output),
                Some(scale) => {
                    let unsigned = self.unsigned(*output, scale);
                    self.operator(Code::of(Code::QUANTIZE, 1), vec![index(*output)], vec![unsigned], Options::None);
                    unsigned
                }
            };
            self.model.outputs.push(answer);
        }
    }

    fn detections(&mut self, settings: &PostProcessing) {
        let mut inputs = Vec::new();
        for output in self.graph.outputs() {
            inputs.push(match self.scale(*output) {
                None => index(*output),
                Some(_) => {
                    let value = self.graph.value(*output);
                    let float = self.tensor(floats(&value.name, &value.shape, Vec::new()));
                    self.operator(Code::of(Code::DEQUANTIZE, 2), vec![index(*output)], vec![float], Options::None);
                    float
                }
            });
        }
        let anchors = settings.anchors.as_flattened();
        inputs.push(self.tensor(floats("anchors", &[settings.anchors.len(), 4], bytes(anchors))));
        let most = settings.detections;
        let shapes: [(&str, &[usize]); 4] = [("", &[1, most, 4]), (":1", &[1, most]), (":2", &[1, most]), (":3", &[1])];
        let outputs =
            shapes.map(|(ending, shape)| self.tensor(floats(&format!("{POST_PROCESS}{ending}"), shape, Vec::new())));
        self.model.outputs = outputs.to_vec();
        self.model.operators.push(Operator {
            code: Code { builtin: Code::CUSTOM, version: 1, custom: Some(POST_PROCESS) },
            inputs,
            outputs: outputs.to_vec(),
            options: Options::None,
            custom_options: options(settings),
        });
    }

    fn operation(&mut self, operation: &Operation) {
        // The version of an operator whose values are of 8 bits.
        let version = if self.scales.is_some() { 2 } else { 1 };
        match operation {
            Operation::Convolution(convolution) => self.convolution(convolution),
            Operation::Addition { inputs, output } => {
                let inputs = inputs.map(index).to_vec();
                self.operator(Code::of(Code::ADD, version), inputs, vec![index(*output)], Options::Add);
            }
            Operation::Reshape { input, output } => {
                let value = self.graph.value(*output);
                let shape = extents(&value.shape);
                let tensor = Tensor {
                    name: format!("{}/shape", value.name),
                    shape: vec![shape.len() as i32],
                    elements: ElementType::Int32,
                    quantization: None,
                    data: whole_bytes(&shape),
                };
                let inputs = vec![index(*input), self.tensor(tensor)];
                self.operator(Code::of(Code::RESHAPE, 1), inputs, vec![index(*output)], Options::Reshape { shape });
            }
            Operation::Concatenation { inputs, output } => {
                let inputs = inputs.iter().copied().map(index).collect();
                let options = Options::Concatenation { axis: 1 };
                self.operator(Code::of(Code::CONCATENATION, version), inputs, vec![index(*output)], options);
            }
            Operation::Scores { input, output, scores } => {
                let (code, options) = match scores {
                    Scores::Logistic => (Code::LOGISTIC, Options::None),
                    Scores::Softmax => (Code::SOFTMAX, Options::Softmax),
                };
                self.operator(Code::of(code, version), vec![index(*input)], vec![index(*output)], options);
            }
        }
    }

    fn convolution(&mut self, convolution: &Convolution) {
        let Convolution { input, output, kernel, weights, bias, stride, activation } = convolution;
        let (version, tensors) = match self.scale(*input) {
            None => (1, [weights, bias].map(|weights| floats(&weights.name, &weights.shape, bytes(&weights.values)))),
            // Version 3 has a scale for each output.
            Some(Scale { scale, .. }) => (3, whole(convolution, scale)),
        };
        let [weights, bias] = tensors.map(|tensor| self.tensor(tensor));
        let stride = *stride as i32;
        let activation = match activation {
            Activation::None => schema::Activation::None,
            Activation::Relu6 => schema::Activation::Relu6,
        };
        let (code, options) = match kernel {
            Kernel::Full => (Code::CONV_2D, Options::Conv2d { stride, activation }),
            Kernel::Depthwise => (Code::DEPTHWISE_CONV_2D, Options::DepthwiseConv2d { stride, activation }),
        };
        self.operator(Code::of(code, version), vec![index(*input), weights, bias], vec![index(*output)], options);
    }
}

/// Weights and bias of a convolution in whole numbers, given the scale of its input.
fn whole(convolution: &Convolution, input: f32) -> [Tensor; 2] {
    let Convolution { weights, bias, .. } = convolution;
    let WholeWeights { weights: numbers, scales, dimension, bias: shifts, bias_scales } =
        WholeWeights::of(convolution, input);
    let zero_points = vec![0; scales.len()];
    [
        Tensor {
            name: weights.name.clone(),
            shape: extents(&weights.shape),
            elements: ElementType::Int8,
            quantization: Some(Quantization { scales, zero_points: zero_points.clone(), dimension }),
            data: numbers.into_iter().map(|number| number as u8).collect(),
        },
        Tensor {
            name: bias.name.clone(),
            shape: extents(&bias.shape),
            elements: ElementType::Int32,
            quantization: Some(Quantization { scales: bias_scales, zero_points, dimension: 0 }),
            data: whole_bytes(&shifts),
        },
    ]
}

/// The options of the post-processing: a map in FlexBuffers.
fn options(settings: &PostProcessing) -> Vec<u8> {
    let mut builder = flexbuffers::Builder::default();
    let mut map = builder.start_map();
    let [y, x, height, width] = settings.scales;
    for (name, number) in [
        ("max_detections", settings.detections),
        ("max_classes_per_detection", 1),
        ("detections_per_class", settings.per_class),
        ("num_classes", settings.classes),
    ] {
        map.push(name, number as i32);
    }
    for (name, number) in [
        ("nms_score_threshold", settings.score_threshold),
        ("nms_iou_threshold", settings.iou_threshold),
        ("y_scale", y),
        ("x_scale", x),
        ("h_scale", height),
        ("w_scale", width),
    ] {
        map.push(name, number);
    }
    map.push("use_regular_nms", settings.by_class);
    map.end_map();
    builder.take_buffer()
}

#[cfg(test)]
mod tests;
