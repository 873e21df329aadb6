// The AWS SDK for JavaScript: uploads in parts, streams, pages, copies, presigned URLs and forms, conditions, keys of the client.

import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { Readable } from 'node:stream';

import {
    CopyObjectCommand, CreateBucketCommand, DeleteBucketCommand, DeleteObjectsCommand, GetObjectAttributesCommand, GetObjectCommand,
    HeadObjectCommand, PutObjectCommand, S3Client, paginateListObjectsV2, waitUntilObjectExists,
} from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import { createPresignedPost } from '@aws-sdk/s3-presigned-post';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';

const s3 = new S3Client({ forcePathStyle: true });
const Bucket = 'files';
const send = (Command, input) => s3.send(new Command({ Bucket, ...input }));
const text = async (input) => (await send(GetObjectCommand, input)).Body.transformToString();
const refused = (promise, status) => assert.rejects(promise, (error) => error.$metadata?.httpStatusCode === status);
await send(CreateBucketCommand, {});

// Names, types and metadata.
const Key = 'deep/größe 日本 +&.txt';
await send(PutObjectCommand, { Key, Body: 'hello', ContentType: 'text/plain; charset=utf-8', Metadata: { owner: 'ada' } });
await waitUntilObjectExists({ client: s3, minDelay: 1, maxWaitTime: 10 }, { Bucket, Key });
const head = await send(HeadObjectCommand, { Key });
assert.deepEqual([head.ContentType, head.Metadata], ['text/plain; charset=utf-8', { owner: 'ada' }]);
assert.equal(await text({ Key, Range: 'bytes=1-3' }), 'ell');

// In parts, from a stream of unknown length. Created once.
const large = randomBytes(12 << 20);
const upload = (input) => new Upload({ client: s3, partSize: 5 << 20, params: { Bucket, Body: Readable.from([large]), ...input } }).done();
const made = await upload({ Key: 'large', IfNoneMatch: '*', ChecksumAlgorithm: 'SHA256' });
assert.match(made.Location, /^http:.*\/files\/large$/);
await refused(upload({ Key: 'large', IfNoneMatch: '*' }), 412);
const read = await send(GetObjectCommand, { Key: 'large', ChecksumMode: 'ENABLED' });
assert.ok(Buffer.from(await read.Body.transformToByteArray()).equals(large));
const attributes = await send(GetObjectAttributesCommand, { Key: 'large', ObjectAttributes: ['ObjectParts', 'ObjectSize'] });
assert.deepEqual([attributes.ObjectSize, attributes.ObjectParts.TotalPartsCount], [large.length, 3]);

// A copy, its conditions, and pages.
const CopySource = encodeURIComponent(`${Bucket}/${Key}`);
await send(CopyObjectCommand, { Key: 'copy', CopySource, CopySourceIfMatch: head.ETag });
await refused(send(CopyObjectCommand, { Key: 'copy', CopySource, CopySourceIfMatch: '"other"' }), 412);
await refused(send(GetObjectCommand, { Key: 'copy', IfNoneMatch: head.ETag }), 304);
const keys = [];
for await (const page of paginateListObjectsV2({ client: s3, pageSize: 2 }, { Bucket })) {
    keys.push(...page.Contents.map((object) => object.Key));
}
assert.deepEqual(keys, ['copy', Key, 'large']);

// Presigned URLs are for one operation.
const get = await getSignedUrl(s3, new GetObjectCommand({ Bucket, Key }), { expiresIn: 60 });
assert.equal(await (await fetch(get)).text(), 'hello');
assert.equal((await fetch(get, { method: 'PUT', body: 'x' })).status, 403);
const put = await getSignedUrl(s3, new PutObjectCommand({ Bucket, Key: 'signed', ContentType: 'image/png' }), { expiresIn: 60 });
assert.equal((await fetch(put, { method: 'PUT', body: 'x', headers: { 'content-type': 'image/png' } })).status, 200);
const { url, fields } = await createPresignedPost(s3, { Bucket, Key: 'form/${filename}', Conditions: [['content-length-range', 1, 5]] });
const post = (body) => {
    const form = new FormData();
    Object.entries(fields).forEach(([name, value]) => form.append(name, value));
    form.append('file', new Blob([body]), 'f.txt');
    return fetch(url, { method: 'POST', body: form });
};
assert.deepEqual([(await post('hello')).status, (await post('too long')).status], [204, 400]);
assert.equal(await text({ Key: 'form/f.txt' }), 'hello');

// A key of the client, also in parts.
const customerKey = (bytes) => ({
    SSECustomerAlgorithm: 'AES256', SSECustomerKey: bytes.toString('base64'), SSECustomerKeyMD5: createHash('md5').update(bytes).digest('base64'),
});
const [sealed, other] = [customerKey(randomBytes(32)), customerKey(randomBytes(32))];
await upload({ Key: 'sealed', ...sealed });
assert.ok(Buffer.from(await (await send(GetObjectCommand, { Key: 'sealed', ...sealed })).Body.transformToByteArray()).equals(large));
await refused(send(GetObjectCommand, { Key: 'sealed' }), 400);
await refused(send(GetObjectCommand, { Key: 'sealed', ...other }), 403);

const all = ['copy', Key, 'large', 'signed', 'form/f.txt', 'sealed'].map((key) => ({ Key: key }));
const deleted = await send(DeleteObjectsCommand, { Delete: { Objects: all } });
assert.equal(deleted.Deleted.length, all.length);
await send(DeleteBucketCommand, {});
