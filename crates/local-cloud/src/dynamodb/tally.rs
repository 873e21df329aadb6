//! Tallies of tables: how many items have each value of an attribute, how often an item came to have it, and since when the oldest item
//! has waited.
//!
//! Triggers keep the tally in the transaction of each write, and an index the oldest item, so that a reading costs the same with ten
//! items and with a million. *CREATE TRIGGER* and *Indexes on expressions*, sqlite.org.

use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Transaction, params};

use crate::error::CloudError;
use crate::stack::Measures;

/// How long a reading waits for a writer of another connection.
const PATIENCE: Duration = Duration::from_secs(5);

/// The number of items with a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) value: String,
    pub(crate) items: i64,
    /// How often an item came to have the value, deleted ones included.
    pub(crate) changes: u64,
}

/// What a table's measures say now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reading {
    /// In the order of the measures' values.
    pub(crate) counts: Vec<Count>,
    /// The moment of the oldest item that waits, as its attribute has it.
    pub(crate) oldest: Option<String>,
}

/// A connection of its own to the database of the tables.
pub(crate) struct Tallies {
    connection: Mutex<Connection>,
    measures: Vec<Measures>,
}

impl Tallies {
    /// Opens the database, and begins the tallies that it lacks. The tables have to exist.
    pub(crate) fn open(file: &Path, measures: &[Measures]) -> Result<Self, CloudError> {
        let open = || -> rusqlite::Result<Self> {
            let connection = Connection::open(file)?;
            connection.busy_timeout(PATIENCE)?;
            let tallies = Self { connection: Mutex::new(connection), measures: measures.to_vec() };
            tallies.read()?;
            Ok(tallies)
        };
        open().map_err(|source| CloudError::Tallies { path: file.to_owned(), source })
    }

    /// Reads all tallies, in the order of the measures; `None` for a table that does not exist.
    pub(crate) fn read(&self) -> rusqlite::Result<Vec<(&Measures, Option<Reading>)>> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        self.measures.iter().map(|measures| Ok((measures, reading(&mut connection, measures)?))).collect()
    }
}

fn reading(connection: &mut Connection, measures: &Measures) -> rusqlite::Result<Option<Reading>> {
    if !has_table(connection, &measures.table)? {
        return Ok(None);
    }
    let parts = parts(measures);
    if !are_there(connection, &parts)? {
        let transaction = connection.transaction()?;
        begin(&transaction, measures, &parts)?;
        transaction.commit()?;
    }
    let count = |value: &String| {
        let sql = format!("SELECT items, changes FROM {} WHERE value = ?", tally(measures));
        let found =
            connection.prepare_cached(&sql)?.query_row([value], |row| Ok((row.get(0)?, row.get(1)?))).optional()?;
        let (items, changes) = found.unwrap_or_default();
        Ok(Count { value: value.clone(), items, changes })
    };
    let counts = measures.values.iter().map(count).collect::<rusqlite::Result<_>>()?;
    let oldest = connection
        .prepare_cached(&oldest(measures))?
        .query_row([], |row| row.get::<_, Option<String>>(0))
        .optional()?
        .flatten();
    Ok(Some(Reading { counts, oldest }))
}

/// A name as SQL has it.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as SQL has it.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// The table of a tally. No table of DynamoDB has a colon in its name.
fn tally(measures: &Measures) -> String {
    quoted(&format!("{}::tally", measures.table))
}

/// The string in an attribute of a row's item.
fn attribute(row: &str, name: &str) -> String {
    format!("json_extract({row}item_json, {})", literal(&format!("$.\"{name}\".S")))
}

fn is_waiting(measures: &Measures) -> String {
    let values: Vec<String> = measures.waiting.iter().map(|value| literal(value)).collect();
    format!("{} IN ({})", attribute("", &measures.attribute), values.join(", "))
}

fn oldest(measures: &Measures) -> String {
    let (moment, table) = (attribute("", &measures.moment), quoted(&measures.table));
    format!("SELECT {moment} FROM {table} WHERE {} ORDER BY {moment} LIMIT 1", is_waiting(measures))
}

/// What keeps a tally: kind, name and SQL.
fn parts(measures: &Measures) -> [(&'static str, String, String); 4] {
    let (table, tally) = (quoted(&measures.table), tally(measures));
    let (new, old) = (attribute("new.", &measures.attribute), attribute("old.", &measures.attribute));
    let here = attribute("", &measures.attribute);
    let name = |part: &str| format!("{}::tally::{part}", measures.table);
    let trigger = |part: &str, when: &str, then: &str| {
        let name = name(part);
        let sql = format!("CREATE TRIGGER {} {when} ON {table} BEGIN {then} END", quoted(&name));
        ("trigger", name, sql)
    };
    let more = format!("UPDATE {tally} SET items = items + 1, changes = changes + 1 WHERE value = {new};");
    // A write that keeps the value is no change.
    let less = |was: &str| {
        format!("UPDATE {tally} SET items = items - 1, changes = changes - (value IS {new}) WHERE value = {was};")
    };
    let replaced = format!("(SELECT {here} FROM {table} WHERE pk = new.pk AND sk = new.sk)");
    let index = name("oldest");
    let indexed = format!(
        "CREATE INDEX {} ON {table} ({}) WHERE {}",
        quoted(&index),
        attribute("", &measures.moment),
        is_waiting(measures)
    );
    [
        // An item is written by INSERT OR REPLACE, which fires no trigger for the row that it replaces.
        trigger("put", "BEFORE INSERT", &format!("{more} {}", less(&replaced))),
        trigger("update", "AFTER UPDATE OF item_json", &format!("{more} {}", less(&old))),
        trigger("delete", "AFTER DELETE", &format!("UPDATE {tally} SET items = items - 1 WHERE value = {old};")),
        ("index", index, indexed),
    ]
}

fn has_table(connection: &Connection, name: &str) -> rusqlite::Result<bool> {
    connection.prepare_cached("SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?")?.exists([name])
}

/// Whether the database has these parts, as they are now.
fn are_there(connection: &Connection, parts: &[(&str, String, String)]) -> rusqlite::Result<bool> {
    let mut found = connection.prepare_cached("SELECT 1 FROM sqlite_master WHERE type = ? AND name = ? AND sql = ?")?;
    for (kind, name, sql) in parts {
        if !found.exists(params![kind, name, sql])? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Makes the parts of a tally anew, and counts the items that are there.
fn begin(transaction: &Transaction<'_>, measures: &Measures, parts: &[(&str, String, String)]) -> rusqlite::Result<()> {
    let (table, tally) = (quoted(&measures.table), tally(measures));
    transaction.execute_batch(&format!(
        "CREATE TABLE IF NOT EXISTS {tally} (
             value TEXT PRIMARY KEY, items INTEGER NOT NULL, changes INTEGER NOT NULL
         ) STRICT, WITHOUT ROWID"
    ))?;
    for (kind, name, sql) in parts {
        transaction.execute_batch(&format!("DROP {kind} IF EXISTS {}; {sql}", quoted(name)))?;
    }
    let add = format!("INSERT INTO {tally} VALUES (?, 0, 0) ON CONFLICT DO NOTHING");
    for value in &measures.values {
        transaction.execute(&add, [value])?;
    }
    let value = attribute("", &measures.attribute);
    let count = format!("SELECT {value}, count(*) FROM {table} GROUP BY 1");
    let counted: Vec<(Option<String>, i64)> = {
        let mut counted = transaction.prepare(&count)?;
        let rows = counted.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect::<rusqlite::Result<_>>()?
    };
    transaction.execute(&format!("UPDATE {tally} SET items = 0"), [])?;
    for (value, items) in counted {
        transaction.execute(&format!("UPDATE {tally} SET items = ? WHERE value = ?"), params![items, value])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use dynoxide::Database;
    use serde_json::{Value, json};

    use super::*;

    fn measures() -> Measures {
        let text = |text: &str| text.to_owned();
        Measures {
            table: text("jobs"),
            attribute: text("status"),
            values: vec![text("PENDING"), text("RUNNING"), text("DONE")],
            waiting: vec![text("PENDING"), text("RUNNING")],
            moment: text("createdAt"),
            items: (text("jobs"), text("Jobs")),
            changes: (text("changes"), text("Changes")),
            oldest: (text("oldest"), text("Oldest")),
        }
    }

    struct World {
        folder: tempfile::TempDir,
        database: Database,
    }

    impl World {
        fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let database = Database::new(folder.path().join("tables.db").to_str().unwrap()).unwrap();
            let world = Self { folder, database };
            world.create();
            world
        }

        fn create(&self) {
            let table = json!({"TableName": "jobs", "BillingMode": "PAY_PER_REQUEST",
                "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
                "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}]});
            self.database.create_table(serde_json::from_value(table).unwrap()).unwrap();
        }

        fn put(&self, id: &str, status: &Value, created: &str) {
            let item = json!({"id": {"S": id}, "status": status, "createdAt": {"S": created}});
            let put = json!({"TableName": "jobs", "Item": item});
            self.database.put_item(serde_json::from_value(put).unwrap()).unwrap();
        }

        fn tallies(&self) -> Tallies {
            Tallies::open(&self.folder.path().join("tables.db"), &[measures()]).unwrap()
        }
    }

    fn read(tallies: &Tallies) -> ([(i64, u64); 3], Option<String>) {
        let all = tallies.read().unwrap();
        let reading = all[0].1.as_ref().unwrap();
        let counts: Vec<(i64, u64)> = reading.counts.iter().map(|count| (count.items, count.changes)).collect();
        (counts.try_into().unwrap(), reading.oldest.clone())
    }

    #[test]
    fn every_kind_of_write_is_counted() {
        let world = World::new();
        let status = |value: &str| json!({"S": value});
        world.put("early", &status("DONE"), "2026-01-01T00:00:00Z");
        let tallies = world.tallies();
        assert_eq!(read(&tallies), ([(0, 0), (0, 0), (1, 0)], None), "what was there is counted, and no change");
        world.put("a", &status("PENDING"), "2026-01-02T00:00:00Z");
        world.put("b", &status("PENDING"), "2026-01-03T00:00:00Z");
        world.put("b", &status("PENDING"), "2026-01-03T00:00:00Z");
        assert_eq!(read(&tallies), ([(2, 2), (0, 0), (1, 0)], Some("2026-01-02T00:00:00Z".into())));
        world.put("a", &status("RUNNING"), "2026-01-02T00:00:00Z");
        world.put("a", &status("DONE"), "2026-01-02T00:00:00Z");
        world.put("other", &json!({"N": "7"}), "2026-01-01T00:00:00Z");
        assert_eq!(read(&tallies), ([(1, 2), (0, 1), (2, 1)], Some("2026-01-03T00:00:00Z".into())));
        let update = json!({"TableName": "jobs", "Key": {"id": {"S": "b"}}, "UpdateExpression": "SET #s = :s",
            "ExpressionAttributeNames": {"#s": "status"}, "ExpressionAttributeValues": {":s": {"S": "RUNNING"}}});
        world.database.update_item(serde_json::from_value(update).unwrap()).unwrap();
        assert_eq!(read(&tallies).0, [(0, 2), (1, 2), (2, 1)]);
        let batch = json!({"RequestItems": {"jobs": [{"DeleteRequest": {"Key": {"id": {"S": "a"}}}},
            {"PutRequest": {"Item": {"id": {"S": "c"}, "status": {"S": "PENDING"}}}}]}});
        world.database.batch_write_item(serde_json::from_value(batch).unwrap()).unwrap();
        assert_eq!(read(&tallies).0, [(1, 3), (1, 2), (1, 1)]);
    }

    #[test]
    fn a_tally_outlives_its_process_and_is_made_again_with_its_table() {
        let world = World::new();
        let status = json!({"S": "PENDING"});
        drop(world.tallies());
        world.put("a", &status, "x");
        assert_eq!(read(&world.tallies()).0[0], (1, 1), "written while nobody read");
        let tallies = world.tallies();
        let delete = serde_json::from_value(json!({"TableName": "jobs"})).unwrap();
        world.database.delete_table(delete).unwrap();
        assert_eq!(tallies.read().unwrap()[0].1, None);
        world.create();
        world.put("b", &status, "x");
        world.put("c", &status, "x");
        assert_eq!(read(&tallies).0[0].0, 2);
    }

    #[test]
    fn the_oldest_item_is_found_by_the_index() {
        let world = World::new();
        let tallies = world.tallies();
        let connection = tallies.connection.lock().unwrap();
        let plan: String = connection
            .query_row(&format!("EXPLAIN QUERY PLAN {}", oldest(&measures())), [], |row| row.get("detail"))
            .unwrap();
        assert!(plan.contains("USING INDEX jobs::tally::oldest"), "{plan}");
    }
}
