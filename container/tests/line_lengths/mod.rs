//! A second handler: text in, the length of each line out. It shows how little a model brings to the server, with its own media
//! types, codes, words and refusals.

use std::sync::Mutex;
use std::sync::mpsc::Receiver;

use container::{
    Answer, BatchStrategy, Failure, Head, InferenceHandler, MediaType, Reason, Refusal, Stages, StatusCode,
};
use container::{Work, preferred};

/// `text/plain` is the text. `text/x-files` names a file of text a line, relative to this folder, which is read asynchronously.
pub(crate) struct Lengths {
    pub(crate) folder: std::path::PathBuf,
    /// The model is loaded when this channel ends. `None`: at once.
    pub(crate) loaded: Mutex<Option<Receiver<()>>>,
}

/// What the head asks for.
pub(crate) struct Request {
    files: bool,
    /// `Accept: application/json; top=3`: the three longest lines only.
    top: Option<usize>,
}

/// The lines, and the lengths of those that are done.
pub(crate) struct Lines(Vec<String>, Vec<usize>);

impl Work for Lines {
    fn is_done(&self) -> bool {
        self.0.len() == self.1.len()
    }

    fn restart(&mut self) {
        self.1.clear();
    }
}

impl InferenceHandler for Lengths {
    const METRICS_PREFIX: &'static str = "lengths";
    const MAX_REQUEST_BYTES: usize = 1000;

    type Model = ();
    type Request = Request;
    type Payload = Vec<u8>;
    type Work = Lines;

    fn name(&self) -> &'static str {
        "lengths"
    }

    fn batch_size(&self) -> usize {
        2
    }

    fn batch_strategy(&self) -> BatchStrategy {
        BatchStrategy::MultiRecord
    }

    fn model(&self) -> anyhow::Result<()> {
        if let Some(loaded) = self.loaded.lock().unwrap().take() {
            let _ = loaded.recv();
        }
        Ok(())
    }

    fn accept(&self, head: &Head) -> Result<Request, Refusal> {
        let files = match MediaType::parse(head.content_type.as_deref().unwrap_or("text/plain")).essence.as_str() {
            "text/plain" => false,
            "text/x-files" => true,
            other => {
                return Err(Refusal::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "NO_TEXT", format!("{other} is no text")));
            }
        };
        let offered = |range: &MediaType| match range.essence.as_str() {
            "*/*" | "application/json" => Some(range.parameter("top").and_then(|top| top.parse().ok())),
            _ => None,
        };
        let top = preferred(head.accept.as_deref().unwrap_or("*/*"), offered);
        let top =
            top.ok_or_else(|| Refusal::new(StatusCode::NOT_ACCEPTABLE, "NO_JSON", "application/json would work"))?;
        Ok(Request { files, top })
    }

    async fn fetch(
        &self,
        request: &Request,
        body: Vec<u8>,
        limit: usize,
        stages: &mut Stages,
    ) -> Result<Vec<u8>, Refusal> {
        if !request.files {
            return Ok(body);
        }
        let (start, mut texts) = (std::time::Instant::now(), Vec::new());
        for name in text(body)?.lines() {
            let missing = |_| Refusal::new(StatusCode::BAD_REQUEST, "NO_FILE", format!("{name} cannot be read"));
            texts.extend(tokio::fs::read(self.folder.join(name)).await.map_err(missing)?);
            if texts.len() > limit {
                return Err(self.refusal(&Reason::LargeBody { limit }));
            }
        }
        stages.add("fetch", start.elapsed());
        Ok(texts)
    }

    fn input(&self, _: &Request, text_bytes: Vec<u8>, _: &mut Stages) -> Result<Lines, Refusal> {
        Ok(Lines(text(text_bytes)?.lines().map(str::to_owned).collect(), Vec::new()))
    }

    fn predict(&self, (): &mut (), batch: &mut [&mut Lines], stages: &mut Stages) -> Result<(), Failure> {
        stages.measure("count", || {
            for Lines(lines, lengths) in batch {
                lengths.extend(lines.get(lengths.len()).map(String::len));
            }
        });
        Ok(())
    }

    fn output(&self, request: &Request, Lines(_, mut lengths): Lines, _: &mut Stages) -> Result<Answer, Refusal> {
        if let Some(top) = request.top {
            lengths.sort_by_key(|length| std::cmp::Reverse(*length));
            lengths.truncate(top);
        }
        let body = serde_json::json!({"lengths": lengths}).to_string().into_bytes();
        Ok(Answer { media_type: "application/json".to_owned(), body })
    }

    /// Its clients expect `{"reason"}`.
    fn refuse(&self, refusal: &Refusal) -> Answer {
        let body = serde_json::json!({"reason": refusal.to_string()}).to_string().into_bytes();
        Answer { media_type: "application/problem+json".to_owned(), body }
    }
}

fn text(bytes: Vec<u8>) -> Result<String, Refusal> {
    String::from_utf8(bytes).map_err(|error| Refusal::new(StatusCode::BAD_REQUEST, "NO_TEXT", error.to_string()))
}
