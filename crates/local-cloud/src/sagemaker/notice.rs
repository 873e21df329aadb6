//! Notices on SNS of the results of asynchronous invocations.

use rusqlite::Connection;

use crate::sns::Sns;

/// The notice by which SageMaker finds out whether it may publish to a topic.
pub(super) const TEST: &str = r#"{"eventVersion":"1.0","eventSource":"aws:sagemaker","eventName":"TestNotification"}"#;

/// The subject of every notice.
const SUBJECT: &str = "SageMaker Asynchronous Inference";

/// Publishes a notice to the topic of an ARN, as part of the caller's transaction.
pub(super) fn publish(sns: &Sns, connection: &Connection, arn: &str, notice: &str) -> rusqlite::Result<()> {
    // The last part of the ARN is the topic's name.
    let topic = arn.rsplit(':').next().unwrap_or_default();
    sns.publish(connection, topic, Some(SUBJECT), notice)?;
    Ok(())
}
