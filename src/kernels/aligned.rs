//! Buffers on the boundaries of cache lines.

/// A buffer on 64-byte boundaries.
#[derive(Default)]
pub(super) struct AlignedBytes(Vec<CacheLine>);

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct CacheLine([u8; 64]);

impl AsRef<[u8]> for AlignedBytes {
    fn as_ref(&self) -> &[u8] {
        self.as_slice()
    }
}

impl AlignedBytes {
    /// `bytes` zeros, rounded up to whole cache lines.
    pub(super) fn zeroed(bytes: usize) -> Self {
        let mut buffer = AlignedBytes::default();
        buffer.grow(bytes);
        buffer
    }

    /// Makes room for at least `bytes` bytes; keeps what is there.
    pub(super) fn grow(&mut self, bytes: usize) {
        if bytes > self.len() {
            self.0.resize(bytes.div_ceil(64), CacheLine([0; 64]));
        }
    }

    pub(super) fn len(&self) -> usize {
        self.0.len() * 64
    }

    pub(super) fn as_ptr(&self) -> *const u8 {
        self.0.as_ptr().cast()
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut u8 {
        self.0.as_mut_ptr().cast()
    }

    pub(super) fn as_mut_slice(&mut self) -> &mut [u8] {
        // SAFETY: as in `as_slice`; any byte is a valid byte.
        unsafe { std::slice::from_raw_parts_mut(self.as_mut_ptr(), self.len()) }
    }

    pub(super) fn as_floats_mut(&mut self) -> &mut [f32] {
        // SAFETY: the lines are aligned for floats, and any four bytes are a float.
        unsafe { std::slice::from_raw_parts_mut(self.as_mut_ptr().cast(), self.len() / size_of::<f32>()) }
    }

    pub(super) fn as_slice(&self) -> &[u8] {
        // SAFETY: the vector's lines are plain bytes, without padding.
        unsafe { std::slice::from_raw_parts(self.as_ptr(), self.len()) }
    }
}
