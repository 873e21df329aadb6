use memmap2::{MmapMut, MmapRaw};
use pulp::bytemuck;

/// Numbers in memory of their own, zero at first, on huge pages where the system has them. With small pages, the first touch of
/// each would take longer than the computation on it.
#[derive(Debug)]
pub(super) struct HugePages(MmapMut);

impl HugePages {
    /// # Panics
    /// If the system has no memory for `count` numbers.
    pub(super) fn new(count: usize) -> Self {
        let pages = MmapMut::map_anon(count.max(1) * size_of::<f32>()).expect("memory for weights or a feature map");
        // The system may refuse the hint.
        #[cfg(target_os = "linux")]
        drop(pages.advise(memmap2::Advice::HugePage));
        Self(pages)
    }

    /// The same memory without the promise that it has one owner.
    pub(super) fn into_raw(self) -> MmapRaw {
        self.0.into()
    }

    pub(super) fn values(&self) -> &[f32] {
        bytemuck::cast_slice(&self.0)
    }

    pub(super) fn values_mut(&mut self) -> &mut [f32] {
        bytemuck::cast_slice_mut(&mut self.0)
    }
}
