use memmap2::MmapMut;
use pulp::bytemuck;

/// Many numbers, zero at first, on large pages where the system has them: there the first touch of every small page would take
/// longer than the work on it.
#[derive(Debug)]
pub(super) struct Pages(MmapMut);

impl Pages {
    /// # Panics
    /// If there is no memory for so many numbers.
    pub(super) fn new(count: usize) -> Self {
        let pages = MmapMut::map_anon(count.max(1) * size_of::<f32>()).expect("memory for weights or a feature map");
        // A hint that may be refused.
        #[cfg(target_os = "linux")]
        drop(pages.advise(memmap2::Advice::HugePage));
        Self(pages)
    }

    pub(super) fn values(&self) -> &[f32] {
        bytemuck::cast_slice(&self.0)
    }

    pub(super) fn values_mut(&mut self) -> &mut [f32] {
        bytemuck::cast_slice_mut(&mut self.0)
    }
}
