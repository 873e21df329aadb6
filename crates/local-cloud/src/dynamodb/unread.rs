//! Inputs that cannot be read, in DynamoDB's words.
//!
//! `dynoxide` 3.2 checks values, names and limits while it reads an input. It marks what it finds with a prefix such as
//! `VALIDATION_REQUEST:`, and `serde_json` appends a position. Only its own HTTP server turns that into DynamoDB's answer. That server
//! cannot be used here: it needs a port of its own, which answers pages of every site. Its translation is not public, so this is one.

use dynoxide::DynoxideError;

/// What precedes a refusal that PutItem, UpdateItem and DeleteItem put into an envelope.
const OF_REQUEST: &str = "VALIDATION_REQUEST:";
/// What precedes a refusal without an envelope.
const OF_VALUE: [&str; 2] = ["VALIDATION:", "VALIDATION_AS_READ:"];
/// What precedes a value of the wrong type.
const OF_TYPE: [&str; 2] = ["SERIALIZATION:", "SERIALIZATION_AS_READ:"];

/// DynamoDB's answer to an input of `operation` that cannot be read.
pub(super) fn refusal(operation: &str, error: &serde_json::Error) -> DynoxideError {
    // DynamoDB says nothing of a body that is not JSON.
    if !error.is_data() {
        return DynoxideError::SerializationException(String::new());
    }
    let text = error.to_string();
    let words = without_position(&text);
    if let Some(words) = words.strip_prefix(OF_REQUEST) {
        return DynoxideError::ValidationException(match operation {
            "PutItem" | "UpdateItem" | "DeleteItem" => format!("1 validation error detected: {words}"),
            _ => words.to_owned(),
        });
    }
    if let Some(words) = OF_VALUE.iter().find_map(|mark| words.strip_prefix(mark)) {
        return DynoxideError::ValidationException(words.to_owned());
    }
    if let Some(words) = OF_TYPE.iter().find_map(|mark| words.strip_prefix(mark)) {
        return DynoxideError::SerializationException(words.to_owned());
    }
    unmarked(words)
}

/// A failure that is serde's own, or that has no mark.
fn unmarked(words: &str) -> DynoxideError {
    let null = |at: &str| {
        let constraint = "failed to satisfy constraint: Member must not be null";
        DynoxideError::ValidationException(format!("1 validation error detected: Value null{at} {constraint}"))
    };
    if words.contains("Supplied AttributeValue") {
        return DynoxideError::ValidationException(words.to_owned());
    }
    if words.contains("empty AttributeValue") {
        let empty = "Supplied AttributeValue is empty, must contain exactly one of the supported datatypes";
        return DynoxideError::ValidationException(empty.to_owned());
    }
    if let Some(member) = words.strip_prefix("missing field `").and_then(|rest| rest.split('`').next()) {
        return null(&format!(" at '{}'", lower_first(member)));
    }
    if let Some((value, known)) = words.strip_prefix("unknown variant `").and_then(|rest| rest.split_once('`')) {
        let known: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
        let set = format!("Member must satisfy enum value set: [{}]", known.join(", "));
        let message = format!("1 validation error detected: Value '{value}' failed to satisfy constraint: {set}");
        return DynoxideError::ValidationException(message);
    }
    match words.strip_prefix("invalid type: ").and_then(|rest| rest.split_once(", expected ")) {
        Some(("null", _)) => null(""),
        Some((found, expected)) => DynoxideError::SerializationException(mismatch(found, expected)),
        None => DynoxideError::SerializationException(words.to_owned()),
    }
}

/// DynamoDB's words for a JSON value of the wrong type. Both are described by serde: "integer `5`", "a string".
fn mismatch(found: &str, expected: &str) -> String {
    let class = match expected {
        "a string" => "String",
        "a boolean" => "Boolean",
        "a JSON number" | "i32" | "u32" => "Integer",
        "i64" | "u64" | "usize" => "Long",
        _ if found == "map" => return "Start of structure or map found where not expected".to_owned(),
        _ => return "Unexpected field type".to_owned(),
    };
    let value = match found.split(' ').next() {
        Some("integer") => "NUMBER_VALUE",
        Some("floating") => "DECIMAL_VALUE",
        Some("string") if class == "Boolean" => return "Unexpected token received from parser".to_owned(),
        Some("string") => "STRING_VALUE",
        Some("boolean") if found.contains("true") => "TRUE_VALUE",
        Some("boolean") => "FALSE_VALUE",
        Some("sequence") => return format!("Unrecognized collection type class java.lang.{class}"),
        _ => return "Start of structure or map found where not expected".to_owned(),
    };
    format!("{value} cannot be converted to {class}")
}

/// Takes off ` at line 1 column 67`.
fn without_position(text: &str) -> &str {
    match text.rsplit_once(" at line ") {
        Some((words, position)) if position.contains(" column ") => words,
        _ => text,
    }
}

/// The member's name as DynamoDB's messages write it.
fn lower_first(member: &str) -> String {
    let mut letters = member.chars();
    let first = letters.next().map(|letter| letter.to_ascii_lowercase());
    first.into_iter().chain(letters).collect()
}
