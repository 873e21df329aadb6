//! The account, the region and the credentials of a cloud.

/// The access key that the cloud gives to its functions. Signatures made with this key are verified. Signatures made with any
/// other key are accepted unverified, so that an SDK works with the credentials that it finds.
pub const ACCESS_KEY_ID: &str = "LOCALCLOUDFUNCTION00";
/// The account that owns every resource.
pub const ACCOUNT: &str = "000000000000";
/// The region of every resource.
pub const REGION: &str = "us-east-1";
