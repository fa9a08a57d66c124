//! A model's files to a running engine: which device, which threads, which tokenizer.

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, anyhow, bail};
use candle_core::Device;
use etcetera::BaseStrategy;

use crate::config::DeviceChoice;
use crate::engine::tokenizer::Tokenizer;
use crate::engine::{Engine, default_threads};
use crate::interrupt::Interrupt;
use crate::kernels::Kernels;
use crate::model::decoder::Decoder;
use crate::model::families::Shape;
use crate::model::gguf::GgufFile;
use crate::model::ops::Ops;
use crate::model::safetensors::SafetensorsFiles;
use crate::model::source::WeightsSource;
use crate::model::store::ModelFiles;
use crate::model::weights::Weights;

/// Most tokens that prompt and answer may have together: 47 MB of cache for the default model.
const CAPACITY: usize = 2048;

impl Engine {
    /// Load a model; `progress` goes from 0 to 1. How fast it reads is not known yet: see [`Engine::measure`].
    ///
    /// # Errors
    /// When a file is missing or broken, the family has no decoder, or the device is not there.
    pub fn load(
        files: &ModelFiles,
        device: DeviceChoice,
        threads: Option<usize>,
        progress: &mut dyn FnMut(f32),
    ) -> anyhow::Result<Self> {
        let ops = choose_ops(device, threads)?;
        let (threads, is_cpu) = match &ops {
            Ops::Kernels(kernels) => (kernels.threads(), true),
            Ops::Candle(_) => (1, false),
        };
        let (weights, mut shape) = open(files)?;
        shape.kv_cache = files.manifest.kv_cache;
        let folder = packed_folder();
        // Neither needs the other.
        let (tokenizer, decoder) = std::thread::scope(|scope| {
            let tokenizer = scope.spawn(|| tokenizer(files, &weights));
            let decoder = Decoder::load_packed(&weights, shape, ops, CAPACITY, folder.as_deref(), progress);
            (tokenizer.join(), decoder)
        });
        let tokenizer = tokenizer.map_err(|_| anyhow!("the tokenizer cannot be made"))??;
        let mut engine = Self::with_network(Box::new(decoder?), tokenizer, files.manifest.clone());
        engine.threads = threads;
        if !is_cpu {
            // A device prepares much at its first pass.
            engine.follow(&[0], 1)?;
            engine.forget();
        }
        Ok(engine)
    }

    /// Run a little text through the model, so that its speed is known when a prompt is cut to what can be read in time: short,
    /// because a first request may wait for it.
    ///
    /// # Errors
    /// When the network fails.
    pub fn measure(&mut self) -> anyhow::Result<()> {
        const TOKENS: usize = 16;
        let text = self.tokenize("fn main() {\n    let mut values = Vec::new();\n    for index in 0..10 {\n");
        let text = &text[..text.len().min(TOKENS)];
        let started = Instant::now();
        self.read(text, &Interrupt::new())?;
        self.reading = text.len() as f64 / started.elapsed().as_secs_f64();
        self.ledger.forget();
        Ok(())
    }
}

/// Where packed weights are kept between starts.
fn packed_folder() -> Option<PathBuf> {
    etcetera::choose_base_strategy().ok().map(|folders| folders.cache_dir().join("foretype").join("packed"))
}

fn open(files: &ModelFiles) -> anyhow::Result<(Weights, Shape)> {
    let paths = match &files.weights {
        WeightsSource::Files(paths) => paths,
        WeightsSource::Static(bytes) => return of_gguf(GgufFile::embedded(bytes)?),
    };
    let Some(first) = paths.first() else { bail!("the model {} has no weights", files.manifest.name) };
    let is = |path: &Path, ending: &str| path.extension().is_some_and(|extension| extension == ending);
    if is(first, "safetensors") {
        let config = files
            .config
            .as_deref()
            .context("safetensors weights need the model's config.json beside them")?;
        let weights = Weights::Safetensors(SafetensorsFiles::open(paths)?);
        return Ok((weights, Shape::of_checkpoint(config)?));
    }
    if paths.len() > 1 {
        bail!("GGUF weights in several files are not supported; merge them with llama-gguf-split --merge");
    }
    of_gguf(GgufFile::open(first)?)
}

fn of_gguf(file: GgufFile) -> anyhow::Result<(Weights, Shape)> {
    let shape = Shape::of_gguf(&file)?;
    Ok((Weights::Gguf(file), shape))
}

fn tokenizer(files: &ModelFiles, weights: &Weights) -> anyhow::Result<Tokenizer> {
    match (&files.tokenizer, weights) {
        (Some(path), _) => Tokenizer::from_json(path),
        (None, Weights::Gguf(file)) => Tokenizer::from_gguf(file),
        (None, Weights::Safetensors(_)) => bail!("safetensors weights need tokenizer.json beside them"),
    }
}

fn choose_ops(choice: DeviceChoice, threads: Option<usize>) -> anyhow::Result<Ops> {
    let on_cpu = || Ops::Kernels(Kernels::new(threads.unwrap_or_else(default_threads)));
    Ok(match choice {
        DeviceChoice::Cpu => on_cpu(),
        DeviceChoice::Cuda => Ops::Candle(Device::new_cuda(0).context(
            "no CUDA device can be used; build with `--features cuda` and a driver, or choose the device cpu",
        )?),
        DeviceChoice::Metal => Ops::Candle(Device::new_metal(0).context(
            "no Metal device can be used; build with `--features metal` on a Mac, or choose the device cpu",
        )?),
        DeviceChoice::Auto => match any_gpu() {
            Some(device) => Ops::Candle(device),
            None => on_cpu(),
        },
    })
}

fn any_gpu() -> Option<Device> {
    let cuda = candle_core::utils::cuda_is_available().then(|| Device::new_cuda(0).ok()).flatten();
    cuda.or_else(|| candle_core::utils::metal_is_available().then(|| Device::new_metal(0).ok()).flatten())
}
