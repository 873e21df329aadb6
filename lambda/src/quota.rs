//! How many portraits an owner may have made in a day. It is counted where a model is about to be paid for: when a job is recorded whose
//! photograph the model will get.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::types::AttributeValue;
use pipeline::{Owner, Timestamp};

use crate::error::HandlerError;

/// The beginning of the key of an owner's count. No portrait has such a key, and without a `shard`, the item is in no list.
const COUNT: &str = "~quota";
/// How long a count is kept.
const KEPT_DAYS: i64 = 2;

/// The daily quota of each owner.
#[derive(Clone, Debug)]
pub(crate) struct Quota {
    client: aws_sdk_dynamodb::Client,
    table: String,
    daily: usize,
}

/// What an owner has had made on a day, in UTC. The attempts have names, so that a repeated event counts once.
#[derive(Debug, PartialEq, Eq)]
struct Count {
    day: String,
    attempts: BTreeSet<String>,
    /// It changes with every write.
    version: u64,
}

impl Quota {
    /// `daily`: the portraits of an owner and day; 0: any number.
    pub(crate) fn new(client: aws_sdk_dynamodb::Client, table: &str, daily: u16) -> Self {
        Self { client, table: table.to_owned(), daily: usize::from(daily) }
    }

    /// The portraits of an owner and day.
    pub(crate) fn daily(&self) -> usize {
        self.daily
    }

    /// Counts an attempt of an owner; `None`: of all clients together. False if the day has no more. An attempt that was counted
    /// already is not counted again.
    pub(crate) async fn take(
        &self,
        owner: Option<&Owner>,
        attempt: &str,
        now: Timestamp,
    ) -> Result<bool, HandlerError> {
        if self.daily == 0 {
            return Ok(true);
        }
        let key = owner.map_or_else(|| COUNT.to_owned(), |owner| format!("{COUNT}/{owner}"));
        loop {
            let get = self.client.get_item().table_name(&self.table).key("id", text(&key)).consistent_read(true);
            let found = get.send().await.map_err(HandlerError::aws("dynamodb:GetItem"))?.item;
            let known = found.as_ref().map(Count::read);
            let day = now.to_string().chars().take("2026-11-21".len()).collect::<String>();
            let Some(counted) = Count::with(known.as_ref(), &day, attempt, self.daily) else { return Ok(false) };
            if known.as_ref() == Some(&counted) || self.put(&key, &counted, known.as_ref(), now).await? {
                return Ok(true);
            }
        }
    }

    /// Writes a count. False if the table's is another one by now.
    async fn put(&self, key: &str, count: &Count, known: Option<&Count>, now: Timestamp) -> Result<bool, HandlerError> {
        let expires_at = now.plus_seconds(KEPT_DAYS * 86_400).as_millis() / 1000;
        let put = self.client.put_item().table_name(&self.table).item("id", text(key)).item("day", text(&count.day));
        let put = put.item("attempts", AttributeValue::Ss(count.attempts.iter().cloned().collect()));
        let put = put.item("version", AttributeValue::N(count.version.to_string()));
        let put = put.item("expiresAt", AttributeValue::N(expires_at.to_string()));
        let put = match known {
            None => put.condition_expression("attribute_not_exists(id)"),
            Some(known) => put
                .condition_expression("version = :version")
                .expression_attribute_values(":version", AttributeValue::N(known.version.to_string())),
        };
        match put.send().await {
            Ok(_) => Ok(true),
            Err(error) if is_lost(&error) => Ok(false),
            Err(error) => Err(HandlerError::aws("dynamodb:PutItem")(error)),
        }
    }
}

impl Count {
    fn read(item: &HashMap<String, AttributeValue>) -> Self {
        let attempts = item.get("attempts").and_then(|value| value.as_ss().ok());
        Self {
            day: item.get("day").and_then(|value| value.as_s().ok()).cloned().unwrap_or_default(),
            attempts: attempts.into_iter().flatten().cloned().collect(),
            version: item.get("version").and_then(|value| value.as_n().ok()?.parse().ok()).unwrap_or_default(),
        }
    }

    /// The count with an attempt on a day; `None` if the day has no more.
    fn with(known: Option<&Self>, day: &str, attempt: &str, daily: usize) -> Option<Self> {
        let version = known.map_or(0, |known| known.version) + 1;
        let Some(today) = known.filter(|known| known.day == day) else {
            return Some(Self { day: day.to_owned(), attempts: BTreeSet::from([attempt.to_owned()]), version });
        };
        if today.attempts.contains(attempt) {
            return Some(Self { day: day.to_owned(), attempts: today.attempts.clone(), version: today.version });
        }
        let mut attempts = today.attempts.clone();
        attempts.insert(attempt.to_owned());
        (attempts.len() <= daily).then(|| Self { day: day.to_owned(), attempts, version })
    }
}

fn is_lost(error: &SdkError<PutItemError>) -> bool {
    error.as_service_error().is_some_and(PutItemError::is_conditional_check_failed_exception)
}

fn text(text: &str) -> AttributeValue {
    AttributeValue::S(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_has_so_many_attempts_and_each_counts_once() {
        let mut count = Count::with(None, "2026-11-21", "a", 2).unwrap();
        assert_eq!(Count::with(Some(&count), "2026-11-21", "a", 2).as_ref(), Some(&count), "it is counted already");
        count = Count::with(Some(&count), "2026-11-21", "b", 2).unwrap();
        assert_eq!((count.attempts.len(), count.version), (2, 2));
        assert_eq!(Count::with(Some(&count), "2026-11-21", "c", 2), None);
        assert_eq!(Count::with(Some(&count), "2026-11-21", "b", 2).as_ref(), Some(&count));
        // The next day begins anew, and its version follows.
        let next = Count::with(Some(&count), "2026-11-22", "c", 2).unwrap();
        assert_eq!((next.attempts.len(), next.version), (1, 3));
    }
}
