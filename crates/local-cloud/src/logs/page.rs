//! Pages, and the tokens that name the next one.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::error::LogsError;
use super::store::Direction;

/// The most groups or streams of a page, which is the default.
const MOST_NAMES: u64 = 50;

/// Where an item stands in a list: by time, then by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) struct Position {
    /// Milliseconds since 1970; 0 in a list that is sorted by name.
    pub(super) time: i64,
    pub(super) name: String,
}

impl Position {
    pub(super) fn of_name(name: &str) -> Self {
        Self { time: 0, name: name.to_owned() }
    }
}

/// The parameters of a list of groups or streams.
#[derive(Debug)]
pub(super) struct Names {
    /// A token of one kind of list is refused by another.
    pub(super) kind: &'static str,
    pub(super) descending: bool,
    pub(super) limit: Option<u64>,
    pub(super) token: Option<String>,
}

impl Names {
    /// The page under the name of its list. `nextToken` is there only if there are more items.
    pub(super) fn answer(self, list: &str, mut items: Vec<(Position, Value)>) -> Result<Value, LogsError> {
        let most = match self.limit.unwrap_or(MOST_NAMES) {
            limit @ 1..=MOST_NAMES => usize::try_from(limit).unwrap_or(usize::MAX),
            limit => {
                return Err(LogsError::InvalidParameter(format!("limit is {limit}: 1 to {MOST_NAMES} would work")));
            }
        };
        items.sort_by(|(a, _), (b, _)| if self.descending { b.cmp(a) } else { a.cmp(b) });
        if let Some(token) = &self.token {
            let (kind, descending, after): (String, bool, Position) = decode(token)?;
            if kind != self.kind || descending != self.descending {
                return Err(foreign_token());
            }
            items.retain(|(position, _)| if descending { *position < after } else { *position > after });
        }
        let more = items.len() > most;
        items.truncate(most);
        let token = items.last().filter(|_| more).map(|(last, _)| encode(&json!([self.kind, self.descending, last])));
        let shown: Vec<Value> = items.into_iter().map(|(_, shown)| shown).collect();
        let mut answer = json!({list: shown});
        if let Some(token) = token {
            answer["nextToken"] = json!(token);
        }
        Ok(answer)
    }
}

/// A token of `GetLogEvents`, in AWS's form: `f/` and `b/` with the number of an event.
pub(super) fn event_token(direction: Direction) -> String {
    match direction {
        Direction::After(id) => format!("f/{id:020}"),
        Direction::Before(id) => format!("b/{id:020}"),
    }
}

pub(super) fn read_event_token(token: &str) -> Result<Direction, LogsError> {
    let number = |digits: &str| digits.parse::<i64>().ok();
    let forward = token.strip_prefix("f/").and_then(number).map(Direction::After);
    forward.or_else(|| token.strip_prefix("b/").and_then(number).map(Direction::Before)).ok_or_else(foreign_token)
}

/// A token of `FilterLogEvents`: time and number of the last event of a page.
pub(super) fn filter_token(last: (i64, i64)) -> String {
    encode(&json!(last))
}

pub(super) fn read_filter_token(token: &str) -> Result<(i64, i64), LogsError> {
    decode(token)
}

fn encode(value: &Value) -> String {
    URL_SAFE_NO_PAD.encode(value.to_string())
}

fn decode<T: serde::de::DeserializeOwned>(token: &str) -> Result<T, LogsError> {
    let bytes = URL_SAFE_NO_PAD.decode(token).ok();
    bytes.and_then(|bytes| serde_json::from_slice(&bytes).ok()).ok_or_else(foreign_token)
}

fn foreign_token() -> LogsError {
    LogsError::InvalidParameter("The specified nextToken is invalid.".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(limit: u64, token: Option<String>, descending: bool) -> (Vec<String>, Option<String>) {
        let items = ["b", "a", "c"].map(|name| (Position::of_name(name), json!(name)));
        let names = Names { kind: "groups", descending, limit: Some(limit), token };
        let answer = names.answer("list", items.to_vec()).unwrap();
        let shown = answer["list"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect();
        (shown, answer["nextToken"].as_str().map(str::to_owned))
    }

    #[test]
    fn a_token_is_there_only_if_there_is_another_page() {
        let (first, token) = page(2, None, false);
        assert_eq!(first, ["a", "b"]);
        assert_eq!(page(2, token.clone(), false), (vec!["c".to_owned()], None));
        assert_eq!(page(3, None, true), (["c", "b", "a"].map(str::to_owned).to_vec(), None));
        for (kind, descending) in [("streams", false), ("groups", true)] {
            let names = Names { kind, descending, limit: None, token: token.clone() };
            assert!(names.answer("list", Vec::new()).is_err(), "a token of another list is taken");
        }
        for limit in [0, 51] {
            let names = Names { kind: "groups", descending: false, limit: Some(limit), token: None };
            assert!(names.answer("list", Vec::new()).is_err(), "{limit}");
        }
    }

    #[test]
    fn event_tokens_name_a_direction_and_an_event() {
        for direction in [Direction::After(7), Direction::Before(i64::MAX)] {
            assert_eq!(read_event_token(&event_token(direction)).unwrap(), direction);
        }
        for bad in ["", "f/", "x/1", "b/one"] {
            assert!(read_event_token(bad).is_err(), "{bad}");
        }
        assert_eq!(read_filter_token(&filter_token((5, 9))).unwrap(), (5, 9));
    }
}
