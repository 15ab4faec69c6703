//! `get_pci_devices`: what sits on the PCI bus, with the names of pci.ids where the host has that list.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Host;
use super::extent::{self, Extent};
use super::query::{Ask, HostQuery};
use crate::call::{Impact, ToolSpec};
use crate::error::Failure;
use crate::guard::LimitsSection;

const DEVICES: &str = "sys/bus/pci/devices";

/// Where distributions keep the list of names.
const LISTS: [&str; 2] = ["usr/share/misc/pci.ids", "usr/share/hwdata/pci.ids"];

pub(super) struct Query;

/// What to list.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct Args {
    /// Most devices to list.
    #[schemars(range(min = 1))]
    limit: usize,
}

impl Default for Args {
    fn default() -> Self {
        Self { limit: extent::USUAL }
    }
}

/// What sits on the PCI bus.
#[derive(Serialize, JsonSchema)]
pub(super) struct Answer {
    /// How much is listed.
    #[serde(flatten)]
    extent: Extent,
    /// The list that the names are from; absent where the host has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    names_from: Option<String>,
    /// The devices, by address.
    devices: Vec<Device>,
}

/// One device, or one function of a device with several.
#[derive(Serialize, JsonSchema)]
struct Device {
    /// Its address: domain:bus:device.function.
    address: String,
    /// Its class in hexadecimal: two digits each for class, subclass and interface.
    class_id: String,
    /// What it is: the subclass, else the class.
    #[serde(skip_serializing_if = "Option::is_none")]
    class: Option<String>,
    /// Its vendor in hexadecimal.
    vendor_id: String,
    /// The vendor's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    vendor: Option<String>,
    /// Its number within the vendor's, in hexadecimal.
    device_id: String,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<String>,
    /// Vendor and number of the card or board it is on, in hexadecimal, with a colon.
    #[serde(skip_serializing_if = "Option::is_none")]
    subsystem_id: Option<String>,
    /// Its revision in hexadecimal.
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<String>,
    /// The driver that serves it; absent when none does.
    #[serde(skip_serializing_if = "Option::is_none")]
    driver: Option<String>,
    /// The NUMA node it is next to.
    #[serde(skip_serializing_if = "Option::is_none")]
    numa_node: Option<u32>,
    /// The group it shares with others for passing through to guests.
    #[serde(skip_serializing_if = "Option::is_none")]
    iommu_group: Option<String>,
    /// How fast its link runs, in the kernel's words.
    #[serde(skip_serializing_if = "Option::is_none")]
    link_speed: Option<String>,
    /// How many lanes its link has.
    #[serde(skip_serializing_if = "Option::is_none")]
    link_lanes: Option<u32>,
}

impl HostQuery for Query {
    type Args = Args;
    type Answer = Answer;

    fn spec() -> ToolSpec {
        ToolSpec::query::<Args, Answer>(
            "get_pci_devices",
            "PCI devices",
            "The devices on the host's PCI bus: class, vendor and device with their names where the host has the list \
             of them, and the driver of each.",
            Impact::Medium,
        )
        .reading(LISTS.map(|list| format!("/{list}")))
    }

    fn narrow(spec: &mut ToolSpec, limits: &LimitsSection) {
        extent::narrow(spec, extent::USUAL, limits.max_array_items);
    }

    fn answer(ask: &Ask<'_>, args: Args) -> Result<Answer, Failure> {
        let mut addresses = ask.host.list(DEVICES);
        let total = addresses.len();
        let extent =
            Extent::cut(&mut addresses, total, args.limit.min(ask.limits.max_array_items)).narrow("raise limit");
        let mut devices = Vec::with_capacity(addresses.len());
        for address in addresses {
            ask.go_on()?;
            devices.extend(read(ask.host, address));
        }
        let names_from = name(ask, &mut devices)?;
        Ok(Answer { extent, names_from, devices })
    }
}

fn read(host: &Host, address: String) -> Option<Device> {
    let path = |file: &str| format!("{DEVICES}/{address}/{file}");
    let digits = |file: &str| Some(host.line(&path(file))?.strip_prefix("0x")?.to_lowercase());
    Some(Device {
        class_id: digits("class")?,
        vendor_id: digits("vendor")?,
        device_id: digits("device")?,
        class: None,
        vendor: None,
        device: None,
        subsystem_id: digits("subsystem_vendor")
            .zip(digits("subsystem_device"))
            .map(|(vendor, device)| format!("{vendor}:{device}")),
        revision: digits("revision"),
        driver: host.link_name(&path("driver")),
        // Where there are no nodes the kernel writes -1.
        numa_node: host.number(&path("numa_node")),
        iommu_group: host.link_name(&path("iommu_group")),
        link_speed: host.line(&path("current_link_speed")).filter(|speed| !speed.starts_with("Unknown")),
        link_lanes: host.number(&path("current_link_width")).filter(|lanes| *lanes > 0),
        address,
    })
}

/// Gives the devices their names; says which list they are from.
fn name(ask: &Ask<'_>, devices: &mut [Device]) -> Result<Option<String>, Failure> {
    if devices.is_empty() {
        return Ok(None);
    }
    let wanted: BTreeSet<String> = devices.iter().flat_map(keys).collect();
    for list in LISTS {
        let mut names = Names::default();
        let mut stopped = Ok(());
        let read = ask.host.each_line(list, |line| {
            names.take(line, &wanted);
            stopped = ask.go_on();
            if stopped.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        });
        stopped?;
        if read.is_err() {
            continue;
        }
        for device in devices {
            let [vendor, number, class, subclass] = keys(device).map(|key| names.found.get(&key).cloned());
            device.vendor = vendor;
            device.device = number;
            device.class = subclass.or(class);
        }
        return Ok(Some(format!("/{list}")));
    }
    Ok(None)
}

/// What a device's names stand under: vendor, device, class, subclass.
fn keys(device: &Device) -> [String; 4] {
    let class = |end: usize| device.class_id.get(..end).unwrap_or_default();
    [
        device.vendor_id.clone(),
        format!("{}:{}", device.vendor_id, device.device_id),
        format!("C{}", class(2)),
        format!("C{}", class(4)),
    ]
}

/// The names that were found so far, and where in the list the reading is.
#[derive(Default)]
struct Names {
    found: BTreeMap<String, String>,
    above: String,
}

impl Names {
    /// pci.ids: a vendor at the start of a line, its devices behind one tab, boards behind two; classes begin with `C`.
    fn take(&mut self, line: &str, wanted: &BTreeSet<String>) {
        if line.starts_with("\t\t") || line.starts_with('#') {
            return;
        }
        let (inner, text) = line.strip_prefix('\t').map_or((false, line), |text| (true, text));
        let Some((id, name)) = text.split_once("  ") else { return };
        let key = if inner {
            match self.above.strip_prefix("C ") {
                Some(class) => format!("C{class}{id}"),
                None => format!("{}:{id}", self.above),
            }
        } else {
            id.clone_into(&mut self.above);
            id.replace("C ", "C")
        };
        if wanted.contains(&key) {
            self.found.insert(key, name.trim().to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::super::query::ask;
    use super::*;

    #[test]
    fn a_virtual_machine_shows_its_bus_by_name() {
        assert_eq!(
            ask::<Query>(&Host::fixture("debian-vm"), json!({})).unwrap(),
            json!({
                "total": 2, "matching": 2, "returned": 2, "left_out": 0, "names_from": "/usr/share/misc/pci.ids",
                "devices": [
                    {
                        "address": "0000:00:00.0", "class_id": "060000", "class": "Host bridge", "vendor_id": "8086",
                        "vendor": "Intel Corporation", "device_id": "1237", "device": "440FX - 82441FX PMC [Natoma]",
                        "subsystem_id": "1af4:1100", "revision": "02",
                    },
                    {
                        "address": "0000:00:03.0", "class_id": "020000", "class": "Ethernet controller",
                        "vendor_id": "1af4", "vendor": "Red Hat, Inc.", "device_id": "1000",
                        "device": "Virtio network device", "subsystem_id": "1af4:0001", "revision": "00",
                        "driver": "virtio-pci", "numa_node": 0, "iommu_group": "3", "link_speed": "2.5 GT/s PCIe",
                        "link_lanes": 1,
                    },
                ],
            })
        );
    }

    #[test]
    fn a_board_without_the_bus_has_no_devices() {
        let answer = ask::<Query>(&Host::fixture("rpi-arm"), json!({})).unwrap();
        assert_eq!(answer, json!({"total": 0, "matching": 0, "returned": 0, "left_out": 0, "devices": []}));
    }

    proptest! {
        #[test]
        fn no_line_is_a_panic(lines in proptest::collection::vec("\\PC*|(C )?\t{0,2}[0-9a-f]{2,4}  [a-z]{0,5}", 0..4)) {
            let mut names = Names::default();
            for line in lines {
                names.take(&line, &BTreeSet::from(["C02".to_owned()]));
            }
        }
    }
}
