//! The file format of TensorFlow Lite: version 3 of `tensorflow/lite/schema/schema.fbs`, with the number of each field that is written.

use flatbuffers::{FlatBufferBuilder, TableFinishedWIPOffset, WIPOffset};

const VERSION: u32 = 3;
const IDENTIFIER: &str = "TFL3";
/// `force_align` of a buffer's data, in bytes.
const ALIGNMENT: usize = 16;

/// The fields of each table.
mod field {
    pub(super) mod model {
        pub(in super::super) const VERSION: u16 = 0;
        pub(in super::super) const OPERATOR_CODES: u16 = 1;
        pub(in super::super) const SUBGRAPHS: u16 = 2;
        pub(in super::super) const DESCRIPTION: u16 = 3;
        pub(in super::super) const BUFFERS: u16 = 4;
    }
    pub(super) mod operator_code {
        pub(in super::super) const DEPRECATED_BUILTIN_CODE: u16 = 0;
        pub(in super::super) const CUSTOM_CODE: u16 = 1;
        pub(in super::super) const VERSION: u16 = 2;
        pub(in super::super) const BUILTIN_CODE: u16 = 3;
    }
    pub(super) mod subgraph {
        pub(in super::super) const TENSORS: u16 = 0;
        pub(in super::super) const INPUTS: u16 = 1;
        pub(in super::super) const OUTPUTS: u16 = 2;
        pub(in super::super) const OPERATORS: u16 = 3;
        pub(in super::super) const NAME: u16 = 4;
    }
    pub(super) mod tensor {
        pub(in super::super) const SHAPE: u16 = 0;
        pub(in super::super) const TYPE: u16 = 1;
        pub(in super::super) const BUFFER: u16 = 2;
        pub(in super::super) const NAME: u16 = 3;
        pub(in super::super) const QUANTIZATION: u16 = 4;
    }
    pub(super) mod quantization_parameters {
        pub(in super::super) const SCALE: u16 = 2;
        pub(in super::super) const ZERO_POINT: u16 = 3;
        pub(in super::super) const QUANTIZED_DIMENSION: u16 = 6;
    }
    pub(super) mod operator {
        pub(in super::super) const OPCODE_INDEX: u16 = 0;
        pub(in super::super) const INPUTS: u16 = 1;
        pub(in super::super) const OUTPUTS: u16 = 2;
        pub(in super::super) const BUILTIN_OPTIONS_TYPE: u16 = 3;
        pub(in super::super) const BUILTIN_OPTIONS: u16 = 4;
        pub(in super::super) const CUSTOM_OPTIONS: u16 = 5;
    }
    pub(super) mod buffer {
        pub(in super::super) const DATA: u16 = 0;
    }
    pub(super) mod conv_2d {
        pub(in super::super) const PADDING: u16 = 0;
        pub(in super::super) const STRIDE_W: u16 = 1;
        pub(in super::super) const STRIDE_H: u16 = 2;
        pub(in super::super) const ACTIVATION: u16 = 3;
    }
    pub(super) mod depthwise_conv_2d {
        pub(in super::super) const PADDING: u16 = 0;
        pub(in super::super) const STRIDE_W: u16 = 1;
        pub(in super::super) const STRIDE_H: u16 = 2;
        pub(in super::super) const DEPTH_MULTIPLIER: u16 = 3;
        pub(in super::super) const ACTIVATION: u16 = 4;
    }
    pub(super) mod add {
        pub(in super::super) const ACTIVATION: u16 = 0;
    }
    pub(super) mod concatenation {
        pub(in super::super) const AXIS: u16 = 0;
    }
    pub(super) mod reshape {
        pub(in super::super) const NEW_SHAPE: u16 = 0;
    }
    pub(super) mod softmax {
        pub(in super::super) const BETA: u16 = 0;
    }
}

/// `Padding`.
const SAME: i8 = 0;

/// `TensorType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub(super) enum ElementType {
    Float32 = 0,
    Int32 = 2,
    Uint8 = 3,
    Int8 = 9,
}

/// `ActivationFunctionType`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i8)]
pub(super) enum Activation {
    None = 0,
    Relu6 = 3,
}

/// `BuiltinOperator`, and the version of the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Code {
    pub(super) builtin: i8,
    pub(super) version: i32,
    /// The name of an operator that is none of TensorFlow Lite's own.
    pub(super) custom: Option<&'static str>,
}

impl Code {
    pub(super) const ADD: i8 = 0;
    pub(super) const CONCATENATION: i8 = 2;
    pub(super) const CONV_2D: i8 = 3;
    pub(super) const DEPTHWISE_CONV_2D: i8 = 4;
    pub(super) const DEQUANTIZE: i8 = 6;
    pub(super) const LOGISTIC: i8 = 14;
    pub(super) const RESHAPE: i8 = 22;
    pub(super) const SOFTMAX: i8 = 25;
    pub(super) const CUSTOM: i8 = 32;
    pub(super) const QUANTIZE: i8 = 114;

    pub(super) fn of(builtin: i8, version: i32) -> Self {
        Self { builtin, version, custom: None }
    }
}

/// `BuiltinOptions`.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Options {
    None,
    Conv2d { stride: i32, activation: Activation },
    DepthwiseConv2d { stride: i32, activation: Activation },
    Add,
    Concatenation { axis: i32 },
    Reshape { shape: Vec<i32> },
    Softmax,
}

impl Options {
    /// Their number in the union.
    fn number(&self) -> u8 {
        match self {
            Self::None => 0,
            Self::Conv2d { .. } => 1,
            Self::DepthwiseConv2d { .. } => 2,
            Self::Softmax => 9,
            Self::Concatenation { .. } => 10,
            Self::Add => 11,
            Self::Reshape { .. } => 17,
        }
    }
}

/// `QuantizationParameters`: a value is `scale * (number - zero point)`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Quantization {
    /// One, or one for each index of a dimension.
    pub(super) scales: Vec<f32>,
    pub(super) zero_points: Vec<i64>,
    pub(super) dimension: i32,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Tensor {
    pub(super) name: String,
    pub(super) shape: Vec<i32>,
    pub(super) elements: ElementType,
    pub(super) quantization: Option<Quantization>,
    /// Its values, little-endian; empty where it is computed.
    pub(super) data: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) struct Operator {
    pub(super) code: Code,
    /// Indices of tensors.
    pub(super) inputs: Vec<i32>,
    pub(super) outputs: Vec<i32>,
    pub(super) options: Options,
    /// Of a custom operator.
    pub(super) custom_options: Vec<u8>,
}

/// A model with one subgraph.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Model {
    pub(super) description: String,
    pub(super) tensors: Vec<Tensor>,
    pub(super) operators: Vec<Operator>,
    pub(super) inputs: Vec<i32>,
    pub(super) outputs: Vec<i32>,
}

/// A table that is written.
type Table = WIPOffset<TableFinishedWIPOffset>;

/// The place of a field in the table of fields.
fn slot(field: u16) -> u16 {
    4 + 2 * field
}

impl Model {
    /// The file.
    pub(super) fn write(&self) -> Vec<u8> {
        let bytes: usize = self.tensors.iter().map(|tensor| tensor.data.len()).sum();
        let mut file = File(FlatBufferBuilder::with_capacity(bytes + (1 << 16)));
        // Buffer 0 is empty by convention: it is that of every tensor that is computed.
        let mut buffers = vec![file.buffer(&[])];
        let mut tensors = Vec::new();
        for tensor in &self.tensors {
            let buffer = if tensor.data.is_empty() { 0 } else { buffers.len() as u32 };
            if buffer > 0 {
                buffers.push(file.buffer(&tensor.data));
            }
            tensors.push(file.tensor(tensor, buffer));
        }
        let mut codes: Vec<Code> = Vec::new();
        let mut operators = Vec::new();
        for operator in &self.operators {
            let index = codes.iter().position(|code| *code == operator.code).unwrap_or_else(|| {
                codes.push(operator.code);
                codes.len() - 1
            });
            operators.push(file.operator(operator, index as u32));
        }
        let codes: Vec<Table> = codes.into_iter().map(|code| file.code(code)).collect();
        let subgraph = file.subgraph(self, &tensors, &operators);
        file.finish(&self.description, &codes, subgraph, &buffers)
    }
}

/// A file, which is written from its end on.
struct File(FlatBufferBuilder<'static>);

impl File {
    fn buffer(&mut self, data: &[u8]) -> Table {
        let builder = &mut self.0;
        let data = (!data.is_empty()).then(|| {
            // The builder aligns to eight bytes at most. The whole file is a multiple of the alignment, so zeros after the data
            // align it.
            while !(builder.unfinished_data().len() + data.len()).is_multiple_of(ALIGNMENT) {
                builder.push(0_u8);
            }
            builder.create_vector(data)
        });
        let table = builder.start_table();
        if let Some(data) = data {
            builder.push_slot_always(slot(field::buffer::DATA), data);
        }
        self.end(table)
    }

    fn tensor(&mut self, tensor: &Tensor, buffer: u32) -> Table {
        use field::{quantization_parameters as parameters, tensor as fields};
        let builder = &mut self.0;
        let quantization = tensor.quantization.as_ref().map(|quantization| {
            let scales = builder.create_vector(&quantization.scales);
            let zero_points = builder.create_vector(&quantization.zero_points);
            let table = builder.start_table();
            builder.push_slot_always(slot(parameters::SCALE), scales);
            builder.push_slot_always(slot(parameters::ZERO_POINT), zero_points);
            builder.push_slot(slot(parameters::QUANTIZED_DIMENSION), quantization.dimension, 0);
            builder.end_table(table)
        });
        let (name, shape) = (builder.create_string(&tensor.name), builder.create_vector(&tensor.shape));
        let table = builder.start_table();
        builder.push_slot_always(slot(fields::SHAPE), shape);
        builder.push_slot(slot(fields::TYPE), tensor.elements as i8, 0);
        builder.push_slot(slot(fields::BUFFER), buffer, 0);
        builder.push_slot_always(slot(fields::NAME), name);
        if let Some(quantization) = quantization {
            builder.push_slot_always(slot(fields::QUANTIZATION), quantization);
        }
        self.end(table)
    }

    fn operator(&mut self, operator: &Operator, code: u32) -> Table {
        use field::operator as fields;
        let options = self.options(&operator.options);
        let builder = &mut self.0;
        let (inputs, outputs) = (builder.create_vector(&operator.inputs), builder.create_vector(&operator.outputs));
        let custom = (!operator.custom_options.is_empty()).then(|| builder.create_vector(&operator.custom_options));
        let table = builder.start_table();
        builder.push_slot(slot(fields::OPCODE_INDEX), code, 0);
        builder.push_slot_always(slot(fields::INPUTS), inputs);
        builder.push_slot_always(slot(fields::OUTPUTS), outputs);
        if let Some(options) = options {
            builder.push_slot_always(slot(fields::BUILTIN_OPTIONS_TYPE), operator.options.number());
            builder.push_slot_always(slot(fields::BUILTIN_OPTIONS), options);
        }
        if let Some(custom) = custom {
            builder.push_slot_always(slot(fields::CUSTOM_OPTIONS), custom);
        }
        self.end(table)
    }

    fn options(&mut self, options: &Options) -> Option<Table> {
        let builder = &mut self.0;
        let shape = match options {
            Options::None => return None,
            Options::Reshape { shape } => Some(builder.create_vector(shape)),
            _ => None,
        };
        let table = builder.start_table();
        match options {
            Options::None | Options::Reshape { .. } => {}
            Options::Conv2d { stride, activation } => {
                builder.push_slot_always(slot(field::conv_2d::PADDING), SAME);
                builder.push_slot_always(slot(field::conv_2d::STRIDE_W), *stride);
                builder.push_slot_always(slot(field::conv_2d::STRIDE_H), *stride);
                builder.push_slot_always(slot(field::conv_2d::ACTIVATION), *activation as i8);
            }
            Options::DepthwiseConv2d { stride, activation } => {
                builder.push_slot_always(slot(field::depthwise_conv_2d::PADDING), SAME);
                builder.push_slot_always(slot(field::depthwise_conv_2d::STRIDE_W), *stride);
                builder.push_slot_always(slot(field::depthwise_conv_2d::STRIDE_H), *stride);
                builder.push_slot_always(slot(field::depthwise_conv_2d::DEPTH_MULTIPLIER), 1_i32);
                builder.push_slot_always(slot(field::depthwise_conv_2d::ACTIVATION), *activation as i8);
            }
            Options::Add => builder.push_slot_always(slot(field::add::ACTIVATION), Activation::None as i8),
            Options::Concatenation { axis } => builder.push_slot_always(slot(field::concatenation::AXIS), *axis),
            Options::Softmax => builder.push_slot_always(slot(field::softmax::BETA), 1_f32),
        }
        if let Some(shape) = shape {
            builder.push_slot_always(slot(field::reshape::NEW_SHAPE), shape);
        }
        Some(self.end(table))
    }

    fn code(&mut self, code: Code) -> Table {
        use field::operator_code as fields;
        let builder = &mut self.0;
        let custom = code.custom.map(|name| builder.create_string(name));
        let table = builder.start_table();
        builder.push_slot_always(slot(fields::DEPRECATED_BUILTIN_CODE), code.builtin);
        builder.push_slot_always(slot(fields::VERSION), code.version);
        builder.push_slot_always(slot(fields::BUILTIN_CODE), i32::from(code.builtin));
        if let Some(custom) = custom {
            builder.push_slot_always(slot(fields::CUSTOM_CODE), custom);
        }
        self.end(table)
    }

    fn subgraph(&mut self, model: &Model, tensors: &[Table], operators: &[Table]) -> Table {
        use field::subgraph as fields;
        let builder = &mut self.0;
        let (tensors, operators) = (builder.create_vector(tensors), builder.create_vector(operators));
        let (inputs, outputs) = (builder.create_vector(&model.inputs), builder.create_vector(&model.outputs));
        let name = builder.create_string("main");
        let table = builder.start_table();
        builder.push_slot_always(slot(fields::TENSORS), tensors);
        builder.push_slot_always(slot(fields::INPUTS), inputs);
        builder.push_slot_always(slot(fields::OUTPUTS), outputs);
        builder.push_slot_always(slot(fields::OPERATORS), operators);
        builder.push_slot_always(slot(fields::NAME), name);
        self.end(table)
    }

    fn finish(mut self, description: &str, codes: &[Table], subgraph: Table, buffers: &[Table]) -> Vec<u8> {
        use field::model as fields;
        let builder = &mut self.0;
        let (codes, subgraphs) = (builder.create_vector(codes), builder.create_vector(&[subgraph]));
        let (description, buffers) = (builder.create_string(description), builder.create_vector(buffers));
        let table = builder.start_table();
        builder.push_slot_always(slot(fields::VERSION), VERSION);
        builder.push_slot_always(slot(fields::OPERATOR_CODES), codes);
        builder.push_slot_always(slot(fields::SUBGRAPHS), subgraphs);
        builder.push_slot_always(slot(fields::DESCRIPTION), description);
        builder.push_slot_always(slot(fields::BUFFERS), buffers);
        let model = builder.end_table(table);
        // The place of the model and the identifier come first.
        while !(builder.unfinished_data().len() + 8).is_multiple_of(ALIGNMENT) {
            builder.push(0_u8);
        }
        builder.finish(model, Some(IDENTIFIER));
        builder.finished_data().to_vec()
    }

    fn end(&mut self, table: WIPOffset<flatbuffers::TableUnfinishedWIPOffset>) -> Table {
        self.0.end_table(table)
    }
}
