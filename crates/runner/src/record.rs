//! The text in which an instance type is told to the runner, which keeps it as node.json (facts §2.2.2).

use dispatch_model::{Gpu, InstanceType};
use serde::{Serialize, Serializer, ser::SerializeStruct as _};

/// The record: JSON with four blanks of indentation and a newline at its end. The type's name is not in it.
pub fn instance_type_record(instance_type: &InstanceType) -> String {
    let mut text = Vec::new();
    let format = serde_json::ser::PrettyFormatter::with_indent(b"    ");
    let mut serializer = serde_json::Serializer::with_formatter(&mut text, format);
    Record(instance_type)
        .serialize(&mut serializer)
        .expect("writing JSON to memory");
    text.push(b'\n');
    String::from_utf8(text).expect("JSON is text")
}

struct Record<'a>(&'a InstanceType);

impl Serialize for Record<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut record = serializer.serialize_struct("InstanceType", 8)?;
        record.serialize_field("ProviderType", &self.0.provider_type)?;
        record.serialize_field("VCPUs", &self.0.vcpus)?;
        record.serialize_field("RAM", &self.0.ram_bytes)?;
        record.serialize_field("IncludedScratch", &self.0.included_scratch_bytes)?;
        record.serialize_field("AddedScratch", &self.0.added_scratch_bytes)?;
        record.serialize_field("Price", &Price(self.0.price))?;
        record.serialize_field("Preemptible", &self.0.preemptible)?;
        record.serialize_field("GPU", &GpuRecord(&self.0.gpu))?;
        record.end()
    }
}

struct GpuRecord<'a>(&'a Gpu);

impl Serialize for GpuRecord<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut record = serializer.serialize_struct("GPU", 5)?;
        record.serialize_field("Stack", &self.0.stack)?;
        record.serialize_field("DriverVersion", &self.0.driver_version)?;
        record.serialize_field("HardwareTarget", &self.0.hardware_target)?;
        record.serialize_field("DeviceCount", &self.0.device_count)?;
        record.serialize_field("VRAM", &self.0.vram_bytes)?;
        record.end()
    }
}

/// A price in dollars an hour, written as Go writes it: 1 and not 1.0.
pub(crate) struct Price(pub(crate) f64);

impl Serialize for Price {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.fract() == 0.0 && self.0.abs() < 1e15 {
            serializer.serialize_i64(self.0 as i64)
        } else {
            serializer.serialize_f64(self.0)
        }
    }
}

#[cfg(test)]
mod tests {
    use expect_test::expect;

    use super::*;

    #[test]
    fn the_record_is_written_as_recorded() {
        let instance_type = InstanceType {
            name: "small".into(),
            provider_type: "m5.small".to_owned(),
            image: None,
            vcpus: 1,
            ram_bytes: 2 << 30,
            included_scratch_bytes: 100_000_000_000,
            added_scratch_bytes: 50_000_000_000,
            price: 0.1,
            preemptible: false,
            gpu: Gpu::default(),
        };
        expect![[r#"
            {
                "ProviderType": "m5.small",
                "VCPUs": 1,
                "RAM": 2147483648,
                "IncludedScratch": 100000000000,
                "AddedScratch": 50000000000,
                "Price": 0.1,
                "Preemptible": false,
                "GPU": {
                    "Stack": "",
                    "DriverVersion": "",
                    "HardwareTarget": "",
                    "DeviceCount": 0,
                    "VRAM": 0
                }
            }
        "#]]
        .assert_eq(&instance_type_record(&instance_type));
    }

    #[test]
    fn whole_prices_have_no_decimals() {
        let written =
            [1.0, 0.0, 2.5, 0.123].map(|price| serde_json::to_string(&Price(price)).expect("JSON"));
        assert_eq!(written, ["1", "0", "2.5", "0.123"]);
    }
}
