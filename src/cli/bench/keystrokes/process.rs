//! What the system knows of a process.

/// In which the system tells times to programs, whatever its own clock does.
const TICKS_PER_SECOND: f64 = 100.0;

/// Seconds that the process has computed, all threads together. `None` where the system does not tell.
pub fn cpu_seconds(process: u32) -> Option<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name in brackets may hold anything; user and system ticks are the 12th and 13th fields after it.
    let fields: Vec<&str> = status[status.rfind(')')? + 1..].split_whitespace().collect();
    let ticks = fields.get(11)?.parse::<u64>().ok()? + fields.get(12)?.parse::<u64>().ok()?;
    Some(ticks as f64 / TICKS_PER_SECOND)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn computing_is_counted() {
        let before = super::cpu_seconds(std::process::id()).unwrap();
        let started = std::time::Instant::now();
        let mut sum = 0u64;
        while started.elapsed().as_millis() < 300 {
            sum = sum.wrapping_mul(31).wrapping_add(std::hint::black_box(7));
        }
        std::hint::black_box(sum);
        assert!(super::cpu_seconds(std::process::id()).unwrap() > before);
        assert_eq!(super::cpu_seconds(u32::MAX), None);
    }
}
