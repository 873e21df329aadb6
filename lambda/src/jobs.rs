//! The jobs table. Every write is conditional on what it was decided on.

use std::collections::{HashMap, HashSet};

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use futures::future::try_join_all;
use pipeline::{Job, PortraitId, Status, Timestamp};
use serde::{Deserialize, Serialize};

use crate::error::HandlerError;

/// Over how many partitions of the index open and finished jobs are spread.
const SHARDS: u64 = 8;

/// The most jobs of a partition that one sweep looks at.
const MOST_DUE: usize = 250;

/// What to do with a record, decided on what it is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Change {
    /// Leave it.
    Keep,
    /// Write this in its place.
    Put(Box<Job>),
    /// Remove it.
    Delete,
}

impl From<Option<Job>> for Change {
    fn from(job: Option<Job>) -> Self {
        job.map_or(Self::Keep, |job| Self::Put(Box::new(job)))
    }
}

/// The position behind the last job of a page, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cursor {
    pub(crate) created_at: String,
    pub(crate) id: String,
}

/// An item of the table.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    #[serde(flatten)]
    job: Job,
    /// Partition key of the index: `open#0`.. for what the sweep may have to look at, or `done#0`..
    shard: String,
    /// DynamoDB's time to live, in seconds since 1970.
    expires_at: i64,
}

#[derive(Clone, Debug)]
pub(crate) struct Jobs {
    client: aws_sdk_dynamodb::Client,
    table: String,
    index: String,
    retention_days: i64,
}

impl Jobs {
    pub(crate) fn new(client: aws_sdk_dynamodb::Client, settings: &crate::Settings) -> Self {
        Self {
            client,
            table: settings.jobs_table.clone(),
            index: settings.jobs_index.clone(),
            retention_days: settings.retention_days,
        }
    }

    /// The record of a portrait, as it is now.
    pub(crate) async fn get(&self, id: &PortraitId) -> Result<Option<Job>, HandlerError> {
        let get = self.client.get_item().table_name(&self.table).key("id", text(id.as_str())).consistent_read(true);
        let found = get.send().await.map_err(HandlerError::aws("dynamodb:GetItem"))?.item;
        found.map(job).transpose()
    }

    /// Changes the record as `decide` says, which is asked again whenever somebody else was quicker. Returns what it
    /// decided last.
    ///
    /// A write whose answer got lost is repeated by the SDK, and then finds its own work: it counts as done.
    pub(crate) async fn update(
        &self,
        id: &PortraitId,
        mut decide: impl FnMut(Option<&Job>) -> Change,
    ) -> Result<Change, HandlerError> {
        let mut tried = Change::Keep;
        loop {
            let current = self.get(id).await?;
            match (&tried, &current) {
                (Change::Put(tried), Some(current)) if **tried == *current => {
                    return Ok(Change::Put(Box::new(current.clone())));
                }
                (Change::Delete, None) => return Ok(Change::Delete),
                _ => {}
            }
            let change = decide(current.as_ref());
            let applied = match (&change, &current) {
                (Change::Keep, _) | (Change::Delete, None) => true,
                (Change::Put(job), current) => self.put(job, current.as_ref()).await?,
                (Change::Delete, Some(current)) => self.delete(current).await?,
            };
            if applied {
                return Ok(change);
            }
            tried = change;
        }
    }

    /// Whether the record still was `current`.
    async fn put(&self, job: &Job, current: Option<&Job>) -> Result<bool, HandlerError> {
        let item = Item {
            job: job.clone(),
            shard: shard(job.is_settled(), shard_number(&job.id)),
            expires_at: job.updated_at.plus_seconds(self.retention_days * 86_400).as_millis() / 1000,
        };
        let item: HashMap<String, AttributeValue> = serde_dynamo::to_item(item)?;
        let put = self.client.put_item().table_name(&self.table).set_item(Some(item));
        let put = match current {
            None => put.condition_expression("attribute_not_exists(id)"),
            Some(current) => put
                .condition_expression(UNCHANGED)
                .expression_attribute_names("#status", "status")
                .set_expression_attribute_values(Some(unchanged(current))),
        };
        match put.send().await {
            Ok(_) => Ok(true),
            Err(error) if put_lost(&error) => Ok(false),
            Err(error) => Err(HandlerError::aws("dynamodb:PutItem")(error)),
        }
    }

    async fn delete(&self, current: &Job) -> Result<bool, HandlerError> {
        let delete = self
            .client
            .delete_item()
            .table_name(&self.table)
            .key("id", text(current.id.as_str()))
            .condition_expression(UNCHANGED)
            .expression_attribute_names("#status", "status")
            .set_expression_attribute_values(Some(unchanged(current)));
        match delete.send().await {
            Ok(_) => Ok(true),
            Err(error) if delete_lost(&error) => Ok(false),
            Err(error) => Err(HandlerError::aws("dynamodb:DeleteItem")(error)),
        }
    }

    /// Which of at most a hundred portraits have a record.
    pub(crate) async fn known(&self, ids: &[PortraitId]) -> Result<HashSet<PortraitId>, HandlerError> {
        let keys = ids.iter().map(|id| HashMap::from([("id".to_owned(), text(id.as_str()))])).collect();
        let mut wanted = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(true);
        wanted = wanted.projection_expression("id");
        let mut unread = Some(HashMap::from([(
            self.table.clone(),
            wanted.build().map_err(HandlerError::aws("dynamodb:BatchGetItem"))?,
        )]));
        let mut known = HashSet::new();
        while let Some(request) = unread.filter(|request| !request.is_empty()) {
            let read = self.client.batch_get_item().set_request_items(Some(request)).send().await;
            let read = read.map_err(HandlerError::aws("dynamodb:BatchGetItem"))?;
            let items = read.responses.unwrap_or_default().into_values().flatten();
            known.extend(items.filter_map(|item| item.get("id")?.as_s().ok()?.parse::<PortraitId>().ok()));
            unread = read.unprocessed_keys;
        }
        Ok(known)
    }

    /// Up to `limit` jobs, newest first, and where the next page begins.
    pub(crate) async fn page(
        &self,
        status: Option<Status>,
        limit: usize,
        after: Option<&Cursor>,
    ) -> Result<(Vec<Job>, Option<Cursor>), HandlerError> {
        let states: &[bool] = match status {
            // One that is being deleted is not settled.
            Some(Status::Cancelled) | None => &[false, true],
            Some(status) if status.is_final() => &[true],
            Some(_) => &[false],
        };
        let shards = states.iter().flat_map(|done| (0..SHARDS).map(|number| shard(*done, number)));
        let parts = try_join_all(shards.map(|shard| self.newest(shard, status, limit + 1, after))).await?;
        let mut jobs: Vec<Job> = parts.into_iter().flatten().collect();
        jobs.sort_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
        let more = jobs.len() > limit;
        jobs.truncate(limit);
        let next = jobs
            .last()
            .filter(|_| more)
            .map(|last| Cursor { created_at: last.created_at.to_string(), id: last.id.to_string() });
        Ok((jobs, next))
    }

    /// The jobs that the sweep has to look at now; if there are very many, some of them.
    pub(crate) async fn due(&self, now: Timestamp) -> Result<Vec<Job>, HandlerError> {
        let shards = (0..SHARDS).map(|number| self.due_of(shard(false, number), now));
        Ok(try_join_all(shards).await?.into_iter().flatten().collect())
    }

    async fn due_of(&self, shard: String, now: Timestamp) -> Result<Vec<Job>, HandlerError> {
        let query = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(&self.index)
            .key_condition_expression("#shard = :shard")
            .filter_expression("dueAt <= :now OR lookAt <= :now")
            .expression_attribute_names("#shard", "shard")
            .expression_attribute_values(":shard", text(&shard))
            .expression_attribute_values(":now", text(&now.to_string()));
        let mut jobs = Vec::new();
        let mut items = query.into_paginator().items().send();
        while jobs.len() < MOST_DUE
            && let Some(item) = items.next().await
        {
            let job = job(item.map_err(HandlerError::aws("dynamodb:Query"))?)?;
            // One that is being deleted is due when that should have ended.
            jobs.extend(job.is_due(now).then_some(job));
        }
        Ok(jobs)
    }

    /// The newest jobs of one partition of the index, beginning behind `after`.
    async fn newest(
        &self,
        shard: String,
        status: Option<Status>,
        limit: usize,
        after: Option<&Cursor>,
    ) -> Result<Vec<Job>, HandlerError> {
        let mut query = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(&self.index)
            .scan_index_forward(false)
            // A reserved word.
            .expression_attribute_names("#shard", "shard")
            .expression_attribute_values(":shard", text(&shard));
        query = match after {
            None => query.key_condition_expression("#shard = :shard"),
            Some(after) => query
                .key_condition_expression("#shard = :shard AND createdAt <= :after")
                .expression_attribute_values(":after", text(&after.created_at)),
        };
        if status.is_none() {
            // As many as are wanted, and a few that were seen before if they were made in the same millisecond.
            query = query.limit(i32::try_from(limit + 4).unwrap_or(i32::MAX));
        }
        if let Some(status) = status {
            query = query
                .filter_expression("#status = :status")
                .expression_attribute_names("#status", "status")
                .expression_attribute_values(":status", text(status.as_str()));
        }
        let mut jobs = Vec::new();
        let mut items = query.into_paginator().items().send();
        while let Some(item) = items.next().await {
            let job = job(item.map_err(HandlerError::aws("dynamodb:Query"))?)?;
            let seen = after.is_some_and(|after| {
                (job.created_at.to_string(), job.id.as_str()) >= (after.created_at.clone(), after.id.as_str())
            });
            if !seen {
                jobs.push(job);
            }
            if jobs.len() == limit {
                break;
            }
        }
        Ok(jobs)
    }
}

const UNCHANGED: &str = "sequencer = :sequencer AND revision = :revision AND #status = :status AND dueAt = :due";

fn unchanged(job: &Job) -> HashMap<String, AttributeValue> {
    HashMap::from([
        (":sequencer".to_owned(), text(job.sequencer.as_str())),
        (":revision".to_owned(), text(job.revision.as_str())),
        (":status".to_owned(), text(job.status.as_str())),
        (":due".to_owned(), text(&job.due_at.to_string())),
    ])
}

fn put_lost(error: &SdkError<PutItemError>) -> bool {
    error.as_service_error().is_some_and(PutItemError::is_conditional_check_failed_exception)
}

fn delete_lost(error: &SdkError<DeleteItemError>) -> bool {
    error.as_service_error().is_some_and(DeleteItemError::is_conditional_check_failed_exception)
}

fn job(item: HashMap<String, AttributeValue>) -> Result<Job, HandlerError> {
    let item: Item = serde_dynamo::from_item(item)?;
    Ok(item.job)
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn shard(done: bool, number: u64) -> String {
    format!("{}#{number}", if done { "done" } else { "open" })
}

/// FNV-1a of the id: the same portrait is always in the same partition.
fn shard_number(id: &PortraitId) -> u64 {
    let hash = id
        .as_str()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    hash % SHARDS
}
