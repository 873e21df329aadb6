//! The jobs table. Every write is conditional on the record that it was decided on.

use std::collections::{HashMap, HashSet};

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use futures::future::try_join_all;
use pipeline::{Deadlines, Job, Owner, PortraitKey, Record, Sequencer, Status, Timestamp, Tombstone};
use serde::{Deserialize, Serialize};

use crate::error::HandlerError;

/// The number of index partitions for open jobs, and for ended ones.
const SHARDS: u64 = 8;

/// The most jobs of a partition that one sweep handles.
const MOST_DUE: usize = 250;

/// How long the tombstone of a complete deletion is kept. It has to exceed the functions' timeouts by far, since clocks are adjusted.
const TOMBSTONE_DAYS: i64 = 2;

/// The item that is no portrait's: how far the collection of orphans has come. No portrait has such an id. Without a `shard`, it is in
/// no list.
const PLACE: &str = "~collect-orphans";

/// The position after the last job of a page, newest first. A list has one owner's jobs, or those of no owner.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Cursor {
    pub(crate) created_at: String,
    pub(crate) id: String,
}

/// An item of the table: a job, or a deletion in progress.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Item {
    #[serde(flatten)]
    job: Job,
    /// Partition key of the index: `open#0`.. for records that the sweep may have to handle. For others `done#0`.., or `owner#` and
    /// the owner.
    shard: String,
    /// DynamoDB's time to live, in seconds since 1970.
    expires_at: i64,
}

/// The item of a complete deletion. It has no `shard`, so it is not in the index: neither the list nor the sweep reads it. It has
/// no `status`, so that no reader of the table takes it for a job.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct DeletedItem {
    id: PortraitKey,
    deleted_at: Timestamp,
    sequencer: Sequencer,
    /// As in [`Item`].
    expires_at: i64,
}

#[derive(Clone, Debug)]
pub(crate) struct Jobs {
    client: aws_sdk_dynamodb::Client,
    table: String,
    index: String,
    retention_days: i64,
    deadlines: Deadlines,
}

impl Jobs {
    pub(crate) fn new(client: aws_sdk_dynamodb::Client, settings: &crate::Settings) -> Self {
        Self {
            client,
            table: settings.jobs_table.clone(),
            index: settings.jobs_index.clone(),
            retention_days: settings.retention_days,
            deadlines: settings.deadlines(),
        }
    }

    /// Where the last run over all lists ended before their end; `None` if it reached the end.
    pub(crate) async fn place(&self) -> Result<Option<String>, HandlerError> {
        let get = self.client.get_item().table_name(&self.table).key("id", text(PLACE)).consistent_read(true);
        let found = get.send().await.map_err(HandlerError::aws("dynamodb:GetItem"))?.item;
        Ok(found.and_then(|mut item| item.remove("after")).and_then(|after| after.as_s().ok().cloned()))
    }

    /// Keeps the place for the next run, for some days.
    pub(crate) async fn keep_place(&self, after: Option<&str>, now: Timestamp) -> Result<(), HandlerError> {
        let expires_at = now.plus_seconds(TOMBSTONE_DAYS * 86_400).as_millis() / 1000;
        let put = self.client.put_item().table_name(&self.table).item("id", text(PLACE));
        let put = put.item("expiresAt", AttributeValue::N(expires_at.to_string()));
        let put = after.into_iter().fold(put, |put, after| put.item("after", text(after)));
        put.send().await.map_err(HandlerError::aws("dynamodb:PutItem"))?;
        Ok(())
    }

    /// The record of a portrait, as it is now.
    pub(crate) async fn get(&self, id: &PortraitKey) -> Result<Option<Record>, HandlerError> {
        let get = self.client.get_item().table_name(&self.table).key("id", text(&id.to_string())).consistent_read(true);
        let found = get.send().await.map_err(HandlerError::aws("dynamodb:GetItem"))?.item;
        found.map(record_of).transpose()
    }

    /// Replaces the record by the one that `decide` returns, and calls `decide` again if the record has changed meanwhile. Returns
    /// the record as it was written; `None` if `decide` returns `None`.
    pub(crate) async fn update(
        &self,
        id: &PortraitKey,
        decide: impl FnMut(Option<&Record>) -> Option<Record>,
    ) -> Result<Option<Record>, HandlerError> {
        self.update_from(id, None, decide).await
    }

    /// Replaces the record as [`update`](Self::update) does. The first decision is made on the `known` record, if there is one.
    async fn update_from(
        &self,
        id: &PortraitKey,
        mut known: Option<Record>,
        mut decide: impl FnMut(Option<&Record>) -> Option<Record>,
    ) -> Result<Option<Record>, HandlerError> {
        loop {
            let is_known = known.is_some();
            let current = match known.take() {
                Some(known) => Some(known),
                None => self.get(id).await?,
            };
            match decide(current.as_ref()) {
                Some(record) if self.put(&record, current.as_ref()).await? => return Ok(Some(record)),
                // A known record may have changed: only the table's record shows that nothing is to be done.
                None if !is_known => return Ok(None),
                _ => {}
            }
        }
    }

    /// Changes the job if its record still is of the same attempt. Returns the job as it was written; `None` if the attempt is over,
    /// or `decide` returns `None`.
    pub(crate) async fn update_attempt(
        &self,
        attempt: &Job,
        decide: impl FnMut(&Job) -> Option<Job>,
    ) -> Result<Option<Job>, HandlerError> {
        self.update_attempt_from(attempt, None, decide).await
    }

    /// As [`update_attempt`](Self::update_attempt), of a job that was read from the table, or written to it, a moment ago. It is read
    /// again only if it has changed.
    pub(crate) async fn update_read_attempt(
        &self,
        attempt: &Job,
        decide: impl FnMut(&Job) -> Option<Job>,
    ) -> Result<Option<Job>, HandlerError> {
        self.update_attempt_from(attempt, Some(attempt.clone().into()), decide).await
    }

    async fn update_attempt_from(
        &self,
        attempt: &Job,
        known: Option<Record>,
        mut decide: impl FnMut(&Job) -> Option<Job>,
    ) -> Result<Option<Job>, HandlerError> {
        let same_attempt = |current: Option<&Record>| {
            let job = current.and_then(Record::job).filter(|job| job.input == attempt.input);
            job.and_then(&mut decide).map(Record::from)
        };
        Ok(self.update_from(&attempt.id, known, same_attempt).await?.and_then(Record::into_job))
    }

    /// Writes a record. False if the table's record is no longer `current`.
    ///
    /// The SDK repeats a write whose answer was lost. The repetition then fails, but finds the record that it was to write, and so
    /// counts as done.
    pub(crate) async fn put(&self, record: &Record, current: Option<&Record>) -> Result<bool, HandlerError> {
        let item = item_of(record, self.retention_days)?;
        let put = self.client.put_item().table_name(&self.table).set_item(Some(item));
        let put = match current {
            None => put.condition_expression("attribute_not_exists(id)"),
            Some(current) => {
                let (condition, values) = unchanged(current)?;
                put.condition_expression(condition)
                    .expression_attribute_names("#status", "status")
                    .set_expression_attribute_values(Some(values))
            }
        };
        match put.send().await {
            Ok(_) => Ok(true),
            Err(error) if put_lost(&error) => Ok(self.get(record.id()).await?.as_ref() == Some(record)),
            Err(error) => Err(HandlerError::aws("dynamodb:PutItem")(error)),
        }
    }

    /// The portraits that have a job or are being deleted, of at most a hundred.
    pub(crate) async fn known(&self, ids: &[PortraitKey]) -> Result<HashSet<PortraitKey>, HandlerError> {
        // DynamoDB refuses a request for nothing.
        if ids.is_empty() {
            return Ok(HashSet::new());
        }
        let keys = ids.iter().map(|id| HashMap::from([("id".to_owned(), text(&id.to_string()))])).collect();
        let mut wanted = KeysAndAttributes::builder().set_keys(Some(keys)).consistent_read(true);
        wanted = wanted.projection_expression("id, #status").expression_attribute_names("#status", "status");
        let mut unread = Some(HashMap::from([(
            self.table.clone(),
            wanted.build().map_err(HandlerError::aws("dynamodb:BatchGetItem"))?,
        )]));
        let mut known = HashSet::new();
        while let Some(request) = unread.filter(|request| !request.is_empty()) {
            let read = self.client.batch_get_item().set_request_items(Some(request)).send().await;
            let read = read.map_err(HandlerError::aws("dynamodb:BatchGetItem"))?;
            let items = read.responses.unwrap_or_default().into_values().flatten();
            let recorded = items.filter(|item| item.contains_key("status"));
            known.extend(recorded.filter_map(|item| item.get("id")?.as_s().ok()?.parse::<PortraitKey>().ok()));
            unread = read.unprocessed_keys;
        }
        Ok(known)
    }

    /// Up to `limit` jobs of an owner, newest first, and the position of the next page. `None`: those of no owner, which are all jobs
    /// where tenants do not share the pipeline.
    pub(crate) async fn page(
        &self,
        owner: Option<&Owner>,
        status: Option<Status>,
        limit: usize,
        after: Option<&Cursor>,
    ) -> Result<(Vec<Job>, Option<Cursor>), HandlerError> {
        let states: &[bool] = match status {
            // A withdrawn job is not settled.
            Some(Status::Cancelled) | None => &[false, true],
            Some(status) if status.is_final() => &[true],
            Some(_) => &[false],
        };
        let shards = states.iter().flat_map(|done| match (done, owner) {
            (true, Some(owner)) => vec![owner_shard(owner)],
            _ => (0..SHARDS).map(|number| shard(*done, number)).collect(),
        });
        let parts = try_join_all(shards.map(|shard| self.newest(shard, owner, status, limit + 1, after))).await?;
        let mut jobs: Vec<Job> = parts.into_iter().flatten().collect();
        jobs.sort_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
        let more = jobs.len() > limit;
        jobs.truncate(limit);
        let next = jobs
            .last()
            .filter(|_| more)
            .map(|last| Cursor { created_at: last.created_at.to_string(), id: last.id.id().to_string() });
        Ok((jobs, next))
    }

    /// The records that the sweep has to handle now, at most [`MOST_DUE`] of each partition.
    pub(crate) async fn due(&self, now: Timestamp) -> Result<Vec<Record>, HandlerError> {
        // The sweep is for every owner's.
        let shards = (0..SHARDS).map(|number| self.due_of(shard(false, number), now));
        Ok(try_join_all(shards).await?.into_iter().flatten().collect())
    }

    async fn due_of(&self, shard: String, now: Timestamp) -> Result<Vec<Record>, HandlerError> {
        let query = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(&self.index)
            .key_condition_expression("#shard = :shard")
            .filter_expression("dueAt <= :now OR lookAt <= :now OR dueAt > :horizon OR lookAt > :horizon")
            .expression_attribute_names("#shard", "shard")
            .expression_attribute_values(":shard", text(&shard))
            .expression_attribute_values(":now", text(&now.to_string()))
            .expression_attribute_values(":horizon", text(&self.deadlines.horizon(now).to_string()));
        let mut records = Vec::new();
        let mut items = query.into_paginator().items().send();
        while records.len() < MOST_DUE
            && let Some(item) = items.next().await
        {
            let record = record_of(item.map_err(HandlerError::aws("dynamodb:Query"))?)?;
            // The filter also finds withdrawn records whose deletion may still be in progress.
            records.extend(record.is_due(now, &self.deadlines).then_some(record));
        }
        Ok(records)
    }

    /// The newest jobs of one partition of the index, beginning after `after`.
    async fn newest(
        &self,
        shard: String,
        owner: Option<&Owner>,
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
            // `shard` is a reserved word.
            .expression_attribute_names("#shard", "shard")
            .expression_attribute_values(":shard", text(&shard));
        query = match after {
            None => query.key_condition_expression("#shard = :shard"),
            Some(after) => query
                .key_condition_expression("#shard = :shard AND createdAt <= :after")
                .expression_attribute_values(":after", text(&after.created_at)),
        };
        if status.is_none() && owner.is_none() {
            // A few more than `limit`, since some of the same millisecond may have been on the last page.
            query = query.limit(i32::try_from(limit + 4).unwrap_or(i32::MAX));
        }
        if let Some(status) = status {
            query = query
                .filter_expression("#status = :status")
                .expression_attribute_names("#status", "status")
                .expression_attribute_values(":status", text(status.as_str()));
        }
        let is_owners = |job: &Job| job.id.owner() == owner;
        let mut jobs = Vec::new();
        let mut items = query.into_paginator().items().send();
        while jobs.len() < limit
            && let Some(item) = items.next().await
        {
            let record = record_of(item.map_err(HandlerError::aws("dynamodb:Query"))?)?;
            let seen = |job: &Job| {
                after.is_some_and(|after| {
                    (job.created_at.to_string(), job.id.id().as_str()) >= (after.created_at.clone(), after.id.as_str())
                })
            };
            jobs.extend(record.into_job().filter(|job| is_owners(job) && !seen(job)));
        }
        Ok(jobs)
    }
}

/// The condition that the table's record still is `current`, by the attributes that every change changes.
fn unchanged(current: &Record) -> Result<(&'static str, HashMap<String, AttributeValue>), HandlerError> {
    if let Record::Tombstone(tombstone) = current
        && tombstone.is_complete()
    {
        let values = [(":sequencer", tombstone.sequencer.as_str()), (":at", &tombstone.updated_at.to_string())];
        let values = values.map(|(name, value)| (name.to_owned(), text(value)));
        let condition = "attribute_not_exists(#status) AND deletedAt = :at AND sequencer = :sequencer";
        return Ok((condition, values.into()));
    }
    let mut stored: HashMap<String, AttributeValue> = serde_dynamo::to_item(current.stored())?;
    let attributes = [(":sequencer", "sequencer"), (":revision", "revision"), (":status", "status"), (":due", "dueAt")];
    let values =
        attributes.into_iter().filter_map(|(name, attribute)| Some((name.to_owned(), stored.remove(attribute)?)));
    Ok(("sequencer = :sequencer AND revision = :revision AND #status = :status AND dueAt = :due", values.collect()))
}

fn put_lost(error: &SdkError<PutItemError>) -> bool {
    error.as_service_error().is_some_and(PutItemError::is_conditional_check_failed_exception)
}

fn record_of(item: HashMap<String, AttributeValue>) -> Result<Record, HandlerError> {
    if item.contains_key("deletedAt") {
        let DeletedItem { id, deleted_at, sequencer, .. } = serde_dynamo::from_item(item)?;
        return Ok(Tombstone { sequencer, ..Tombstone::complete(&id, None, deleted_at) }.into());
    }
    let item: Item = serde_dynamo::from_item(item)?;
    Ok(item.job.into())
}

fn item_of(record: &Record, retention_days: i64) -> Result<HashMap<String, AttributeValue>, HandlerError> {
    let expires_at = |days: i64| record.updated_at().plus_seconds(days * 86_400).as_millis() / 1000;
    let shard = match record.id().owner() {
        Some(owner) if record.is_settled() => owner_shard(owner),
        _ => shard(record.is_settled(), shard_number(record.id())),
    };
    let item = match record {
        Record::Tombstone(Tombstone { id, updated_at, sequencer, deleting_until: None, .. }) => {
            let (id, deleted_at, sequencer) = (id.clone(), *updated_at, sequencer.clone());
            serde_dynamo::to_item(DeletedItem { id, deleted_at, sequencer, expires_at: expires_at(TOMBSTONE_DAYS) })
        }
        Record::Tombstone(_) | Record::Job(_) => serde_dynamo::to_item(record.stored().map(|job| Item {
            job,
            shard,
            expires_at: expires_at(retention_days),
        })),
    };
    Ok(item?)
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

fn shard(done: bool, number: u64) -> String {
    format!("{}#{number}", if done { "done" } else { "open" })
}

/// The partition of an owner's jobs that have ended.
fn owner_shard(owner: &Owner) -> String {
    format!("owner#{owner}")
}

/// FNV-1a of the id, so that a portrait is always in the same partition.
fn shard_number(id: &PortraitKey) -> u64 {
    let hash = id
        .to_string()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3));
    hash % SHARDS
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tombstone as version 0.1.0 of the functions stores it.
    fn stored_tombstone() -> HashMap<String, AttributeValue> {
        let texts = [
            ("id", "ada"),
            ("revision", "01ba4719c80b"),
            ("status", "CANCELLED"),
            ("createdAt", "2026-11-21T13:08:00.123Z"),
            ("updatedAt", "2026-11-21T13:09:00.123Z"),
            ("sequencer", "0000000000000000000000000000000000000000"),
            ("input", ""),
            ("etag", ""),
            ("contentType", ""),
            ("dueAt", "2026-11-21T13:09:00.123Z"),
            ("deletingUntil", "2026-11-21T13:10:15.123Z"),
            ("shard", "open#3"),
        ]
        .map(|(name, value)| (name.to_owned(), text(value)));
        let nulls = ["ages", "model", "error", "extension", "lookAt", "claimedBy", "outputLocation", "failureLocation"]
            .map(|name| (name.to_owned(), AttributeValue::Null(true)));
        let expiry = ("expiresAt".to_owned(), AttributeValue::N("1797858540".to_owned()));
        texts.into_iter().chain(nulls).chain([expiry]).collect()
    }

    #[test]
    fn reads_and_writes_tombstones_as_the_first_version_did() {
        let record = record_of(stored_tombstone()).unwrap();
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let tombstone = Tombstone {
            id: "ada".parse().unwrap(),
            created_at: at("2026-11-21T13:08:00.123Z"),
            updated_at: at("2026-11-21T13:09:00.123Z"),
            deleting_until: Some(at("2026-11-21T13:10:15.123Z")),
            sequencer: Sequencer::new(""),
        };
        assert_eq!(record, Record::Tombstone(tombstone));
        assert_eq!(item_of(&record, 30).unwrap(), stored_tombstone());
        assert_eq!(unchanged(&record).unwrap().1.len(), 4);
    }

    #[test]
    fn a_complete_deletion_is_stored_as_no_job_and_for_two_days() {
        let at = "2026-11-21T13:09:00.123Z".parse::<Timestamp>().unwrap();
        let sequencer = Sequencer::new("0A");
        let record = Record::from(Tombstone {
            sequencer: sequencer.clone(),
            ..Tombstone::complete(&"ada".parse().unwrap(), None, at)
        });
        let item = item_of(&record, 30).unwrap();
        let stored =
            [("id", text("ada")), ("deletedAt", text(&at.to_string())), ("sequencer", text(sequencer.as_str()))];
        let expiry = AttributeValue::N((at.as_millis() / 1000 + 2 * 86_400).to_string());
        let stored = stored.into_iter().chain([("expiresAt", expiry)]).map(|(name, value)| (name.to_owned(), value));
        assert_eq!(item, stored.collect());
        assert_eq!(record_of(item).unwrap(), record);
        let (condition, values) = unchanged(&record).unwrap();
        assert!(condition.contains("deletedAt = :at AND sequencer = :sequencer") && values.len() == 2);
    }
}
