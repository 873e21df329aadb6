//! ListParts and ListMultipartUploads.

use std::sync::Arc;

use s3s::dto::{
    ChecksumAlgorithm, ChecksumType, CommonPrefix, ETag, Initiator, ListMultipartUploadsInput,
    ListMultipartUploadsOutput, ListPartsInput, ListPartsOutput, MultipartUpload, Part, StorageClass,
};
use s3s::{S3Request, S3Response, S3Result, s3_error};

use super::{length, owner, timestamp};
use crate::ACCOUNT;
use crate::s3::checksums::set_checksums;
use crate::s3::customer_key::{CustomerKey, check_upload_key};
use crate::s3::listing::common_prefix;
use crate::s3::members::{check_owner, check_payer};
use crate::s3::multipart::{Upload, UploadPart};
use crate::s3::store::ObjectStore;
use crate::s3::url_encoding::Encoding;

fn initiator() -> Initiator {
    Initiator { display_name: None, id: Some(ACCOUNT.to_owned()) }
}

fn most(name: &str, asked: Option<i32>) -> S3Result<usize> {
    let most = usize::try_from(asked.unwrap_or(1000));
    Ok(most
        .map_err(|_| s3_error!(InvalidArgument, "Argument {name} must be an integer between 0 and 2147483647"))?
        .min(1000))
}

fn class(upload: &Upload) -> StorageClass {
    upload
        .attributes
        .storage_class
        .clone()
        .map_or(StorageClass::from_static(StorageClass::STANDARD), StorageClass::from)
}

fn algorithm(upload: &Upload) -> Option<ChecksumAlgorithm> {
    upload.wanted.map(|wanted| ChecksumAlgorithm::from_static(wanted.name()))
}

fn kind(upload: &Upload) -> Option<ChecksumType> {
    let kind = if upload.composite { ChecksumType::COMPOSITE } else { ChecksumType::FULL_OBJECT };
    upload.wanted.map(|_| ChecksumType::from_static(kind))
}

pub(super) async fn list_parts(
    store: &Arc<ObjectStore>,
    request: S3Request<ListPartsInput>,
) -> S3Result<S3Response<ListPartsOutput>> {
    let ListPartsInput {
        bucket,
        expected_bucket_owner,
        key,
        max_parts,
        part_number_marker,
        request_payer,
        sse_customer_algorithm,
        sse_customer_key,
        sse_customer_key_md5,
        upload_id,
    } = request.input;
    let customer_key = CustomerKey::of(sse_customer_algorithm, sse_customer_key, sse_customer_key_md5)?;
    check_owner(expected_bucket_owner.as_deref())?;
    check_payer(request_payer.as_ref())?;
    let most = most("max-parts", max_parts)?;
    let marker = part_number_marker.unwrap_or(0);
    let (upload, parts) = store.parts((&bucket, &key), &upload_id)?;
    // S3 wants the key only where checksums are shown.
    if customer_key.is_some() {
        check_upload_key(upload.attributes.seal.as_ref(), customer_key.as_ref())?;
    }
    let mut left = parts.into_iter().filter(|part| part.number > marker);
    let shown = |part: UploadPart| {
        let mut shown = Part {
            e_tag: Some(ETag::Strong(part.blob.etag)),
            last_modified: Some(timestamp(part.modified)),
            part_number: Some(part.number),
            size: Some(length(part.blob.size)),
            ..Default::default()
        };
        let _kind = set_checksums!(shown, part.checksum.as_ref().filter(|_| upload.wanted.is_some()));
        shown
    };
    let page: Vec<Part> = left.by_ref().take(most).map(shown).collect();
    Ok(S3Response::new(ListPartsOutput {
        checksum_algorithm: algorithm(&upload),
        checksum_type: kind(&upload),
        initiator: Some(initiator()),
        owner: Some(owner()),
        is_truncated: Some(left.next().is_some()),
        max_parts: i32::try_from(most).ok(),
        next_part_number_marker: Some(page.last().and_then(|part| part.part_number).unwrap_or(0)),
        part_number_marker: Some(marker),
        parts: Some(page),
        storage_class: Some(class(&upload)),
        bucket: Some(bucket),
        key: Some(key),
        upload_id: Some(upload_id),
        ..Default::default()
    }))
}

pub(super) async fn list_multipart_uploads(
    store: &Arc<ObjectStore>,
    request: S3Request<ListMultipartUploadsInput>,
) -> S3Result<S3Response<ListMultipartUploadsOutput>> {
    let ListMultipartUploadsInput {
        bucket,
        delimiter,
        encoding_type,
        expected_bucket_owner,
        key_marker,
        max_uploads,
        prefix,
        request_payer,
        upload_id_marker,
    } = request.input;
    check_owner(expected_bucket_owner.as_deref())?;
    check_payer(request_payer.as_ref())?;
    let encoding = Encoding::of(encoding_type.as_ref())?;
    let most = most("max-uploads", max_uploads)?;
    let (prefix, delimiter) = (prefix.unwrap_or_default(), delimiter.filter(|text| !text.is_empty()));
    let key_marker = key_marker.unwrap_or_default();
    // Without a key, S3 does not heed the marker of an upload.
    let upload_id_marker = upload_id_marker.filter(|_| !key_marker.is_empty()).unwrap_or_default();
    let all = store.uploads(&bucket, &prefix)?;
    let passed = all.iter().position(|(key, id, _)| *key == key_marker && *id == upload_id_marker);
    let (mut uploads, mut common_prefixes): (Vec<MultipartUpload>, Vec<String>) = (Vec::new(), Vec::new());
    let (mut last, mut is_truncated) = ((String::new(), String::new()), false);
    for (at, (key, id, upload)) in all.iter().enumerate() {
        let folded = delimiter.as_deref().and_then(|delimiter| common_prefix(key, &prefix, delimiter));
        let is_passed = match passed {
            Some(passed) => at <= passed,
            None => !key_marker.is_empty() && folded.unwrap_or(key) <= key_marker.as_str(),
        };
        if is_passed || folded.is_some_and(|folded| common_prefixes.last().is_some_and(|last| last == folded)) {
            continue;
        }
        if uploads.len() + common_prefixes.len() == most {
            is_truncated = true;
            break;
        }
        if let Some(folded) = folded {
            common_prefixes.push(folded.to_owned());
            last = (folded.to_owned(), String::new());
            continue;
        }
        last = (key.clone(), id.clone());
        uploads.push(MultipartUpload {
            checksum_algorithm: algorithm(upload),
            checksum_type: kind(upload),
            initiated: Some(timestamp(upload.initiated)),
            initiator: Some(initiator()),
            key: Some(encoding.text(key.as_str())),
            owner: Some(owner()),
            storage_class: Some(class(upload)),
            upload_id: Some(id.clone()),
        });
    }
    let prefix_shown = |folded: String| CommonPrefix { prefix: Some(encoding.text(folded)) };
    Ok(S3Response::new(ListMultipartUploadsOutput {
        bucket: Some(bucket),
        common_prefixes: Some(common_prefixes.into_iter().map(prefix_shown).collect()),
        delimiter: delimiter.map(|delimiter| encoding.text(delimiter)),
        encoding_type: encoding.shown(),
        is_truncated: Some(is_truncated),
        key_marker: Some(encoding.text(key_marker)),
        max_uploads: i32::try_from(most).ok(),
        next_key_marker: is_truncated.then(|| encoding.text(last.0)),
        next_upload_id_marker: is_truncated.then_some(last.1),
        prefix: Some(encoding.text(prefix)),
        upload_id_marker: Some(upload_id_marker),
        uploads: Some(uploads),
        ..Default::default()
    }))
}
