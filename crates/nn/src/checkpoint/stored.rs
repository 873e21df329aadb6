use std::fmt;
use std::io;
use std::sync::Arc;

use burn::tensor::{AllocationProperty, Bytes};
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use half::{bf16, f16};
use safetensors::Dtype;

use super::mapped::Mapped;

/// 16-bit numbers that are converted at once.
const CHUNK: usize = 4096;

/// A tensor of a checkpoint: its type, its shape and the place of its values.
#[derive(Clone, Debug)]
pub struct StoredTensor {
    dtype: Dtype,
    shape: Vec<usize>,
    values: Values,
}

/// The place of a tensor's values. All are in row-major order.
#[derive(Clone)]
pub(super) enum Values {
    /// Little-endian in a mapped file.
    Mapped(Mapped),
    /// In a PyTorch file.
    Pickled(pytorch_reader::Tensor),
    /// Computed at every read.
    Computed(Arc<dyn Fn() -> Vec<f32> + Send + Sync>),
    /// Another tensor's, with the dimensions in this order.
    Permuted(Arc<StoredTensor>, Vec<usize>),
}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mapped(_) => "Mapped",
            Self::Pickled(_) => "Pickled",
            Self::Computed(_) => "Computed",
            Self::Permuted(..) => "Permuted",
        })
    }
}

impl StoredTensor {
    pub(super) fn new(dtype: Dtype, shape: Vec<usize>, values: Values) -> Self {
        Self { dtype, shape, values }
    }

    /// A float32 tensor whose values a function computes, in row-major order.
    pub fn computed(shape: Vec<usize>, values: impl Fn() -> Vec<f32> + Send + Sync + 'static) -> Self {
        Self::new(Dtype::F32, shape, Values::Computed(Arc::new(values)))
    }

    /// The same with other dimensions outermost: dimension `index` is `order[index]` of this tensor. Its values are rearranged at every
    /// read.
    ///
    /// # Panics
    /// If `order` is no permutation of the dimensions, or elements are smaller than a byte.
    #[must_use]
    pub fn permuted(&self, order: &[usize]) -> Self {
        assert!((0..self.shape.len()).all(|dimension| order.contains(&dimension)) && order.len() == self.shape.len());
        assert!(self.dtype.bitsize() >= 8, "elements of whole bytes");
        let shape = order.iter().map(|dimension| self.shape[*dimension]).collect();
        Self::new(self.dtype, shape, Values::Permuted(Arc::new(self.clone()), order.to_vec()))
    }

    /// The type of its elements.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Its shape, outermost extent first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The number of its elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// The size of its values in the file, in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes_of(self.dtype)
    }

    /// The size of its values with elements of another type, in bytes.
    pub(super) fn bytes_of(&self, dtype: Dtype) -> u64 {
        (self.elements() as u64).saturating_mul(dtype.bitsize() as u64) / 8
    }

    /// Whether its elements are floating-point numbers of 16, 32 or 64 bits.
    pub fn is_float(&self) -> bool {
        matches!(self.dtype, Dtype::F16 | Dtype::BF16 | Dtype::F32 | Dtype::F64)
    }

    /// Releases the memory of its values until the next read.
    pub(crate) fn release(&self) {
        if let Values::Mapped(mapped) = &self.values {
            mapped.release();
        }
    }

    /// Its values as they are stored: little-endian, row-major.
    pub(crate) fn raw(&self) -> io::Result<bytes::Bytes> {
        Ok(match &self.values {
            Values::Mapped(mapped) => mapped.bytes.clone(),
            Values::Pickled(tensor) => tensor.read()?.into(),
            Values::Computed(values) => values().into_iter().flat_map(f32::to_le_bytes).collect::<Vec<u8>>().into(),
            Values::Permuted(tensor, order) => permute(&tensor.raw()?, self.dtype.bitsize() / 8, &tensor.shape, order),
        })
    }

    /// Its values as float32. Those of a mapped float32 tensor are not copied.
    pub(crate) fn floats(&self) -> io::Result<Bytes> {
        if let Values::Computed(values) = &self.values {
            return Ok(Bytes::from_elems(values()));
        }
        let raw = self.raw()?;
        if self.dtype == Dtype::F32 && raw.as_ptr().cast::<f32>().is_aligned() {
            return Ok(Bytes::from_shared(raw, AllocationProperty::File));
        }
        Ok(Bytes::from_elems(match self.dtype {
            Dtype::F16 => halves(&raw, |bits, out| bits.reinterpret_cast::<f16>().convert_to_f32_slice(out)),
            Dtype::BF16 => halves(&raw, |bits, out| bits.reinterpret_cast::<bf16>().convert_to_f32_slice(out)),
            Dtype::F64 => raw.as_chunks().0.iter().map(|bytes| f64::from_le_bytes(*bytes) as f32).collect(),
            _ => raw.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)).collect(),
        }))
    }
}

/// Elements of `bytes` bytes each, row-major of this shape, with the dimensions in another order.
fn permute(raw: &[u8], bytes: usize, shape: &[usize], order: &[usize]) -> bytes::Bytes {
    // The distance of neighbours along each dimension.
    let mut strides = vec![1; shape.len()];
    for dimension in (1..shape.len()).rev() {
        strides[dimension - 1] = strides[dimension] * shape[dimension];
    }
    let mut permuted = Vec::with_capacity(raw.len());
    let mut place = vec![0; shape.len()];
    for _ in 0..raw.len() / bytes {
        let index: usize = place.iter().zip(order).map(|(place, dimension)| place * strides[*dimension]).sum();
        permuted.extend_from_slice(&raw[index * bytes..][..bytes]);
        for (place, dimension) in place.iter_mut().zip(order).rev() {
            *place += 1;
            if *place < shape[*dimension] {
                break;
            }
            *place = 0;
        }
    }
    permuted.into()
}

fn halves(raw: &[u8], convert: impl Fn(&[u16], &mut [f32])) -> Vec<f32> {
    let pairs = raw.as_chunks().0;
    let mut floats = vec![0.0; pairs.len()];
    let mut bits = [0; CHUNK];
    for (pairs, out) in pairs.chunks(CHUNK).zip(floats.chunks_mut(CHUNK)) {
        let bits = &mut bits[..pairs.len()];
        bits.iter_mut().zip(pairs).for_each(|(bits, pair)| *bits = u16::from_le_bytes(*pair));
        convert(bits, out);
    }
    floats
}
