//! Lists of keys: in order, by prefix, with the keys that share a delimiter folded into one common prefix.

use rusqlite::params;

use super::object::{Object, object};
use super::store::ObjectStore;
use super::store_error::StoreError;

/// The parameters of a list.
#[derive(Clone, Debug, Default)]
pub(crate) struct ListQuery<'a> {
    pub(crate) prefix: &'a str,
    pub(crate) delimiter: Option<&'a str>,
    /// Only keys and common prefixes after this one are listed.
    pub(crate) after: &'a str,
    pub(crate) max_keys: usize,
}

/// A page of keys.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) objects: Vec<Object>,
    pub(crate) common_prefixes: Vec<String>,
    /// The last key or common prefix of this page, if there is a next page.
    pub(crate) next: Option<String>,
}

impl ObjectStore {
    pub(crate) fn list(&self, bucket: &str, query: &ListQuery<'_>) -> Result<Listing, StoreError> {
        self.check_bucket(bucket)?;
        self.journal.read(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT key, blob, size, etag, modified, attributes FROM object
                 WHERE bucket = ? AND key >= ? ORDER BY key",
            )?;
            let from = query.after.max(query.prefix);
            let mut rows = statement.query(params![bucket, from])?;
            let mut listing = Listing::default();
            let mut last: Option<String> = None;
            while let Some(row) = rows.next()? {
                let found = object(row)?;
                if !found.key.starts_with(query.prefix) {
                    break;
                }
                let common = query.delimiter.and_then(|delimiter| common_prefix(&found.key, query.prefix, delimiter));
                let name = common.unwrap_or(&found.key);
                if name <= query.after || last.as_deref() == Some(name) {
                    continue;
                }
                if listing.objects.len() + listing.common_prefixes.len() == query.max_keys {
                    listing.next = last;
                    break;
                }
                last = Some(name.to_owned());
                match common {
                    Some(common) => listing.common_prefixes.push(common.to_owned()),
                    None => listing.objects.push(found),
                }
            }
            Ok(listing)
        })
    }
}

/// The part of a key up to the first delimiter after the prefix, delimiter included.
pub(super) fn common_prefix<'a>(key: &'a str, prefix: &str, delimiter: &str) -> Option<&'a str> {
    if delimiter.is_empty() {
        return None;
    }
    let at = key[prefix.len()..].find(delimiter)?;
    Some(&key[..prefix.len() + at + delimiter.len()])
}

#[cfg(test)]
mod tests {
    use super::super::store::tests::{put, store};
    use super::*;

    fn names(listing: &Listing) -> (Vec<&str>, Vec<&str>) {
        let objects = listing.objects.iter().map(|object| object.key.as_str()).collect();
        (objects, listing.common_prefixes.iter().map(String::as_str).collect())
    }

    #[tokio::test]
    async fn pages_prefixes_and_delimiters() {
        let (_folder, store) = store();
        for key in ["a", "i/1/x", "i/1/y", "i/2", "i/3/z", "j"] {
            put(&store, key, key).await;
        }
        let all = ListQuery { max_keys: 100, ..ListQuery::default() };
        assert_eq!(names(&store.list("b", &all).unwrap()).0.len(), 6);

        let folder = ListQuery { prefix: "i/", delimiter: Some("/"), ..all.clone() };
        let listing = store.list("b", &folder).unwrap();
        assert_eq!(names(&listing), (vec!["i/2"], vec!["i/1/", "i/3/"]));

        let mut seen = Vec::new();
        let mut after = String::new();
        loop {
            let query = ListQuery { after: &after, max_keys: 1, ..folder.clone() };
            let listing = store.list("b", &query).unwrap();
            let (objects, prefixes) = names(&listing);
            seen.extend(objects.into_iter().chain(prefixes).map(str::to_owned));
            match listing.next {
                Some(next) => after = next,
                None => break,
            }
        }
        assert_eq!(seen, ["i/1/", "i/2", "i/3/"]);
        assert!(store.list("c", &all).is_err());
    }
}
