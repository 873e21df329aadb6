//! What an index shows while it lags behind its table.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use http::request::Parts;
use tokio::sync::Mutex;

use super::call::MAX_BODY;
use crate::aws_endpoint::json_error;
use crate::body::collect;
use crate::dynamodb::DynamoDb;

/// A copy of the tables that makes every write a while later, in the order in which the tables made them.
pub(super) struct Lagging {
    copy: DynamoDb,
    lag: Duration,
    /// What the copy has yet to write, oldest first.
    pending: Mutex<VecDeque<Write>>,
}

struct Write {
    made: Instant,
    parts: Parts,
    body: Bytes,
}

impl Write {
    fn request(self) -> Request {
        Request::from_parts(self.parts, Body::from(self.body))
    }
}

impl Lagging {
    /// Over a copy that holds what the tables hold.
    pub(super) fn new(copy: DynamoDb, lag: Duration) -> Self {
        Self { copy, lag, pending: Mutex::default() }
    }

    /// Has the tables answer a request that writes, and remembers it if they did write. One at a time: the copy has to write in
    /// the same order.
    pub(super) async fn write(&self, request: Request, answer: impl AsyncFnOnce(Request) -> Response) -> Response {
        let (parts, body) = request.into_parts();
        let body = match collect(body, MAX_BODY).await {
            Ok(body) => body,
            Err(error) => return json_error(StatusCode::BAD_REQUEST, "SerializationException", &error.to_string()),
        };
        let mut pending = self.pending.lock().await;
        self.catch_up(&mut pending).await;
        // Beforehand: whoever asks may die meanwhile, which keeps no table from writing.
        pending.push_back(Write { made: Instant::now(), parts: parts.clone(), body: body.clone() });
        let response = answer(Request::from_parts(parts, Body::from(body))).await;
        if !response.status().is_success() {
            pending.pop_back();
        }
        response
    }

    /// Whether the copy differs from the tables.
    pub(super) async fn lags(&self) -> bool {
        let mut pending = self.pending.lock().await;
        self.catch_up(&mut pending).await;
        !pending.is_empty()
    }

    /// What a query finds in the copy.
    pub(super) async fn query(&self, request: Request) -> Response {
        self.copy.call(request).await
    }

    async fn catch_up(&self, pending: &mut VecDeque<Write>) {
        while let Some(write) = pending.pop_front_if(|write| write.made.elapsed() >= self.lag) {
            let response = self.copy.call(write.request()).await;
            if !response.status().is_success() {
                tracing::warn!(status = %response.status(), "the copy behind stale indexes cannot follow its tables");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::stack::Table;

    fn request(operation: &str, input: &Value) -> Request {
        let request = http::Request::post("/").header("x-amz-target", format!("DynamoDB_20120810.{operation}"));
        request.body(Body::from(input.to_string())).unwrap()
    }

    fn put(status: &str) -> Request {
        request("PutItem", &json!({"TableName": "jobs", "Item": {"id": {"S": "ada"}, "status": {"S": status}}}))
    }

    /// The ids that an index has under a status.
    async fn found(response: Response) -> usize {
        let body = collect(response.into_body(), MAX_BODY).await.unwrap();
        serde_json::from_slice::<Value>(&body).unwrap()["Count"].as_u64().unwrap() as usize
    }

    fn query(status: &str) -> Request {
        let condition = json!({
            "TableName": "jobs", "IndexName": "by-status",
            "KeyConditionExpression": "#s = :s", "ExpressionAttributeNames": {"#s": "status"},
            "ExpressionAttributeValues": {":s": {"S": status}},
        });
        request("Query", &condition)
    }

    #[tokio::test]
    async fn an_index_shows_what_was_before_the_last_writes() {
        let folder = tempfile::tempdir().unwrap();
        let key = |name| json!([{"AttributeName": name, "KeyType": "HASH"}]);
        let create = json!({
            "TableName": "jobs",
            "KeySchema": key("id"),
            "AttributeDefinitions": [
                {"AttributeName": "id", "AttributeType": "S"},
                {"AttributeName": "status", "AttributeType": "S"},
            ],
            "GlobalSecondaryIndexes":
                [{"IndexName": "by-status", "KeySchema": key("status"), "Projection": {"ProjectionType": "ALL"}}],
            "BillingMode": "PAY_PER_REQUEST",
        });
        let tables =
            DynamoDb::start(&folder.path().join("tables.db"), &[Table { create, time_to_live: None }]).unwrap();
        assert!(tables.call(put("open")).await.status().is_success());
        let mut lagging = Lagging::new(tables.copy(&folder.path().join("copy.db")).unwrap(), Duration::from_secs(3600));
        assert!(!lagging.lags().await);

        let written = lagging.write(put("done"), async |request| tables.call(request).await).await;
        assert!(written.status().is_success() && lagging.lags().await);
        let refused = request("PutItem", &json!({"TableName": "jobs", "Item": {}}));
        assert!(!lagging.write(refused, async |request| tables.call(request).await).await.status().is_success());
        for (status, now, before) in [("open", 0, 1), ("done", 1, 0)] {
            assert_eq!(found(tables.call(query(status)).await).await, now);
            assert_eq!(found(lagging.query(query(status)).await).await, before, "{status}");
        }

        let mut left = Box::pin(lagging.write(put("gone"), async |_| std::future::pending().await));
        assert!(futures::poll!(&mut left).is_pending());
        drop(left);
        assert!(tables.call(put("gone")).await.status().is_success());

        lagging.lag = Duration::ZERO;
        assert!(!lagging.lags().await, "by then it has caught up");
        for (status, count) in [("done", 0), ("gone", 1)] {
            assert_eq!(found(lagging.query(query(status)).await).await, count, "{status}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().filter(is_copy).count(), 0);
    }

    fn is_copy(file: &std::io::Result<std::fs::DirEntry>) -> bool {
        file.as_ref().unwrap().file_name().to_string_lossy().starts_with("copy")
    }
}
