//! Path templates as API Gateway writes them: `{name}` matches one segment, `{name+}` the rest of the path.

use std::collections::BTreeMap;
use std::fmt;

pub(crate) struct Template {
    text: String,
    segments: Vec<Segment>,
}

enum Segment {
    Literal(String),
    Name(String),
    Rest(String),
}

impl Template {
    pub(crate) fn new(text: &str) -> Self {
        let segment = |part: &str| match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            Some(name) => match name.strip_suffix('+') {
                Some(name) => Segment::Rest(name.to_owned()),
                None => Segment::Name(name.to_owned()),
            },
            None => Segment::Literal(part.to_owned()),
        };
        Self { text: text.to_owned(), segments: text.trim_start_matches('/').split('/').map(segment).collect() }
    }

    /// Whether it ends with `{name+}`, and so matches paths of any length.
    pub(crate) fn is_greedy(&self) -> bool {
        matches!(self.segments.last(), Some(Segment::Rest(_)))
    }

    /// The names of the template with their values in the path, decoded. `None` if the path does not match.
    pub(crate) fn matches(&self, path: &str) -> Option<BTreeMap<String, String>> {
        let mut rest = Some(path.strip_prefix('/')?);
        let mut names = BTreeMap::new();
        for segment in &self.segments {
            let path = rest?;
            let (part, after) = match (segment, path.split_once('/')) {
                (Segment::Rest(_), _) => (path, None),
                (_, Some((part, after))) => (part, Some(after)),
                (_, None) => (path, None),
            };
            match segment {
                Segment::Literal(literal) if literal == part => {}
                Segment::Literal(_) => return None,
                Segment::Name(_) | Segment::Rest(_) if part.is_empty() => return None,
                Segment::Name(name) | Segment::Rest(name) => _ = names.insert(name.clone(), decoded(part)),
            }
            rest = after;
        }
        rest.is_none().then_some(names)
    }

    /// Replaces the names in `text` by their values.
    pub(crate) fn fill(text: &str, values: &BTreeMap<String, String>) -> String {
        values.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
    }
}

impl fmt::Display for Template {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

/// Percent-decoding. A part that does not decode to UTF-8 stays as it is.
fn decoded(part: &str) -> String {
    let mut bytes = part.bytes();
    let mut decoded = Vec::with_capacity(part.len());
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        let (Some(high), Some(low)) = (digit(bytes.next()), digit(bytes.next())) else { return part.to_owned() };
        decoded.extend(u8::try_from(high * 16 + low));
    }
    String::from_utf8(decoded).unwrap_or_else(|_| part.to_owned())
}

/// Percent-encoding of a path: unreserved characters and `/` stay.
pub(crate) fn encoded(path: &str) -> String {
    path.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates() {
        let one = Template::new("/items/{id}");
        assert_eq!(one.matches("/items/a%20b").unwrap()["id"], "a b");
        assert_eq!(one.matches("/items/a%2Fb").unwrap()["id"], "a/b");
        assert_eq!(one.matches("/items/%zz").unwrap()["id"], "%zz");
        for other in ["/items", "/items/", "/items/a/b", "/item/a", "items/a", ""] {
            assert!(one.matches(other).is_none(), "{other}");
        }
        let rest = Template::new("/photos/{id+}");
        assert_eq!(rest.matches("/photos/a/../b").unwrap()["id"], "a/../b");
        assert!(rest.matches("/photos/").is_none());
        let three = Template::new("/photos/{id}/{version}/{file}");
        let names = three.matches("/photos/a/b/0.jpg").unwrap();
        assert_eq!(Template::fill("photos/{id}/{version}/{file}", &names), "photos/a/b/0.jpg");
        assert_eq!(encoded("a b/é"), "a%20b/%C3%A9");
    }
}
