//! The policy of a presigned POST: what a form may contain, and until when (*Creating a POST policy*, Amazon S3 API Reference).

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::StatusCode;
use jiff::Timestamp;
use s3s::{S3Error, S3Result, s3_error};
use serde_json::{Map, Value};

use super::members::custom;

/// Fields that need no condition.
const FREE: [&str; 5] = ["x-amz-signature", "signature", "awsaccesskeyid", "policy", "file"];

#[derive(Debug, PartialEq, Eq)]
enum Condition {
    /// A field has a value.
    Equal(String, String),
    /// The value of a field begins with a text.
    StartsWith(String, String),
    /// The bytes of the file.
    Length(u64, u64),
}

/// A policy that has not expired.
#[derive(Debug)]
pub(super) struct PostPolicy {
    conditions: Vec<Condition>,
}

fn malformed(what: impl std::fmt::Display) -> S3Error {
    custom("InvalidPolicyDocument", StatusCode::BAD_REQUEST, format!("Invalid Policy: {what}"))
}

fn refused(what: impl std::fmt::Display) -> S3Error {
    s3_error!(AccessDenied, "Invalid according to Policy: {what}")
}

impl PostPolicy {
    /// Reads the field `policy`, base64 of JSON. `now` is in milliseconds since 1970.
    ///
    /// # Errors
    /// `InvalidPolicyDocument`, or `AccessDenied` if it has expired.
    pub(super) fn read(field: &str, now: i64) -> S3Result<Self> {
        let text: String = field.split_ascii_whitespace().collect();
        let json = STANDARD.decode(text).map_err(|_| malformed("it is not base64"))?;
        let policy: Map<String, Value> =
            serde_json::from_slice(&json).map_err(|error| malformed(format!("Invalid JSON: {error}")))?;
        let expiration =
            policy.get("expiration").and_then(Value::as_str).ok_or_else(|| malformed("Policy missing expiration."))?;
        let at: Option<Timestamp> = expiration.parse().ok().filter(|_| expiration.contains('T'));
        let expiration = at.ok_or_else(|| malformed(format!("Invalid 'expiration' value: '{expiration}'")))?;
        let conditions = policy
            .get("conditions")
            .and_then(Value::as_array)
            .ok_or_else(|| malformed("Policy missing conditions."))?;
        let conditions =
            conditions.iter().map(condition).collect::<S3Result<Vec<_>>>()?.into_iter().flatten().collect();
        if expiration.as_millisecond() <= now {
            return Err(refused("Policy expired."));
        }
        Ok(Self { conditions })
    }

    /// Compares the fields of a form, by lower-case name, with the conditions. `bucket` is that of the address.
    ///
    /// # Errors
    /// `AccessDenied`.
    pub(super) fn check_fields(&self, fields: &BTreeMap<String, String>, bucket: &str) -> S3Result {
        let value = |field: &str| match field {
            "bucket" => Some(bucket),
            other => fields.get(other).map(String::as_str),
        };
        for condition in &self.conditions {
            match condition {
                Condition::Equal(field, expected) if value(field) != Some(expected) => {
                    return Err(refused(format!("Policy Condition failed: [\"eq\", \"${field}\", \"{expected}\"]")));
                }
                Condition::StartsWith(field, prefix)
                    if !value(field).is_some_and(|value| value.starts_with(prefix)) =>
                {
                    return Err(refused(format!(
                        "Policy Condition failed: [\"starts-with\", \"${field}\", \"{prefix}\"]"
                    )));
                }
                _ => {}
            }
        }
        let has_condition = |name: &str| {
            self.conditions.iter().any(|condition| match condition {
                Condition::Equal(field, _) | Condition::StartsWith(field, _) => field == name,
                Condition::Length(..) => false,
            })
        };
        let must_have = fields.keys().map(String::as_str).chain(["bucket"]);
        let extra = must_have
            .into_iter()
            .find(|name| !FREE.contains(name) && !name.starts_with("x-ignore-") && !has_condition(name));
        extra.map_or(Ok(()), |name| Err(refused(format!("Extra input fields: {name}"))))
    }

    /// The least and the most bytes of the file.
    pub(super) fn length(&self) -> (u64, u64) {
        let lengths = self.conditions.iter().filter_map(|condition| match condition {
            Condition::Length(least, most) => Some((*least, *most)),
            _ => None,
        });
        lengths.fold((0, u64::MAX), |(least, most), (other_least, other_most)| {
            (least.max(other_least), most.min(other_most))
        })
    }
}

/// One element of the list: an object has one condition for each member.
fn condition(value: &Value) -> S3Result<Vec<Condition>> {
    match value {
        Value::Object(members) if !members.is_empty() => {
            let equal = |(name, value): (&String, &Value)| match value.as_str() {
                Some(text) => Ok(Condition::Equal(name.to_ascii_lowercase(), text.to_owned())),
                None => Err(malformed(format!("Invalid Simple-Condition: the value of {name} is not a string"))),
            };
            members.iter().map(equal).collect()
        }
        Value::Array(items) => {
            let [operator, field, last] = items.as_slice() else {
                return Err(malformed(format!("Invalid Condition: {value} does not have three elements")));
            };
            let operator = operator.as_str().unwrap_or_default().to_ascii_lowercase();
            if operator == "content-length-range" {
                let number = |value: &Value| value.as_u64().or_else(|| value.as_str()?.parse().ok());
                return match (number(field), number(last)) {
                    (Some(least), Some(most)) if least <= most => Ok(vec![Condition::Length(least, most)]),
                    _ => Err(malformed(format!("Invalid content-length-range: {value}"))),
                };
            }
            let field = field.as_str().and_then(|field| field.strip_prefix('$')).map(str::to_ascii_lowercase);
            match (operator.as_str(), field, last.as_str()) {
                ("eq", Some(field), Some(text)) => Ok(vec![Condition::Equal(field, text.to_owned())]),
                ("starts-with", Some(field), Some(text)) => Ok(vec![Condition::StartsWith(field, text.to_owned())]),
                _ => Err(malformed(format!("Invalid Condition: {value}"))),
            }
        }
        other => Err(malformed(format!("Invalid Condition: {other}"))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(policy: &Value) -> S3Result<PostPolicy> {
        PostPolicy::read(&STANDARD.encode(policy.to_string()), 0)
    }

    fn check(conditions: &Value, fields: &[(&str, &str)]) -> S3Result {
        let policy = read(&json!({"expiration": "2100-01-01T00:00:00Z", "conditions": conditions}))?;
        let fields = fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        policy.check_fields(&fields, "b")
    }

    #[test]
    fn every_field_needs_a_condition_that_holds() {
        let conditions = json!([{"bucket": "b"}, ["starts-with", "$Key", "user/"], {"ACL": "private"}]);
        let good = [("key", "user/x"), ("acl", "private"), ("policy", "p"), ("x-ignore-it", "1")];
        assert!(check(&conditions, &good).is_ok());
        assert!(check(&conditions, &good[..1]).is_err(), "a condition without its field");
        assert!(check(&conditions, &[("key", "other/x"), ("acl", "private")]).is_err());
        assert!(check(&conditions, &[("key", "user/x"), ("acl", "private"), ("x-amz-meta-a", "1")]).is_err());
        assert!(check(&json!([["starts-with", "$key", ""]]), &[("key", "x")]).is_err(), "the bucket has none");
        assert!(check(&json!([{"bucket": "c"}, ["starts-with", "$key", ""]]), &[("key", "x")]).is_err());
    }

    #[test]
    fn a_policy_is_json_of_a_form() {
        let code = |policy: &Value| read(policy).err().map(|error| error.code().as_str().to_owned());
        let future = "2100-01-01T00:00:00.000Z";
        assert_eq!(code(&json!({"expiration": future, "conditions": []})), None);
        assert_eq!(
            code(&json!({"expiration": "1960-01-01T00:00:00Z", "conditions": []})).as_deref(),
            Some("AccessDenied")
        );
        for bad in [
            json!({"conditions": []}),
            json!({"expiration": future}),
            json!({"expiration": future, "CONDITIONS": []}),
            json!({"expiration": "tomorrow", "conditions": []}),
            json!({"expiration": "2100-01-01 00:00:00+00:00", "conditions": []}),
            json!({"expiration": future, "conditions": [["eq", "$key"]]}),
            json!({"expiration": future, "conditions": [["is", "$key", "x"]]}),
            json!({"expiration": future, "conditions": [["eq", "key", "x"]]}),
            json!({"expiration": future, "conditions": [["content-length-range", 5, 1]]}),
            json!({"expiration": future, "conditions": [["content-length-range", -1, 1]]}),
            json!({"expiration": future, "conditions": [{}]}),
        ] {
            assert_eq!(code(&bad).as_deref(), Some("InvalidPolicyDocument"), "{bad}");
        }
        assert!(PostPolicy::read("no base64!", 0).is_err() && PostPolicy::read("", 0).is_err());
    }

    #[test]
    fn the_narrowest_length_counts() {
        let conditions = json!([["content-length-range", 1, 100], ["content-length-range", "5", 50]]);
        let policy = read(&json!({"expiration": "2100-01-01T00:00:00Z", "conditions": conditions})).unwrap();
        assert_eq!(policy.length(), (5, 50));
    }
}
