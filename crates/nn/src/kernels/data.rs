//! The data of tensors in scratch memory.

use std::mem::MaybeUninit;

use burn::tensor::{AllocationProperty, Bytes, DType, TensorData};
use burn_std::{AccessError, AccessPolicy, AllocationController};
use pulp::bytemuck;

use super::scratch::Scratch;

/// The data of a float32 tensor in scratch memory, row-major, which are not copied.
pub fn data<const D: usize>(scratch: Scratch, shape: [usize; D]) -> TensorData {
    let length = size_of_val(scratch.values());
    #[allow(unsafe_code, reason = "Burn has no safe way to take memory that it may write to")]
    // SAFETY: all numbers of scratch memory are initialized, and these are their bytes.
    let bytes = unsafe { Bytes::from_controller(Box::new(Owned(scratch)), length) };
    TensorData::from_bytes(bytes, shape, DType::F32)
}

/// Scratch memory of a tensor, which Burn's operations may write to as well.
struct Owned(Scratch);

impl AllocationController for Owned {
    fn alloc_align(&self) -> usize {
        align_of::<f32>()
    }

    fn property(&self) -> AllocationProperty {
        AllocationProperty::Other
    }

    #[allow(unsafe_code, reason = "the trait has it so")]
    unsafe fn memory_mut(&mut self, _: AccessPolicy) -> Result<&mut [MaybeUninit<u8>], AccessError> {
        let bytes: &mut [u8] = bytemuck::cast_slice_mut(self.0.values_mut());
        // SAFETY: the layouts are the same. The caller promises to write initialized bytes alone.
        Ok(unsafe { std::slice::from_raw_parts_mut(bytes.as_mut_ptr().cast(), bytes.len()) })
    }

    #[allow(unsafe_code, reason = "the standard library has no safe way to forget that memory is initialized")]
    fn memory(&self, _: AccessPolicy) -> Result<&[MaybeUninit<u8>], AccessError> {
        let bytes: &[u8] = bytemuck::cast_slice(self.0.values());
        // SAFETY: the layouts are the same, and nothing is written.
        Ok(unsafe { std::slice::from_raw_parts(bytes.as_ptr().cast(), bytes.len()) })
    }
}
