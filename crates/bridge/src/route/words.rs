//! Words of a route's configuration: one of a set, a bounded text, a duration, JSON literals.

use super::{Error, Problem};
use crate::mapping;
use std::time::Duration;

/// JSON texts given as a workflow's input.
pub(super) struct JsonInput;

impl JsonInput {
    /// Arguments of one workflow start.
    const COUNT_MAX: usize = 100;

    pub(super) fn checked(input: Option<&[String]>) -> Result<Vec<String>, Error> {
        let input = input.unwrap_or_default();
        if input.len() > JsonInput::COUNT_MAX {
            let (count, limit) = (input.len(), JsonInput::COUNT_MAX);
            return Err(Problem::TooMany { count, limit }.at("input"));
        }
        for (index, text) in input.iter().enumerate() {
            mapping::check_json(text.as_bytes())
                .map_err(|reason| Problem::NotJson { reason }.at_element("input", index))?;
        }
        Ok(input.to_vec())
    }
}

/// The first of `words` is the default. `reserved` words have a meaning that is not implemented.
pub(super) fn one_of<T: Copy>(
    (key, value): (&'static str, &Option<String>),
    known: &'static str,
    words: &[(&str, T)],
    reserved: &[&str],
) -> Result<T, Error> {
    let Some(value) = value else { return Ok(words[0].1) };
    if let Some((_, meaning)) = words.iter().find(|(word, _)| word == value) {
        return Ok(*meaning);
    }
    let value = value.clone();
    Err(if reserved.contains(&value.as_str()) {
        Problem::NotImplemented { value, known }.at(key)
    } else {
        Problem::Unknown { value, known }.at(key)
    })
}

pub(super) fn text(
    key: &'static str,
    value: &Option<String>,
    limit: usize,
) -> Result<String, Error> {
    let value = value.as_ref().ok_or_else(|| Problem::Missing.at(key))?;
    match value.len() {
        0 => Err(Problem::Empty.at(key)),
        bytes if bytes > limit => Err(Problem::TooLong { bytes, limit }.at(key)),
        _ => Ok(value.clone()),
    }
}

/// Kafka's rule for topic names, which serves for route names too.
pub(super) fn is_plain_name(name: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b'-');
    name.bytes().all(plain) && name != "." && name != ".."
}

pub(super) fn duration(
    key: &'static str,
    value: &Option<String>,
) -> Result<Option<Duration>, Error> {
    let Some(value) = value else { return Ok(None) };
    match parse_duration(value) {
        Some(duration) => Ok(Some(duration)),
        None => Err(Problem::Duration { value: value.clone() }.at(key)),
    }
}

/// At most 100 years, so that no later sum overflows.
fn parse_duration(text: &str) -> Option<Duration> {
    const YEARS_100_MS: u64 = 100 * 365 * 86_400_000;
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit_ms = match unit {
        "ms" => 1,
        "s" => 1_000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    let ms = number.parse::<u64>().ok()?.checked_mul(unit_ms)?;
    (1..=YEARS_100_MS).contains(&ms).then(|| Duration::from_millis(ms))
}
