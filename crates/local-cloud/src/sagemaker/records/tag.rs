//! Tags of SageMaker's resources. They are deleted with their resource.

use rusqlite::{Connection, params};
use serde::{Deserialize, Serialize};

/// A tag, with the members of AWS's own structure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct Tag {
    pub(crate) key: String,
    pub(crate) value: String,
}

/// The tags of a resource, by key.
pub(crate) fn tags(connection: &Connection, arn: &str) -> rusqlite::Result<Vec<Tag>> {
    let mut statement = connection.prepare_cached("SELECT key, value FROM sagemaker_tag WHERE arn = ? ORDER BY key")?;
    statement.query_map([arn], |row| Ok(Tag { key: row.get(0)?, value: row.get(1)? }))?.collect()
}

/// Writes tags of a resource. They replace those of the same keys.
pub(crate) fn tag(connection: &Connection, arn: &str, tags: &[Tag]) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached("INSERT OR REPLACE INTO sagemaker_tag VALUES (?, ?, ?)")?;
    for tag in tags {
        statement.execute(params![arn, tag.key, tag.value])?;
    }
    Ok(())
}

/// Deletes tags of a resource. Keys that it does not have make no difference.
pub(crate) fn untag(connection: &Connection, arn: &str, keys: &[String]) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached("DELETE FROM sagemaker_tag WHERE arn = ? AND key = ?")?;
    for key in keys {
        statement.execute([arn, key])?;
    }
    Ok(())
}

/// Deletes all tags of a resource.
pub(crate) fn untag_all(connection: &Connection, arn: &str) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM sagemaker_tag WHERE arn = ?")?.execute([arn])?;
    Ok(())
}
