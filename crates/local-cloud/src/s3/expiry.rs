//! Expiry: objects of a kind are deleted when they are old enough, as a lifecycle rule of S3 does once a day.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::params;

use super::store::ObjectStore;
use super::store_error::StoreError;
use crate::stack::Expiration;

/// The longest time between two looks.
const LOOK: Duration = Duration::from_secs(600);
/// How many keys are looked at while the journal is held.
const PAGE: i64 = 1000;

impl ObjectStore {
    /// Deletes what has expired, again and again. Never returns.
    pub(crate) async fn expire(self: Arc<Self>, rules: Vec<Expiration>) {
        let Some(shortest) = rules.iter().map(|rule| rule.after).min() else { return std::future::pending().await };
        let pause = i64::try_from((shortest / 10).clamp(Duration::from_secs(1), LOOK).as_millis()).unwrap_or(i64::MAX);
        loop {
            for rule in &rules {
                match self.expire_by(rule).await {
                    Ok(0) => {}
                    Ok(objects) => tracing::info!(bucket = rule.bucket, suffix = rule.suffix, objects, "expired"),
                    Err(error) => tracing::warn!(%error, bucket = rule.bucket, "expired objects cannot be deleted"),
                }
            }
            let clock = self.journal.clock();
            clock.sleep_until(clock.now_millis() + pause).await;
        }
    }

    /// Deletes what has expired by a rule, and returns the number of objects.
    async fn expire_by(&self, rule: &Expiration) -> Result<usize, StoreError> {
        let after = i64::try_from(rule.after.as_millis()).unwrap_or(i64::MAX);
        let before = self.journal.clock().now_millis().saturating_sub(after);
        let (mut deleted, mut last) = (0, None::<String>);
        loop {
            let page: Vec<(String, i64)> = self.journal.read(|connection| {
                let mut page = connection.prepare_cached(
                    "SELECT key, modified FROM object WHERE bucket = ?1 AND key >= ?2 AND (?3 IS NULL OR key > ?3)
                     ORDER BY key LIMIT ?4",
                )?;
                let page = page
                    .query_map(params![rule.bucket, last.as_ref().unwrap_or(&rule.prefix), last, PAGE], |row| {
                        Ok((row.get(0)?, row.get(1)?))
                    })?;
                page.collect::<rusqlite::Result<_>>()
            })?;
            let is_of_rule = |key: &str| key.starts_with(&rule.prefix) && key.ends_with(&rule.suffix);
            for (key, _) in page.iter().filter(|(key, modified)| *modified <= before && is_of_rule(key)) {
                // It may have been replaced meanwhile.
                match self.delete(&rule.bucket, key, |now| match now {
                    Some(now) if now.modified > before => Err(StoreError::PreconditionFailed),
                    _ => Ok(()),
                }) {
                    Ok(()) => deleted += 1,
                    Err(StoreError::PreconditionFailed) => {}
                    Err(error) => return Err(error),
                }
            }
            match page.last() {
                Some((key, _)) if key.starts_with(&rule.prefix) => last = Some(key.clone()),
                _ => return Ok(deleted),
            }
            tokio::task::yield_now().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::store::tests::{kept, put, store};
    use super::*;

    #[tokio::test]
    async fn what_is_old_and_of_the_rule_is_deleted_with_its_bytes() {
        let (_folder, store) = store();
        let rule = |after| Expiration {
            bucket: "b".to_owned(),
            prefix: "images/".to_owned(),
            suffix: "/whole.bin".to_owned(),
            after: Duration::from_secs(after),
        };
        for key in ["images/a/0.jpg", "images/a/whole.bin", "images/b/whole.bin", "other/whole.bin", "a/whole.bin"] {
            put(&store, key, key).await;
        }
        assert_eq!(store.expire_by(&rule(60)).await.unwrap(), 0, "none is old");
        store.journal.clock().advance(Duration::from_secs(61));
        put(&store, "images/b/whole.bin", "a new one").await;
        assert_eq!(store.expire_by(&rule(60)).await.unwrap(), 1);
        assert!(matches!(store.head("b", "images/a/whole.bin"), Err(StoreError::NoSuchKey(_))));
        for key in ["images/a/0.jpg", "images/b/whole.bin", "other/whole.bin", "a/whole.bin"] {
            assert!(store.head("b", key).is_ok(), "{key}");
        }
        assert_eq!(kept(&store).await, 4);
    }

    #[tokio::test]
    async fn the_lists_are_read_page_by_page() {
        let (_folder, store) = store();
        let copies = 2 * PAGE + 3;
        put(&store, "first", "x").await;
        for n in 0..copies {
            let key = format!("images/{n}/whole.bin");
            store.copy(("b", "first"), "b", &key, |original, _| Ok(original.attributes.clone())).unwrap();
        }
        let rule = Expiration {
            bucket: "b".to_owned(),
            prefix: "images/".to_owned(),
            suffix: "whole.bin".to_owned(),
            after: Duration::ZERO,
        };
        assert_eq!(i64::try_from(store.expire_by(&rule).await.unwrap()).unwrap(), copies);
        assert!(store.head("b", "first").is_ok());
    }
}
