//! The table: for each row and peer what it did, what it cost, and the ratio of Mainstay to it.
//!
//! Where something was measured several times, the run in the middle is shown, whole: a figure is
//! never put together from different runs.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::goals;
use crate::measured::Measured;
use crate::peer::OURS;
use crate::row::TIMED;

const HEADER: [&str; 11] = [
    "row",
    "peer",
    "per second",
    "p50",
    "p99",
    "client us",
    "server us",
    "fsyncs",
    "peak MiB",
    "speed",
    "server cpu",
];
/// Until where columns are names, set to the left.
const NAMES: usize = 2;

/// The table, and what became of the goals.
pub(crate) fn whole(figures: &[Measured]) -> String {
    format!("{}\n{}", table(figures), goals::verdicts(figures))
}

/// Figures that were written to a file.
pub(crate) fn read(path: &Path) -> Result<Vec<Measured>> {
    let text = std::fs::read_to_string(path);
    let text = text.with_context(|| format!("the file {}", path.display()))?;
    parse(&text).with_context(|| format!("the file {}", path.display()))
}

/// Figures, one line of JSON each.
pub(crate) fn parse(lines: &str) -> Result<Vec<Measured>> {
    let figure = |line| serde_json::from_str(line).with_context(|| format!("a figure: {line}"));
    lines.lines().map(figure).collect()
}

/// One table of everything, with what its last columns mean.
fn table(figures: &[Measured]) -> String {
    let middle = medians(figures);
    let mut lines = vec![HEADER.map(str::to_owned)];
    let mut last = String::new();
    for measured in &middle {
        let ours = find(&middle, &measured.row, &measured.variant, OURS);
        let mut cells = cells(measured, ours);
        // A row's name stands once.
        if cells[0] == last {
            cells[0].clear();
        } else {
            last.clone_from(&cells[0]);
        }
        lines.push(cells);
    }
    laid_out(&lines, NAMES)
        + "\nclient us, server us, fsyncs: for one unit of work. speed: how many times as fast mainstay is;\n\
           server cpu: how many times as much processor time the peer's server needs for one unit.\n"
}

/// One figure, for whoever watches.
pub(crate) fn line(measured: &Measured) -> String {
    let cells = cells(measured, None);
    let named = HEADER.iter().zip(&cells).skip(NAMES).filter(|(_, cell)| !cell.is_empty());
    let parts: Vec<String> = named.map(|(name, cell)| format!("{name} {cell}")).collect();
    format!("{} on {}: {}", cells[0], cells[1], parts.join(", "))
}

/// For each row, variant and peer the run in the middle; in the order in which they came.
pub(crate) fn medians(figures: &[Measured]) -> Vec<Measured> {
    let mut groups: Vec<Vec<&Measured>> = Vec::new();
    let same =
        |a: &Measured, b: &Measured| (&a.row, &a.variant, &a.peer) == (&b.row, &b.variant, &b.peer);
    for measured in figures {
        match groups.iter_mut().find(|group| same(group[0], measured)) {
            Some(group) => group.push(measured),
            None => groups.push(vec![measured]),
        }
    }
    let place = |measured: &Measured| {
        figures.iter().position(|it| (&it.row, &it.variant) == (&measured.row, &measured.variant))
    };
    let middle = |mut group: Vec<&Measured>| {
        group.sort_by(|a, b| cost(a).total_cmp(&cost(b)));
        group[group.len() / 2].clone()
    };
    let mut middle: Vec<Measured> = groups.into_iter().map(middle).collect();
    // The peers of one row and variant side by side.
    middle.sort_by_key(place);
    middle
}

/// The figure of a row, variant and peer.
pub(crate) fn find<'a>(
    figures: &'a [Measured],
    row: &str,
    variant: &str,
    peer: &str,
) -> Option<&'a Measured> {
    figures.iter().find(|it| it.row == row && it.variant == variant && it.peer == peer)
}

/// What a figure is compared by, less is better: a latency, the time of one unit, or memory.
fn cost(measured: &Measured) -> f64 {
    let timed = TIMED.contains(&measured.row.as_str());
    match (measured.latency.filter(|_| timed), measured.per_second()) {
        (Some(latency), _) => latency.p50.as_secs_f64(),
        (None, Some(rate)) => 1.0 / rate,
        (None, None) => measured.server_peak_bytes as f64,
    }
}

fn cells(measured: &Measured, ours: Option<&Measured>) -> [String; HEADER.len()] {
    let name = match measured.variant.as_str() {
        "" => measured.row.clone(),
        variant => format!("{} ({variant})", measured.row),
    };
    let text = |value: Option<f64>, shown: fn(f64) -> String| value.map_or(String::new(), shown);
    let latency = measured.latency;
    let others = ours.filter(|_| measured.peer != OURS);
    let cpu = others.and_then(|ours| Some(measured.server_us()? / ours.server_us()?));
    let peak = (measured.server_peak_bytes > 0)
        .then(|| measured.server_peak_bytes as f64 / f64::from(1 << 20));
    [
        name,
        measured.peer.clone(),
        text(measured.per_second(), significant),
        latency.map_or(String::new(), |latency| time(latency.p50)),
        latency.map_or(String::new(), |latency| time(latency.p99)),
        text(measured.client_us(), significant),
        text(measured.server_us(), significant),
        text(measured.fsyncs_each(), significant),
        text(peak, |mebibytes| format!("{mebibytes:.0}")),
        text(others.map(|ours| cost(measured) / cost(ours)), ratio),
        text(cpu, ratio),
    ]
}

/// As many decimals as make three digits; thousands apart.
pub(crate) fn significant(value: f64) -> String {
    let decimals = match value.abs() {
        0.0 => 0,
        0.0..0.01 => 5,
        0.01..1.0 => 3,
        1.0..10.0 => 2,
        10.0..100.0 => 1,
        _ => 0,
    };
    let digits = format!("{value:.decimals$}");
    if value < 1_000.0 {
        return digits;
    }
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

fn time(time: Duration) -> String {
    format!("{} ms", significant(time.as_secs_f64() * 1e3))
}

fn ratio(ratio: f64) -> String {
    format!("{}x", significant(ratio))
}

/// Lines of cells in columns, the first line their names; the first `names` columns begin at their
/// left. A column with nothing in it is left out.
pub(crate) fn laid_out<const COLUMNS: usize>(lines: &[[String; COLUMNS]], names: usize) -> String {
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max();
    let widths: Vec<usize> = (0..COLUMNS).map(|column| width(column).unwrap_or(0)).collect();
    let mut text = String::new();
    for line in lines {
        let mut laid = String::new();
        let filled =
            |(column, _): &(usize, _)| lines.iter().skip(1).any(|it| !it[*column].is_empty());
        for (column, (cell, width)) in line.iter().zip(&widths).enumerate().filter(filled) {
            laid += &if column < names {
                format!("{cell:<width$}  ")
            } else {
                format!("{cell:>width$}  ")
            };
        }
        text += laid.trim_end();
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measured::Latency;

    fn measured(row: &str, peer: &str, count: u64, server_ms: u64) -> Measured {
        Measured {
            row: row.into(),
            peer: peer.into(),
            count,
            wall: Duration::from_secs(1),
            client_cpu: Duration::from_millis(500),
            server_cpu: Duration::from_millis(server_ms),
            server_peak_bytes: 100 << 20,
            ..Measured::default()
        }
    }

    #[test]
    fn the_table_shows_ratios() {
        let latency =
            |us| Some(Latency { p50: Duration::from_micros(us), p99: Duration::from_millis(3) });
        let figures = [
            measured("produce-1k", "mainstay", 500_000, 500),
            Measured { latency: latency(250), ..measured("produce-one", "mainstay", 4_000, 200) },
            measured("produce-1k", "kafka", 250_000, 1_000),
            Measured { latency: latency(1_000), ..measured("produce-one", "kafka", 900, 90) },
        ];
        let expected = "\
row          peer      per second      p50      p99  client us  server us  peak MiB  speed  server cpu
produce-1k   mainstay     500,000                         1.00       1.00       100
             kafka        250,000                         2.00       4.00       100  2.00x       4.00x
produce-one  mainstay       4,000  0.250 ms  3.00 ms        125       50.0       100
             kafka            900   1.00 ms  3.00 ms        556        100       100  4.00x       2.00x
";
        let table = table(&figures);
        let shown = table.split("\nclient us,").next().unwrap();
        assert_eq!(
            shown.split_whitespace().collect::<Vec<_>>(),
            expected.split_whitespace().collect::<Vec<_>>(),
            "\n{shown}"
        );
    }

    #[test]
    fn the_run_in_the_middle_is_shown_whole() {
        let runs = [(100, 9), (300, 1), (200, 5)];
        let figures = runs.map(|(count, server)| measured("start", "mainstay", count, server));
        let middle = medians(&figures);
        assert_eq!(middle.len(), 1);
        assert_eq!((middle[0].count, middle[0].server_cpu), (200, Duration::from_millis(5)));
    }
}
