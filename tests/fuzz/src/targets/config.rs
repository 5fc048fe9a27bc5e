//! The configuration file. Its code belongs to the binary and is compiled in here as it is.

use config::{Advertised, Config, Overrides, parse_listen};

#[path = "../../../../crates/mainstay/src"]
#[allow(dead_code, unreachable_pub, reason = "the binary uses the rest")]
mod mainstay {
    pub(super) mod config;
}
use mainstay::config;

/// The file's bytes. What it means is shown, as an error would be.
pub(crate) fn file(bytes: &[u8]) -> bool {
    let name = format!("mainstay-fuzz-{}.toml", std::process::id());
    let path = std::env::temp_dir().join(name);
    std::fs::write(&path, bytes).expect("a temporary file can be written");
    let loaded = Config::load(Some(&path), &Overrides::default());
    let _ = std::fs::remove_file(&path);
    if let Ok(text) = std::str::from_utf8(bytes) {
        let _ = parse_listen(text);
        let _ = Advertised::parse(text);
    }
    match loaded {
        Ok(config) => !format!("{config:?}").is_empty(),
        Err(error) => error.to_string().is_empty(),
    }
}
