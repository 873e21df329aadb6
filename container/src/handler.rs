//! What a model brings to the server.

use std::future::Future;

use nn::Stages;

use crate::buffers::Buffers;
use crate::execution_parameters::BatchStrategy;
use crate::head::Head;
use crate::log_line::LogLine;
use crate::refusal::{Reason, Refusal};

/// A model behind the server, in the steps of SageMaker's inference toolkit: `model_fn`, `input_fn`, `predict_fn`, `output_fn`.
///
/// An invocation passes through [`accept`](Self::accept), [`fetch`](Self::fetch), [`input`](Self::input),
/// [`predict`](Self::predict) and [`output`](Self::output), in this order. Only `predict` runs on the worker thread, which owns
/// the device. `fetch` is asynchronous; `input` and `output` run on threads of their own, so that the device does not wait for
/// them.
///
/// A handler decides on its media types, its refusals and its words. The server keeps the limits: sizes, times, the queue.
pub trait InferenceHandler: Send + Sync + 'static {
    /// What the names of the metrics begin with: `aging` makes `aging_requests_total`.
    const METRICS_PREFIX: &'static str;

    /// The largest request body in bytes, unless `TS_MAX_REQUEST_SIZE` says otherwise.
    const MAX_REQUEST_BYTES: usize;

    /// What lives on the device. It never leaves the worker thread, and is loaded again after a failure.
    type Model;
    /// What the head of an invocation asks for: the type of the body, the type of the answer, parameters.
    type Request: Send + Sync + 'static;
    /// The body, or the contents that the body refers to. `Vec<u8>` for most handlers.
    type Payload: Send + 'static;
    /// An invocation between its input and its output. It may hold several pictures.
    type Work: Work;

    /// The name of the model, for the log.
    fn name(&self) -> &'static str;

    /// The most invocations that share a step of the model, 1 or more.
    fn batch_size(&self) -> usize;

    /// What batch transform puts into one invocation.
    fn batch_strategy(&self) -> BatchStrategy {
        BatchStrategy::SingleRecord
    }

    /// Loads the model, and runs it once, so that the first invocation is as fast as the next ones.
    ///
    /// # Errors
    /// The model cannot be used.
    fn model(&self) -> anyhow::Result<Self::Model>;

    /// Reads the head of an invocation.
    ///
    /// # Errors
    /// [`Refusal`]: a media type that is not available (415, 406), or a bad parameter (400).
    fn accept(&self, head: &Head) -> Result<Self::Request, Refusal>;

    /// The size of the answer in bytes, if the request alone determines it. An answer that is too large is then refused before
    /// the work.
    fn answer_bytes(&self, _request: &Self::Request) -> Option<usize> {
        None
    }

    /// Fetches what the body refers to, such as objects in S3, `limit` bytes at most in all. A handler whose bodies are complete
    /// returns the body.
    ///
    /// # Errors
    /// [`Refusal`]: the body refers to nothing that can be fetched.
    fn fetch(
        &self,
        request: &Self::Request,
        body: Vec<u8>,
        limit: usize,
        stages: &mut Stages,
    ) -> impl Future<Output = Result<Self::Payload, Refusal>> + Send;

    /// Decodes the payload.
    ///
    /// # Errors
    /// [`Refusal`]: the payload cannot be worked on.
    fn input(
        &self,
        request: &Self::Request,
        payload: Self::Payload,
        stages: &mut Stages,
    ) -> Result<Self::Work, Refusal>;

    /// Runs one step of the model on a batch, oldest invocation first. The output of an invocation never depends on the rest of
    /// the batch.
    ///
    /// # Errors
    /// [`Failure`]. After a failure of a batch of several, each of them is tried alone.
    fn predict(
        &self,
        model: &mut Self::Model,
        batch: &mut [&mut Self::Work],
        stages: &mut Stages,
    ) -> Result<(), Failure>;

    /// Writes the answer.
    ///
    /// # Errors
    /// [`Refusal`]: the result cannot be written in the type that was asked for.
    fn output(&self, request: &Self::Request, work: Self::Work, stages: &mut Stages) -> Result<Answer, Refusal>;

    /// The buffers of answers that were sent, if the handler makes its answers in them. The server puts them there, and frees them when
    /// no answer is made for a while.
    fn buffers(&self) -> Option<&Buffers> {
        None
    }

    /// Whether a network computes on the CPU. It allocates large blocks again and again, so the program keeps them.
    fn computes_on_cpu(&self) -> bool {
        false
    }

    /// The memory of the model on a GPU, in bytes; `None` on a CPU.
    fn device_memory(&self, _model: &Self::Model) -> Option<u64> {
        None
    }

    /// The status, code and words for a reason of the server's.
    fn refusal(&self, reason: &Reason) -> Refusal {
        reason.into()
    }

    /// A refusal as an answer: `{"code","message"}`, unless the model's clients expect another format.
    fn refuse(&self, refusal: &Refusal) -> Answer {
        refusal.json()
    }

    /// Writes the log's line of an invocation. `request` is `None` where the head was refused, or not read.
    fn log(&self, _request: Option<&Self::Request>, line: &LogLine) {
        line.write();
    }
}

/// An invocation between its input and its output.
pub trait Work: Send + 'static {
    /// Whether all steps are done.
    fn is_done(&self) -> bool;

    /// Discards the results of all steps.
    fn restart(&mut self);
}

/// The body of an answer and its type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The `Content-Type`. SageMaker's SDK compares it with what it asked for, so it has no parameter that nobody asked for.
    pub media_type: String,
    /// `X-Amzn-SageMaker-Custom-Attributes`, which SageMaker hands back to the client: at most 1024 visible ASCII characters.
    pub custom_attributes: Option<String>,
    /// The body.
    pub body: Vec<u8>,
}

/// Why a step failed.
#[derive(Debug)]
pub enum Failure {
    /// The request cannot be served. The model is unharmed.
    Request(Refusal),
    /// The device failed. The model has to be loaded again.
    Device(anyhow::Error),
}
