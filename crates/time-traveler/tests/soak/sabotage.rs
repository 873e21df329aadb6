//! Disables, one by one, the mechanisms that keep jobs correct. The soak has to find every missing mechanism.
//!
//! Most are disabled in the calls between the functions and the cloud.

use aws_sdk_dynamodb::operation::get_item::GetItemOutput;
use aws_sdk_dynamodb::operation::put_item::PutItemInput;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_s3::config::interceptors::{BeforeSerializationInterceptorContextMut, FinalizerInterceptorContextMut};
use aws_sdk_s3::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_s3::error::BoxError;
use aws_sdk_s3::operation::copy_object::CopyObjectInput;
use aws_sdk_s3::operation::get_object::GetObjectInput;
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Input;

/// A mechanism that is disabled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Without {
    /// Writes of records are unconditional.
    Conditions,
    /// Jobs start without a look at their records, and without a check that the photograph is still that of the event.
    Memory,
    /// Photographs are copied even if they have been replaced.
    IfMatch,
    /// Abandoned jobs are not swept.
    Sweep,
    /// Abandoned jobs are swept only every four hours.
    PromptSweep,
    /// Dead letters are not redriven.
    Redriving,
    /// Orphaned objects are not deleted.
    OrphanCollection,
    /// Failed events are neither retried nor kept as dead letters.
    Retries,
    /// A `DELETE` that finds no record leaves no tombstone.
    Tombstones,
}

/// Removes conditions and attributes from the inputs of calls before they are serialized.
#[derive(Debug)]
pub(crate) struct Saboteur(pub(crate) Without);

impl Intercept for Saboteur {
    fn name(&self) -> &'static str {
        "Saboteur"
    }

    fn modify_before_serialization(
        &self,
        context: &mut BeforeSerializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let input = context.input_mut();
        if matches!(self.0, Without::Conditions | Without::Memory)
            && let Some(put) = input.downcast_mut::<PutItemInput>()
        {
            put.condition_expression = None;
            put.expression_attribute_names = None;
            put.expression_attribute_values = None;
        }
        if matches!(self.0, Without::IfMatch | Without::Memory) {
            if let Some(copy) = input.downcast_mut::<CopyObjectInput>() {
                copy.copy_source_if_match = None;
            } else if let Some(get) = input.downcast_mut::<GetObjectInput>() {
                get.if_match = None;
            }
        }
        // The tombstone is written under another id, which no client has.
        if self.0 == Without::Tombstones
            && let Some(put) = input.downcast_mut::<PutItemInput>()
            && put.condition_expression.as_deref() == Some("attribute_not_exists(id)")
            && let Some(item) = put.item.as_mut().filter(|item| item.contains_key("deletedAt"))
        {
            item.insert("id".to_owned(), AttributeValue::S("-".to_owned()));
            put.condition_expression = None;
        }
        // The sweep also lists the objects that SageMaker left.
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
