//! Logs to stderr. `MAINSTAY_LOG` (or `RUST_LOG`) says which, in tracing-subscriber's words;
//! otherwise warnings, and what this program itself has to say.

use tracing_subscriber::EnvFilter;

const DEFAULT: &str = "warn,mainstay=info,node=info,bridge=info,kafka=info,temporal=info";

/// Once, at the start. A filter that cannot be read is an error that names the variable.
pub(crate) fn start() -> anyhow::Result<()> {
    let variable = ["MAINSTAY_LOG", "RUST_LOG"]
        .into_iter()
        .find_map(|name| Some((name, std::env::var(name).ok().filter(|text| !text.is_empty())?)));
    let filter = match variable {
        Some((name, text)) => EnvFilter::try_new(&text)
            .map_err(|error| anyhow::anyhow!("{name}=\"{text}\" is no log filter: {error}"))?,
        None => EnvFilter::new(DEFAULT),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .with_ansi(std::io::IsTerminal::is_terminal(&std::io::stderr()))
        .init();
    Ok(())
}
