//! The device and the precision that a network computes with.

use std::fmt;
use std::str::FromStr;

use burn::backend::ExecutionError;

/// The device and the precision of a network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compute {
    /// The device.
    pub device: DeviceChoice,
    /// The type of the numbers.
    pub precision: Precision,
}

/// The type of the numbers that a network computes with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Precision {
    /// 32 bits.
    #[default]
    Float32,
    /// 16 bits, of which 8 are the exponent's: half the memory once loaded, and faster on GPUs with units for it.
    BFloat16,
}

/// The choice of a device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// An NVIDIA GPU, if this build supports one and the machine has one, else the CPU.
    #[default]
    Auto,
    /// The CPU.
    Cpu,
    /// An NVIDIA GPU.
    Cuda,
}

/// A device that exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// The CPU.
    Cpu,
    /// The first NVIDIA GPU.
    #[cfg(feature = "cuda")]
    Cuda,
}

/// Why a device cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// This build does not support NVIDIA GPUs.
    #[error("this build cannot use CUDA: one with --features cuda would, or the device cpu")]
    NotBuilt,
    /// The machine has no NVIDIA GPU.
    #[error("no CUDA device is found: a machine with an NVIDIA GPU and its driver would work, or the device cpu")]
    Absent,
    /// The NVIDIA GPU cannot run kernels.
    #[error(
        "the CUDA device cannot be used: a driver for CUDA 12.8 or later would be needed, and $CUDA_PATH/nvvm/libdevice, \
         or the device cpu"
    )]
    Unusable,
}

/// A word that is none of the choices.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{word:?} cannot be had: {choices} would work")]
pub struct UnknownChoice {
    word: String,
    choices: &'static str,
}

impl UnknownChoice {
    pub(crate) fn new(word: &str, choices: &'static str) -> Self {
        Self { word: word.to_owned(), choices }
    }
}

impl DeviceChoice {
    /// The chosen device.
    ///
    /// # Errors
    /// [`DeviceError`]: it cannot be used.
    pub fn find(self) -> Result<Device, DeviceError> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Cuda => cuda(),
            Self::Auto => Ok(cuda().unwrap_or(Device::Cpu)),
        }
    }

    /// Whether the chosen device is the CPU.
    pub fn is_cpu(self) -> bool {
        self.find() == Ok(Device::Cpu)
    }
}

#[cfg(feature = "cuda")]
fn cuda() -> Result<Device, DeviceError> {
    use burn::cubecl::config::cache::CacheConfig;
    use burn::cubecl::config::{CubeClRuntimeConfig, RuntimeConfig};
    use burn::tensor::{Device as BurnDevice, DeviceType, Tensor};

    // Compiled kernels, and the choice of the fastest ones, are kept in the user's cache folder for the next start, unless the
    // environment says otherwise.
    let mut config = CubeClRuntimeConfig::from_current_dir().override_from_env();
    config.compilation.cache = true;
    if matches!(config.environment.path, CacheConfig::Target) {
        config.environment.path = CacheConfig::Global;
    }
    CubeClRuntimeConfig::try_set(config);
    // This asks for the driver first, and works on machines without CUDA.
    if BurnDevice::enumerate(DeviceType::Cuda).is_empty() {
        return Err(DeviceError::Absent);
    }
    // Kernels are compiled at their first run. A missing part of CUDA causes a panic there.
    let try_it = || (Tensor::<1>::ones([1], &BurnDevice::cuda(0)) + 1.0).try_into_data().is_ok();
    match std::panic::catch_unwind(try_it) {
        Ok(true) => Ok(Device::Cuda),
        _ => Err(DeviceError::Unusable),
    }
}

#[cfg(not(feature = "cuda"))]
fn cuda() -> Result<Device, DeviceError> {
    Err(DeviceError::NotBuilt)
}

impl Device {
    /// The memory of a GPU that this process holds, in bytes; `None` for the CPU.
    pub fn memory(self) -> Option<u64> {
        match self {
            Self::Cpu => None,
            #[cfg(feature = "cuda")]
            Self::Cuda => {
                use burn::cubecl::{Device, MemoryScope};
                let client = Device::Cuda(burn::backend::cuda::CudaDevice::default()).client();
                Some(client.memory_report(MemoryScope::Device).usage().bytes_reserved)
            }
        }
    }

    /// Burn's name for the device.
    pub fn burn(self) -> burn::tensor::Device {
        match self {
            Self::Cpu => burn::tensor::Device::flex(),
            #[cfg(feature = "cuda")]
            Self::Cuda => burn::tensor::Device::cuda(0),
        }
    }

    /// Waits until the device has done all its work.
    ///
    /// # Errors
    /// [`ExecutionError`]: the device failed.
    pub fn sync(self) -> Result<(), ExecutionError> {
        self.burn().sync()
    }
}

/// Whether one of Burn's devices is a GPU.
#[cfg(feature = "cuda")]
pub fn is_gpu(device: &burn::tensor::Device) -> bool {
    *device == burn::tensor::Device::cuda(0)
}

/// Whether one of Burn's devices is a GPU.
#[cfg(not(feature = "cuda"))]
pub fn is_gpu(_: &burn::tensor::Device) -> bool {
    false
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cpu => "cpu",
            #[cfg(feature = "cuda")]
            Self::Cuda => "cuda",
        })
    }
}

impl FromStr for DeviceChoice {
    type Err = UnknownChoice;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "auto" => Ok(Self::Auto),
            "cpu" => Ok(Self::Cpu),
            "cuda" => Ok(Self::Cuda),
            _ => Err(UnknownChoice::new(word, "auto, cpu or cuda")),
        }
    }
}

impl FromStr for Precision {
    type Err = UnknownChoice;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "float32" => Ok(Self::Float32),
            "bfloat16" => Ok(Self::BFloat16),
            _ => Err(UnknownChoice::new(word, "float32 or bfloat16")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_what_they_choose() {
        assert_eq!("cuda".parse(), Ok(DeviceChoice::Cuda));
        assert_eq!("bfloat16".parse(), Ok(Precision::BFloat16));
        let error = "gpu".parse::<DeviceChoice>().unwrap_err();
        assert_eq!(error.to_string(), "\"gpu\" cannot be had: auto, cpu or cuda would work");
        assert!("half".parse::<Precision>().is_err());
    }

    #[test]
    fn the_cpu_is_always_there() {
        assert_eq!(DeviceChoice::Cpu.find(), Ok(Device::Cpu));
        assert!(DeviceChoice::Cpu.is_cpu());
        assert!(DeviceChoice::Auto.find().is_ok());
    }
}
