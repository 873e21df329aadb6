use std::fmt;
use std::str::FromStr;

use crate::checkpoint::ElementType;
use crate::sam::Precision;

/// What a network is to compute on, and with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compute {
    /// On what.
    pub device: DeviceChoice,
    /// With what numbers.
    pub precision: Precision,
}

/// Where a network computes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeviceChoice {
    /// On an NVIDIA GPU, if this build can and there is one, else on the CPU.
    #[default]
    Auto,
    /// On the CPU.
    Cpu,
    /// On an NVIDIA GPU.
    Cuda,
}

/// A device that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// The CPU.
    Cpu,
    /// The first NVIDIA GPU.
    #[cfg(feature = "cuda")]
    Cuda,
}

/// Why a choice cannot be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DeviceError {
    /// This build has nothing for NVIDIA GPUs.
    #[error("this build cannot use CUDA: one with --features cuda would, or the device cpu")]
    NotBuilt,
    /// There is no NVIDIA GPU.
    #[error("no CUDA device is found: a machine with an NVIDIA GPU and its driver would work, or the device cpu")]
    Absent,
    /// There is one, but it cannot be used.
    #[error(
        "the CUDA device cannot be used: a driver for CUDA 12.8 or later would be needed, and $CUDA_PATH/nvvm/libdevice, \
         or the device cpu"
    )]
    Unusable,
}

/// A word that names no choice.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{word:?} cannot be had: {choices} would work")]
pub struct UnknownChoice {
    word: String,
    choices: &'static str,
}

impl DeviceChoice {
    /// The device that is chosen.
    ///
    /// # Errors
    /// [`DeviceError`]: it is not there.
    pub fn find(self) -> Result<Device, DeviceError> {
        match self {
            Self::Cpu => Ok(Device::Cpu),
            Self::Cuda => cuda(),
            Self::Auto => Ok(cuda().unwrap_or(Device::Cpu)),
        }
    }
}

#[cfg(feature = "cuda")]
fn cuda() -> Result<Device, DeviceError> {
    use burn::cubecl::config::cache::CacheConfig;
    use burn::cubecl::config::{CubeClRuntimeConfig, RuntimeConfig};
    use burn::tensor::{Device as BurnDevice, DeviceType, Tensor};

    // Compiled kernels, and which of them are fastest, are kept in the user's cache folder for the next start, unless
    // somebody has said otherwise.
    let mut config = CubeClRuntimeConfig::from_current_dir().override_from_env();
    config.compilation.cache = true;
    if matches!(config.environment.path, CacheConfig::Target) {
        config.environment.path = CacheConfig::Global;
    }
    CubeClRuntimeConfig::try_set(config);
    // Asks for the driver first, so this does not need CUDA to be there.
    if BurnDevice::enumerate(DeviceType::Cuda).is_empty() {
        return Err(DeviceError::Absent);
    }
    // Kernels are compiled when they first run, and what that lacks is told by a panic.
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
    /// The memory of the device's own that this process holds, in bytes.
    pub(crate) fn memory(self) -> Option<u64> {
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

    pub(crate) fn burn(self) -> burn::tensor::Device {
        match self {
            Self::Cpu => burn::tensor::Device::flex(),
            #[cfg(feature = "cuda")]
            Self::Cuda => burn::tensor::Device::cuda(0),
        }
    }
}

/// Whether a device of Burn's is a GPU.
#[cfg(feature = "cuda")]
pub(crate) fn is_gpu(device: &burn::tensor::Device) -> bool {
    *device == burn::tensor::Device::cuda(0)
}

#[cfg(not(feature = "cuda"))]
pub(crate) fn is_gpu(_: &burn::tensor::Device) -> bool {
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
            _ => Err(UnknownChoice { word: word.to_owned(), choices: "auto, cpu or cuda" }),
        }
    }
}

impl FromStr for ElementType {
    type Err = UnknownChoice;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "float32" => Ok(Self::Float32),
            "float16" => Ok(Self::Float16),
            "bfloat16" => Ok(Self::BFloat16),
            _ => Err(UnknownChoice { word: word.to_owned(), choices: "float32, float16 or bfloat16" }),
        }
    }
}

impl FromStr for Precision {
    type Err = UnknownChoice;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "float32" => Ok(Self::Float32),
            "bfloat16" => Ok(Self::BFloat16),
            _ => Err(UnknownChoice { word: word.to_owned(), choices: "float32 or bfloat16" }),
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
        assert!(DeviceChoice::Auto.find().is_ok());
    }
}
