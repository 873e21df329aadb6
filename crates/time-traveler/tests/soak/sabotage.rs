//! What keeps jobs sound, taken away one by one on the wire between the functions and the cloud: the soak has to find it.

use aws_sdk_dynamodb::operation::delete_item::DeleteItemInput;
use aws_sdk_dynamodb::operation::get_item::GetItemOutput;
use aws_sdk_dynamodb::operation::put_item::PutItemInput;
use aws_sdk_s3::config::interceptors::{BeforeSerializationInterceptorContextMut, FinalizerInterceptorContextMut};
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::operation::copy_object::CopyObjectInput;
use aws_sdk_s3::operation::get_object::GetObjectInput;
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Input;

/// A mechanism that is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Without {
    /// Writes of records are unconditional.
    Conditions,
    /// A portrait is begun as if nothing were known of it yet, nor whether its photograph is still the one of the event.
    Memory,
    /// The photograph of an attempt is copied whatever it is by now.
    IfMatch,
    /// Nobody looks after jobs that nobody is at.
    Sweep,
    /// Somebody does, but every four hours.
    PromptSweep,
    /// What was given up stays given up.
    Redriving,
    /// Objects that belong to nobody stay.
    OrphanCollection,
    /// An event that failed is not tried again, nor kept.
    Retries,
}

/// Takes conditions and attributes off the inputs of calls before they are written.
#[derive(Debug)]
pub(crate) struct Strip(pub(crate) Without);

impl Intercept for Strip {
    fn name(&self) -> &'static str {
        "Strip"
    }

    fn modify_before_serialization(
        &self,
        context: &mut BeforeSerializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let input = context.input_mut();
        if matches!(self.0, Without::Conditions | Without::Memory) {
            if let Some(put) = input.downcast_mut::<PutItemInput>() {
                put.condition_expression = None;
                put.expression_attribute_names = None;
                put.expression_attribute_values = None;
            } else if let Some(delete) = input.downcast_mut::<DeleteItemInput>() {
                delete.condition_expression = None;
                delete.expression_attribute_names = None;
                delete.expression_attribute_values = None;
            }
        }
        if matches!(self.0, Without::IfMatch | Without::Memory) {
            if let Some(copy) = input.downcast_mut::<CopyObjectInput>() {
                copy.copy_source_if_match = None;
            } else if let Some(get) = input.downcast_mut::<GetObjectInput>() {
                get.if_match = None;
            }
        }
        // The sweep, too, looks for what SageMaker left.
        if self.0 == Without::OrphanCollection
            && let Some(list) = input.downcast_mut::<ListObjectsV2Input>()
            && list.prefix.as_deref().is_some_and(|prefix| ["strips/", "failures/"].contains(&prefix))
        {
            list.prefix = Some("nothing/".to_owned());
        }
        Ok(())
    }

    fn modify_before_completion(
        &self,
        context: &mut FinalizerInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        if self.0 == Without::Memory
            && let Some(Ok(output)) = context.output_or_error_mut()
            && let Some(read) = output.downcast_mut::<GetItemOutput>()
        {
            read.item = None;
        }
        Ok(())
    }
}
