//! Bodies that are encrypted with a key of the client.
//!
//! A body is cut into chunks of 64 KB. Each is sealed with AES-256-GCM, under a nonce of its number and of whether it is the last one. So
//! a range is read without what lies before it, and no chunk can be changed, moved, dropped or added unnoticed (the construction STREAM of
//! Hoang, Reyhanitabar, Rogaway and Vizár, *Online Authenticated-Encryption and its Nonce-Reuse Misuse-Resistance*, CRYPTO 2015). Each body
//! has a key of its own, derived from the client's and a random salt by HKDF-SHA256 (RFC 5869), so numbers are nonces that never repeat.

use std::io;
use std::ops::Range;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hkdf::{HKDF_SHA256, Salt};
use aws_lc_rs::rand;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Bytes, BytesMut};
use serde::{Deserialize, Serialize};

use super::customer_key::CustomerKey;

/// The bytes of a chunk, but for the last one, which may have fewer.
const CHUNK: u64 = 64 << 10;
/// The bytes that sealing adds to a chunk.
const TAG: u64 = 16;

/// What the journal holds of a key: nothing that it could be found by, but enough to know it again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seal {
    /// 32 random bytes in base64.
    salt: String,
    /// 32 bytes that follow from key and salt, in base64.
    check: String,
}

/// The number of chunks of a body. An empty body has one too, which proves that it is empty.
fn chunks(size: u64) -> u64 {
    size.div_ceil(CHUNK).max(1)
}

/// The bytes that a body of `size` bytes has when it is sealed.
pub(super) fn sealed_size(size: u64) -> u64 {
    size + TAG * chunks(size)
}

/// The sealed bytes that have to be read for a range of a body of `size` bytes.
pub(super) fn sealed_range(size: u64, range: &Range<u64>) -> Range<u64> {
    let last = range.end.saturating_sub(1).max(range.start) / CHUNK;
    range.start / CHUNK * (CHUNK + TAG)..((last + 1) * (CHUNK + TAG)).min(sealed_size(size))
}

fn broken(_: Unspecified) -> io::Error {
    io::Error::other("the cryptographic library fails")
}

fn nonce(number: u64, is_last: bool) -> Nonce {
    let mut nonce = [0; 12];
    nonce[..8].copy_from_slice(&number.to_be_bytes());
    nonce[11] = u8::from(is_last);
    Nonce::assume_unique_for_key(nonce)
}

impl Seal {
    /// A seal for a new body.
    pub(super) fn new(key: &CustomerKey) -> io::Result<Self> {
        let mut salt = [0; 32];
        rand::fill(&mut salt).map_err(broken)?;
        let mut seal = Self { salt: STANDARD.encode(salt), check: String::new() };
        seal.check = STANDARD.encode(seal.derived(key, b"check")?);
        Ok(seal)
    }

    /// 32 bytes that follow from the key and the salt, for one purpose.
    fn derived(&self, key: &CustomerKey, purpose: &[u8]) -> io::Result<[u8; 32]> {
        let salt = STANDARD.decode(&self.salt).map_err(io::Error::other)?;
        let (mut bytes, purpose) = ([0; 32], [purpose]);
        let derived = Salt::new(HKDF_SHA256, &salt).extract(key.bytes());
        derived.expand(&purpose, HKDF_SHA256).and_then(|output| output.fill(&mut bytes)).map_err(broken)?;
        Ok(bytes)
    }

    /// Whether the seal was made with this key.
    pub(super) fn is_of(&self, key: &CustomerKey) -> bool {
        let derived = self.derived(key, b"check").unwrap_or_default();
        STANDARD.decode(&self.check).is_ok_and(|check| verify_slices_are_equal(&check, &derived).is_ok())
    }

    fn cipher(&self, key: &CustomerKey) -> io::Result<LessSafeKey> {
        let bytes = self.derived(key, b"body")?;
        Ok(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &bytes).map_err(broken)?))
    }

    /// Seals the body.
    pub(super) fn sealer(&self, key: &CustomerKey) -> io::Result<Sealer> {
        Ok(Sealer { cipher: self.cipher(key)?, number: 0, chunk: Vec::with_capacity(CHUNK as usize) })
    }

    /// Opens a range of the body, which has `size` bytes, from the [sealed bytes](sealed_range).
    pub(super) fn opener(&self, key: &CustomerKey, size: u64, range: &Range<u64>) -> io::Result<Opener> {
        Ok(Opener {
            cipher: self.cipher(key)?,
            size,
            number: range.start / CHUNK,
            // Less than a chunk.
            skipped: (range.start % CHUNK) as usize,
            left: range.end - range.start,
            sealed: BytesMut::new(),
        })
    }
}

/// Seals a body while it arrives.
pub(super) struct Sealer {
    cipher: LessSafeKey,
    number: u64,
    /// The bytes of the next chunk.
    chunk: Vec<u8>,
}

impl Sealer {
    /// Takes the next bytes. Returns the chunks that are sealed.
    pub(super) fn seal(&mut self, mut bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut sealed = Vec::with_capacity(bytes.len() + CHUNK as usize);
        while !bytes.is_empty() {
            // A full chunk waits for the next byte: it could be the last one.
            if self.chunk.len() == CHUNK as usize {
                self.close(false, &mut sealed)?;
            }
            let (taken, rest) = bytes.split_at(bytes.len().min(CHUNK as usize - self.chunk.len()));
            self.chunk.extend_from_slice(taken);
            bytes = rest;
        }
        Ok(sealed)
    }

    /// The last chunk.
    pub(super) fn finish(mut self) -> io::Result<Vec<u8>> {
        let mut sealed = Vec::new();
        self.close(true, &mut sealed)?;
        Ok(sealed)
    }

    fn close(&mut self, is_last: bool, sealed: &mut Vec<u8>) -> io::Result<()> {
        let nonce = nonce(self.number, is_last);
        let tag = self.cipher.seal_in_place_separate_tag(nonce, Aad::empty(), &mut self.chunk).map_err(broken)?;
        sealed.extend_from_slice(&self.chunk);
        sealed.extend_from_slice(tag.as_ref());
        self.chunk.clear();
        self.number += 1;
        Ok(())
    }
}

/// Opens the chunks of a range while they are read.
pub(super) struct Opener {
    cipher: LessSafeKey,
    /// The bytes of the whole body.
    size: u64,
    /// The number of the next chunk.
    number: u64,
    /// The bytes of the next chunk before the range.
    skipped: usize,
    /// The bytes of the range that are to come.
    left: u64,
    /// The bytes of the next chunk that were read.
    sealed: BytesMut,
}

impl Opener {
    /// Takes the next sealed bytes. Returns what they held.
    ///
    /// # Errors
    /// `InvalidData`: they are not what was sealed.
    pub(super) fn open(&mut self, sealed: &[u8]) -> io::Result<Bytes> {
        self.sealed.extend_from_slice(sealed);
        let mut opened = BytesMut::with_capacity(self.sealed.len());
        while self.number < chunks(self.size) {
            let is_last = self.number + 1 == chunks(self.size);
            let plain = if is_last { self.size - self.number * CHUNK } else { CHUNK };
            // At most a chunk and its tag.
            let length = (plain + TAG) as usize;
            if self.sealed.len() < length {
                break;
            }
            let mut chunk = self.sealed.split_to(length);
            let plain = self.cipher.open_in_place(nonce(self.number, is_last), Aad::empty(), &mut chunk);
            let plain = plain.map_err(|_| {
                io::Error::new(io::ErrorKind::InvalidData, "the disk has other bytes than were encrypted")
            })?;
            let wanted = &plain[self.skipped..];
            let wanted = &wanted[..usize::try_from(self.left).map_or(wanted.len(), |left| left.min(wanted.len()))];
            opened.extend_from_slice(wanted);
            self.left -= wanted.len() as u64;
            self.skipped = 0;
            self.number += 1;
        }
        Ok(opened.freeze())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body(size: u64) -> Vec<u8> {
        (0..size).map(|n| (n % 251) as u8).collect()
    }

    fn sealed(seal: &Seal, key: &CustomerKey, body: &[u8]) -> Vec<u8> {
        let mut sealer = seal.sealer(key).unwrap();
        let mut sealed: Vec<u8> = body.chunks(50_000).flat_map(|bytes| sealer.seal(bytes).unwrap()).collect();
        sealed.extend(sealer.finish().unwrap());
        sealed
    }

    fn opened(seal: &Seal, key: &CustomerKey, size: u64, range: &Range<u64>, sealed: &[u8]) -> io::Result<Vec<u8>> {
        let needed = sealed_range(size, range);
        let mut opener = seal.opener(key, size, range)?;
        let mut opened = Vec::new();
        for bytes in sealed[needed.start as usize..needed.end as usize].chunks(70_000) {
            opened.extend_from_slice(&opener.open(bytes)?);
        }
        Ok(opened)
    }

    #[test]
    fn ranges_of_bodies_of_any_size_are_opened() {
        let key = CustomerKey::of_byte(7);
        for size in [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK, 3 * CHUNK + 5] {
            let (seal, body) = (Seal::new(&key).unwrap(), body(size));
            let sealed = sealed(&seal, &key, &body);
            assert_eq!(sealed.len() as u64, sealed_size(size));
            for range in
                [0..size, 0..1, size / 2..size, CHUNK - 1..CHUNK + 1, CHUNK..2 * CHUNK, size - size.min(1)..size]
            {
                if range.end <= size && range.start <= range.end {
                    let found = opened(&seal, &key, size, &range, &sealed).unwrap();
                    assert!(found == body[range.start as usize..range.end as usize], "{range:?} of {size}");
                }
            }
        }
    }

    #[test]
    fn what_was_changed_moved_or_cut_off_is_not_opened() {
        let key = CustomerKey::of_byte(7);
        let (seal, size) = (Seal::new(&key).unwrap(), 3 * CHUNK);
        let sealed = sealed(&seal, &key, &body(size));
        let chunk = (CHUNK + TAG) as usize;
        let invalid = |size: u64, bytes: &[u8]| {
            let error = opened(&seal, &key, size, &(0..size), bytes).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        };
        for at in [0, chunk - 1, chunk, sealed.len() - 1] {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            invalid(size, &changed);
        }
        invalid(size, &[&sealed[chunk..2 * chunk], &sealed[..chunk], &sealed[2 * chunk..]].concat());
        invalid(2 * CHUNK, &sealed[..2 * chunk]);
        let other = Seal::new(&key).unwrap();
        assert!(opened(&other, &key, size, &(0..size), &sealed).is_err(), "each body has a key of its own");
    }

    #[test]
    fn a_seal_knows_its_key_and_does_not_hold_it() {
        let (key, other) = (CustomerKey::of_byte(7), CustomerKey::of_byte(8));
        let seal = Seal::new(&key).unwrap();
        assert!(seal.is_of(&key) && !seal.is_of(&other));
        let kept = serde_json::to_string(&seal).unwrap();
        assert!(!kept.contains(&STANDARD.encode(key.bytes())) && !kept.contains(key.md5()));
        assert_ne!(Seal::new(&key).unwrap(), seal, "a salt is random");
        assert!(serde_json::from_str::<Seal>(&kept).unwrap().is_of(&key));
    }
}
