//! Puts the records of an object into requests, on a thread for blocking work.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::sync::Arc;

use flate2::bufread::MultiGzDecoder;
use tokio::sync::mpsc;

use super::bad::Bad;
use super::filters::Filters;
use super::split::{Records, SplitError};
use crate::sagemaker::records::{Parameters, Split, TransformSpec};

/// A record is filtered before it is measured, so a larger one may be read: SageMaker's largest payload.
const LARGEST: usize = 100 << 20;

/// The records of one request.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) records: usize,
    /// What the model gets.
    pub(super) payload: Vec<u8>,
    /// The records as they were, if they are joined.
    pub(super) originals: Vec<Vec<u8>>,
}

/// How records are put into requests.
pub(super) struct Rules {
    pub(super) split: Split,
    pub(super) gzip: bool,
    pub(super) multi_record: bool,
    pub(super) limit: usize,
    pub(super) filters: Option<Arc<Filters>>,
}

impl Rules {
    pub(super) fn new(spec: &TransformSpec, parameters: &Parameters, filters: Option<Arc<Filters>>) -> Self {
        Self {
            split: spec.split,
            gzip: spec.gzip,
            multi_record: parameters.multi_record,
            limit: parameters.max_payload(),
            filters,
        }
    }

    /// Sends the requests of an object, from number `skip` on. A bad record takes a number of its own.
    pub(super) fn send(&self, object: File, skip: usize, sender: &mpsc::Sender<Result<Batch, Bad>>) {
        let object = BufReader::with_capacity(1 << 18, object);
        let object: Box<dyn BufRead> =
            if self.gzip { Box::new(BufReader::new(MultiGzDecoder::new(object))) } else { Box::new(object) };
        let mut number = 0;
        // False if nobody receives any more.
        let mut give = |item| {
            number += 1;
            number <= skip || sender.blocking_send(item).is_ok()
        };
        let mut batch = Batch::default();
        for record in self.records(object) {
            let goes_on = match record.map_err(Bad::from).and_then(|record| self.prepared(record)) {
                Err(bad) => (batch.records == 0 || give(Ok(std::mem::take(&mut batch)))) && give(Err(bad)),
                Ok((payload, original)) => {
                    let separator = usize::from(self.split == Split::Line && batch.records > 0);
                    let is_full = batch.payload.len() + separator + payload.len() > self.limit;
                    let goes_on = batch.records == 0 || !is_full || give(Ok(std::mem::take(&mut batch)));
                    self.add(&mut batch, payload, original);
                    goes_on && (self.multi_record || give(Ok(std::mem::take(&mut batch))))
                }
            };
            if !goes_on {
                return;
            }
        }
        if batch.records > 0 {
            give(Ok(batch));
        }
    }

    fn records(&self, object: Box<dyn BufRead>) -> Records<Box<dyn BufRead>> {
        let filtered = self.filters.as_ref().is_some_and(|filters| filters.changes_input());
        let limit = if filtered { self.limit.max(LARGEST) } else { self.limit };
        Records::new(object, self.split, self.multi_record, limit)
    }

    /// What the model gets of a record, and the record if it is joined.
    fn prepared(&self, record: Vec<u8>) -> Result<(Vec<u8>, Option<Vec<u8>>), Bad> {
        let Some(filters) = &self.filters else { return Ok((record, None)) };
        let payload = filters.incoming(&record)?;
        if payload.len() > self.limit {
            return Err(SplitError::TooLarge(self.limit).into());
        }
        Ok((payload, filters.joins().then_some(record)))
    }

    fn add(&self, batch: &mut Batch, payload: Vec<u8>, original: Option<Vec<u8>>) {
        if batch.records == 0 {
            batch.payload = payload;
        } else {
            if self.split == Split::Line {
                batch.payload.push(b'\n');
            }
            batch.payload.extend(payload);
        }
        batch.records += 1;
        batch.originals.extend(original);
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Seek, Write};

    use super::*;

    fn sent(rules: &Rules, object: &[u8], skip: usize) -> Vec<Result<(usize, String), String>> {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(object).unwrap();
        file.rewind().unwrap();
        let (sender, mut receiver) = mpsc::channel(99);
        rules.send(file, skip, &sender);
        drop(sender);
        let shown = |batch: Batch| (batch.records, String::from_utf8(batch.payload).unwrap());
        std::iter::from_fn(|| receiver.try_recv().ok()).map(|item| item.map(shown).map_err(|bad| bad.text())).collect()
    }

    #[test]
    fn requests_hold_as_many_records_as_fit() {
        let mut rules = Rules { split: Split::Line, gzip: false, multi_record: true, limit: 5, filters: None };
        let object = b"a\nbc\nd\nefghij\nk\n";
        let found = sent(&rules, object, 0);
        assert_eq!(found[0], Ok((2, "a\nbc".to_owned())), "with their separators");
        assert_eq!(found[1], Ok((1, "d".to_owned())));
        assert!(found[2].as_ref().unwrap_err().contains("larger than MaxPayloadInMB"));
        assert_eq!(found[3..], [Ok((1, "k".to_owned()))]);
        assert_eq!(sent(&rules, object, 3), found[3..]);
        rules.multi_record = false;
        let single = sent(&rules, object, 0);
        assert_eq!((single.len(), &single[1]), (5, &Ok((1, "bc".to_owned()))));
    }

    #[test]
    fn a_compressed_object_is_decompressed() {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(b"a\nb\n").unwrap();
        let rules = Rules { split: Split::Line, gzip: true, multi_record: true, limit: 99, filters: None };
        assert_eq!(sent(&rules, &encoder.finish().unwrap(), 0), [Ok((2, "a\nb".to_owned()))]);
        assert!(sent(&rules, b"no gzip", 0)[0].is_err());
    }
}
