//! DynamoDB: the `dynoxide` engine behind AWS's JSON protocol.

mod tally;
mod unread;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use dynoxide::{Database, DynoxideError};
use http::StatusCode;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::aws_error::{json_error, not_implemented};
use crate::body::collect;
use crate::error::{CloudError, chain};
use crate::mark::Mark;
use crate::stack::{Measures, StackError, Table};
pub(crate) use tally::{Reading, Tallies};

/// The largest request: 16 MB.
const MAX_BODY: usize = 16 * 1024 * 1024;
/// How often expired items are deleted. AWS may take days.
const TTL_SWEEP: Duration = Duration::from_secs(60);

/// The tables, and the mark of their database, unless they are a copy in memory.
#[derive(Clone)]
pub(crate) struct DynamoDb {
    database: Database,
    mark: Option<Arc<Mark>>,
}

/// The operations that write nothing.
const READS: [&str; 8] = [
    "DescribeTable",
    "ListTables",
    "DescribeTimeToLive",
    "GetItem",
    "Query",
    "Scan",
    "BatchGetItem",
    "TransactGetItems",
];

type Operation = fn(&Database, &[u8]) -> Result<String, Failure>;

/// Why an operation has no output.
enum Failure {
    /// The input cannot be read.
    Unread(serde_json::Error),
    /// The database refuses it.
    Refused(DynoxideError),
}

impl Failure {
    /// DynamoDB's answer.
    fn of(self, operation: &str) -> DynoxideError {
        match self {
            Self::Unread(error) => unread::refusal(operation, &error),
            Self::Refused(error) => error,
        }
    }
}

impl DynamoDb {
    /// Opens the database, and creates the tables that it lacks, with the tallies of what is measured.
    pub(crate) fn start(file: &Path, tables: &[Table], measures: &[Measures]) -> Result<(Self, Tallies), CloudError> {
        let database = Database::new(utf8(file)?).map_err(CloudError::DynamoDb)?;
        for table in tables {
            create(&database, table)?;
        }
        let tallies = Tallies::open(file, measures)?;
        let mark = Mark::open(file).map_err(|source| CloudError::DataFolder { path: file.to_owned(), source })?;
        Ok((Self::of(database, Some(Arc::new(mark))), tallies))
    }

    fn of(database: Database, mark: Option<Arc<Mark>>) -> Self {
        tokio::spawn(sweep(database.clone()));
        let tables = Self { database, mark };
        tables.advance();
        tables
    }

    /// Marks what is committed. The database waits for the disk at each commit.
    fn advance(&self) {
        if let Some(mark) = &self.mark
            && let Err(error) = mark.advance(|| Ok(()))
        {
            tracing::warn!(%error, "the mark of the tables cannot be written");
        }
    }

    /// Ends the mark: nothing is compared with it at the next start.
    pub(crate) fn close(&self) -> io::Result<()> {
        self.mark.as_ref().map_or(Ok(()), |mark| mark.clear())
    }

    /// A copy in memory, with the same tables and items. `through` is a temporary file, which must not exist yet.
    pub(crate) fn copy(&self, through: &Path) -> Result<Self, CloudError> {
        let path = utf8(through)?;
        self.database.vacuum_into(path).map_err(CloudError::DynamoDb)?;
        let copy = Database::memory().map_err(CloudError::DynamoDb)?;
        let restored = copy.restore_from(path).map_err(CloudError::DynamoDb);
        std::fs::remove_file(through).map_err(|source| CloudError::DataFolder { path: through.to_owned(), source })?;
        restored.map(|()| Self::of(copy, None))
    }

    /// Answers a request to the DynamoDB API.
    pub(crate) async fn call(&self, request: Request) -> Response {
        let target = request.headers().get("x-amz-target").and_then(|value| value.to_str().ok()).unwrap_or_default();
        let name = target.strip_prefix("DynamoDB_20120810.").unwrap_or(target).to_owned();
        let Some(operation) = operation(&name) else { return not_implemented(&format!("DynamoDB: {name:?}")) };
        let body = match collect(request.into_body(), MAX_BODY).await {
            Ok(body) => body,
            Err(error) => return json_error(StatusCode::PAYLOAD_TOO_LARGE, "RequestTooLarge", &chain(&error)),
        };
        let tables = self.clone();
        let answered = tokio::task::spawn_blocking(move || {
            let answer = operation(&tables.database, &body);
            if !READS.contains(&name.as_str()) {
                tables.advance();
            }
            answer.map_err(|failure| failure.of(&name))
        });
        match answered.await {
            Ok(Ok(answer)) => respond(StatusCode::OK, answer),
            Ok(Err(error)) => {
                let status = StatusCode::from_u16(error.status_code()).unwrap_or(StatusCode::BAD_REQUEST);
                respond(status, error.to_json())
            }
            Err(error) => json_error(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", &error.to_string()),
        }
    }
}

fn utf8(path: &Path) -> Result<&str, CloudError> {
    path.to_str().ok_or_else(|| CloudError::DataFolder {
        path: path.to_owned(),
        source: io::Error::new(io::ErrorKind::InvalidInput, "the path is not UTF-8"),
    })
}

fn respond(status: StatusCode, body: String) -> Response {
    (status, [("content-type", "application/x-amz-json-1.0")], body).into_response()
}

/// Parses an input, runs the operation on it, and serialises its output.
fn run<I: DeserializeOwned, O: Serialize>(
    body: &[u8],
    operation: impl FnOnce(I) -> Result<O, DynoxideError>,
) -> Result<String, Failure> {
    let output = operation(serde_json::from_slice(body).map_err(Failure::Unread)?).map_err(Failure::Refused)?;
    let unwritable = |error: serde_json::Error| DynoxideError::InternalServerError(error.to_string());
    serde_json::to_string(&output).map_err(|error| Failure::Refused(unwritable(error)))
}

fn operation(name: &str) -> Option<Operation> {
    Some(match name {
        "CreateTable" => |database, body| run(body, |input| database.create_table(input)),
        "DescribeTable" => |database, body| run(body, |input| database.describe_table(input)),
        "ListTables" => |database, body| run(body, |input| database.list_tables(input)),
        "UpdateTable" => |database, body| run(body, |input| database.update_table(input)),
        "DeleteTable" => |database, body| run(body, |input| database.delete_table(input)),
        "UpdateTimeToLive" => |database, body| run(body, |input| database.update_time_to_live(input)),
        "DescribeTimeToLive" => |database, body| run(body, |input| database.describe_time_to_live(input)),
        "PutItem" => |database, body| run(body, |input| database.put_item(input)),
        "GetItem" => |database, body| run(body, |input| database.get_item(input)),
        "UpdateItem" => |database, body| run(body, |input| database.update_item(input)),
        "DeleteItem" => |database, body| run(body, |input| database.delete_item(input)),
        "Query" => |database, body| run(body, |input| database.query(input)),
        "Scan" => |database, body| run(body, |input| database.scan(input)),
        "BatchGetItem" => |database, body| run(body, |input| database.batch_get_item(input)),
        "BatchWriteItem" => |database, body| run(body, |input| database.batch_write_item(input)),
        "TransactGetItems" => |database, body| run(body, |input| database.transact_get_items(input)),
        "TransactWriteItems" => |database, body| run(body, |input| database.transact_write_items(input)),
        "ExecuteStatement" => |database, body| run(body, |input| database.execute_statement(input)),
        _ => return None,
    })
}

fn create(database: &Database, table: &Table) -> Result<(), CloudError> {
    let name = table.create["TableName"].as_str().unwrap_or_default();
    let malformed = |source| StackError::Table { table: name.to_owned(), source };
    let failed = |source| CloudError::Table { table: name.to_owned(), source };
    match database.create_table(serde_json::from_value(table.create.clone()).map_err(malformed)?) {
        Ok(_) => {}
        Err(DynoxideError::ResourceInUseException(_)) => return Ok(()),
        Err(error) => return Err(failed(error)),
    }
    if let Some(attribute) = &table.time_to_live {
        let specification = json!({"AttributeName": attribute, "Enabled": true});
        let request = json!({"TableName": name, "TimeToLiveSpecification": specification});
        database.update_time_to_live(serde_json::from_value(request).map_err(malformed)?).map_err(failed)?;
    }
    Ok(())
}

async fn sweep(database: Database) {
    let mut ticks = tokio::time::interval(TTL_SWEEP);
    loop {
        ticks.tick().await;
        let database = database.clone();
        match tokio::task::spawn_blocking(move || database.sweep_ttl()).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => tracing::warn!(%error, "expired items cannot be deleted"),
            Err(error) => tracing::warn!(%error, "the deletion of expired items broke off"),
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use serde_json::Value;

    use super::*;

    async fn call(tables: &DynamoDb, operation: &str, input: String) -> (StatusCode, Value) {
        let target = format!("DynamoDB_20120810.{operation}");
        let request = Request::builder().header("x-amz-target", target).body(Body::from(input)).unwrap();
        let answer = tables.call(request).await;
        let status = answer.status();
        let body = to_bytes(answer.into_body(), MAX_BODY).await.unwrap();
        (status, serde_json::from_slice(&body).unwrap())
    }

    async fn tables() -> DynamoDb {
        let tables = DynamoDb::of(Database::memory().unwrap(), None);
        let table = json!({"TableName": "tables", "BillingMode": "PAY_PER_REQUEST",
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}]});
        assert_eq!(call(&tables, "CreateTable", table.to_string()).await.0, StatusCode::OK);
        tables
    }

    fn put(value: &Value) -> String {
        json!({"TableName": "tables", "Item": {"id": {"S": "a"}, "v": value}}).to_string()
    }

    #[tokio::test]
    async fn bad_inputs_are_refused_in_the_words_of_dynamodb() {
        let tables = tables().await;
        let many = "1".repeat(39);
        let update = |values: Value| {
            json!({"TableName": "tables", "Key": {"id": {"S": "a"}}, "UpdateExpression": "SET v = :v",
                "ExpressionAttributeValues": values})
        };
        let key = |key: Value| json!({"TableName": "tables", "Key": key}).to_string();
        let envelope = "1 validation error detected: ";
        let digits = "Attempting to store more than 38 significant digits in a Number";
        let number = "The parameter cannot be converted to a numeric value: abc";
        let query = json!({"TableName": "tables", "Limit": 0, "KeyConditionExpression": "id = :i",
            "ExpressionAttributeValues": {":i": {"S": "a"}}});
        let batch =
            json!({"RequestItems": {"tables": [{"PutRequest": {"Item": {"id": {"S": "a"}, "v": {"N": "abc"}}}}]}});
        for (operation, input, said) in [
            ("PutItem", put(&json!({"N": many})), format!("{envelope}{digits}")),
            ("PutItem", put(&json!({"N": "abc"})), format!("{envelope}{number}")),
            ("PutItem", put(&json!({"NS": ["1", "abc"]})), format!("{envelope}{number}")),
            ("PutItem", put(&json!({"L": [{"M": {"x": {"N": "abc"}}}]})), format!("{envelope}{number}")),
            ("UpdateItem", update(json!({":v": {"N": "abc"}})).to_string(), number.to_owned()),
            ("UpdateItem", update(json!({":v": {"N": many}})).to_string(), digits.to_owned()),
            ("PutItem", put(&json!({"SS": []})), "An string set  may not be empty".to_owned()),
            ("PutItem", put(&json!({"NS": ["1", "1.0"]})), "contains duplicates".to_owned()),
            ("PutItem", put(&json!({"S": "a", "N": "1"})), "has more than one datatypes set".to_owned()),
            ("PutItem", put(&json!({})), "Supplied AttributeValue is empty".to_owned()),
            (
                "PutItem",
                put(&json!({"NULL": false})),
                "Null attribute value types must have the value of true".to_owned(),
            ),
            ("GetItem", key(json!({"id": {"N": "abc"}})), number.to_owned()),
            ("GetItem", json!({"TableName": "t", "Key": {"id": {"S": "a"}}}).to_string(), "tableName".to_owned()),
            ("DescribeTable", json!({"TableName": "t"}).to_string(), "at least 3 characters long".to_owned()),
            ("Query", query.to_string(), "Member must have value greater than or equal to 1".to_owned()),
            ("Scan", json!({"TableName": "tables", "Limit": 0}).to_string(), "greater than or equal to 1".to_owned()),
            ("BatchWriteItem", batch.to_string(), number.to_owned()),
        ] {
            let (status, answer) = call(&tables, operation, input.clone()).await;
            let kind = answer["__type"].as_str().unwrap();
            assert!(status == 400 && kind.ends_with("ValidationException"), "{operation} {input}: {answer}");
            let words = answer["message"].as_str().unwrap();
            assert!(words.contains(&said), "{operation} {input}: {words}");
            assert!(!words.contains("VALIDATION") && !words.contains(" at line "), "{words}");
        }
        assert_eq!(call(&tables, "GetItem", key(json!({"id": {"S": "a"}}))).await.1, json!({}), "a bad item is stored");
    }

    #[tokio::test]
    async fn a_value_of_the_wrong_json_type_is_a_serialization_error() {
        let tables = tables().await;
        let named = |name: Value| json!({"TableName": name, "Key": {"id": {"S": "a"}}}).to_string();
        for (operation, input, said) in [
            ("GetItem", named(json!(5)), Some("NUMBER_VALUE cannot be converted to String")),
            ("GetItem", named(json!(true)), Some("TRUE_VALUE cannot be converted to String")),
            ("GetItem", named(json!([])), Some("Unrecognized collection type class java.lang.String")),
            (
                "Scan",
                json!({"TableName": "tables", "Limit": "x"}).to_string(),
                Some("STRING_VALUE cannot be converted to Integer"),
            ),
            ("GetItem", "{".to_owned(), None),
        ] {
            let (status, answer) = call(&tables, operation, input.clone()).await;
            let kind = answer["__type"].as_str().unwrap();
            assert!(status == 400 && kind.ends_with("SerializationException"), "{operation} {input}: {answer}");
            match said {
                Some(said) => assert!(answer["Message"].as_str().unwrap().contains(said), "{operation}: {answer}"),
                None => assert_eq!(answer.get("Message"), None),
            }
        }
    }
}
