//! `GET /execution-parameters`: how batch transform should send its records, unless the job says otherwise.

use serde_json::{Value, json};

/// What batch transform puts into one invocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BatchStrategy {
    /// One record: a file, or a line of a file that is split by lines.
    SingleRecord,
    /// As many lines as fit into the payload.
    MultiRecord,
}

/// The largest payload of batch transform in MB, and the most of all payloads at the same time.
const MAX_MEGABYTES: usize = 100;

/// SageMaker's answer for a server that takes `capacity` invocations at a time, of `max_request_bytes` bytes each.
pub(crate) fn json(strategy: BatchStrategy, capacity: usize, max_request_bytes: usize) -> Value {
    let megabytes = (max_request_bytes >> 20).clamp(1, MAX_MEGABYTES);
    let strategy = match strategy {
        BatchStrategy::SingleRecord => "SINGLE_RECORD",
        BatchStrategy::MultiRecord => "MULTI_RECORD",
    };
    json!({
        "MaxConcurrentTransforms": capacity.min(MAX_MEGABYTES / megabytes),
        "BatchStrategy": strategy,
        "MaxPayloadInMB": megabytes,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn concurrent_payloads_have_100_mb_at_most() {
        let numbers = |capacity, bytes| {
            let parameters = json(BatchStrategy::MultiRecord, capacity, bytes);
            assert_eq!(parameters["BatchStrategy"], "MULTI_RECORD");
            ["MaxConcurrentTransforms", "MaxPayloadInMB"].map(|name| parameters[name].as_u64().unwrap())
        };
        assert_eq!(numbers(17, 50 << 20), [2, 50]);
        assert_eq!(numbers(17, 6 << 20), [16, 6]);
        assert_eq!(numbers(17, 1000), [17, 1]);
        assert_eq!(numbers(2, 1 << 30), [1, 100]);
    }
}
