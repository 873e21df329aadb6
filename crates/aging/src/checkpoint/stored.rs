use std::fmt;
use std::io;
use std::sync::Arc;

use burn::tensor::{AllocationProperty, Bytes};
use half::slice::{HalfBitsSliceExt, HalfFloatSliceExt};
use half::{bf16, f16};
use safetensors::Dtype;

use super::mapped::Mapped;

/// Halves that are converted at a time.
const CHUNK: usize = 4096;

/// A tensor of a checkpoint: what it is, and where its values are.
#[derive(Clone, Debug)]
pub struct StoredTensor {
    dtype: Dtype,
    shape: Vec<usize>,
    values: Values,
}

/// Where a tensor's values are; in row-major order all of them.
#[derive(Clone)]
pub(super) enum Values {
    /// Little-endian in a mapped file.
    Mapped(Mapped),
    /// In a PyTorch file.
    Pickled(pytorch_reader::Tensor),
    /// Nowhere yet.
    Computed(Arc<dyn Fn() -> Vec<f32> + Send + Sync>),
}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Mapped(_) => "Mapped",
            Self::Pickled(_) => "Pickled",
            Self::Computed(_) => "Computed",
        })
    }
}

impl StoredTensor {
    pub(super) fn new(dtype: Dtype, shape: Vec<usize>, values: Values) -> Self {
        Self { dtype, shape, values }
    }

    /// A float32 tensor whose values a function computes.
    pub(crate) fn computed(shape: Vec<usize>, values: impl Fn() -> Vec<f32> + Send + Sync + 'static) -> Self {
        Self::new(Dtype::F32, shape, Values::Computed(Arc::new(values)))
    }

    /// What its elements are.
    pub fn dtype(&self) -> Dtype {
        self.dtype
    }

    /// Its extents, outermost first.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The number of its elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// What its values take in a file, in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes_of(self.dtype)
    }

    /// What its values would take with other elements, in bytes.
    pub(super) fn bytes_of(&self, dtype: Dtype) -> u64 {
        (self.elements() as u64).saturating_mul(dtype.bitsize() as u64) / 8
    }

    /// Whether its elements are floating-point numbers that [`floats`](Self::floats) knows.
    pub fn is_float(&self) -> bool {
        matches!(self.dtype, Dtype::F16 | Dtype::BF16 | Dtype::F32 | Dtype::F64)
    }

    /// Its values are not needed any more, for the time being.
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
        })
    }

    /// Its values as float32; those of a mapped file stay where they are, if they are that already.
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
