//! The members of an invocation that travel as headers, by the constraints of SageMaker Runtime's API reference.

use http::HeaderMap;

use crate::container_contract::LONGEST_ATTRIBUTES;

/// The most validation errors that one refusal lists.
const MOST_ERRORS: usize = 10;

/// The members of one request. Each is read by its name, and what is wrong with any of them is reported together.
pub(super) struct Members<'a> {
    headers: &'a HeaderMap,
    errors: Vec<String>,
}

impl<'a> Members<'a> {
    pub(super) fn new(headers: &'a HeaderMap) -> Self {
        Self { headers, errors: Vec::new() }
    }

    /// A media type, of the header `name`: at most 1024 characters of ASCII.
    pub(super) fn media_type(&mut self, member: &str, name: &str) -> Option<String> {
        self.checked(member, name, (0, 1024), r"\p{ASCII}*", |text| text.is_ascii())
    }

    /// `CustomAttributes`: at most 1024 characters of ASCII. The reference asks for visible ones.
    pub(super) fn custom_attributes(&mut self) -> Option<String> {
        let (name, longest) = ("x-amzn-sagemaker-custom-attributes", (0, LONGEST_ATTRIBUTES));
        self.checked("customAttributes", name, longest, r"\p{ASCII}*", is_print)
    }

    /// `InferenceId`: 1 to 64 printable characters of ASCII, spaces among them, but for the first.
    pub(super) fn inference_id(&mut self) -> Option<String> {
        let is_id = |text: &str| is_print(text) && !text.starts_with(' ');
        self.checked("inferenceId", "x-amzn-sagemaker-inference-id", (1, 64), r"\A\S[\p{Print}]*\z", is_id)
    }

    /// `TargetVariant`: as the name of a variant.
    pub(super) fn target_variant(&mut self) -> Option<String> {
        let is_name = |text: &str| crate::sagemaker::records::is_name(text);
        let pattern = "^[a-zA-Z0-9](-*[a-zA-Z0-9])*";
        self.checked("targetVariant", "x-amzn-sagemaker-target-variant", (0, 63), pattern, is_name)
    }

    /// `InputLocation`: 1 to 1024 characters.
    pub(super) fn input_location(&mut self) -> Option<String> {
        let is_uri = |text: &str| {
            let rest = ["s3://", "https://"].iter().find_map(|scheme| text.strip_prefix(scheme));
            rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'))
        };
        let pattern = "^(https|s3)://([^/]+)/?(.*)$";
        self.checked("inputLocation", "x-amzn-sagemaker-inputlocation", (1, 1024), pattern, is_uri)
    }

    /// `Filename`: 1 to 32 letters, digits, `-` and `_`, with a dot at most.
    pub(super) fn filename(&mut self) -> Option<String> {
        let is_file = |text: &str| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            text.bytes().all(allowed)
                && text.starts_with(|first: char| first.is_ascii_alphanumeric())
                && text.matches('.').count() < 2
        };
        let pattern = r"^(?!.*\..*\.)[a-zA-Z0-9][a-zA-Z0-9-_\.]*$";
        self.checked("filename", "x-amzn-sagemaker-filename", (1, 32), pattern, is_file)
    }

    /// `S3OutputPathExtension`: 1 to 512 characters of a path.
    pub(super) fn output_path_extension(&mut self) -> Option<String> {
        let is_path = |text: &str| {
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!_.*'()/-".contains(&byte);
            text.bytes().all(allowed) && !text.starts_with("s3:") && !text.starts_with("https:")
        };
        let pattern = "^(?!s3:|https:)[a-zA-Z0-9!_.*'()/-]+$";
        self.checked("s3OutputPathExtension", "x-amzn-sagemaker-s3outputpathextension", (1, 512), pattern, is_path)
    }

    /// A number of seconds from `least` to `most`.
    pub(super) fn seconds(&mut self, member: &str, default: u64, (least, most): (u64, u64)) -> u64 {
        let Some(text) = text(self.headers, &format!("x-amzn-sagemaker-{}", member.to_ascii_lowercase())) else {
            return default;
        };
        let constraint = match text.parse::<u64>() {
            Ok(seconds) if seconds > most => format!("Member must have value less than or equal to {most}"),
            Ok(seconds) if seconds < least => format!("Member must have value greater than or equal to {least}"),
            Ok(seconds) => return seconds,
            Err(_) => format!("Member must be a whole number from {least} to {most}"),
        };
        self.refuse(Some(&text), member, &constraint);
        default
    }

    /// Whether a header is there whose member the local cloud does not heed.
    pub(super) fn has(&self, name: &str) -> bool {
        self.headers.contains_key(name)
    }

    /// Ends the reading.
    ///
    /// # Errors
    /// All constraints that were not satisfied, in AWS's form.
    pub(super) fn done(self) -> Result<(), String> {
        match self.errors.len() {
            0 => Ok(()),
            1 => Err(format!("1 validation error detected: {}", self.errors[0])),
            count => {
                let shown: Vec<String> = self.errors.into_iter().take(MOST_ERRORS).collect();
                Err(format!("{count} validation errors detected: {}", shown.join("; ")))
            }
        }
    }

    /// The text of a header of these least and most characters.
    fn checked(
        &mut self,
        member: &str,
        name: &str,
        (least, most): (usize, usize),
        pattern: &str,
        is_valid: impl Fn(&str) -> bool,
    ) -> Option<String> {
        let text = text(self.headers, name)?;
        let length = text.chars().count();
        // The API keeps the attributes of a request out of its messages.
        let shown = (member != "customAttributes").then_some(text.as_str());
        if length > most {
            self.refuse(shown, member, &format!("Member must have length less than or equal to {most}"));
        } else if length < least {
            self.refuse(shown, member, &format!("Member must have length greater than or equal to {least}"));
        } else if !is_valid(&text) {
            self.refuse(shown, member, &format!("Member must satisfy regular expression pattern: {pattern}"));
        }
        Some(text)
    }

    fn refuse(&mut self, value: Option<&str>, member: &str, constraint: &str) {
        let value = value.map_or_else(String::new, |value| format!("'{value}' "));
        self.errors.push(format!("Value {value}at '{member}' failed to satisfy constraint: {constraint}"));
    }
}

/// The text of a header. SDKs send other characters than ASCII as Latin-1 or as UTF-8: whatever is UTF-8 is read as such.
fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    let bytes = headers.get(name)?.as_bytes();
    let latin_1 = || bytes.iter().map(|byte| char::from(*byte)).collect();
    Some(std::str::from_utf8(bytes).map_or_else(|_| latin_1(), str::to_owned))
}

/// Java's `\p{Print}*`.
fn is_print(text: &str) -> bool {
    text.bytes().all(|byte| (b' '..=b'~').contains(&byte))
}

#[cfg(test)]
mod tests {
    use http::{HeaderName, HeaderValue};

    use super::*;

    fn headers(of: &[(&str, &[u8])]) -> HeaderMap {
        of.iter()
            .map(|(name, value)| {
                let name: HeaderName = format!("x-amzn-sagemaker-{name}").parse().unwrap();
                (name, HeaderValue::from_bytes(value).unwrap())
            })
            .collect()
    }

    #[test]
    fn an_inference_id_may_have_inner_spaces_and_ascii_only() {
        let read = |id: &[u8]| {
            let headers = headers(&[("inference-id", id)]);
            let mut members = Members::new(&headers);
            let id = members.inference_id();
            members.done().map(|()| id.unwrap())
        };
        for good in ["ada", "ada lovelace", "ada:1", &"x".repeat(64)] {
            assert_eq!(read(good.as_bytes()).as_deref(), Ok(good));
        }
        for bad in ["", " ada", "Zoë", "日本", "a\tb", &"x".repeat(65)] {
            let words = read(bad.as_bytes()).unwrap_err();
            assert!(
                words.starts_with("1 validation error detected: Value '") && words.contains("inferenceId"),
                "{words}"
            );
        }
        assert!(read(b"Zo\xeb").unwrap_err().contains("'Zoë'"), "Latin-1 is not read");
    }

    #[test]
    fn a_file_name_leads_nowhere() {
        let read = |name: &str| {
            let headers = headers(&[("filename", name.as_bytes())]);
            let mut members = Members::new(&headers);
            members.filename();
            members.done()
        };
        for good in ["a", "a.out", "a-b_c.1", &"x".repeat(32)] {
            assert_eq!(read(good), Ok(()), "{good}");
        }
        for bad in ["../../x", "a/b", ".a", "a.b.c", "-a", "a b", "ä", "", &"x".repeat(33)] {
            assert!(read(bad).unwrap_err().contains("at 'filename' failed to satisfy constraint"), "{bad}");
        }
    }

    #[test]
    fn every_error_is_told() {
        let long = "x".repeat(1025);
        let headers = headers(&[
            ("custom-attributes", long.as_bytes()),
            ("s3outputpathextension", b"s3://b/"),
            ("requestttlseconds", b"59"),
            ("inputlocation", b"/tmp/x"),
            ("target-variant", b"a_b"),
        ]);
        let mut members = Members::new(&headers);
        members.custom_attributes();
        members.output_path_extension();
        assert_eq!(members.seconds("requestTTLSeconds", 21_600, (60, 21_600)), 21_600);
        assert_eq!(members.seconds("invocationTimeoutSeconds", 900, (1, 3600)), 900);
        members.input_location();
        members.target_variant();
        let words = members.done().unwrap_err();
        assert!(words.starts_with("5 validation errors detected: Value at 'customAttributes' failed"), "{words}");
        for part in ["equal to 1024", "s3OutputPathExtension", "greater than or equal to 60", "'/tmp/x'", "'a_b'"] {
            assert!(words.contains(part), "{part}: {words}");
        }
    }

    #[test]
    fn a_location_may_have_other_characters_than_ascii() {
        for bytes in ["s3://b/é".as_bytes(), b"s3://b/\xe9"] {
            let headers = headers(&[("inputlocation", bytes)]);
            let mut members = Members::new(&headers);
            assert_eq!(members.input_location().as_deref(), Some("s3://b/é"));
            members.done().unwrap();
        }
    }
}
