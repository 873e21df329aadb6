use nn::Stages;
use pipeline::Ages;

use crate::answer_type::AnswerType;
use crate::refusal::Refusal;

/// What a server serves, in the steps of SageMaker's inference toolkit: `model_fn`, `input_fn`, `predict_fn`, `output_fn`.
///
/// Only [`predict`](Self::predict) needs the device. Input and output run on threads of their own, so that the device need not
/// wait for them.
pub trait InferenceHandler: Send + Sync + 'static {
    /// What lives on the device. It never leaves the device's thread, and is loaded again after a failure.
    type Model;
    /// A request between its input and its output.
    type Work: Work;

    /// What answers are told to be made by.
    fn name(&self) -> &'static str;

    /// Loads the model, and runs it once.
    ///
    /// # Errors
    /// It cannot be used.
    fn model(&self) -> anyhow::Result<Self::Model>;

    /// What a request's body holds.
    ///
    /// # Errors
    /// [`Refusal`]: nothing that can be worked on.
    fn input(&self, request: &Request, stages: &mut Stages) -> Result<Self::Work, Refusal>;

    /// Takes requests one pass of the model further, the first of them first. What a request's output is never depends on the others.
    ///
    /// # Errors
    /// [`Failure`]. If there are several, each is then tried alone.
    fn predict(
        &self,
        model: &mut Self::Model,
        work: &mut [&mut Self::Work],
        stages: &mut Stages,
    ) -> Result<(), Failure>;

    /// The answer's body.
    ///
    /// # Errors
    /// [`Refusal`]: it cannot be written so.
    fn output(&self, work: Self::Work, answer_type: AnswerType, stages: &mut Stages) -> Result<Vec<u8>, Refusal>;

    /// The memory that the model has on a device of its own, in bytes.
    fn device_memory(&self, model: &Self::Model) -> Option<u64>;
}

/// A request between its input and its output.
pub trait Work: Send + 'static {
    /// Whether no pass is missing.
    fn is_done(&self) -> bool;

    /// Forgets what passes have done.
    fn restart(&mut self);
}

/// An invocation, once it was read.
#[derive(Clone, Debug)]
pub struct Request {
    /// The encoded picture.
    pub picture: Vec<u8>,
    /// The ages wanted.
    pub ages: Ages,
    /// What the answer is to be written as.
    pub answer_type: AnswerType,
}

/// Why a pass failed.
#[derive(Debug)]
pub enum Failure {
    /// A request cannot be done; the model is as good as before.
    Request(Refusal),
    /// The device failed: the model has to be loaded again.
    Device(String),
}
