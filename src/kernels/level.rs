//! Which instructions the CPU has: found once at run time, or forced by `FORETYPE_KERNELS`.

use std::sync::OnceLock;

/// An instruction level, from the fastest to the one that runs everywhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// AVX-512 with the dot products of VNNI.
    Avx512Vnni,
    /// AVX2 with FMA and F16C, and the dot products of AVX-VNNI.
    AvxVnni,
    /// AVX2 with FMA and F16C.
    Avx2,
    /// NEON with the dot products and the matrix products of I8MM.
    NeonI8mm,
    /// NEON with the dot products.
    NeonDotProd,
    /// NEON.
    Neon,
    /// Plain Rust.
    Scalar,
}

/// The environment variable that forces a level.
pub const LEVEL_VARIABLE: &str = "FORETYPE_KERNELS";

impl Level {
    /// Every level, the fastest first.
    pub const ALL: [Level; 7] = [
        Level::Avx512Vnni,
        Level::AvxVnni,
        Level::Avx2,
        Level::NeonI8mm,
        Level::NeonDotProd,
        Level::Neon,
        Level::Scalar,
    ];

    /// The name, as `FORETYPE_KERNELS` takes it.
    pub fn name(self) -> &'static str {
        match self {
            Level::Avx512Vnni => "avx512vnni",
            Level::AvxVnni => "avxvnni",
            Level::Avx2 => "avx2",
            Level::NeonI8mm => "i8mm",
            Level::NeonDotProd => "dotprod",
            Level::Neon => "neon",
            Level::Scalar => "scalar",
        }
    }

    /// Whether this CPU has the level's instructions.
    pub fn is_available(self) -> bool {
        match self {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512Vnni => super::avx512::is_available(),
            #[cfg(target_arch = "x86_64")]
            Level::AvxVnni => super::avx2::is_vnni_available(),
            #[cfg(target_arch = "x86_64")]
            Level::Avx2 => super::avx2::is_available(),
            #[cfg(target_arch = "aarch64")]
            Level::NeonI8mm => super::neon::has_matrix_products(),
            #[cfg(target_arch = "aarch64")]
            Level::NeonDotProd => super::neon::has_dot_products(),
            #[cfg(target_arch = "aarch64")]
            Level::Neon => super::neon::is_available(),
            Level::Scalar => true,
            // Another architecture's.
            _ => false,
        }
    }

    /// How many bytes ahead weights are best asked for in products with one token and with several; zero: not at all.
    /// Measured (docs/kernels.md): with AVX-512, AMD's CPUs foresee a stream that is read as fast as it comes, and requests
    /// beside it delay it.
    pub(super) fn bytes_ahead(self) -> [usize; 2] {
        match self {
            #[cfg(target_arch = "x86_64")]
            Level::Avx512Vnni if super::avx512::is_amd() => [0, 2 << 10],
            _ => [4 << 10; 2],
        }
    }

    /// The fastest that the CPU has.
    pub fn fastest() -> Level {
        Level::ALL.into_iter().find(|level| level.is_available()).unwrap_or(Level::Scalar)
    }

    /// The level that `FORETYPE_KERNELS` names, else the fastest that the CPU has.
    pub(super) fn choose() -> Level {
        static CHOSEN: OnceLock<Level> = OnceLock::new();
        *CHOSEN.get_or_init(Level::wanted)
    }

    fn wanted() -> Level {
        let fastest = Level::fastest();
        match std::env::var(LEVEL_VARIABLE) {
            Ok(wanted) => Level::named(&wanted).unwrap_or_else(|| {
                let choices: Vec<&str> =
                    Level::ALL.into_iter().filter(|level| level.is_available()).map(Level::name).collect();
                tracing::warn!(
                    "{LEVEL_VARIABLE}={wanted} is not available here; using {} (choices: {})",
                    fastest.name(),
                    choices.join(", ")
                );
                fastest
            }),
            Err(_) => fastest,
        }
    }

    /// The level of this name, where the CPU has it.
    fn named(name: &str) -> Option<Level> {
        Level::ALL.into_iter().find(|level| level.name() == name.trim() && level.is_available())
    }
}

#[cfg(test)]
mod tests {
    use super::Level;

    #[test]
    fn scalar_is_everywhere_and_names_are_exact() {
        assert_eq!(Level::named("scalar"), Some(Level::Scalar));
        assert_eq!(Level::named(" scalar "), Some(Level::Scalar));
        assert_eq!(Level::named("sse9"), None);
        assert_eq!(Level::named(""), None);
    }
}
