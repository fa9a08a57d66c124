//! Errors as users read them: one line.

/// An error with all its causes, on one line. Libraries append backtraces when RUST_BACKTRACE is set; they are left out.
pub fn one_line(error: &anyhow::Error) -> String {
    let causes =
        error.chain().map(|cause| cause.to_string().lines().next().unwrap_or_default().trim().to_owned());
    let mut parts: Vec<String> = Vec::new();
    for cause in causes.filter(|cause| !cause.is_empty()) {
        // Some libraries repeat their cause in their own message.
        if !parts.last().is_some_and(|last| last.contains(&cause)) {
            parts.push(cause);
        }
    }
    parts.join(": ")
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    #[test]
    fn causes_stand_on_one_line_without_what_follows() {
        let error = anyhow!("deep\n   0: backtrace").context("middle").context("cannot read a");
        assert_eq!(super::one_line(&error), "cannot read a: middle: deep");
    }
}
