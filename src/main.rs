//! The `foretype` program, and the default model's weights that it carries in itself.

/// Here and not in the library, so that only the program is as large as they are.
#[cfg(embedded_weights)]
static WEIGHTS: &[u8] = include_bytes!("../models/foretype-135m.gguf");

fn main() -> std::process::ExitCode {
    #[cfg(embedded_weights)]
    foretype::model::embedded::register(WEIGHTS);
    foretype::cli::main()
}
