//! The configuration file, and what it comes to together with the command line.
//!
//! Invariants: every key is known and every value can be carried out, or there is an error with
//! file, line and column; what is reserved but not implemented is an error of its own. The
//! command line wins over the file. Listening beyond this machine is refused unless `insecure`
//! says that it is meant: there is no authentication yet.

mod address;
mod error;
mod limits;
mod sections;

pub(crate) use address::{Advertised, parse as parse_listen};
pub(crate) use error::Error;
pub(crate) use limits::Limits;

use bridge::Route;
use error::Source;
use sections::{File, RouteSection};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use toml::Spanned;

/// Where Kafka clients connect unless something else is said.
const KAFKA_PORT: u16 = 9092;
/// Where Temporal clients connect unless something else is said.
const TEMPORAL_PORT: u16 = 7233;
/// Routes of one configuration.
const ROUTES_MAX: usize = 1_000;

/// What the node is to do.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// Where the Kafka front listens.
    pub(crate) kafka: SocketAddr,
    /// What Kafka clients are told to connect to; else the address they dialled.
    pub(crate) advertised: Option<Advertised>,
    /// Where the Temporal front listens.
    pub(crate) temporal: SocketAddr,
    /// In the file's order.
    pub(crate) routes: Vec<Route>,
    /// Bounds that differ from the defaults.
    pub(crate) limits: Limits,
}

/// What the command line says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Overrides {
    /// `--kafka`.
    pub(crate) kafka: Option<SocketAddr>,
    /// `--temporal`.
    pub(crate) temporal: Option<SocketAddr>,
    /// `--insecure`.
    pub(crate) insecure: bool,
}

impl Config {
    /// Reads and checks the file, if there is one, and lets the command line win.
    pub(crate) fn load(file: Option<&Path>, overrides: &Overrides) -> Result<Config, Error> {
        let Some(path) = file else { return Config::parse(&Source::none(), overrides) };
        Config::parse(&Source::read(path)?, overrides)
    }

    fn parse(source: &Source, overrides: &Overrides) -> Result<Config, Error> {
        let file: File = toml::from_str(source.text()).map_err(|error| source.syntax(&error))?;
        let insecure = file.insecure.unwrap_or(false) || overrides.insecure;
        let kafka = Listen { section: "kafka", flag: overrides.kafka, port: KAFKA_PORT };
        let temporal =
            Listen { section: "temporal", flag: overrides.temporal, port: TEMPORAL_PORT };
        refuse_external(source, &file)?;
        Ok(Config {
            kafka: kafka.resolve(source, file.kafka.listen.as_ref(), insecure)?,
            temporal: temporal.resolve(source, file.temporal.listen.as_ref(), insecure)?,
            advertised: match &file.kafka.advertised {
                Some(text) => {
                    Some(Advertised::parse(text.get_ref()).map_err(|e| source.at(text.span(), e))?)
                }
                None => None,
            },
            routes: routes(source, file.route)?,
            limits: Limits::new(source, &file.limits)?,
        })
    }
}

/// One front's address.
struct Listen {
    section: &'static str,
    flag: Option<SocketAddr>,
    port: u16,
}

impl Listen {
    fn resolve(
        &self,
        source: &Source,
        text: Option<&Spanned<String>>,
        insecure: bool,
    ) -> Result<SocketAddr, Error> {
        let written = text
            .map(|text| address::parse(text.get_ref()).map_err(|e| source.at(text.span(), e)))
            .transpose()?;
        let address = self
            .flag
            .or(written)
            .unwrap_or_else(|| SocketAddr::from((Ipv4Addr::LOCALHOST, self.port)));
        if address.ip().is_loopback() || insecure {
            return Ok(address);
        }
        let public = address::Error::Public { section: self.section, address };
        Err(match text {
            Some(text) if self.flag.is_none() => source.at(text.span(), public),
            _ => Error::Flag(public),
        })
    }
}

/// Addresses of external clusters have their place in the file, and no meaning yet.
fn refuse_external(source: &Source, file: &File) -> Result<(), Error> {
    let external = [
        ("[kafka] bootstrap", &file.kafka.bootstrap),
        ("[temporal] address", &file.temporal.address),
    ];
    match external.into_iter().find_map(|(key, value)| Some((key, value.as_ref()?))) {
        Some((key, value)) => Err(source.at(value.span(), NotImplemented { key })),
        None => Ok(()),
    }
}

/// A key whose meaning is reserved.
#[derive(Debug, thiserror::Error)]
#[error(
    "`{key}` is reserved for external clusters, and not implemented in this release; remove it"
)]
struct NotImplemented {
    key: &'static str,
}

fn routes(source: &Source, sections: Vec<Spanned<RouteSection>>) -> Result<Vec<Route>, Error> {
    let mut routes: Vec<Route> = Vec::new();
    for section in sections {
        let span = section.span();
        if routes.len() == ROUTES_MAX {
            return Err(source.at(span, format!("more than {ROUTES_MAX} routes")));
        }
        let section = section.into_inner();
        let spec = section.spec().map_err(|(span, problem)| source.at(span, problem))?;
        let route = Route::new(spec).map_err(|error| {
            source.at(section.span_of(error.key, error.index).unwrap_or(span.clone()), error)
        })?;
        if routes.iter().any(|other| other.name == route.name) {
            let message = format!("`name`: there is another route \"{}\"", route.name);
            return Err(source.at(section.span_of("name", None).unwrap_or(span), message));
        }
        routes.push(route);
    }
    Ok(routes)
}

#[cfg(test)]
mod tests;
