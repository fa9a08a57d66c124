//! The `foretype` program.

fn main() -> std::process::ExitCode {
    foretype::cli::main()
}
