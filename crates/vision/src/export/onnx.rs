//! Files of ONNX.

mod detections;
mod messages;

use nn::kernels::Padding;
use prost::Message;

use super::graph::{Activation, Convolution, Graph, Kernel, Operation, Scores, ValueId, Weights};
use super::post_processing::PostProcessing;
use messages::{
    AttributeProto, DimensionProto, Extent, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TensorTypeProto, TypeProto, ValueInfoProto,
};

/// The version of the set of operators.
pub const OPSET: i64 = 17;
/// The version of the file format that came with it.
const IR_VERSION: i64 = 8;
const PRODUCER: &str = "Time Traveler";
/// Limits of `ReLU6`.
const ZERO: &str = "zero";
const SIX: &str = "six";
/// The extent of a batch.
const BATCH: &str = "batch";

/// A graph as a file of ONNX, in float32, with the inputs and answers of the graph: channels come last.
///
/// Without `post_processing`, it takes any number of pictures at once. With it, it takes one, and answers with its detections, best first:
/// `detection_boxes` `(detections, 4)` as top, left, bottom and right of 0 to 1, `detection_classes` `(detections)` from 0, int64, and
/// `detection_scores` `(detections)`. Each class is suppressed by itself.
pub fn onnx(graph: &Graph, post_processing: Option<&PostProcessing>) -> Vec<u8> {
    let mut file = File { graph, proto: GraphProto { name: "ssd".to_owned(), ..GraphProto::default() } };
    file.floats(ZERO, &[], &[0.0]);
    file.floats(SIX, &[], &[6.0]);
    let input = graph.input();
    file.node("Transpose", &[graph.value(input).name.clone()], &file.maps(input), vec![ints("perm", &[0, 3, 1, 2])]);
    for operation in graph.operations() {
        file.operation(operation);
    }
    let shape: Vec<i64> = graph.value(input).shape.iter().map(|extent| *extent as i64).collect();
    let batch = if post_processing.is_some() { fixed(1) } else { named(BATCH) };
    let extents = |shape: &[i64]| [vec![batch.clone()], shape[1..].iter().copied().map(fixed).collect()].concat();
    file.proto.input = vec![info(&graph.value(input).name, messages::FLOAT, extents(&shape))];
    match post_processing {
        Some(settings) => file.detections(settings),
        None => {
            for output in graph.outputs() {
                let value = graph.value(*output);
                let shape: Vec<i64> = value.shape.iter().map(|extent| *extent as i64).collect();
                file.proto.output.push(info(&value.name, messages::FLOAT, extents(&shape)));
            }
        }
    }
    let opset = OperatorSetIdProto { domain: String::new(), version: OPSET };
    let (ir_version, producer_name) = (IR_VERSION, PRODUCER.to_owned());
    ModelProto { ir_version, producer_name, graph: Some(file.proto), opset_import: vec![opset] }.encode_to_vec()
}

fn fixed(extent: i64) -> DimensionProto {
    DimensionProto { value: Some(Extent::DimValue(extent)) }
}

fn named(extent: &str) -> DimensionProto {
    DimensionProto { value: Some(Extent::DimParam(extent.to_owned())) }
}

fn info(name: &str, elem_type: i32, dim: Vec<DimensionProto>) -> ValueInfoProto {
    let tensor_type = Some(TensorTypeProto { elem_type, shape: Some(TensorShapeProto { dim }) });
    ValueInfoProto { name: name.to_owned(), r#type: Some(TypeProto { tensor_type }) }
}

fn ints(name: &str, values: &[i64]) -> AttributeProto {
    AttributeProto { name: name.to_owned(), i: 0, ints: values.to_vec(), r#type: messages::INTS }
}

fn int(name: &str, value: i64) -> AttributeProto {
    AttributeProto { name: name.to_owned(), i: value, ints: Vec::new(), r#type: messages::INT }
}

struct File<'a> {
    graph: &'a Graph,
    proto: GraphProto,
}

impl File<'_> {
    /// The name of a value. Maps have their channels outermost, as ONNX's convolutions need them.
    fn maps(&self, id: ValueId) -> String {
        let value = self.graph.value(id);
        if id == self.graph.input() { format!("{}/channels_first", value.name) } else { value.name.clone() }
    }

    /// Adds a node, and answers with the name of its value.
    fn node(&mut self, op_type: &str, inputs: &[String], output: &str, attribute: Vec<AttributeProto>) -> String {
        self.proto.node.push(NodeProto {
            input: inputs.to_vec(),
            output: vec![output.to_owned()],
            name: output.to_owned(),
            op_type: op_type.to_owned(),
            attribute,
        });
        output.to_owned()
    }

    /// Adds constants, and answers with their name.
    fn floats(&mut self, name: &str, dims: &[usize], values: &[f32]) -> String {
        let raw_data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(name, dims, messages::FLOAT, raw_data)
    }

    /// The same of whole numbers.
    fn wholes(&mut self, name: &str, dims: &[usize], values: &[i64]) -> String {
        let raw_data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.constant(name, dims, messages::INT64, raw_data)
    }

    fn constant(&mut self, name: &str, dims: &[usize], data_type: i32, raw_data: Vec<u8>) -> String {
        let dims = dims.iter().map(|extent| *extent as i64).collect();
        self.proto.initializer.push(TensorProto { dims, data_type, name: name.to_owned(), raw_data });
        name.to_owned()
    }

    fn operation(&mut self, operation: &Operation) {
        let name = self.graph.value(operation.output()).name.clone();
        match operation {
            Operation::Convolution(convolution) => self.convolution(convolution, &name),
            Operation::Addition { inputs, .. } => {
                let inputs = inputs.map(|input| self.maps(input));
                self.node("Add", &inputs, &name, Vec::new());
            }
            Operation::Reshape { input, output } => {
                let columns = self.graph.value(*output).shape[2] as i64;
                let last = format!("{name}/channels_last");
                let maps = self.node("Transpose", &[self.maps(*input)], &last, vec![ints("perm", &[0, 2, 3, 1])]);
                // 0: the extent stays.
                let shape = self.wholes(&format!("{name}/shape"), &[3], &[0, -1, columns]);
                self.node("Reshape", &[maps, shape], &name, Vec::new());
            }
            Operation::Concatenation { inputs, .. } => {
                let inputs: Vec<String> = inputs.iter().map(|input| self.maps(*input)).collect();
                self.node("Concat", &inputs, &name, vec![int("axis", 1)]);
            }
            Operation::Scores { input, scores, .. } => {
                let logits = self.maps(*input);
                match scores {
                    Scores::Logistic => self.node("Sigmoid", &[logits], &name, Vec::new()),
                    Scores::Softmax => self.node("Softmax", &[logits], &name, vec![int("axis", 2)]),
                };
            }
        }
    }

    fn convolution(&mut self, convolution: &Convolution, name: &str) {
        let Convolution { input, kernel, weights, bias, stride, activation, .. } = convolution;
        let shape = &self.graph.value(*input).shape;
        let (height, width, channels) = (weights.shape[1], weights.shape[2], shape[3]);
        let zeros = |side, length| {
            let before = Padding::Same.before(side, *stride, length);
            [before, Padding::Same.both(side, *stride, length) - before]
        };
        let [[above, below], [left, right]] = [zeros(height, shape[1]), zeros(width, shape[2])];
        let attributes = vec![
            ints("kernel_shape", &[height as i64, width as i64]),
            ints("pads", &[above, left, below, right].map(|zeros| zeros as i64)),
            ints("strides", &[*stride as i64; 2]),
            int("group", if *kernel == Kernel::Depthwise { channels as i64 } else { 1 }),
        ];
        let inputs = if *kernel == Kernel::Depthwise { 1 } else { channels };
        let dims = [bias.values.len(), inputs, height, width];
        let weights = self.floats(&weights.name, &dims, &inputs_before_places(weights, *kernel));
        let bias = self.floats(&bias.name, &bias.shape, &bias.values);
        let inputs = [self.maps(*input), weights, bias];
        match activation {
            Activation::None => self.node("Conv", &inputs, name, attributes),
            Activation::Relu6 => {
                let sums = self.node("Conv", &inputs, &format!("{name}/sums"), attributes);
                self.node("Clip", &[sums, ZERO.to_owned(), SIX.to_owned()], name, Vec::new())
            }
        };
    }
}

/// Weights as ONNX has them: outputs, inputs, height and width.
fn inputs_before_places(weights: &Weights, kernel: Kernel) -> Vec<f32> {
    let [first, height, width, last] = [0, 1, 2, 3].map(|dimension| weights.shape[dimension]);
    let places = height * width;
    let value = |index: usize| {
        let place = index % places;
        match kernel {
            Kernel::Full => {
                let (output, input) = (index / places / last, index / places % last);
                weights.values[(output * places + place) * last + input]
            }
            Kernel::Depthwise => weights.values[place * last + index / places],
        }
    };
    (0..first * places * last).map(value).collect()
}
