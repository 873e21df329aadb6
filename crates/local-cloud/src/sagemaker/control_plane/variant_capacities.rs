//! Weights and counts of an endpoint's variants: set by themselves, or kept by an update of the endpoint.

use serde_json::{Value, json};

use super::endpoints::in_progress;
use super::request::{ApiError, Members};
use super::{ControlPlane, check_changeable, get};
use crate::sagemaker::records::{self, Capacity, Deployment, Endpoint, Kind, Status};

/// What is desired of a variant.
struct Desired {
    variant: String,
    weight: Option<f64>,
    instances: Option<u64>,
}

impl Desired {
    fn read(mut members: Members) -> Result<Self, ApiError> {
        let variant = members.name("VariantName")?;
        let weight = members.weight("DesiredWeight")?;
        // An asynchronous endpoint may be scaled to no instance.
        let instances = members.integer("DesiredInstanceCount", 0..=u64::from(u32::MAX))?;
        if members.take("ServerlessUpdateConfig").is_some() {
            let instead = "update the endpoint with a configuration that has another ServerlessConfig";
            return Err(members.unsupported("ServerlessUpdateConfig", instead));
        }
        members.done()?;
        Ok(Self { variant, weight, instances })
    }
}

/// `UpdateEndpointWeightsAndCapacities`.
pub(super) fn update(plane: &ControlPlane, mut request: Members) -> Result<Value, ApiError> {
    let name = request.name("EndpointName")?;
    let desired = request.structures("DesiredWeightsAndCapacities")?;
    if desired.is_empty() {
        return request.required("DesiredWeightsAndCapacities", None);
    }
    let desired = desired.into_iter().map(Desired::read).collect::<Result<Vec<_>, _>>()?;
    request.done()?;
    let now = plane.journal.clock().now_millis();
    let name = plane.journal.write(|transaction| {
        let mut record = get::<Endpoint>(transaction, Kind::Endpoint, &name)?;
        check_changeable(Kind::Endpoint, &record)?;
        let arn = Kind::Endpoint.arn(&name);
        let current = record.value.current.as_mut().filter(|_| record.value.status == Status::InService);
        let current = current.ok_or_else(|| in_progress(&arn))?;
        for desired in &desired {
            want(current, desired, &arn)?;
        }
        record.value.status = Status::Updating;
        records::update(transaction, Kind::Endpoint, &name, now, &record.value)?;
        Ok::<_, ApiError>(record.name)
    })?;
    tracing::info!(
        target: "hop", service = "SageMaker", action = "UpdateEndpointWeightsAndCapacities", detail = %name
    );
    plane.hosting.begin_deployment(&name);
    Ok(json!({"EndpointArn": Kind::Endpoint.arn(&name)}))
}

/// Notes what is desired of a variant.
fn want(deployment: &mut Deployment, desired: &Desired, arn: &str) -> Result<(), ApiError> {
    let names = deployment.variant_names();
    let Some(variant) = deployment.variants.iter_mut().find(|variant| variant.name == desired.variant) else {
        let variant = &desired.variant;
        return Err(ApiError::validation(format!(
            "Could not find variant \"{variant}\" of endpoint \"{arn}\": {names} would work."
        )));
    };
    if desired.instances.is_some() && variant.serverless.is_some() {
        let variant = &desired.variant;
        return Err(ApiError::validation(format!(
            "The variant {variant} is serverless: DesiredInstanceCount cannot be given with it."
        )));
    }
    let wanted = variant.wanted();
    variant.desired = Some(Capacity {
        weight: desired.weight.unwrap_or(wanted.weight),
        instances: desired.instances.unwrap_or(wanted.instances),
    });
    Ok(())
}

/// What an update of an endpoint keeps of the variants that stay.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Retained {
    weight: bool,
    instances: bool,
}

impl Retained {
    pub(super) fn read(request: &mut Members) -> Result<Self, ApiError> {
        let all = request.flag("RetainAllVariantProperties")?;
        let mut retained = Self { weight: all, instances: all };
        for mut property in request.structures("ExcludeRetainedVariantProperties")? {
            let kinds = ["DesiredInstanceCount", "DesiredWeight", "DataCaptureConfig"];
            let kind = property.one_of("VariantPropertyType", &kinds)?;
            match property.required("VariantPropertyType", kind)? {
                "DesiredInstanceCount" => retained.instances = false,
                "DesiredWeight" => retained.weight = false,
                _ => {}
            }
            property.done()?;
        }
        Ok(retained)
    }

    /// Gives the variants of `pending` what those of the same names have in `current`.
    pub(super) fn keep(&self, current: &Deployment, pending: &mut Deployment) {
        for variant in &mut pending.variants {
            let Some(before) = current.variants.iter().find(|before| before.name == variant.name) else { continue };
            let before = before.wanted();
            if self.weight {
                variant.capacity.weight = before.weight;
            }
            if self.instances {
                variant.capacity.instances = before.instances;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_update_keeps_what_is_not_excluded() {
        let read = |request: Value| {
            Retained::read(&mut Members::parse(request.to_string().as_bytes()).unwrap())
                .map_err(|error| error.to_string())
        };
        assert_eq!(read(json!({})), Ok(Retained { weight: false, instances: false }));
        let without = |kind: &str| json!({"RetainAllVariantProperties": true, "ExcludeRetainedVariantProperties": [{"VariantPropertyType": kind}]});
        assert_eq!(read(without("DesiredWeight")), Ok(Retained { weight: false, instances: true }));
        assert_eq!(read(without("DesiredInstanceCount")), Ok(Retained { weight: true, instances: false }));
        assert_eq!(read(without("DataCaptureConfig")), Ok(Retained { weight: true, instances: true }));
        assert!(read(without("Colour")).unwrap_err().contains("variantPropertyType"));
    }
}
