//! `get_temperature`: what the host's thermometers say. Most virtual machines have none.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Host;
use super::query::{Ask, HostQuery};
use super::readings::{self, CHIPS, Reading};
use crate::call::{Impact, ToolSpec};
use crate::error::Failure;

const ZONES: &str = "sys/class/thermal";

/// The kernel gives a zone at most this many trip points.
const TRIP_POINTS: u8 = 12;

pub(super) struct Query;

/// No arguments.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct Args {}

/// The thermometers.
#[derive(Serialize, JsonSchema)]
pub(super) struct Answer {
    /// Each thermometer that gave a reading; none on most virtual machines. One place may be measured twice: as a
    /// thermal zone and by a chip.
    sensors: Vec<Sensor>,
    /// What else the chips measure: fans, voltages, currents, power.
    readings: Vec<Reading>,
}

/// One thermometer.
#[derive(Serialize, JsonSchema)]
struct Sensor {
    /// Its name in the kernel: thermal_zone0, hwmon1/temp2.
    source: String,
    /// The zone's type or the chip's name, such as x86_pkg_temp, coretemp or nvme.
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<String>,
    /// What it measures, where the driver says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    label: Option<String>,
    /// Degrees Celsius, now.
    celsius: f64,
    /// Degrees Celsius that are too warm.
    #[serde(skip_serializing_if = "Option::is_none")]
    high_celsius: Option<f64>,
    /// Degrees Celsius at which the device fails or the host turns itself off.
    #[serde(skip_serializing_if = "Option::is_none")]
    critical_celsius: Option<f64>,
}

impl HostQuery for Query {
    type Args = Args;
    type Answer = Answer;

    fn spec() -> ToolSpec {
        ToolSpec::query::<Args, Answer>(
            "get_temperature",
            "Temperatures",
            "What the host's sensors measure, with the limits of each: temperatures, fans, voltages, currents, power. \
             Empty on most virtual machines.",
            Impact::Low,
        )
    }

    fn answer(ask: &Ask<'_>, _args: Args) -> Result<Answer, Failure> {
        let (mut sensors, mut readings) = (Vec::new(), Vec::new());
        for zone in ask.host.list(ZONES).iter().filter(|name| name.starts_with("thermal_zone")) {
            ask.go_on()?;
            sensors.extend(read_zone(ask.host, zone));
        }
        for chip in ask.host.list(CHIPS) {
            let device = ask.host.line(&format!("{CHIPS}/{chip}/name"));
            for file in ask.host.list(&format!("{CHIPS}/{chip}")) {
                ask.go_on()?;
                let input = file.strip_suffix("_input").filter(|input| input.starts_with("temp"));
                sensors.extend(input.and_then(|input| read_chip(ask.host, &format!("{chip}/{input}"), device.clone())));
                readings.extend(readings::read(ask.host, &chip, device.as_ref(), &file));
            }
        }
        Ok(Answer { sensors, readings })
    }
}

fn read_zone(host: &Host, zone: &str) -> Option<Sensor> {
    let path = |file: &str| format!("{ZONES}/{zone}/{file}");
    let celsius = read(host, &path("temp"))?;
    let (mut high, mut critical) = (None, None);
    for point in 0..TRIP_POINTS {
        let Some(kind) = host.line(&path(&format!("trip_point_{point}_type"))) else { break };
        let limit = || read(host, &path(&format!("trip_point_{point}_temp")));
        match kind.as_str() {
            "hot" => high = limit(),
            "critical" => critical = limit(),
            _ => {}
        }
    }
    let device = host.line(&path("type"));
    Some(Sensor {
        source: zone.to_owned(),
        device,
        label: None,
        celsius,
        high_celsius: high,
        critical_celsius: critical,
    })
}

fn read_chip(host: &Host, source: &str, device: Option<String>) -> Option<Sensor> {
    let path = |suffix: &str| format!("{CHIPS}/{source}_{suffix}");
    Some(Sensor {
        source: source.to_owned(),
        device,
        label: host.line(&path("label")),
        celsius: read(host, &path("input"))?,
        high_celsius: read(host, &path("max")),
        critical_celsius: read(host, &path("crit")),
    })
}

fn read(host: &Host, path: &str) -> Option<f64> {
    parse(&host.line(path)?)
}

/// From thousandths of a degree. What is colder than cold or hotter than 1000 degrees is a driver's word for "none".
fn parse(text: &str) -> Option<f64> {
    let thousandths: i32 = text.parse().ok()?;
    (-273_150..=1_000_000).contains(&thousandths).then(|| f64::from(thousandths) / 1000.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::query::ask;
    use super::*;

    #[test]
    fn a_board_shows_its_zone_and_its_chips() {
        assert_eq!(
            ask::<Query>(&Host::fixture("rpi-arm"), json!({})).unwrap(),
            json!({"sensors": [
                {
                    "source": "thermal_zone0", "device": "cpu-thermal", "celsius": 48.686, "high_celsius": 85.0,
                    "critical_celsius": 110.0,
                },
                {"source": "hwmon0/temp1", "device": "cpu_thermal", "celsius": 48.686, "critical_celsius": 110.0},
                {
                    "source": "hwmon1/temp1", "device": "nvme", "label": "Composite", "celsius": 36.85,
                    "high_celsius": 81.85, "critical_celsius": 84.85,
                },
                {"source": "hwmon1/temp2", "device": "nvme", "label": "Sensor 1", "celsius": -5.25},
            ], "readings": [
                {"source": "hwmon1/in0", "device": "nvme", "unit": "volts", "value": 3.3},
                {
                    "source": "hwmon2/fan1", "device": "pwmfan", "unit": "turns_per_minute", "value": 2400.0,
                    "minimum": 500.0, "alarm": false,
                },
                {
                    "source": "hwmon2/power1", "device": "pwmfan", "label": "board", "unit": "watts", "value": 4.25,
                    "maximum": 15.0,
                },
            ]})
        );
    }

    #[test]
    fn a_virtual_machine_has_none() {
        assert_eq!(
            ask::<Query>(&Host::fixture("debian-vm"), json!({})).unwrap(),
            json!({"sensors": [], "readings": []})
        );
    }

    #[test]
    fn a_reading_out_of_this_world_is_none() {
        assert_eq!(parse("48686"), Some(48.686));
        for text in ["65261850", "-273151", "warm", "", "99999999999"] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_is_a_panic(text in "\\PC*|-?[0-9]{0,12}") {
            let _ = parse(&text);
        }
    }
}
