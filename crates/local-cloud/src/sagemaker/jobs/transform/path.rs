//! The JSONPath of SageMaker's filters (*Associate Prediction Results with their Corresponding Input*, SageMaker Developer Guide).
//!
//! It is not RFC 9535: a filter answers one value, not a list of nodes. Several names answer an object, several elements an array.

use std::str::FromStr;

use serde_json::{Map, Value};

/// A filter.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Path(Vec<Segment>);

#[derive(Clone, Debug, PartialEq)]
enum Segment {
    Name(String),
    /// Two or more.
    Names(Vec<String>),
    /// Counted from the end if it is negative; so are the others.
    Index(i64),
    /// Two or more.
    Indices(Vec<i64>),
    /// The end is not included.
    Slice(Option<i64>, Option<i64>),
    All,
}

/// A text is not a filter that SageMaker knows.
#[derive(Debug, thiserror::Error)]
#[error(
    "{text:?} is not a filter at character {at}: $, .name, *, ['name','name'], [0], [0,-1] and [1:3] work, in up to 63 characters"
)]
pub(crate) struct PathError {
    text: String,
    at: usize,
}

/// A value has not what a filter names.
#[derive(Debug, PartialEq, thiserror::Error)]
#[error("the record has no {0}")]
pub(crate) struct Missing(String);

impl FromStr for Path {
    type Err = PathError;

    fn from_str(text: &str) -> Result<Self, PathError> {
        let failed = |rest: &str| PathError { text: text.to_owned(), at: text.chars().count() - rest.chars().count() };
        if text.chars().count() > 63 {
            return Err(PathError { text: text.to_owned(), at: 63 });
        }
        let mut rest = text.strip_prefix('$').ok_or_else(|| failed(text))?;
        let mut segments = Vec::new();
        while !rest.is_empty() {
            let (segment, after) = if let Some(after) = rest.strip_prefix(".*") {
                (Segment::All, after)
            } else if let Some(name) = rest.strip_prefix('.') {
                let end = name.find(['.', '[']).unwrap_or(name.len());
                if end == 0 || name[..end].contains(['*', ']', '\'', '"', ' ']) {
                    return Err(failed(rest));
                }
                (Segment::Name(name[..end].to_owned()), &name[end..])
            } else {
                let inner = rest.strip_prefix('[').ok_or_else(|| failed(rest))?;
                bracket(inner).ok_or_else(|| failed(rest))?
            };
            // Several names are the leaves of a path.
            if matches!(segments.last(), Some(Segment::Names(_))) {
                return Err(failed(rest));
            }
            segments.push(segment);
            rest = after;
        }
        Ok(Self(segments))
    }
}

/// The segment after a bracket, and the rest behind the bracket that closes it.
fn bracket(inner: &str) -> Option<(Segment, &str)> {
    let inner = inner.trim_start();
    if inner.starts_with(['\'', '"']) {
        let (mut names, mut rest) = (Vec::new(), inner);
        loop {
            let quote = rest.chars().next().filter(|quote| matches!(quote, '\'' | '"'))?;
            let (name, after) = rest[1..].split_once(quote)?;
            names.push(name.to_owned());
            rest = after.trim_start();
            if let Some(after) = rest.strip_prefix(']') {
                let segment = if names.len() == 1 { Segment::Name(names.remove(0)) } else { Segment::Names(names) };
                return Some((segment, after));
            }
            rest = rest.strip_prefix(',')?.trim_start();
        }
    }
    let (list, after) = inner.split_once(']')?;
    let number = |text: &str| text.trim().parse::<i64>().ok();
    let segment = match (list.trim(), list.split_once(':')) {
        ("*", _) => Segment::All,
        (_, Some((start, end))) => {
            let bound = |text: &str| if text.trim().is_empty() { Some(None) } else { number(text).map(Some) };
            Segment::Slice(bound(start)?, bound(end)?)
        }
        _ => {
            let indices: Vec<i64> = list.split(',').map(number).collect::<Option<_>>()?;
            if let [index] = indices[..] { Segment::Index(index) } else { Segment::Indices(indices) }
        }
    };
    Some((segment, after))
}

impl Path {
    /// What the filter takes of a value.
    pub(super) fn of(&self, value: &Value) -> Result<Value, Missing> {
        take(value, &self.0)
    }

    /// Whether it is `$`.
    pub(super) fn takes_all(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether it can be applied to a row: only elements count.
    pub(crate) fn suits_rows(&self) -> bool {
        let named = |segment: &Segment| matches!(segment, Segment::Name(_) | Segment::Names(_));
        self.0.len() <= 1 && !self.0.iter().any(named)
    }
}

fn take(value: &Value, segments: &[Segment]) -> Result<Value, Missing> {
    let Some((segment, rest)) = segments.split_first() else { return Ok(value.clone()) };
    let named = |name: &String| value.get(name).ok_or_else(|| Missing(format!("{name:?}")));
    let element = |index: &i64| {
        let elements = value.as_array().ok_or_else(|| Missing(format!("element {index}: it is no array")))?;
        let found = position(*index, elements.len()).and_then(|at| elements.get(at));
        found.ok_or_else(|| Missing(format!("element {index}: it has {}", elements.len())))
    };
    match segment {
        Segment::Name(name) => take(named(name)?, rest),
        Segment::Names(names) => {
            let members = names.iter().map(|name| Ok((name.clone(), named(name)?.clone())));
            members.collect::<Result<Map<_, _>, _>>().map(Value::Object)
        }
        Segment::Index(index) => take(element(index)?, rest),
        Segment::Indices(indices) => {
            indices.iter().map(|index| take(element(index)?, rest)).collect::<Result<Vec<_>, _>>().map(Value::Array)
        }
        Segment::Slice(start, end) => {
            let elements = value.as_array().ok_or_else(|| Missing("elements: it is no array".to_owned()))?;
            let bound = |bound: &Option<i64>, default: usize| match bound {
                None => default,
                Some(bound) if *bound < 0 => position(*bound, elements.len()).unwrap_or(0),
                Some(bound) => usize::try_from(*bound).unwrap_or(usize::MAX).min(elements.len()),
            };
            let (start, end) = (bound(start, 0), bound(end, elements.len()));
            elements.get(start..end).unwrap_or_default().iter().map(|element| take(element, rest)).collect()
        }
        Segment::All => match value {
            Value::Array(elements) => elements.iter().map(|element| take(element, rest)).collect(),
            Value::Object(members) => members.values().map(|member| take(member, rest)).collect(),
            _ => Err(Missing("members: it is neither an object nor an array".to_owned())),
        },
    }
}

/// The place of an index, which counts from the end if it is negative.
fn position(index: i64, length: usize) -> Option<usize> {
    let length = i64::try_from(length).ok()?;
    usize::try_from(if index < 0 { length + index } else { index }).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn filters_take_what_sagemakers_take() {
        let object = json!({"id": 7, "data": {"a": [1, 2, 3], "b": "x"}, "SageMakerOutput": 0.5});
        let row = json!(["a", "b", "c", "d", "e"]);
        for (path, value, expected) in [
            ("$", &row, row.clone()),
            ("$.id", &object, json!(7)),
            ("$['id']", &object, json!(7)),
            ("$.data.a", &object, json!([1, 2, 3])),
            ("$.data.a[-1]", &object, json!(3)),
            ("$['data']['b']", &object, json!("x")),
            ("$['id','SageMakerOutput']", &object, json!({"id": 7, "SageMakerOutput": 0.5})),
            ("$[\"id\", 'SageMakerOutput']", &object, json!({"id": 7, "SageMakerOutput": 0.5})),
            ("$.data.*", &object, json!([[1, 2, 3], "x"])),
            ("$.data.a[*]", &object, json!([1, 2, 3])),
            ("$[0]", &row, json!("a")),
            ("$[0,-1]", &row, json!(["a", "e"])),
            ("$[1:3]", &row, json!(["b", "c"])),
            ("$[1:]", &row, json!(["b", "c", "d", "e"])),
            ("$[:-1]", &row, json!(["a", "b", "c", "d"])),
            ("$[-2:]", &row, json!(["d", "e"])),
            ("$[3:99]", &row, json!(["d", "e"])),
            ("$[4:2]", &row, json!([])),
        ] {
            assert_eq!(path.parse::<Path>().unwrap().of(value).unwrap(), expected, "{path}");
        }
    }

    #[test]
    fn what_is_missing_is_an_error() {
        let of = |path: &str, value: &Value| path.parse::<Path>().unwrap().of(value).unwrap_err().to_string();
        assert_eq!(of("$[3]", &json!(["a"])), "the record has no element 3: it has 1");
        assert_eq!(of("$[0,-2]", &json!(["a"])), "the record has no element -2: it has 1");
        assert_eq!(of("$.x", &json!({"y": 1})), "the record has no \"x\"");
        assert_eq!(of("$['y','x']", &json!({"y": 1})), "the record has no \"x\"");
        assert!(of("$[0]", &json!(5)).contains("it is no array"));
    }

    #[test]
    fn other_texts_are_refused() {
        for bad in [
            "",
            "id",
            "$id",
            "$.",
            "$..id",
            "$[",
            "$[]",
            "$[a]",
            "$[1",
            "$['a]",
            "$[1:2:3]",
            "$[?(@.a)]",
            "$['a','b'].c",
            "$.a b",
            &format!("${}", ".a".repeat(40)),
        ] {
            assert!(bad.parse::<Path>().is_err(), "{bad}");
        }
        assert!("$[1:]".parse::<Path>().unwrap().suits_rows() && !"$.a".parse::<Path>().unwrap().suits_rows());
    }
}
