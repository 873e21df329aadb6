//! Durable queues. One receiver at a time has a message, which stays in its queue until it is deleted.

use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, Transaction, params};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, watch};

use crate::journal::Journal;

/// The asynchronous work of a cloud: events for functions and requests for endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// Messages that are worked on, or could be.
    pub ready: u64,
    /// Messages with a delay that has not passed yet.
    pub waiting: u64,
    /// When the first waiting message is ready, in milliseconds since 1970.
    pub next: Option<i64>,
}

/// A message of a queue.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) id: i64,
    /// Every retry keeps it.
    pub(crate) request_id: String,
    pub(crate) body: String,
    /// Milliseconds since 1970.
    pub(crate) sent: i64,
    /// How many times it was received, this time included.
    pub(crate) receives: u32,
}

/// The queue of a function's asynchronous invocations.
pub(crate) fn of_function(name: &str) -> String {
    format!("lambda/{name}")
}

/// The queue of an endpoint's asynchronous invocations.
pub(crate) fn of_endpoint(name: &str) -> String {
    format!("sagemaker/{name}")
}

/// A dead-letter queue.
pub(crate) fn of_dead_letters(name: &str) -> String {
    format!("sqs/{name}")
}

/// Adds a message that is ready `delay` after `now`, which is in milliseconds since 1970.
pub(crate) fn send(
    connection: &Connection,
    queue: &str,
    request_id: &str,
    body: &str,
    now: i64,
    delay: Duration,
) -> rusqlite::Result<()> {
    insert(connection, queue, request_id, body, now, now + millis(delay))
}

/// Adds a message that is received before all others, except for those that were added so earlier.
pub(crate) fn send_first(
    connection: &Connection,
    queue: &str,
    request_id: &str,
    body: &str,
    now: i64,
) -> rusqlite::Result<()> {
    insert(connection, queue, request_id, body, now, 0)
}

fn insert(
    connection: &Connection,
    queue: &str,
    request_id: &str,
    body: &str,
    sent: i64,
    ready: i64,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO message (queue, request_id, body, sent, ready) VALUES (?, ?, ?, ?, ?)")?
        .execute(params![queue, request_id, body, sent, ready])?;
    Ok(())
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX / 2)
}

/// Leases the next ready message to the caller.
pub(crate) fn receive(journal: &Journal, queue: &str) -> rusqlite::Result<Option<Message>> {
    let now = journal.clock().now_millis();
    journal.lease(|transaction| {
        transaction
            .prepare_cached(
                "UPDATE message SET leased = 1, receives = receives + 1 WHERE id = (
                     SELECT id FROM message WHERE queue = ? AND leased = 0 AND ready <= ? ORDER BY ready, id LIMIT 1)
                 RETURNING id, request_id, body, sent, receives",
            )?
            .query_row(params![queue, now], |row| {
                Ok(Message {
                    id: row.get(0)?,
                    request_id: row.get(1)?,
                    body: row.get(2)?,
                    sent: row.get(3)?,
                    receives: row.get(4)?,
                })
            })
            .optional()
    })
}

/// The next message, as soon as one is ready, with a permit. A receiver that waits for a message holds no permit.
pub(crate) async fn next(
    journal: &Journal,
    queue: &str,
    queued: &mut watch::Receiver<()>,
    permits: &Arc<Semaphore>,
) -> Result<(Message, OwnedSemaphorePermit), AcquireError> {
    loop {
        wait_until_ready(journal, queue, queued).await;
        let permit = Arc::clone(permits).acquire_owned().await?;
        // Nothing follows from a message that a power cut could take back.
        if let Err(error) = journal.durable().await {
            tracing::error!(queue, %error, "the disk does not take the journal");
            tokio::time::sleep(Duration::from_secs(1)).await;
            continue;
        }
        match receive(journal, queue) {
            Ok(Some(message)) => return Ok((message, permit)),
            Ok(None) => {}
            Err(error) => {
                tracing::error!(queue, %error, "the queue cannot be read");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

/// Waits until a message is ready. Another receiver may get it first.
pub(crate) async fn wait_until_ready(journal: &Journal, queue: &str, queued: &mut watch::Receiver<()>) {
    loop {
        queued.borrow_and_update();
        let ready: rusqlite::Result<Option<i64>> = journal.read(|connection| {
            connection
                .prepare_cached("SELECT min(ready) FROM message WHERE queue = ? AND leased = 0")?
                .query_row([queue], |row| row.get(0))
        });
        let clock = journal.clock();
        let again = match ready {
            Ok(Some(at)) if at <= clock.now_millis() => return,
            Ok(Some(at)) => at,
            Ok(None) => clock.now_millis() + 60_000,
            Err(error) => {
                tracing::error!(queue, %error, "the queue cannot be read");
                clock.now_millis() + 1000
            }
        };
        // The sender lives as long as the journal.
        tokio::select! {
            _ = queued.changed() => {}
            () = clock.sleep_until(again) => {}
        }
    }
}

pub(crate) fn delete(connection: &Connection, message: &Message) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM message WHERE id = ?")?.execute([message.id])?;
    Ok(())
}

/// Deletes the message of this id, if it is in this queue.
pub(crate) fn delete_by_id(connection: &Connection, queue: &str, id: i64) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM message WHERE queue = ? AND id = ?")?.execute(params![queue, id])?;
    Ok(())
}

/// The number of messages of a queue that could be received, and of those that could not: a receiver has them, or their delay has not
/// passed yet.
pub(crate) fn counts(connection: &Connection, queue: &str, now: i64) -> rusqlite::Result<(u64, u64)> {
    connection
        .prepare_cached(
            "SELECT count(*) FILTER (WHERE leased = 0 AND ready <= ?2), count(*) FILTER (WHERE leased = 1 OR ready > ?2)
             FROM message WHERE queue = ?1",
        )?
        .query_row(params![queue, now], |row| Ok((row.get(0)?, row.get(1)?)))
}

/// Deletes every message of a queue, leased ones included. Returns their number.
pub(crate) fn clear(connection: &Connection, queue: &str) -> rusqlite::Result<usize> {
    connection.prepare_cached("DELETE FROM message WHERE queue = ?")?.execute([queue])
}

/// The backlog of functions and endpoints; dead letters are not work.
pub(crate) fn backlog(connection: &Connection, now: i64) -> rusqlite::Result<Backlog> {
    connection
        .prepare_cached(
            "SELECT count(*) FILTER (WHERE leased = 1 OR ready <= ?1), count(*) FILTER (WHERE leased = 0 AND ready > ?1),
                    min(ready) FILTER (WHERE leased = 0 AND ready > ?1)
             FROM message WHERE queue NOT LIKE 'sqs/%'",
        )?
        .query_row([now], |row| Ok(Backlog { ready: row.get(0)?, waiting: row.get(1)?, next: row.get(2)? }))
}

/// The messages of a queue that has some.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct QueueState {
    pub(crate) queue: String,
    /// Messages that a receiver has.
    pub(crate) in_flight: i64,
    pub(crate) ready: i64,
    /// Messages whose delay has not passed yet.
    pub(crate) delayed: i64,
    /// When the oldest message was sent, in milliseconds since 1970.
    pub(crate) oldest: i64,
}

/// Every queue that has messages.
pub(crate) fn states(connection: &Connection, now: i64) -> rusqlite::Result<Vec<QueueState>> {
    let mut statement = connection.prepare_cached(
        "SELECT queue, count(*) FILTER (WHERE leased = 1), count(*) FILTER (WHERE leased = 0 AND ready <= ?1),
                count(*) FILTER (WHERE leased = 0 AND ready > ?1), min(sent)
         FROM message GROUP BY queue ORDER BY queue",
    )?;
    let state = |row: &Row<'_>| {
        Ok(QueueState {
            queue: row.get(0)?,
            in_flight: row.get(1)?,
            ready: row.get(2)?,
            delayed: row.get(3)?,
            oldest: row.get(4)?,
        })
    };
    statement.query_map([now], state)?.collect()
}

/// Returns a message to its queue, to be received again after `delay`.
pub(crate) fn retry(connection: &Connection, message: &Message, now: i64, delay: Duration) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE message SET leased = 0, ready = ? WHERE id = ?")?
        .execute(params![now + millis(delay), message.id])?;
    Ok(())
}

/// Returns a message that could not be tried. It does not count as received.
pub(crate) fn postpone(connection: &Connection, message: &Message, now: i64, delay: Duration) -> rusqlite::Result<()> {
    retry(connection, message, now, delay)?;
    connection.prepare_cached("UPDATE message SET receives = receives - 1 WHERE id = ?")?.execute([message.id])?;
    Ok(())
}

/// Writes the outcome of a message, and tries again until it is written. The message stays leased meanwhile.
pub(crate) async fn settle(journal: &Journal, mut write: impl FnMut(&Transaction<'_>) -> rusqlite::Result<()>) {
    let mut pause = Duration::from_millis(100);
    while !journal.is_stopping()
        && let Err(error) = journal.write(&mut write)
    {
        tracing::error!(%error, "the outcome of a message cannot be written: to be tried again");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(Duration::from_secs(30));
    }
}

/// Whether the message of this request is still in the queue, leased or not.
pub(crate) fn contains(connection: &Connection, queue: &str, request_id: &str) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM message WHERE queue = ? AND request_id = ?")?.exists([queue, request_id])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::durability::Durability;

    fn journal() -> (tempfile::TempDir, Journal) {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(&folder.path().join("journal.db"), Clock::default(), Durability::Kill).unwrap();
        (folder, journal)
    }

    fn send_one(journal: &Journal, body: &str) {
        journal.write(|transaction| send(transaction, "q", "r", body, 0, Duration::ZERO)).unwrap();
    }

    #[tokio::test]
    async fn messages_are_first_in_first_out_with_one_receiver_each() {
        let (_folder, journal) = journal();
        send_one(&journal, "a");
        send_one(&journal, "b");
        let mut queued = journal.queued();
        let permits = Arc::new(Semaphore::new(9));
        let (first, _) = next(&journal, "q", &mut queued, &permits).await.unwrap();
        let (second, _) = next(&journal, "q", &mut queued, &permits).await.unwrap();
        assert_eq!((first.body.as_str(), second.body.as_str()), ("a", "b"));
        assert!(receive(&journal, "q").unwrap().is_none());
        journal.write(|transaction| retry(transaction, &first, 0, Duration::ZERO)).unwrap();
        journal.write(|transaction| delete(transaction, &second)).unwrap();
        let (again, _) = next(&journal, "q", &mut queued, &permits).await.unwrap();
        assert_eq!((again.body.as_str(), again.receives, again.request_id.as_str()), ("a", 2, "r"));
    }

    #[test]
    fn messages_that_go_first_keep_their_order() {
        let (_folder, journal) = journal();
        let first = |body| journal.write(|transaction| send_first(transaction, "q", "r", body, 5)).unwrap();
        journal.write(|transaction| send(transaction, "q", "r", "late", 4, Duration::ZERO)).unwrap();
        first("a");
        first("b");
        let received: Vec<Message> = std::iter::from_fn(|| receive(&journal, "q").unwrap()).collect();
        let bodies: Vec<&str> = received.iter().map(|message| message.body.as_str()).collect();
        assert_eq!(bodies, ["a", "b", "late"]);
        assert_eq!(received[0].sent, 5);
    }

    #[tokio::test]
    async fn a_delayed_message_is_ready_when_the_clock_has_passed_its_delay() {
        let (_folder, journal) = journal();
        let now = journal.clock().now_millis();
        let hour = Duration::from_secs(3600);
        journal.write(|transaction| send(transaction, "q", "r", "late", now, hour)).unwrap();
        assert!(receive(&journal, "q").unwrap().is_none());
        let (mut queued, permits) = (journal.queued(), Arc::new(Semaphore::new(1)));
        let waiting = next(&journal, "q", &mut queued, &permits);
        let (received, ()) = tokio::join!(waiting, async { journal.clock().advance(hour) });
        assert_eq!(received.unwrap().0.body, "late");
    }

    #[tokio::test]
    async fn a_message_of_a_clock_that_was_set_back_is_ready_after_a_restart() {
        let (folder, journal) = journal();
        let tomorrow = journal.clock().now_millis() + 86_400_000;
        journal.write(|transaction| send(transaction, "q", "r", "a", tomorrow, Duration::ZERO)).unwrap();
        let soon = journal.clock().now_millis() + 60_000;
        journal.write(|transaction| send(transaction, "q", "r", "b", soon, Duration::ZERO)).unwrap();
        assert!(receive(&journal, "q").unwrap().is_none());
        drop(journal);
        let journal = Journal::open(&folder.path().join("journal.db"), Clock::default(), Durability::Kill).unwrap();
        assert_eq!(receive(&journal, "q").unwrap().unwrap().body, "a");
        assert!(receive(&journal, "q").unwrap().is_none());
    }

    #[tokio::test]
    async fn a_waiting_receiver_is_woken() {
        let (_folder, journal) = journal();
        let mut queued = journal.queued();
        let permits = Arc::new(Semaphore::new(1));
        let waiting = next(&journal, "q", &mut queued, &permits);
        let (received, ()) = tokio::join!(waiting, async { send_one(&journal, "late") });
        assert_eq!(received.unwrap().0.body, "late");
    }

    #[tokio::test]
    async fn receivers_wake_for_messages_and_for_nothing_else() {
        let (_folder, journal) = journal();
        let mut queued = journal.queued();
        let woken = |queued: &mut watch::Receiver<()>| {
            let woken = queued.has_changed().unwrap();
            queued.mark_unchanged();
            woken
        };
        send_one(&journal, "a");
        assert!(woken(&mut queued), "a message was added");
        let message = receive(&journal, "q").unwrap().unwrap();
        journal.write(|transaction| transaction.execute("INSERT INTO bucket VALUES ('b', 0)", ())).unwrap();
        assert!(!woken(&mut queued), "a message is leased, and a bucket is made");
        let failed: rusqlite::Result<()> = journal.write(|transaction| {
            send(transaction, "q", "r", "b", 0, Duration::ZERO)?;
            Err(rusqlite::Error::InvalidQuery)
        });
        failed.unwrap_err();
        journal.write(|transaction| transaction.execute("INSERT INTO bucket VALUES ('c', 0)", ())).unwrap();
        assert!(!woken(&mut queued), "the message was rolled back");
        journal.write(|transaction| retry(transaction, &message, 0, Duration::ZERO)).unwrap();
        assert!(woken(&mut queued), "the message is ready again");
        journal.write(|transaction| delete(transaction, &message)).unwrap();
        assert!(!woken(&mut queued), "a message was deleted");
    }

    #[test]
    fn leased_messages_are_received_again_after_a_kill() {
        let (folder, journal) = journal();
        send_one(&journal, "a");
        assert!(receive(&journal, "q").unwrap().is_some());
        drop(journal);
        let journal = Journal::open(&folder.path().join("journal.db"), Clock::default(), Durability::Kill).unwrap();
        let again = receive(&journal, "q").unwrap().unwrap();
        assert_eq!(again.receives, 1, "a kill is not a failed attempt");
        journal.write(|transaction| postpone(transaction, &again, 0, Duration::ZERO)).unwrap();
        assert_eq!(receive(&journal, "q").unwrap().unwrap().receives, 1);
    }

    #[test]
    fn a_failed_transaction_writes_nothing() {
        let (_folder, journal) = journal();
        let failed: rusqlite::Result<()> = journal.write(|transaction| {
            send(transaction, "q", "r", "a", 0, Duration::ZERO)?;
            Err(rusqlite::Error::InvalidQuery)
        });
        assert!(failed.is_err());
        assert!(!journal.read(|connection| contains(connection, "q", "r")).unwrap());
    }
}
