//! What a network computes for one picture, operation by operation.

/// A value in a graph: maps `(1, height, width, channels)` or rows `(1, rows, columns)`, float32.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ValueId(pub(super) usize);

/// The name and shape of a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Value {
    /// Its name, as TensorFlow has it.
    pub name: String,
    /// Its extents, outermost first. The first is 1: the picture.
    pub shape: Vec<usize>,
}

/// A tensor of weights.
#[derive(Clone, Debug, PartialEq)]
pub struct Weights {
    /// Its name, as TensorFlow has it.
    pub name: String,
    /// Its extents, outermost first.
    pub shape: Vec<usize>,
    /// Its values, row-major.
    pub values: Vec<f32>,
}

/// The kernels of a convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// From all inputs to each output. Weights are `(outputs, height, width, inputs)`.
    Full,
    /// From each input to its output. Weights are `(1, height, width, channels)`.
    Depthwise,
}

/// What is computed of each value at last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// Nothing.
    None,
    /// `min(max(x, 0), 6)`.
    Relu6,
}

/// How logits become scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scores {
    /// `1 / (1 + exp(-x))` of each value.
    Logistic,
    /// `exp(x)`, divided by the sum of its row.
    Softmax,
}

/// A convolution with TensorFlow's padding `SAME`.
#[derive(Clone, Debug, PartialEq)]
pub struct Convolution {
    /// Its maps.
    pub input: ValueId,
    /// What it computes.
    pub output: ValueId,
    /// Its form.
    pub kernel: Kernel,
    /// Its weights.
    pub weights: Weights,
    /// One number for each output.
    pub bias: Weights,
    /// The distance of neighbouring outputs, in pixels.
    pub stride: usize,
    /// What comes last.
    pub activation: Activation,
}

/// An operation.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// A convolution.
    Convolution(Box<Convolution>),
    /// The sum of two values of one shape.
    Addition {
        /// Both.
        inputs: [ValueId; 2],
        /// Their sum.
        output: ValueId,
    },
    /// Maps as rows, row-major.
    Reshape {
        /// Maps.
        input: ValueId,
        /// Rows.
        output: ValueId,
    },
    /// Rows of several values, one after the other.
    Concatenation {
        /// The values.
        inputs: Vec<ValueId>,
        /// All rows.
        output: ValueId,
    },
    /// Logits as scores.
    Scores {
        /// Logits.
        input: ValueId,
        /// Scores, 0 to 1.
        output: ValueId,
        /// How.
        scores: Scores,
    },
}

impl Operation {
    /// The value that it computes.
    pub fn output(&self) -> ValueId {
        match self {
            Self::Convolution(convolution) => convolution.output,
            Self::Addition { output, .. }
            | Self::Reshape { output, .. }
            | Self::Concatenation { output, .. }
            | Self::Scores { output, .. } => *output,
        }
    }
}

/// A network for one picture. Its operations are in the order in which they can run.
#[derive(Clone, Debug, PartialEq)]
pub struct Graph {
    values: Vec<Value>,
    operations: Vec<Operation>,
    outputs: Vec<ValueId>,
}

impl Graph {
    /// A graph without operations. Its input has this name and shape.
    pub fn new(input: &str, shape: [usize; 4]) -> Self {
        let input = Value { name: input.to_owned(), shape: shape.to_vec() };
        Self { values: vec![input], operations: Vec::new(), outputs: Vec::new() }
    }

    /// The input.
    pub fn input(&self) -> ValueId {
        ValueId(0)
    }

    /// The values that the network answers with, in their order.
    pub fn outputs(&self) -> &[ValueId] {
        &self.outputs
    }

    /// All values.
    pub fn values(&self) -> &[Value] {
        &self.values
    }

    /// A value.
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.0]
    }

    /// The operations.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// A value is an answer of the network, after those that are answers already.
    pub fn answer(&mut self, value: ValueId) {
        self.outputs.push(value);
    }

    fn add(&mut self, name: String, shape: Vec<usize>) -> ValueId {
        self.values.push(Value { name, shape });
        ValueId(self.values.len() - 1)
    }

    /// Adds a convolution. The shapes of weights are those of [`Kernel`].
    pub fn convolution(
        &mut self,
        name: String,
        input: ValueId,
        kernel: Kernel,
        [weights, bias]: [Weights; 2],
        stride: usize,
        activation: Activation,
    ) -> ValueId {
        let maps = &self.value(input).shape;
        let shape = vec![1, maps[1].div_ceil(stride), maps[2].div_ceil(stride), bias.values.len()];
        let output = self.add(name, shape);
        let convolution = Convolution { input, output, kernel, weights, bias, stride, activation };
        self.operations.push(Operation::Convolution(Box::new(convolution)));
        output
    }

    /// Adds a sum of two values.
    pub fn addition(&mut self, name: String, inputs: [ValueId; 2]) -> ValueId {
        let output = self.add(name, self.value(inputs[0]).shape.clone());
        self.operations.push(Operation::Addition { inputs, output });
        output
    }

    /// Adds the values of maps as rows, each of `columns` values.
    pub fn reshape(&mut self, name: String, input: ValueId, columns: usize) -> ValueId {
        let elements: usize = self.value(input).shape.iter().product();
        let output = self.add(name, vec![1, elements / columns, columns]);
        self.operations.push(Operation::Reshape { input, output });
        output
    }

    /// Adds rows one after the other.
    pub fn concatenation(&mut self, name: String, inputs: Vec<ValueId>) -> ValueId {
        let shape = |id: &ValueId| &self.value(*id).shape;
        let rows = inputs.iter().map(|id| shape(id)[1]).sum();
        let columns = inputs.first().map_or(0, |id| shape(id)[2]);
        let output = self.add(name, vec![1, rows, columns]);
        self.operations.push(Operation::Concatenation { inputs, output });
        output
    }

    /// Adds scores.
    pub fn scores(&mut self, name: String, input: ValueId, scores: Scores) -> ValueId {
        let output = self.add(name, self.value(input).shape.clone());
        self.operations.push(Operation::Scores { input, output, scores });
        output
    }
}
