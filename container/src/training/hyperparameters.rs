//! The hyperparameters of training jobs.

use std::collections::BTreeMap;
use std::fmt;

/// A hyperparameter.
#[derive(Clone, Copy, Debug)]
pub struct Hyperparameter {
    /// Its name. A hyphen counts as an underscore.
    pub name: &'static str,
    /// What values it has.
    pub kind: Kind,
    /// Its value where none is given, in words where it depends on others.
    pub default: &'static str,
    /// What it means.
    pub meaning: &'static str,
}

/// The values of a hyperparameter.
#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// Whole numbers, from the first to the last.
    Whole(u64, u64),
    /// Numbers, from the first to the last.
    Number(f64, f64),
    /// A learning rate for all groups, or those of the first and the last group, `1e-6,1e-4`.
    Rates,
    /// One of these words.
    Choice(&'static [&'static str]),
    /// `true` or `false`.
    Flag,
    /// Any text.
    Text(&'static str),
}

/// All hyperparameters, by name.
pub const HYPERPARAMETERS: [Hyperparameter; 29] = [
    of("augment", Kind::Flag, "true", "flips, warps, rotates, enlarges and lights pictures at random, as fastai does"),
    of(
        "batch_size",
        Kind::Whole(1, 1024),
        "64; SSD: that of pipeline.config",
        "pictures of a step; at most the pictures to train with",
    ),
    of(
        "checkpoint_seconds",
        Kind::Whole(1, 86_400),
        "60",
        "the time between checkpoints; one follows each epoch in any case",
    ),
    of(
        "config_file",
        Kind::Text("COCO-Detection/faster_rcnn_R_50_FPN_1x.yaml, or with 101, or with 3x"),
        "what these four have in common",
        "of a Faster R-CNN: a configuration of Detectron2's model zoo",
    ),
    of(
        "epochs",
        Kind::Whole(0, 10_000),
        "2 with a checkpoint to begin with, else 20",
        "epochs in which everything trains",
    ),
    of(
        "eval_steps",
        Kind::Whole(1, 10_000_000),
        "a tenth of num_steps",
        "SSD: the steps between two evaluations on the validation record",
    ),
    of(
        "find_lr",
        Kind::Flag,
        "false",
        "looks for a learning rate first, and scales lr and frozen_lr so that it is the largest of each",
    ),
    of(
        "frozen_epochs",
        Kind::Whole(0, 10_000),
        "4 with a checkpoint to begin with, else 0",
        "epochs before those, in which the body's convolutions do not change",
    ),
    of("frozen_lr", Kind::Rates, "3e-4,3e-3", "the largest learning rate of the frozen epochs"),
    of(
        "image_size",
        Kind::Whole(32, 1024),
        "224; SSD: 300",
        "the side of the network's input, in pixels; SSD: the square that the service resizes pictures to first",
    ),
    of(
        "inference_type",
        Kind::Choice(&["FLOAT", "QUANTIZED_UINT8"]),
        "FLOAT",
        "SSD: the numbers of the file that quantize writes: float32, or whole numbers of 8 bits",
    ),
    of(
        "keep",
        Kind::Choice(&["last", "best"]),
        "last",
        "the weights of the model: those of the last step, or of the epoch with the smallest validation loss; of a Faster R-CNN, with the \
         highest AP",
    ),
    of(
        "kind",
        Kind::Choice(&["classifier", "faster-rcnn", "ssd"]),
        "faster-rcnn with config_file or local_config_file, ssd where the data has a pipeline.config, else classifier",
        "what is trained",
    ),
    of(
        "label_pattern",
        Kind::Text("a regular expression with a group"),
        "by folders, or as fastai names pets",
        "finds the class in the path of a picture",
    ),
    of("label_smoothing", Kind::Number(0.0, 0.9), "0", "the share of a label that all classes have in equal parts"),
    of(
        "local_config_file",
        Kind::Text("the name of a file in the channel of the data"),
        "none",
        "of a Faster R-CNN: Detectron2's configuration, in place of config_file",
    ),
    of(
        "lr",
        Kind::Rates,
        "1e-6,1e-4 with a checkpoint to begin with, else 3e-3",
        "the largest learning rate of the other epochs",
    ),
    of("mixup", Kind::Number(0.0, 8.0), "0", "the parameter of the shares by which pictures are mixed; 0 mixes none"),
    of(
        "model_arch",
        Kind::Choice(&["resnet18", "resnet34", "resnet50", "efficientnet_lite0"]),
        "resnet34",
        "the network's body",
    ),
    of("num_steps", Kind::Whole(1, 10_000_000), "100", "SSD: steps, whatever pipeline.config says"),
    of(
        "opts",
        Kind::Text("KEY VALUE KEY VALUE"),
        "none",
        "of a Faster R-CNN: changes to its configuration, such as SOLVER.MAX_ITER 100",
    ),
    of(
        "patience",
        Kind::Whole(0, 1000),
        "0",
        "epochs without a smaller validation loss after which training ends; 0 never ends it",
    ),
    of("pth", Kind::Flag, "false", "writes the weights for PyTorch and fastai too, such as resnet34.pth"),
    of(
        "quantize",
        Kind::Flag,
        "false",
        "SSD: writes graph/tflite_quant_graph.tflite too, for TensorFlow Lite on mobile devices",
    ),
    of(
        "resume",
        Kind::Flag,
        "true",
        "of a Faster R-CNN: goes on from its checkpoint, if there is one; false begins anew",
    ),
    of(
        "seed",
        Kind::Whole(0, 4_294_967_295),
        "2; Faster R-CNN: SEED of its configuration",
        "what is random follows from it, the split too",
    ),
    of("threads", Kind::Whole(0, 1024), "0", "the threads that compute; 0 is one for each core"),
    of("validation_share", Kind::Number(0.0, 0.9), "0.2", "the share of the pictures that validates"),
    of("weight_decay", Kind::Number(0.0, 10.0), "0.01", "the decay of weights"),
];

const fn of(name: &'static str, kind: Kind, default: &'static str, meaning: &'static str) -> Hyperparameter {
    Hyperparameter { name, kind, default, meaning }
}

/// Hyperparameters that are given, all of which are known and have a value that can be used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hyperparameters(BTreeMap<&'static str, String>);

/// A hyperparameter that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HyperparametersError {
    /// There is none of this name.
    #[error("there is no hyperparameter {name:?}: {} would work", names())]
    Unknown {
        /// The name.
        name: String,
    },
    /// Its value cannot be used.
    #[error("the hyperparameter {name} is {value:?}: {needed} would work")]
    Value {
        /// Its name.
        name: &'static str,
        /// The value.
        value: String,
        /// What would work.
        needed: String,
    },
    /// What is trained has no use for it.
    #[error("the hyperparameter {name} means nothing to {trained}: {} would work", known.join(", "))]
    Foreign {
        /// Its name.
        name: &'static str,
        /// What is trained.
        trained: &'static str,
        /// The names that mean something to it.
        known: &'static [&'static str],
    },
    /// It is given under two spellings.
    #[error("the hyperparameter {name} is given twice: one value would work")]
    Twice {
        /// Its name.
        name: &'static str,
    },
}

fn names() -> String {
    HYPERPARAMETERS.map(|known| known.name).join(", ")
}

impl Hyperparameters {
    /// Reads names and values. Those whose names begin with `sagemaker_` are SageMaker's own, and are left out. The SDK writes
    /// texts as JSON, in quotes.
    ///
    /// # Errors
    /// [`HyperparametersError`]: the first one that cannot be used.
    pub fn read(given: impl IntoIterator<Item = (String, String)>) -> Result<Self, HyperparametersError> {
        let mut read = BTreeMap::new();
        for (name, value) in given {
            if name.starts_with("sagemaker_") || name.starts_with("_tuning_") {
                continue;
            }
            let spelled = name.trim().replace('-', "_");
            let known = HYPERPARAMETERS.iter().find(|known| known.name == spelled);
            let Some(known) = known else { return Err(HyperparametersError::Unknown { name }) };
            let value: String = serde_json::from_str(&value).unwrap_or(value).trim().to_owned();
            if !known.kind.allows(&value) {
                let needed = known.kind.to_string();
                return Err(HyperparametersError::Value { name: known.name, value, needed });
            }
            if read.insert(known.name, value).is_some() {
                return Err(HyperparametersError::Twice { name: known.name });
            }
        }
        Ok(Self(read))
    }

    /// The value that is given.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Refuses those that mean nothing to what is trained, so that nobody waits for their effect.
    ///
    /// # Errors
    /// [`HyperparametersError::Foreign`]: the first one.
    pub(super) fn only(
        &self,
        known: &'static [&'static str],
        trained: &'static str,
    ) -> Result<(), HyperparametersError> {
        match self.0.keys().find(|name| !known.contains(name)) {
            Some(name) => Err(HyperparametersError::Foreign { name, trained, known }),
            None => Ok(()),
        }
    }

    /// A whole number, or this one.
    pub(super) fn whole(&self, name: &str, default: usize) -> usize {
        self.get(name).and_then(|text| text.parse().ok()).unwrap_or(default)
    }

    /// A number, or this one.
    pub(super) fn number(&self, name: &str, default: f64) -> f64 {
        self.get(name).and_then(|text| text.parse().ok()).unwrap_or(default)
    }

    /// `true` or `false`, or this one.
    pub(super) fn flag(&self, name: &str, default: bool) -> bool {
        self.get(name).map_or(default, is_true)
    }

    /// The largest learning rate of each group, given their number: one for all, or a geometric sequence from the first to the last.
    pub(super) fn rates(&self, name: &str, default: &str, groups: usize) -> Vec<f64> {
        let rates = rates(self.get(name).unwrap_or(default)).unwrap_or_default();
        match rates[..] {
            [first, last] if groups > 1 => {
                let step = (last / first).powf(1.0 / (groups - 1) as f64);
                (0..groups).map(|group| first * step.powi(group as i32)).collect()
            }
            [.., rate] => vec![rate; groups],
            [] => Vec::new(),
        }
    }

    /// The names and values that are given.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().map(|(name, value)| (*name, value.as_str()))
    }
}

fn is_true(text: &str) -> bool {
    text.eq_ignore_ascii_case("true") || text == "1"
}

fn rates(text: &str) -> Option<Vec<f64>> {
    let rates: Vec<f64> = text.split(',').map(|rate| rate.trim().parse().ok()).collect::<Option<_>>()?;
    let allowed = (1..=2).contains(&rates.len()) && rates.iter().all(|rate| *rate > 0.0 && *rate <= 100.0);
    allowed.then_some(rates)
}

impl Kind {
    fn allows(self, text: &str) -> bool {
        match self {
            Self::Whole(from, to) => text.parse().is_ok_and(|number: u64| (from..=to).contains(&number)),
            Self::Number(from, to) => text.parse().is_ok_and(|number: f64| (from..=to).contains(&number)),
            Self::Rates => rates(text).is_some(),
            Self::Choice(words) => words.contains(&text),
            Self::Flag => is_true(text) || text.eq_ignore_ascii_case("false") || text == "0",
            Self::Text(_) => !text.is_empty(),
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Whole(from, to) => write!(f, "a whole number from {from} to {to}"),
            Self::Number(from, to) => write!(f, "a number from {from} to {to}"),
            Self::Rates => f.write_str("a number above 0 such as 3e-3, or two such as 1e-6,1e-4"),
            Self::Choice([word]) => f.write_str(word),
            Self::Choice([words @ .., last]) => write!(f, "{} or {last}", words.join(", ")),
            Self::Choice([]) => f.write_str("nothing"),
            Self::Flag => f.write_str("true or false"),
            Self::Text(what) => f.write_str(what),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write;

    use super::*;

    fn read(given: &[(&str, &str)]) -> Result<Hyperparameters, HyperparametersError> {
        Hyperparameters::read(given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())))
    }

    #[test]
    fn values_are_read_as_people_and_sdks_write_them() {
        let given = [
            ("batch-size", "\"16\""),
            ("epochs", " 3 "),
            ("model_arch", "\"resnet18\""),
            ("augment", "True"),
            ("sagemaker_program", "x.py"),
        ];
        let read = read(&given).unwrap();
        assert_eq!((read.whole("batch_size", 64), read.whole("epochs", 1), read.whole("seed", 2)), (16, 3, 2));
        assert_eq!(read.get("model_arch"), Some("resnet18"));
        assert!(read.flag("augment", false) && !read.flag("find_lr", false));
    }

    #[test]
    fn rates_are_those_of_fastai() {
        let read = read(&[("lr", "1e-6, 1e-4")]).unwrap();
        let rates = read.rates("lr", "1", 3);
        assert!(rates.iter().zip([1e-6, 1e-5, 1e-4]).all(|(found, expected)| (found / expected - 1.0).abs() < 1e-12));
        assert_eq!(read.rates("frozen_lr", "3e-3", 2), [3e-3; 2]);
    }

    #[test]
    fn wrong_ones_are_refused_by_name() {
        for (name, value, message) in [
            ("epoch", "3", "there is no hyperparameter \"epoch\": augment, batch_size,"),
            ("epochs", "many", "the hyperparameter epochs is \"many\": a whole number from 0 to 10000 would work"),
            ("epochs", "-1", "a whole number"),
            ("mixup", "NaN", "a number from 0 to 8"),
            ("lr", "0", "a number above 0 such as 3e-3, or two"),
            ("lr", "1,2,3", "or two"),
            ("model_arch", "resnet19", "resnet18, resnet34, resnet50 or efficientnet_lite0 would work"),
            ("augment", "yes", "true or false would work"),
            ("label_pattern", "", "a regular expression with a group would work"),
        ] {
            let error = read(&[(name, value)]).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
        assert!(matches!(read(&[("batch-size", "1"), ("batch_size", "1")]), Err(HyperparametersError::Twice { .. })));
    }

    #[test]
    fn the_table_of_the_manual_is_this_one() {
        let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/training.md");
        let mut table = "| name | values | default | meaning |\n|---|---|---|---|\n".to_owned();
        for Hyperparameter { name, kind, default, meaning } in HYPERPARAMETERS {
            writeln!(table, "| `{name}` | {kind} | {default} | {meaning} |").unwrap();
        }
        let manual = std::fs::read_to_string(file).unwrap();
        let (start, end) = ("<!-- hyperparameters -->\n", "<!-- end of hyperparameters -->");
        let (before, rest) = manual.split_once(start).unwrap();
        let (found, after) = rest.split_once(end).unwrap();
        if std::env::var_os("UPDATE_DOCS").is_some() {
            std::fs::write(file, format!("{before}{start}{table}{end}{after}")).unwrap();
        } else {
            assert_eq!(found, table, "UPDATE_DOCS=1 renews it");
        }
    }
}
