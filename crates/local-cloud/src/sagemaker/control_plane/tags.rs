//! The operations on tags, of every kind of resource.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rusqlite::Connection;
use serde_json::{Value, json};

use super::ControlPlane;
use super::request::{ApiError, MOST_TAGS, Members};
use crate::sagemaker::records;

pub(super) fn add(plane: &ControlPlane, mut request: Members) -> Result<Value, ApiError> {
    let arn = arn(&mut request)?;
    let tags = request.tags("Tags")?;
    if tags.is_empty() {
        return request.required("Tags", None);
    }
    request.done()?;
    plane.journal.write(|transaction| {
        check_exists(transaction, &arn)?;
        records::tag(transaction, &arn, &tags)?;
        let all = records::tags(transaction, &arn)?;
        if all.len() > MOST_TAGS {
            let message = format!("{} tags would be on {arn}: {MOST_TAGS} are the most", all.len());
            return Err(ApiError::validation(message));
        }
        Ok(json!({"Tags": all}))
    })
}

pub(super) fn list(plane: &ControlPlane, mut request: Members) -> Result<Value, ApiError> {
    let arn = arn(&mut request)?;
    let most = request.integer("MaxResults", 50..=u64::from(u32::MAX))?.unwrap_or(50);
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    // A token is the key of the last tag of the page before.
    let after = match request.text("NextToken", 8192)? {
        None => None,
        Some(token) => match URL_SAFE_NO_PAD.decode(&token).ok().and_then(|key| String::from_utf8(key).ok()) {
            Some(key) => Some(key),
            None => return Err(request.invalid("NextToken", &json!(token), "it must be of this very list")),
        },
    };
    request.done()?;
    let mut tags = plane.journal.read(|connection| {
        check_exists(connection, &arn)?;
        Ok::<_, ApiError>(records::tags(connection, &arn)?)
    })?;
    tags.retain(|tag| after.as_ref().is_none_or(|after| tag.key > *after));
    let more = tags.len() > most;
    tags.truncate(most);
    let token = tags.last().filter(|_| more).map(|last| URL_SAFE_NO_PAD.encode(&last.key));
    let mut answer = json!({"Tags": tags});
    if let Some(token) = token {
        answer["NextToken"] = json!(token);
    }
    Ok(answer)
}

pub(super) fn delete(plane: &ControlPlane, mut request: Members) -> Result<Value, ApiError> {
    let arn = arn(&mut request)?;
    let keys = request.take("TagKeys");
    let keys = request.required("TagKeys", keys)?;
    let keys = match serde_json::from_value::<Vec<String>>(keys.clone()) {
        Ok(keys) if (1..=MOST_TAGS).contains(&keys.len()) => keys,
        _ => return Err(request.invalid("TagKeys", &keys, "Member must be a list of 1 to 50 keys")),
    };
    request.done()?;
    plane.journal.write(|transaction| {
        check_exists(transaction, &arn)?;
        records::untag(transaction, &arn, &keys)?;
        Ok(json!({}))
    })
}

/// The resource. Its name is in lower case, as in the ARNs that operations answer.
fn arn(request: &mut Members) -> Result<String, ApiError> {
    let arn = request.text("ResourceArn", 256)?;
    Ok(request.required("ResourceArn", arn)?.to_ascii_lowercase())
}

fn check_exists(connection: &Connection, arn: &str) -> Result<(), ApiError> {
    match records::exists(connection, arn)? {
        true => Ok(()),
        false => Err(ApiError::validation(format!("Could not find resource \"{arn}\"."))),
    }
}
