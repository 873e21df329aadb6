//! Lists in pages, filtered and sorted. A page begins after the last item of the previous page, even if items were created or
//! deleted since.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::request::{ApiError, Members};
use crate::sagemaker::records::Record;

/// The default number of items on a page.
const PAGE: u64 = 10;
/// Every endpoint status of AWS, including those that no endpoint has here.
pub(super) const ENDPOINT_STATUSES: [&str; 9] = [
    "OutOfService",
    "Creating",
    "Updating",
    "SystemUpdating",
    "RollingBack",
    "InService",
    "Deleting",
    "Failed",
    "UpdateRollbackFailed",
];

/// What a record is sorted and filtered by.
#[derive(Clone, Debug)]
pub(super) struct Item {
    pub(super) name: String,
    /// Milliseconds since 1970; so is the time of the last modification.
    pub(super) created: i64,
    pub(super) modified: i64,
    /// The status of an endpoint or a job; empty for other kinds.
    pub(super) status: &'static str,
}

impl Item {
    pub(super) fn new<T>(record: &Record<T>, status: &'static str) -> Self {
        Self { name: record.name.clone(), created: record.created, modified: record.modified, status }
    }
}

/// The parameters of a list.
#[derive(Debug)]
pub(super) struct Query {
    sort_by: &'static str,
    ascending: bool,
    most: usize,
    name_contains: String,
    status: Option<&'static str>,
    /// Seconds since 1970: created after, created before, modified after, modified before.
    between: [Option<f64>; 4],
    /// The last item of the previous page.
    after: Option<Position>,
}

/// The position of an item in the order: status or nothing, time or 0, name.
type Position = (String, i64, String);

impl Query {
    /// Reads a request. Lists of a kind with `statuses` have more parameters.
    pub(super) fn read(members: &mut Members, statuses: &[&'static str]) -> Result<Self, ApiError> {
        let has_status = !statuses.is_empty();
        let sorts: &[_] = if has_status { &["Name", "CreationTime", "Status"] } else { &["Name", "CreationTime"] };
        let sort_by = members.one_of("SortBy", sorts)?.unwrap_or("CreationTime");
        let ascending = members.one_of("SortOrder", &["Ascending", "Descending"])? == Some("Ascending");
        let mut between = [members.time("CreationTimeAfter")?, members.time("CreationTimeBefore")?, None, None];
        let mut status = None;
        if has_status {
            between[2] = members.time("LastModifiedTimeAfter")?;
            between[3] = members.time("LastModifiedTimeBefore")?;
            status = members.one_of("StatusEquals", statuses)?;
        }
        let after = match members.text("NextToken", 8192)? {
            None => None,
            Some(token) => match read_token(&token) {
                Some((sorted_by, up, position)) if sorted_by == sort_by && up == ascending => Some(position),
                _ => return Err(members.invalid("NextToken", &Value::String(token), "it must be of this very list")),
            },
        };
        Ok(Self {
            sort_by,
            ascending,
            most: usize::try_from(members.integer("MaxResults", 1..=100)?.unwrap_or(PAGE)).unwrap_or(usize::MAX),
            name_contains: members.text("NameContains", 63)?.unwrap_or_default(),
            status,
            between,
            after,
        })
    }

    /// The page, and the token of the next page, if there is one.
    pub(super) fn page<T>(&self, items: Vec<(Item, T)>) -> (Vec<T>, Option<String>) {
        let mut found: Vec<(Position, T)> = items
            .into_iter()
            .filter(|(item, _)| self.matches(item))
            .map(|(item, shown)| (self.position(item), shown))
            .filter(|(position, _)| match &self.after {
                None => true,
                Some(after) if self.ascending => position > after,
                Some(after) => position < after,
            })
            .collect();
        found.sort_by(|(a, _), (b, _)| if self.ascending { a.cmp(b) } else { b.cmp(a) });
        let more = found.len() > self.most;
        found.truncate(self.most);
        let token = found.last().filter(|_| more).map(|(position, _)| token(self.sort_by, self.ascending, position));
        (found.into_iter().map(|(_, shown)| shown).collect(), token)
    }

    fn matches(&self, item: &Item) -> bool {
        let [created_after, created_before, modified_after, modified_before] = self.between;
        let within = |time: i64, after: Option<f64>, before: Option<f64>| {
            after.is_none_or(|after| seconds(time) > after) && before.is_none_or(|before| seconds(time) < before)
        };
        item.name.contains(&self.name_contains)
            && self.status.is_none_or(|status| item.status == status)
            && within(item.created, created_after, created_before)
            && within(item.modified, modified_after, modified_before)
    }

    fn position(&self, item: Item) -> Position {
        match self.sort_by {
            "Status" => (item.status.to_owned(), 0, item.name),
            "CreationTime" => (String::new(), item.created, item.name),
            _ => (String::new(), 0, item.name),
        }
    }
}

/// A time in AWS's JSON: seconds since 1970.
#[allow(clippy::cast_precision_loss, reason = "milliseconds since 1970 have 41 bits")]
pub(super) fn seconds(millis: i64) -> f64 {
    millis as f64 / 1000.0
}

fn token(sort_by: &str, ascending: bool, position: &Position) -> String {
    URL_SAFE_NO_PAD.encode(serde_json::json!([sort_by, ascending, position]).to_string())
}

fn read_token(token: &str) -> Option<(String, bool, Position)> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(token).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn items() -> Vec<(Item, String)> {
        let item = |name: &str, created, status| {
            (Item { name: name.to_owned(), created, modified: created + 500, status }, name.to_owned())
        };
        vec![
            item("b", 1000, "Failed"),
            item("a", 3000, "InService"),
            item("ab", 2000, "InService"),
            item("c", 2000, "Creating"),
        ]
    }

    fn query(request: &Value) -> Result<Query, ApiError> {
        let mut members = Members::parse(request.to_string().as_bytes()).unwrap();
        let query = Query::read(&mut members, &ENDPOINT_STATUSES)?;
        members.done()?;
        Ok(query)
    }

    fn listed(request: Value) -> Vec<String> {
        query(&request).unwrap().page(items()).0
    }

    #[test]
    fn orders_and_filters() {
        assert_eq!(listed(json!({})), ["a", "c", "ab", "b"], "the newest first");
        assert_eq!(listed(json!({"SortBy": "Name", "SortOrder": "Ascending"})), ["a", "ab", "b", "c"]);
        assert_eq!(listed(json!({"SortBy": "Status", "SortOrder": "Ascending"})), ["c", "b", "a", "ab"]);
        assert_eq!(listed(json!({"NameContains": "b"})), ["ab", "b"]);
        assert_eq!(listed(json!({"StatusEquals": "InService"})), ["a", "ab"]);
        assert_eq!(listed(json!({"CreationTimeAfter": 1, "CreationTimeBefore": 2.5})), ["c", "ab"]);
        assert_eq!(listed(json!({"LastModifiedTimeAfter": 3.4})), ["a"]);
        assert_eq!(listed(json!({"LastModifiedTimeBefore": 1.6})), ["b"]);
    }

    #[test]
    fn a_page_begins_where_the_last_one_ended() {
        for (order, expected) in [("Ascending", ["b", "ab", "c", "a"]), ("Descending", ["a", "c", "ab", "b"])] {
            let mut seen = Vec::new();
            let mut request = json!({"MaxResults": 1, "SortOrder": order});
            loop {
                let mut there = items();
                // The items of earlier pages are deleted meanwhile.
                there.retain(|(item, _)| !seen.contains(&item.name));
                let (page, token) = query(&request).unwrap().page(there);
                seen.extend(page);
                match token {
                    Some(token) => request["NextToken"] = json!(token),
                    None => break,
                }
            }
            assert_eq!(seen, expected);
        }
        let (page, token) = query(&json!({"MaxResults": 4})).unwrap().page(items());
        assert_eq!((page.len(), token), (4, None));
    }

    #[test]
    fn bad_parameters_are_refused() {
        let token = query(&json!({"MaxResults": 1})).unwrap().page(items()).1.unwrap();
        assert!(query(&json!({"NextToken": token.clone()})).is_ok());
        for bad in [
            json!({"NextToken": token, "SortBy": "Name"}),
            json!({"NextToken": "rubbish"}),
            json!({"MaxResults": 0}),
            json!({"MaxResults": 101}),
            json!({"SortBy": "Size"}),
            json!({"StatusEquals": "Fine"}),
        ] {
            assert!(query(&bad).is_err(), "{bad}");
        }
    }
}
