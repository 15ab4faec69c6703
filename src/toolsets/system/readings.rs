//! `/sys/class/hwmon`: what the chips of the host measure besides temperatures: fans, voltages, currents, power.

use schemars::JsonSchema;
use serde::Serialize;

use super::Host;
use super::quantity::decimal;

/// Where the chips are.
pub(super) const CHIPS: &str = "sys/class/hwmon";

/// One reading of a chip.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
pub(super) struct Reading {
    /// Its name in the kernel: hwmon1/fan2.
    source: String,
    /// The chip's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<String>,
    /// What it measures, where the driver says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    /// What is measured, in this unit.
    unit: Unit,
    /// The reading.
    value: f64,
    /// What is too little.
    #[serde(skip_serializing_if = "Option::is_none")]
    minimum: Option<f64>,
    /// What is too much.
    #[serde(skip_serializing_if = "Option::is_none")]
    maximum: Option<f64>,
    /// Whether the chip gives an alarm about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    alarm: Option<bool>,
}

/// What a reading is in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(super) enum Unit {
    /// Turns a minute of a fan; 0 when it stands still.
    TurnsPerMinute,
    /// Volts.
    Volts,
    /// Amperes.
    Amperes,
    /// Watts.
    Watts,
    /// Percent of relative humidity.
    PercentHumidity,
}

impl Unit {
    /// The kernel's Documentation/hwmon/sysfs-interface.rst: by the start of the name, and how many parts make one.
    fn of(file: &str) -> Option<(Self, f64)> {
        let kind = file.trim_end_matches(|sign: char| sign.is_ascii_digit());
        Some(match kind {
            "fan" => (Self::TurnsPerMinute, 1.0),
            "in" => (Self::Volts, 1000.0),
            "curr" => (Self::Amperes, 1000.0),
            "power" => (Self::Watts, 1_000_000.0),
            "humidity" => (Self::PercentHumidity, 1000.0),
            _ => return None,
        })
    }
}

/// The reading behind a file such as `fan1_input` of `chip`; `None` of another file, or without a reading.
pub(super) fn read(host: &Host, chip: &str, device: Option<&String>, file: &str) -> Option<Reading> {
    // A chip may give the average of its power and nothing else.
    let input = file
        .strip_suffix("_input")
        .or_else(|| file.strip_suffix("_average").filter(|name| !host.has(&format!("{CHIPS}/{chip}/{name}_input"))))?;
    let (unit, parts) = Unit::of(input)?;
    let path = |suffix: &str| format!("{CHIPS}/{chip}/{input}_{suffix}");
    let figure = |suffix: &str| parse(&host.line(&path(suffix))?).map(|figure| figure / parts);
    Some(Reading {
        source: format!("{chip}/{input}"),
        device: device.cloned(),
        label: host.line(&path("label")),
        unit,
        value: figure(file.rsplit('_').next().unwrap_or("input"))?,
        minimum: figure("min"),
        maximum: figure("max").or_else(|| figure("crit")),
        alarm: host.number(&path("alarm")).map(|on: u8| on == 1),
    })
}

/// A whole number, which may be negative.
fn parse(text: &str) -> Option<f64> {
    match text.strip_prefix('-') {
        Some(rest) => decimal(rest).map(|figure| -figure),
        None => decimal(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_told_by_its_name_and_a_figure_may_be_negative() {
        assert_eq!(Unit::of("fan12"), Some((Unit::TurnsPerMinute, 1.0)));
        assert_eq!((Unit::of("temp1"), Unit::of("intrusion0"), Unit::of("")), (None, None, None));
        assert_eq!((parse("-12"), parse("3"), parse("x"), parse("")), (Some(-12.0), Some(3.0), None, None));
    }
}
