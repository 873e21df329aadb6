//! The configuration of a network: Detectron2's keys, of which those that other networks need are refused by name.

mod document;
mod error;
mod solver;
mod training;
mod value;

use std::collections::HashSet;

pub use document::Document;
pub use error::ConfigError;
pub use solver::{Clipping, Solver};
pub use training::{Sampled, TrainingConfig};
pub use value::{Value, YamlError};

use crate::backbone::Depth;
use document::unusable;

/// The levels of the pyramid: at a quarter of the size, an eighth and so on.
pub const LEVELS: usize = 5;
/// The side of an aligned region, in cells.
pub(crate) const POOLED: usize = 7;
/// The longest side that a picture is resized to, in pixels.
const MOST_PIXELS: usize = 8192;
/// The most regions, channels and the like.
const MOST: usize = 1 << 16;

/// What a network's layers are.
#[derive(Clone, Debug, PartialEq)]
pub struct Form {
    /// The layers of the ResNet.
    pub depth: Depth,
    /// Whether a bottleneck's stride is that of its first 1x1 convolution, and not of its 3x3 one.
    pub stride_in_1x1: bool,
    /// The channels of the pyramid's maps.
    pub channels: usize,
    /// Anchors of a cell.
    pub shapes: usize,
    /// The outputs of the box head's hidden layers.
    pub hidden: Vec<usize>,
    /// Classes, without the background.
    pub classes: usize,
}

/// How a picture becomes an input.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// Its shorter side, in pixels. 0: pictures keep their size.
    pub short: usize,
    /// Its longer side at most, in pixels.
    pub longest: usize,
    /// Whether the first channel is red, and not blue.
    pub is_rgb: bool,
    /// What is subtracted from each channel, in the order of the channels.
    pub means: [f32; 3],
    /// What each channel is divided by afterwards.
    pub deviations: [f32; 3],
}

/// The anchors of each level.
#[derive(Clone, Debug, PartialEq)]
pub struct Anchors {
    /// The roots of areas, in pixels.
    pub sizes: [Vec<f64>; LEVELS],
    /// Heights divided by widths.
    pub ratios: [Vec<f64>; LEVELS],
    /// The place of the first centre, in multiples of a level's stride.
    pub offset: f64,
}

/// How regions are chosen from anchors.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Selection {
    /// The most anchors of a level.
    pub before: usize,
    /// The most regions.
    pub after: usize,
    /// The largest overlap of two of a level.
    pub overlap: f64,
    /// Regions have to be wider and higher than this, in pixels.
    pub least_side: f32,
}

/// How detections are chosen from regions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Detecting {
    /// Scores are above it.
    pub score: f32,
    /// The largest overlap of two of a class.
    pub overlap: f64,
    /// The most detections.
    pub most: usize,
}

/// Everything that detecting needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// The layers.
    pub form: Form,
    /// How a picture becomes an input.
    pub input: Input,
    /// The anchors.
    pub anchors: Anchors,
    /// The factors of offsets from anchors: of centres across and down, of widths and of heights.
    pub region_weights: [f32; 4],
    /// The same for offsets from regions.
    pub box_weights: [f32; 4],
    /// How regions are chosen.
    pub regions: Selection,
    /// How detections are chosen.
    pub detecting: Detecting,
}

/// Keys whose value is the same for all networks here, and the values that work.
const FIXED: [(&str, &[&str]); 31] = [
    ("INPUT.CROP.ENABLED", &["False"]),
    ("MODEL.META_ARCHITECTURE", &["'GeneralizedRCNN'"]),
    ("MODEL.LOAD_PROPOSALS", &["False"]),
    ("MODEL.MASK_ON", &["False"]),
    ("MODEL.KEYPOINT_ON", &["False"]),
    ("MODEL.BACKBONE.NAME", &["'build_resnet_fpn_backbone'"]),
    ("MODEL.RESNETS.OUT_FEATURES", &["['res2', 'res3', 'res4', 'res5']"]),
    ("MODEL.RESNETS.NUM_GROUPS", &["1"]),
    ("MODEL.RESNETS.NORM", &["'FrozenBN'", "'BN'"]),
    ("MODEL.RESNETS.WIDTH_PER_GROUP", &["64"]),
    ("MODEL.RESNETS.RES5_DILATION", &["1"]),
    ("MODEL.RESNETS.STEM_OUT_CHANNELS", &["64"]),
    ("MODEL.RESNETS.DEFORM_ON_PER_STAGE", &["[False, False, False, False]"]),
    ("MODEL.FPN.IN_FEATURES", &["['res2', 'res3', 'res4', 'res5']"]),
    ("MODEL.FPN.NORM", &["''"]),
    ("MODEL.FPN.FUSE_TYPE", &["'sum'"]),
    ("MODEL.PROPOSAL_GENERATOR.NAME", &["'RPN'"]),
    ("MODEL.ANCHOR_GENERATOR.NAME", &["'DefaultAnchorGenerator'"]),
    ("MODEL.RPN.HEAD_NAME", &["'StandardRPNHead'"]),
    ("MODEL.RPN.IN_FEATURES", &["['p2', 'p3', 'p4', 'p5', 'p6']"]),
    ("MODEL.RPN.CONV_DIMS", &["[-1]"]),
    ("MODEL.ROI_HEADS.NAME", &["'StandardROIHeads'"]),
    ("MODEL.ROI_HEADS.IN_FEATURES", &["['p2', 'p3', 'p4', 'p5']"]),
    ("MODEL.ROI_BOX_HEAD.NAME", &["'FastRCNNConvFCHead'"]),
    ("MODEL.ROI_BOX_HEAD.POOLER_RESOLUTION", &["7"]),
    ("MODEL.ROI_BOX_HEAD.POOLER_SAMPLING_RATIO", &["0"]),
    ("MODEL.ROI_BOX_HEAD.POOLER_TYPE", &["'ROIAlignV2'"]),
    ("MODEL.ROI_BOX_HEAD.NUM_CONV", &["0"]),
    ("MODEL.ROI_BOX_HEAD.CLS_AGNOSTIC_BBOX_REG", &["False"]),
    ("MODEL.ROI_BOX_HEAD.USE_SIGMOID_CE", &["False"]),
    ("TEST.AUG.ENABLED", &["False"]),
];

impl Config {
    /// Of a whole configuration.
    ///
    /// # Errors
    /// [`ConfigError::Value`]: a value that is none of its key's, or that another network needs.
    pub fn of(document: &Document) -> Result<Self, ConfigError> {
        fixed(document, &FIXED)?;
        let read = Reader(document);
        let form = read.form()?;
        let means = read.numbers::<3>("MODEL.PIXEL_MEAN")?.map(|value| value as f32);
        let deviations = read.numbers::<3>("MODEL.PIXEL_STD")?.map(|value| value as f32);
        let input = Input {
            short: read.whole("INPUT.MIN_SIZE_TEST", 0..=MOST_PIXELS)?,
            longest: read.whole("INPUT.MAX_SIZE_TEST", 1..=MOST_PIXELS)?,
            is_rgb: read.word("INPUT.FORMAT", &["BGR", "RGB"])? == "RGB",
            means,
            deviations,
        };
        let weights = |path: &str| Ok::<_, ConfigError>(read.numbers::<4>(path)?.map(|value| value as f32));
        Ok(Self {
            input,
            anchors: read.anchors()?,
            region_weights: weights("MODEL.RPN.BBOX_REG_WEIGHTS")?,
            box_weights: weights("MODEL.ROI_BOX_HEAD.BBOX_REG_WEIGHTS")?,
            regions: read.selection("TEST")?,
            detecting: Detecting {
                score: read.share("MODEL.ROI_HEADS.SCORE_THRESH_TEST")? as f32,
                overlap: read.share("MODEL.ROI_HEADS.NMS_THRESH_TEST")?,
                most: read.whole("TEST.DETECTIONS_PER_IMAGE", 1..=MOST)?,
            },
            form,
        })
    }

    /// That of the model zoo for a network of this form.
    pub fn published(form: Form) -> Self {
        let config = Self::of(&Document::pyramid()).expect("the model zoo's configuration is one");
        Self { form, ..config }
    }
}

/// Checks keys that have to have one of a few values.
fn fixed(document: &Document, keys: &[(&str, &[&str])]) -> Result<(), ConfigError> {
    for (path, values) in keys {
        let found = document.get(path).to_string();
        if !values.contains(&found.as_str()) {
            return Err(ConfigError::Value { path: (*path).to_owned(), found, needed: values.join(" or ") });
        }
    }
    Ok(())
}

/// Reads the values of a configuration.
struct Reader<'a>(&'a Document);

impl Reader<'_> {
    fn form(&self) -> Result<Form, ConfigError> {
        let layers = self.whole("MODEL.RESNETS.DEPTH", 0..=MOST)?;
        let Some(depth) = Depth::of(layers).filter(|depth| *depth != Depth::Layers152) else {
            return Err(self.unusable("MODEL.RESNETS.DEPTH", "18, 34, 50 or 101"));
        };
        let first = depth.channels()[0];
        if self.whole("MODEL.RESNETS.RES2_OUT_CHANNELS", 0..=MOST)? != first {
            return Err(self.unusable("MODEL.RESNETS.RES2_OUT_CHANNELS", &format!("{first} for {layers} layers")));
        }
        let hidden = self.whole("MODEL.ROI_BOX_HEAD.FC_DIM", 1..=MOST)?;
        let hidden = vec![hidden; self.whole("MODEL.ROI_BOX_HEAD.NUM_FC", 1..=8)?];
        Ok(Form {
            depth,
            stride_in_1x1: self.flag("MODEL.RESNETS.STRIDE_IN_1X1")?,
            channels: self.whole("MODEL.FPN.OUT_CHANNELS", 1..=MOST)?,
            shapes: self.anchors()?.shapes(),
            hidden,
            classes: self.whole("MODEL.ROI_HEADS.NUM_CLASSES", 1..=MOST)?,
        })
    }

    fn anchors(&self) -> Result<Anchors, ConfigError> {
        let sizes = self.per_level("MODEL.ANCHOR_GENERATOR.SIZES")?;
        let ratios = self.per_level("MODEL.ANCHOR_GENERATOR.ASPECT_RATIOS")?;
        let offset = self.share("MODEL.ANCHOR_GENERATOR.OFFSET")?;
        let counts: HashSet<usize> =
            sizes.iter().zip(&ratios).map(|(sizes, ratios)| sizes.len() * ratios.len()).collect();
        if counts.len() > 1 {
            return Err(self.unusable("MODEL.ANCHOR_GENERATOR.SIZES", "as many anchors on every level"));
        }
        Ok(Anchors { sizes, ratios, offset })
    }

    /// How regions are chosen in one of Detectron2's modes, `TRAIN` or `TEST`.
    fn selection(&self, mode: &str) -> Result<Selection, ConfigError> {
        Ok(Selection {
            before: self.whole(&format!("MODEL.RPN.PRE_NMS_TOPK_{mode}"), 1..=MOST)?,
            after: self.whole(&format!("MODEL.RPN.POST_NMS_TOPK_{mode}"), 1..=MOST)?,
            overlap: self.share("MODEL.RPN.NMS_THRESH")?,
            least_side: self.number("MODEL.PROPOSAL_GENERATOR.MIN_SIZE", 0.0..=1e6)? as f32,
        })
    }

    fn unusable(&self, path: &str, needed: &str) -> ConfigError {
        unusable(path, self.0.get(path), needed)
    }

    fn whole(&self, path: &str, range: std::ops::RangeInclusive<usize>) -> Result<usize, ConfigError> {
        let value = match self.0.get(path) {
            Value::Whole(value) => usize::try_from(*value).ok(),
            _ => None,
        };
        let needed = || format!("a whole number from {} to {}", range.start(), range.end());
        value.filter(|value| range.contains(value)).ok_or_else(|| self.unusable(path, &needed()))
    }

    /// A list of whole numbers; one counts as a list.
    fn wholes(&self, path: &str, range: std::ops::RangeInclusive<usize>) -> Result<Vec<usize>, ConfigError> {
        let whole = |value: &Value| match value {
            Value::Whole(value) => usize::try_from(*value).ok().filter(|value| range.contains(value)),
            _ => None,
        };
        let values = match self.0.get(path) {
            Value::List(values) => values.iter().map(whole).collect(),
            value => whole(value).map(|value| vec![value]),
        };
        let needed = || format!("a list of whole numbers from {} to {}", range.start(), range.end());
        values.ok_or_else(|| self.unusable(path, &needed()))
    }

    fn number(&self, path: &str, range: std::ops::RangeInclusive<f64>) -> Result<f64, ConfigError> {
        let needed = || format!("a number from {} to {}", range.start(), range.end());
        number(self.0.get(path)).filter(|value| range.contains(value)).ok_or_else(|| self.unusable(path, &needed()))
    }

    fn share(&self, path: &str) -> Result<f64, ConfigError> {
        self.number(path, 0.0..=1.0)
    }

    fn flag(&self, path: &str) -> Result<bool, ConfigError> {
        match self.0.get(path) {
            Value::Bool(value) => Ok(*value),
            _ => Err(self.unusable(path, "True or False")),
        }
    }

    fn word(&self, path: &str, words: &[&str]) -> Result<String, ConfigError> {
        match self.0.get(path) {
            Value::Text(word) if words.contains(&word.as_str()) => Ok(word.clone()),
            _ => Err(self.unusable(path, &words.join(" or "))),
        }
    }

    /// A list of numbers.
    fn numbers<const N: usize>(&self, path: &str) -> Result<[f64; N], ConfigError> {
        let numbers = match self.0.get(path) {
            Value::List(values) => values.iter().map(number).collect::<Option<Vec<f64>>>(),
            _ => None,
        };
        let numbers = numbers.and_then(|numbers| numbers.try_into().ok());
        numbers.ok_or_else(|| self.unusable(path, &format!("a list of {N} numbers")))
    }

    /// Positive numbers for each level; one list counts for all levels.
    fn per_level(&self, path: &str) -> Result<[Vec<f64>; LEVELS], ConfigError> {
        let of_level = |value: &Value| match value {
            Value::List(values) if !values.is_empty() => {
                let positive = |value| number(value).filter(|value| (1e-3..=1e6).contains(value));
                values.iter().map(positive).collect::<Option<Vec<f64>>>()
            }
            _ => None,
        };
        let lists = match self.0.get(path) {
            Value::List(values) => values.iter().map(of_level).collect::<Option<Vec<_>>>(),
            _ => None,
        };
        let lists = match lists {
            Some(lists) if lists.len() == 1 => Some([(); LEVELS].map(|()| lists[0].clone())),
            Some(lists) => lists.try_into().ok(),
            None => None,
        };
        let needed = "lists of positive numbers, one or as many as the pyramid has levels";
        lists.ok_or_else(|| self.unusable(path, needed))
    }
}

impl Anchors {
    /// Anchors of a cell.
    pub fn shapes(&self) -> usize {
        self.sizes[0].len() * self.ratios[0].len()
    }
}

/// A finite number.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Whole(value) => Some(*value as f64),
        Value::Number(value) => Some(*value).filter(|value| value.is_finite()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn changed(options: &str) -> Result<Config, ConfigError> {
        let mut document = Document::pyramid();
        document.merge_options(options.split(' ')).unwrap();
        Config::of(&document)
    }

    #[test]
    fn the_model_zoos_configuration() {
        let config = changed("MODEL.RESNETS.DEPTH 101 MODEL.ROI_HEADS.NUM_CLASSES 2").unwrap();
        let form = Form {
            depth: Depth::Layers101,
            stride_in_1x1: true,
            channels: 256,
            shapes: 3,
            hidden: vec![1024; 2],
            classes: 2,
        };
        assert_eq!(config, Config::published(form));
        assert_eq!((config.input.short, config.input.longest), (800, 1333));
        assert_eq!(config.anchors.sizes[4], [512.0]);
        assert_eq!(config.regions, Selection { before: 1000, after: 1000, overlap: 0.7, least_side: 0.0 });
    }

    #[test]
    fn what_other_networks_need_is_refused_by_name() {
        for (options, message) in [
            ("MODEL.MASK_ON True", "MODEL.MASK_ON is True: False would work"),
            ("MODEL.RESNETS.DEPTH 152", "MODEL.RESNETS.DEPTH is 152: 18, 34, 50 or 101 would work"),
            ("MODEL.RESNETS.DEPTH 18", "MODEL.RESNETS.RES2_OUT_CHANNELS is 256: 64 for 18 layers would work"),
            ("MODEL.RESNETS.NORM GN", "MODEL.RESNETS.NORM is 'GN': 'FrozenBN' or 'BN' would work"),
            ("INPUT.FORMAT L", "INPUT.FORMAT is 'L': BGR or RGB would work"),
            ("INPUT.MIN_SIZE_TEST -1", "INPUT.MIN_SIZE_TEST is -1: a whole number from 0 to 8192 would work"),
            ("MODEL.PIXEL_STD [1]", "MODEL.PIXEL_STD is [1]: a list of 3 numbers would work"),
            ("MODEL.RPN.NMS_THRESH 2", "MODEL.RPN.NMS_THRESH is 2: a number from 0 to 1 would work"),
            ("MODEL.ANCHOR_GENERATOR.SIZES [[8,16],[1],[1],[1],[1]]", "as many anchors on every level would work"),
            ("MODEL.ANCHOR_GENERATOR.SIZES [[8],[1]]", "lists of positive numbers"),
        ] {
            let error = changed(options).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
