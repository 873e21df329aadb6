//! DynamoDB, by `dynoxide`: its own server on a loopback port of its own, behind the endpoint.

use std::path::Path;
use std::time::Duration;

use axum::extract::Request;
use axum::response::Response;
use dynoxide::{Database, DynoxideError};
use serde_json::json;
use tokio::net::TcpListener;

use crate::CloudError;
use crate::aws_endpoint::forward;
use crate::stack::Table;

/// How often expired items are looked for; AWS takes up to days.
const TTL_SWEEP: Duration = Duration::from_secs(60);

pub(crate) struct DynamoDb {
    base: String,
    client: reqwest::Client,
}

impl DynamoDb {
    /// Opens the database and makes sure that the tables are there.
    pub(crate) async fn start(file: &Path, tables: &[Table]) -> Result<Self, CloudError> {
        let failed = |error: DynoxideError| CloudError::DynamoDb(error.to_string());
        let path = file.to_str().ok_or_else(|| CloudError::DynamoDb(format!("{} is not UTF-8", file.display())))?;
        let database = Database::new(path).map_err(failed)?;
        for table in tables {
            create(&database, table)?;
        }
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let base = format!("http://{}", listener.local_addr()?);
        tokio::spawn(sweep(database.clone()));
        tokio::spawn(dynoxide::server::serve_on(listener, database));
        Ok(Self { base, client: reqwest::Client::new() })
    }

    pub(crate) async fn call(&self, request: Request) -> Response {
        forward(&self.client, &self.base, request).await
    }
}

fn create(database: &Database, table: &Table) -> Result<(), CloudError> {
    let name = &table.create["TableName"];
    let malformed = |error: serde_json::Error| CloudError::Stack(format!("the table {name}: {error}"));
    match database.create_table(serde_json::from_value(table.create.clone()).map_err(malformed)?) {
        Ok(_) => {}
        Err(DynoxideError::ResourceInUseException(_)) => return Ok(()),
        Err(error) => return Err(CloudError::DynamoDb(format!("the table {name} cannot be created: {error}"))),
    }
    if let Some(attribute) = &table.time_to_live {
        let specification = json!({"AttributeName": attribute, "Enabled": true});
        let request = json!({"TableName": name, "TimeToLiveSpecification": specification});
        database
            .update_time_to_live(serde_json::from_value(request).map_err(malformed)?)
            .map_err(|error| CloudError::DynamoDb(error.to_string()))?;
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
            Ok(Err(error)) => tracing::warn!(%error, "expired items cannot be looked for"),
            Err(error) => tracing::warn!(%error, "the search for expired items broke off"),
        }
    }
}
