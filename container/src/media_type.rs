//! Media types and their parameters, as `Content-Type` and `Accept` hold them.

/// A media type or range: `application/json; top=5`, `image/*`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MediaType {
    /// Type and subtype in lower case: `application/json`.
    pub essence: String,
    /// The parameters in their order: names in lower case, values without quotes.
    pub parameters: Vec<(String, String)>,
}

impl MediaType {
    /// Reads a media type or one range of an `Accept` header. Nothing is refused; a malformed text has an unknown essence.
    pub fn parse(text: &str) -> Self {
        let mut parts = text.split(';').map(str::trim);
        let essence = parts.next().unwrap_or_default().to_ascii_lowercase();
        let parameters = parts.filter_map(|part| {
            let (name, value) = part.split_once('=')?;
            Some((name.trim().to_ascii_lowercase(), value.trim().trim_matches('"').to_owned()))
        });
        Self { essence, parameters: parameters.collect() }
    }

    /// The value of a parameter.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// The weight `q` of a range, 0 to 1; 1 where it is absent or unreadable.
    fn weight(&self) -> f32 {
        self.parameter("q").and_then(|weight| weight.parse().ok()).unwrap_or(1.0)
    }
}

/// The offer that an `Accept` header prefers: the highest weight, the first of equals (RFC 9110, 12.5.1). `offered` says what
/// the handler offers for a range. `None`: nothing that is offered is accepted.
pub fn preferred<T>(accept: &str, offered: impl Fn(&MediaType) -> Option<T>) -> Option<T> {
    let mut best: Option<(T, f32)> = None;
    for range in accept.split(',').map(MediaType::parse) {
        let weight = range.weight();
        if weight > best.as_ref().map_or(0.0, |(_, weight)| *weight)
            && let Some(offer) = offered(&range)
        {
            best = Some((offer, weight));
        }
    }
    best.map(|(offer, _)| offer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_belong_to_their_range() {
        let json = MediaType::parse(" Application/JSON ; Top = \"5\";q=0.5");
        assert_eq!(
            (json.essence.as_str(), json.parameter("top"), json.parameter("n")),
            ("application/json", Some("5"), None)
        );
        let top = |range: &MediaType| {
            let top = range.parameter("top").unwrap_or("all").to_owned();
            (range.essence == "application/json").then_some(top)
        };
        assert_eq!(preferred("text/html, application/json; top=5", top).as_deref(), Some("5"));
        assert_eq!(preferred("application/json;q=0.2, application/json;top=3;q=0.7", top).as_deref(), Some("3"));
        assert_eq!(preferred("application/json, application/json;top=3", top).as_deref(), Some("all"));
        for none in ["", "text/html", "application/json;q=0", "application/json;q=nan"] {
            assert_eq!(preferred(none, top), None, "{none}");
        }
    }
}
