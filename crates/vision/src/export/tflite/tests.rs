//! Files are read back by a reader of their own: offsets and fields as the specification of FlatBuffers has them.

use super::super::graph::Weights;
use super::*;

/// A table in a file.
#[derive(Clone, Copy)]
struct Table<'a> {
    file: &'a [u8],
    at: usize,
}

fn number<const N: usize>(file: &[u8], at: usize) -> [u8; N] {
    file[at..at + N].try_into().unwrap()
}

fn word(file: &[u8], at: usize) -> usize {
    u32::from_le_bytes(number(file, at)) as usize
}

impl<'a> Table<'a> {
    fn root(file: &'a [u8]) -> Self {
        assert_eq!(&file[4..8], b"TFL3");
        Self { file, at: word(file, 0) }
    }

    /// Where a field is, if it is there.
    fn field(self, field: usize) -> Option<usize> {
        // The table of fields may come later than the table.
        let distance = i32::from_le_bytes(number(self.file, self.at)) as isize;
        let fields = self.at.checked_add_signed(-distance).unwrap();
        let bytes = usize::from(u16::from_le_bytes(number(self.file, fields)));
        let slot = 4 + 2 * field;
        let offset = if slot < bytes { u16::from_le_bytes(number(self.file, fields + slot)) } else { 0 };
        (offset > 0).then(|| self.at + usize::from(offset))
    }

    fn byte(self, field: usize) -> u8 {
        self.field(field).map_or(0, |at| self.file[at])
    }

    fn whole(self, field: usize) -> i32 {
        self.field(field).map_or(0, |at| i32::from_le_bytes(number(self.file, at)))
    }

    fn table(self, field: usize) -> Option<Self> {
        let at = self.field(field)?;
        Some(Self { file: self.file, at: at + word(self.file, at) })
    }

    /// Where the elements of a vector begin, and their number.
    fn vector(self, field: usize) -> (usize, usize) {
        let Some(at) = self.field(field) else { return (0, 0) };
        let vector = at + word(self.file, at);
        (vector + 4, word(self.file, vector))
    }

    fn bytes(self, field: usize) -> &'a [u8] {
        let (at, count) = self.vector(field);
        &self.file[at..at + count]
    }

    fn text(self, field: usize) -> &'a str {
        std::str::from_utf8(self.bytes(field)).unwrap()
    }

    fn wholes(self, field: usize) -> Vec<i32> {
        let (at, count) = self.vector(field);
        (0..count).map(|index| i32::from_le_bytes(number(self.file, at + 4 * index))).collect()
    }

    fn floats(self, field: usize) -> Vec<f32> {
        self.wholes(field).into_iter().map(|bits| f32::from_bits(bits as u32)).collect()
    }

    fn tables(self, field: usize) -> Vec<Self> {
        let (at, count) = self.vector(field);
        let place = |index: usize| at + 4 * index;
        (0..count).map(|index| Self { file: self.file, at: place(index) + word(self.file, place(index)) }).collect()
    }
}

/// A model's tables.
struct Read<'a> {
    codes: Vec<(u8, i32, &'a str)>,
    tensors: Vec<Table<'a>>,
    operators: Vec<Table<'a>>,
    buffers: Vec<Table<'a>>,
    inputs: Vec<i32>,
    outputs: Vec<i32>,
}

impl<'a> Read<'a> {
    fn of(file: &'a [u8]) -> Self {
        let model = Table::root(file);
        assert_eq!(model.whole(0), 3, "the version of the schema");
        let subgraphs = model.tables(2);
        assert_eq!(subgraphs.len(), 1);
        let codes = model.tables(1).into_iter().map(|code| {
            assert_eq!(i32::from(code.byte(0)), code.whole(3), "both numbers of a builtin operator");
            (code.byte(0), code.whole(2), code.text(1))
        });
        Self {
            codes: codes.collect(),
            tensors: subgraphs[0].tables(0),
            operators: subgraphs[0].tables(3),
            buffers: model.tables(4),
            inputs: subgraphs[0].wholes(1),
            outputs: subgraphs[0].wholes(2),
        }
    }

    fn data(&self, tensor: i32) -> &'a [u8] {
        self.buffers[self.tensors[tensor as usize].whole(2) as usize].bytes(0)
    }

    /// Number and version of each operator.
    fn run(&self) -> Vec<(u8, i32)> {
        let code = |operator: &Table| self.codes[operator.whole(0) as usize];
        self.operators.iter().map(|operator| (code(operator).0, code(operator).1)).collect()
    }

    fn tensor(&self, index: i32) -> (&'a str, Vec<i32>, u8) {
        let tensor = self.tensors[index as usize];
        (tensor.text(3), tensor.wholes(0), tensor.byte(1))
    }
}

fn weights(name: &str, shape: &[usize]) -> Weights {
    let count = shape.iter().product::<usize>();
    let values = (0..count).map(|index| index as f32 / count as f32 - 0.4).collect();
    Weights { name: name.to_owned(), shape: shape.to_vec(), values }
}

/// A graph with every operation. Its picture has 5 by 4 pixels.
fn graph() -> Graph {
    let mut graph = Graph::new("picture", [1, 5, 4, 3]);
    let (full, depthwise) = (Kernel::Full, Kernel::Depthwise);
    let kernel = |name: &str, shape: &[usize], outputs: usize| [weights(name, shape), weights("bias", &[outputs])];
    let input = graph.input();
    let first = graph.convolution("first".into(), input, full, kernel("w", &[2, 3, 3, 3], 2), 2, Activation::Relu6);
    let deep = graph.convolution("deep".into(), first, depthwise, kernel("d", &[1, 3, 3, 2], 2), 1, Activation::None);
    let sum = graph.addition("sum".into(), [first, deep]);
    let boxes = [first, sum].map(|maps| {
        let encodings = graph.convolution("e".into(), maps, full, kernel("p", &[4, 1, 1, 2], 4), 1, Activation::None);
        graph.reshape("rows".into(), encodings, 4)
    });
    let boxes = graph.concatenation("boxes".into(), boxes.to_vec());
    let scores = graph.scores("scores".into(), boxes, Scores::Logistic);
    graph.answer(boxes);
    graph.answer(scores);
    graph
}

#[test]
fn a_file_in_float32_has_the_graph_and_its_weights() {
    let graph = graph();
    let file = tflite(&graph, None, None);
    let read = Read::of(&file);
    let conv = (3, 1);
    assert_eq!(read.run(), [conv, (4, 1), (0, 1), conv, (22, 1), conv, (22, 1), (2, 1), (14, 1)]);
    assert_eq!(read.tensor(read.inputs[0]), ("picture", vec![1, 5, 4, 3], 0));
    let outputs: Vec<_> = read.outputs.iter().map(|output| read.tensor(*output)).collect();
    assert_eq!(outputs, [("boxes", vec![1, 12, 4], 0), ("scores", vec![1, 12, 4], 0)]);

    let [first, deep] = [read.operators[0], read.operators[1]];
    let inputs = first.wholes(1);
    assert_eq!(read.tensor(inputs[1]), ("w", vec![2, 3, 3, 3], 0));
    assert_eq!(read.data(inputs[1]), bytes(&weights("w", &[2, 3, 3, 3]).values));
    assert_eq!(read.data(inputs[2]), bytes(&weights("bias", &[2]).values));
    assert_eq!(read.tensor(first.wholes(2)[0]), ("first", vec![1, 3, 2, 2], 0));
    // Padding SAME, both strides, ReLU6.
    let options = first.table(4).unwrap();
    assert_eq!((first.byte(3), options.byte(0), options.whole(1), options.whole(2), options.byte(3)), (1, 0, 2, 2, 3));
    let options = deep.table(4).unwrap();
    let strides = (options.whole(1), options.whole(2), options.whole(3));
    assert_eq!((deep.byte(3), options.byte(0), strides, options.byte(4)), (2, 0, (1, 1, 1), 0));
    let shape = read.operators[4].wholes(1)[1];
    assert_eq!((read.tensor(shape).2, read.data(shape)), (2, &whole_bytes(&[1, 6, 4])[..]));
    assert_eq!(read.operators[4].table(4).unwrap().wholes(0), [1, 6, 4]);
    assert_eq!(read.operators[7].table(4).unwrap().whole(0), 1, "the axis");
    // The first buffer is that of computed tensors, and the others are aligned.
    assert!(read.buffers[0].bytes(0).is_empty());
    assert!(file.len().is_multiple_of(16) && read.buffers[1..].iter().all(|buffer| buffer.vector(0).0 % 16 == 0));
}

#[test]
fn a_file_of_whole_numbers_has_a_scale_for_each_value_and_each_output() {
    let graph = graph();
    let mut ranges = Ranges::new(&graph);
    let picture: Vec<f32> = (0..60).map(|index| index as f32 / 30.0 - 1.0).collect();
    ranges.observe(&graph, &[&picture]).unwrap();
    let file = tflite(&graph, None, Some(&ranges));
    let read = Read::of(&file);
    let conv = (3, 3);
    let quantize = (114, 1);
    let expected = [quantize, conv, (4, 3), (0, 2), conv, (22, 1), conv, (22, 1), (2, 2), (14, 2), quantize, quantize];
    assert_eq!(read.run(), expected);
    let scale = |tensor: i32| {
        let quantization = read.tensors[tensor as usize].table(4).unwrap();
        let (at, count) = quantization.vector(3);
        let zero = |index: usize| i64::from_le_bytes(number(&file, at + 8 * index));
        let zeros: Vec<i64> = (0..count).map(zero).collect();
        (quantization.floats(2), zeros, quantization.whole(6))
    };
    // Pictures of 0 to 255, as they are.
    assert_eq!(read.tensor(read.inputs[0]), ("picture", vec![1, 5, 4, 3], 3));
    let (scales, zeros, _) = scale(read.inputs[0]);
    assert!((scales[0] - 2.0 / 255.0).abs() < 1e-7 && (zeros[0] == 127 || zeros[0] == 128), "{scales:?} {zeros:?}");
    assert_eq!(
        (read.tensor(read.outputs[1]), scale(read.outputs[1])),
        (("scores", vec![1, 12, 4], 3), (vec![1.0 / 256.0], vec![0], 0))
    );
    // Weights with their scales, whose first extent or last is that of outputs; a bias in whole numbers of the product of scales.
    for (operator, dimension) in [(1, 0), (2, 3)] {
        let inputs = read.operators[operator].wholes(1);
        let (of_weights, of_bias) = (scale(inputs[1]), scale(inputs[2]));
        assert_eq!((read.tensor(inputs[1]).2, read.tensor(inputs[2]).2), (9, 2));
        assert_eq!((of_weights.0.len(), &of_weights.1[..], of_weights.2), (2, &[0, 0][..], dimension));
        let input = scale(inputs[0]).0[0];
        assert!(of_bias.0.iter().zip(&of_weights.0).all(|(bias, weight)| (bias / (input * weight) - 1.0).abs() < 1e-5));
        let greatest = read.data(inputs[1]).iter().map(|byte| byte.cast_signed().unsigned_abs()).max();
        assert_eq!(greatest, Some(127));
    }
}

#[test]
fn detections_come_last_with_anchors_and_options() {
    let settings = PostProcessing {
        anchors: (0..12).map(|index| [0.5, 0.5, 0.1, index as f32]).collect(),
        scales: [10.0, 10.0, 5.0, 5.0],
        classes: 3,
        detections: 7,
        per_class: 100,
        score_threshold: 0.25,
        iou_threshold: 0.6,
        by_class: true,
    };
    let graph = graph();
    let mut ranges = Ranges::new(&graph);
    ranges.observe(&graph, &[&[0.5; 60]]).unwrap();
    for ranges in [None, Some(&ranges)] {
        let file = tflite(&graph, Some(&settings), ranges);
        let read = Read::of(&file);
        let last = read.operators.last().unwrap();
        assert_eq!(read.codes[last.whole(0) as usize], (32, 1, "TFLite_Detection_PostProcess"));
        let inputs = last.wholes(1);
        assert_eq!(read.tensor(inputs[0]), ("boxes", vec![1, 12, 4], 0));
        assert_eq!(
            (read.tensor(inputs[2]).1, read.data(inputs[2])),
            (vec![12, 4], &bytes(settings.anchors.as_flattened())[..])
        );
        assert_eq!(last.wholes(2), read.outputs);
        let outputs: Vec<_> =
            read.outputs.iter().map(|output| (read.tensor(*output).1, read.tensor(*output).2)).collect();
        assert_eq!(outputs, [(vec![1, 7, 4], 0), (vec![1, 7], 0), (vec![1, 7], 0), (vec![1], 0)]);
        let options = flexbuffers::Reader::get_root(last.bytes(5)).unwrap().as_map();
        let names: Vec<&str> = options.iter_keys().collect();
        assert!(names.is_sorted() && names.len() == 11, "{names:?}");
        assert_eq!((options.idx("max_detections").as_i32(), options.idx("num_classes").as_i32()), (7, 3));
        assert!(options.idx("use_regular_nms").as_bool());
        assert!(
            (options.idx("h_scale").as_f32() - 5.0).abs() < 1e-6
                && (options.idx("nms_iou_threshold").as_f32() - 0.6).abs() < 1e-6
        );
    }
}
