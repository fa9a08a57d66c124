//! Any file as a model: whatever stands in it, it is refused or works; it never panics or takes much memory.
#![no_main]

use std::error::Error;
use std::path::Path;
use std::sync::LazyLock;

use arbitrary::Arbitrary;
use candle_core::quantized::GgmlDType;
use foretype::engine::tokenizer::Tokenizer;
use foretype::interrupt::Interrupt;
use foretype::kernels::Kernels;
use foretype::model::decoder::Decoder;
use foretype::model::families::Shape;
use foretype::model::gguf::GgufFile;
use foretype::model::ops::Ops;
use foretype::model::weights::Weights;
use foretype::model::{Network, Wanted};
use libfuzzer_sys::fuzz_target;
use tiny_model::Tiny;

#[path = "../../tests/common/tiny_model.rs"]
#[allow(dead_code)]
mod tiny_model;

/// A whole model of a few kilobytes.
static WHOLE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let tiny = Tiny {
        layers: 1,
        width: 32,
        heads: 2,
        kv_heads: 1,
        ffn: 32,
        dtype: GgmlDType::Q4_0,
        tied: true,
        ..Tiny::default()
    };
    let file = tempfile::NamedTempFile::new().unwrap();
    tiny.write(file.path());
    std::fs::read(file.path()).unwrap()
});

#[derive(Arbitrary, Debug)]
enum Input {
    Bytes(Vec<u8>),
    /// The whole model with some bytes overwritten and its end cut off.
    Damaged {
        edits: Vec<(u16, Vec<u8>)>,
        cut: u16,
    },
}

fuzz_target!(|input: Input| {
    let bytes = match input {
        Input::Bytes(bytes) => bytes,
        Input::Damaged { edits, cut } => {
            let mut bytes = WHOLE.clone();
            for (offset, edit) in edits {
                let rest = bytes.get_mut(usize::from(offset)..).unwrap_or_default();
                rest.iter_mut().zip(edit).for_each(|(byte, new)| *byte = new);
            }
            bytes.truncate(bytes.len() - usize::from(cut) % bytes.len());
            bytes
        }
    };
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let _ = load(file.path());
});

/// Reads a file as the program does, and a few tokens.
fn load(path: &Path) -> Result<(), Box<dyn Error>> {
    let file = GgufFile::open(path)?;
    let shape = Shape::of_gguf(&file)?;
    Tokenizer::from_gguf(&file)?.encode("fn main() {}\n");
    let ops = Ops::Kernels(Kernels::new(1));
    let mut decoder = Decoder::load(&Weights::Gguf(file), shape, ops, 16, &mut |_| ())?;
    decoder.extend(&[1, 2, 3], Wanted::Likeliest, &Interrupt::new()).map_err(|_| "stopped")?;
    Ok(())
}
