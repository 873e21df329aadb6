//! Stale indexes: a copy of the tables that lags behind them.

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
use crate::aws_error::json_error;
use crate::body::collect;
use crate::dynamodb::DynamoDb;
use crate::error::chain;

/// A copy of the tables. It repeats every write after a while, in the order of the tables' writes.
pub(super) struct Lagging {
    copy: DynamoDb,
    lag: Duration,
    /// The writes that the copy has not repeated yet, oldest first.
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
    /// Over a copy that equals the tables.
    pub(super) fn new(copy: DynamoDb, lag: Duration) -> Self {
        Self { copy, lag, pending: Mutex::default() }
    }

    /// Has the tables answer a writing request, and keeps it for the copy if it succeeds. One request at a time, so that the copy
    /// writes in the same order.
    pub(super) async fn write(&self, request: Request, answer: impl AsyncFnOnce(Request) -> Response) -> Response {
        let (parts, body) = request.into_parts();
        let body = match collect(body, MAX_BODY).await {
            Ok(body) => body,
            Err(error) => return json_error(StatusCode::BAD_REQUEST, "SerializationException", &chain(&error)),
        };
        let mut pending = self.pending.lock().await;
        self.catch_up(&mut pending).await;
        // It is kept beforehand: the caller may die meanwhile, but the tables still write.
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

    /// The answer of the copy to a query.
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
        request("PutItem", &json!({"TableName": "items", "Item": {"id": {"S": "ada"}, "status": {"S": status}}}))
    }

    /// The number of items that a query found.
    async fn found(response: Response) -> usize {
        let body = collect(response.into_body(), MAX_BODY).await.unwrap();
        serde_json::from_slice::<Value>(&body).unwrap()["Count"].as_u64().unwrap() as usize
    }

    fn query(status: &str) -> Request {
        let condition = json!({
            "TableName": "items", "IndexName": "by-status",
            "KeyConditionExpression": "#s = :s", "ExpressionAttributeNames": {"#s": "status"},
            "ExpressionAttributeValues": {":s": {"S": status}},
        });
        request("Query", &condition)
    }

    #[tokio::test]
    async fn a_stale_index_shows_the_items_before_the_last_writes() {
        let folder = tempfile::tempdir().unwrap();
        let key = |name| json!([{"AttributeName": name, "KeyType": "HASH"}]);
        let create = json!({
            "TableName": "items",
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
            DynamoDb::start(&folder.path().join("tables.db"), &[Table { create, time_to_live: None }], &[]).unwrap().0;
        assert!(tables.call(put("open")).await.status().is_success());
        let mut lagging = Lagging::new(tables.copy(&folder.path().join("copy.db")).unwrap(), Duration::from_secs(3600));
        assert!(!lagging.lags().await);

        let written = lagging.write(put("done"), async |request| tables.call(request).await).await;
        assert!(written.status().is_success() && lagging.lags().await);
        let refused = request("PutItem", &json!({"TableName": "items", "Item": {}}));
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
        assert!(!lagging.lags().await, "it has caught up");
        for (status, count) in [("done", 0), ("gone", 1)] {
            assert_eq!(found(lagging.query(query(status)).await).await, count, "{status}");
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().filter(is_copy).count(), 0);
    }

    fn is_copy(file: &std::io::Result<std::fs::DirEntry>) -> bool {
        file.as_ref().unwrap().file_name().to_string_lossy().starts_with("copy")
    }
}
