//! The services of a cloud, as the AWS endpoint and the APIs call them.

use std::sync::Arc;

use crate::dynamodb::DynamoDb;
use crate::faults::Faults;
use crate::journal::Journal;
use crate::lambda::Lambda;
use crate::s3::S3;
use crate::sagemaker::SageMaker;
use crate::sns::Sns;
use crate::sqs::Sqs;

pub(crate) struct Services {
    pub(crate) faults: Faults,
    pub(crate) journal: Arc<Journal>,
    pub(crate) s3: S3,
    pub(crate) dynamodb: DynamoDb,
    pub(crate) sagemaker: SageMaker,
    pub(crate) lambda: Arc<Lambda>,
    pub(crate) sns: Sns,
    pub(crate) sqs: Sqs,
}
