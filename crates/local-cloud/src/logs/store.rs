//! Streams and events in the journal.

use std::ops::Range;

use rusqlite::{Connection, OptionalExtension, Row, params};

/// The longest event in bytes: AWS's limit, less what AWS counts for each event.
const MAX_EVENT: usize = 256 * 1024 - EVENT_OVERHEAD;
/// What AWS counts for each event beside its bytes.
const EVENT_OVERHEAD: usize = 26;
/// The most bytes of a page.
const MAX_PAGE: usize = 1024 * 1024;
/// The most bytes of a stream. A longer one loses its oldest events.
pub(super) const MAX_STREAM: u64 = 64 << 20;

/// The group of some streams.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) name: String,
    /// Milliseconds since 1970.
    pub(super) created: i64,
    pub(super) bytes: u64,
}

#[derive(Debug)]
pub(super) struct Stream {
    pub(super) id: i64,
    pub(super) name: String,
    /// Milliseconds since 1970; so are the times of the first and the last event.
    pub(super) created: i64,
    pub(super) first: i64,
    pub(super) last: i64,
}

/// An event. Its number grows with its time within a stream.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) id: i64,
    /// Milliseconds since 1970.
    pub(super) time: i64,
    pub(super) message: String,
}

/// Which events of a stream a page has: the first ones after an event, or the last ones before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Direction {
    After(i64),
    Before(i64),
}

/// Appends lines to a stream. Its oldest events are deleted if it becomes longer than `most` bytes.
pub(super) fn append<S: AsRef<str>>(
    connection: &Connection,
    group: &str,
    stream: &str,
    lines: impl Iterator<Item = S>,
    now: i64,
    most: u64,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT OR IGNORE INTO log_stream (log_group, name, created, first, last, bytes) VALUES (?, ?, ?, ?, ?, 0)",
        )?
        .execute(params![group, stream, now, now, now])?;
    let (id, last): (i64, i64) = connection
        .prepare_cached("SELECT id, last FROM log_stream WHERE log_group = ? AND name = ?")?
        .query_row([group, stream], |row| Ok((row.get(0)?, row.get(1)?)))?;
    // The machine's clock may have been set back.
    let time = now.max(last);
    let mut insert = connection.prepare_cached("INSERT INTO log_event (stream, time, message) VALUES (?, ?, ?)")?;
    let mut added = 0;
    for line in lines {
        for piece in pieces(line.as_ref(), MAX_EVENT) {
            insert.execute(params![id, time, piece])?;
            added += piece.len() as u64;
        }
    }
    let bytes: u64 = connection
        .prepare_cached("UPDATE log_stream SET last = ?, bytes = bytes + ? WHERE id = ? RETURNING bytes")?
        .query_row(params![time, added, id], |row| row.get(0))?;
    if bytes > most { shorten(connection, id, bytes - most / 4 * 3) } else { Ok(()) }
}

/// A line in pieces of at most `most` bytes.
fn pieces(mut line: &str, most: usize) -> Vec<&str> {
    let mut pieces = Vec::new();
    while line.len() > most {
        let (piece, rest) = line.split_at(line.floor_char_boundary(most));
        pieces.push(piece);
        line = rest;
    }
    pieces.push(line);
    pieces
}

/// Deletes the oldest events of a stream, of `surplus` bytes at least.
fn shorten(connection: &Connection, stream: i64, surplus: u64) -> rusqlite::Result<()> {
    let mut statement = connection
        .prepare_cached("SELECT id, octet_length(message), time FROM log_event WHERE stream = ? ORDER BY id")?;
    let mut rows = statement.query([stream])?;
    let (mut gone, mut through) = (0_u64, 0_i64);
    while gone < surplus
        && let Some(row) = rows.next()?
    {
        through = row.get(0)?;
        gone += row.get::<_, u64>(1)?;
    }
    drop(rows);
    connection.execute("DELETE FROM log_event WHERE stream = ? AND id <= ?", [stream, through])?;
    let first = connection
        .query_row("SELECT time FROM log_event WHERE stream = ? ORDER BY id LIMIT 1", [stream], |row| row.get(0))
        .optional()?;
    let first: Option<i64> = first;
    connection.execute(
        "UPDATE log_stream SET bytes = bytes - ?, first = coalesce(?, first) WHERE id = ?",
        params![gone, first, stream],
    )?;
    Ok(())
}

/// All groups, by name.
pub(super) fn groups(connection: &Connection) -> rusqlite::Result<Vec<Group>> {
    let mut statement = connection.prepare_cached(
        "SELECT log_group, min(created), sum(bytes) FROM log_stream GROUP BY log_group ORDER BY log_group",
    )?;
    let group = |row: &Row<'_>| Ok(Group { name: row.get(0)?, created: row.get(1)?, bytes: row.get(2)? });
    statement.query_map([], group)?.collect()
}

/// The streams of a group, by name.
pub(super) fn streams(connection: &Connection, group: &str) -> rusqlite::Result<Vec<Stream>> {
    let mut statement = connection
        .prepare_cached("SELECT id, name, created, first, last FROM log_stream WHERE log_group = ? ORDER BY name")?;
    let stream = |row: &Row<'_>| {
        Ok(Stream { id: row.get(0)?, name: row.get(1)?, created: row.get(2)?, first: row.get(3)?, last: row.get(4)? })
    };
    statement.query_map([group], stream)?.collect()
}

/// A page of events of a stream, the oldest first.
pub(super) fn events(
    connection: &Connection,
    stream: i64,
    direction: Direction,
    time: &Range<i64>,
    most: usize,
) -> rusqlite::Result<Vec<Found>> {
    let (condition, order, id) = match direction {
        Direction::After(id) => ("id > ?2", "id", id),
        Direction::Before(id) => ("id < ?2", "id DESC", id),
    };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT id, time, message FROM log_event
         WHERE stream = ?1 AND {condition} AND time >= ?3 AND time < ?4 ORDER BY {order}"
    ))?;
    let mut rows = statement.query(params![stream, id, time.start, time.end])?;
    let (mut found, mut room) = (Vec::new(), Room { events: most, bytes: MAX_PAGE });
    while let Some(row) = rows.next()? {
        let event = Found { id: row.get(0)?, time: row.get(1)?, message: row.get(2)? };
        if !room.takes(&event) {
            break;
        }
        found.push(event);
    }
    if matches!(direction, Direction::Before(_)) {
        found.reverse();
    }
    Ok(found)
}

/// The number of the last event of a stream; 0 if it has none.
pub(super) fn last_event(connection: &Connection, stream: i64) -> rusqlite::Result<i64> {
    connection
        .prepare_cached("SELECT coalesce(max(id), 0) FROM log_event WHERE stream = ?")?
        .query_row([stream], |row| row.get(0))
}

/// A page of the events of some streams that match, by time, from the one after `after` on, and whether there is another page. Each
/// event comes with its stream's name.
pub(super) fn matching(
    connection: &Connection,
    streams: &[Stream],
    after: Option<(i64, i64)>,
    time: &Range<i64>,
    most: usize,
    matches: impl Fn(&str) -> bool,
) -> rusqlite::Result<(Vec<(String, Found)>, bool)> {
    let mut found = Vec::new();
    let (after_time, after_id) = after.unwrap_or((i64::MIN, 0));
    for stream in streams {
        let mut statement = connection.prepare_cached(
            "SELECT id, time, message FROM log_event
             WHERE stream = ?1 AND time >= ?2 AND time < ?3 AND (time, id) > (?4, ?5) ORDER BY id",
        )?;
        let mut rows = statement.query(params![stream.id, time.start, time.end, after_time, after_id])?;
        let mut room = Room { events: most, bytes: MAX_PAGE };
        while let Some(row) = rows.next()? {
            let event = Found { id: row.get(0)?, time: row.get(1)?, message: row.get(2)? };
            if matches(&event.message) {
                let fits = room.takes(&event);
                found.push((stream.name.clone(), event));
                // The event that does not fit shows that there is another page.
                if !fits {
                    break;
                }
            }
        }
    }
    found.sort_by_key(|(_, event)| (event.time, event.id));
    let all = found.len();
    let mut room = Room { events: most, bytes: MAX_PAGE };
    let page: Vec<_> = found.into_iter().take_while(|(_, event)| room.takes(event)).collect();
    let more = page.len() < all;
    Ok((page, more))
}

/// What a page can still hold.
struct Room {
    events: usize,
    bytes: usize,
}

impl Room {
    /// Whether an event fits. The first one always does.
    fn takes(&mut self, event: &Found) -> bool {
        let size = event.message.len() + EVENT_OVERHEAD;
        if self.events == 0 || size > self.bytes {
            return false;
        }
        self.events -= 1;
        self.bytes -= size;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::Clock;
    use crate::durability::Durability;
    use crate::journal::Journal;

    fn journal() -> (tempfile::TempDir, Journal) {
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(&folder.path().join("journal.db"), Clock::default(), Durability::Kill).unwrap();
        (folder, journal)
    }

    fn write(journal: &Journal, stream: &str, lines: &[&str], now: i64, most: u64) {
        journal.write(|transaction| append(transaction, "g", stream, lines.iter(), now, most)).unwrap();
    }

    fn all(journal: &Journal, stream: &str) -> Vec<Found> {
        let read = |connection: &Connection| {
            let stream = streams(connection, "g")?.into_iter().find(|one| one.name == stream).unwrap();
            events(connection, stream.id, Direction::After(0), &(i64::MIN..i64::MAX), 10_000)
        };
        journal.read(read).unwrap()
    }

    #[test]
    fn the_order_of_events_stays_though_the_clock_is_set_back() {
        let (_folder, journal) = journal();
        write(&journal, "s", &["a", "b"], 5000, MAX_STREAM);
        write(&journal, "s", &["c"], 4000, MAX_STREAM);
        let found: Vec<_> = all(&journal, "s").into_iter().map(|event| (event.time, event.message)).collect();
        assert_eq!(found, [(5000, "a".into()), (5000, "b".into()), (5000, "c".into())]);
        let stream = journal.read(|connection| streams(connection, "g")).unwrap().remove(0);
        assert_eq!((stream.created, stream.first, stream.last), (5000, 5000, 5000));
    }

    #[test]
    fn a_long_line_becomes_several_events_and_a_long_stream_loses_its_oldest() {
        assert_eq!(pieces("aöb", 2), ["a", "ö", "b"]);
        assert_eq!(pieces("", 2), [""]);
        let (_folder, journal) = journal();
        for number in 0..10 {
            write(&journal, "s", &["0123456789"], 1000 + number, 45);
        }
        let kept: Vec<_> = all(&journal, "s").into_iter().map(|event| event.time).collect();
        assert_eq!(kept, [1006, 1007, 1008, 1009]);
        let (stream, group) = journal
            .read(|connection| Ok::<_, rusqlite::Error>((streams(connection, "g")?, groups(connection)?)))
            .unwrap();
        assert_eq!((stream[0].first, group[0].bytes), (1006, 40));
    }

    #[test]
    fn a_page_is_limited_by_events_and_bytes() {
        let (_folder, journal) = journal();
        // Four fill a page.
        let long = "x".repeat(MAX_EVENT);
        for (stream, now) in [("a", 1), ("b", 2), ("a", 3), ("b", 4), ("a", 5)] {
            write(&journal, stream, &[&long], now, MAX_STREAM);
        }
        let read = |after, most| {
            let read = |connection: &Connection| {
                let found = streams(connection, "g")?;
                matching(connection, &found, after, &(i64::MIN..i64::MAX), most, |_| true)
            };
            let (page, more) = journal.read(read).unwrap();
            let last = page.last().map(|(_, event)| (event.time, event.id));
            (page.into_iter().map(|(_, event)| event.time).collect::<Vec<_>>(), last, more)
        };
        let (times, last, more) = read(None, 10);
        assert_eq!((times, more), (vec![1, 2, 3, 4], true));
        let (times, _, more) = read(last, 10);
        assert_eq!((times, more), (vec![5], false));
        let (times, last, more) = read(None, 1);
        assert_eq!((times, more), (vec![1], true));
        assert_eq!(read(last, 1).0, [2]);
    }
}
