//! The CPU kernels with their own tests, without the rest of the program: small enough to be emulated.

#[path = "../../src/kernels/mod.rs"]
pub mod kernels;

#[cfg(test)]
mod tests {
    use crate::kernels::Kernels;

    #[test]
    fn the_fastest_level_of_the_emulated_cpu_is_chosen() {
        let expected = std::env::var("FORETYPE_EXPECTED_LEVEL").expect("`run` says what the CPU has");
        assert_eq!(Kernels::new(1).name(), expected);
    }
}
