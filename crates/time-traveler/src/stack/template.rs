//! `infra/template.yaml` and `infra/data.yaml` without AWS: their resources, with intrinsic functions evaluated for the parameters'
//! defaults.

use std::collections::BTreeMap;

use saphyr::{LoadableYamlNode, Scalar, Yaml};
use serde_json::{Map, Value, json};

/// The stack's name, the prefix of the resources' names.
const STACK_NAME: &str = "stack";

/// Templates whose stacks belong together, and the names that CloudFormation would choose for buckets and table.
pub(super) struct Template {
    text: Value,
    chosen: BTreeMap<&'static str, &'static str>,
}

/// A resource with its properties evaluated.
pub(super) struct Resource {
    pub(super) id: String,
    pub(super) properties: Value,
}

impl Template {
    /// Reads templates as one. An output of one is the parameter of the same name of another.
    pub(super) fn read(texts: &[&str], chosen: BTreeMap<&'static str, &'static str>) -> Self {
        let mut all = json!({"Parameters": {}, "Conditions": {}, "Mappings": {}, "Resources": {}});
        for text in texts {
            let one = plain(&Yaml::load_from_str(text).unwrap()[0]);
            for (section, parts) in all.as_object_mut().unwrap() {
                let parts = parts.as_object_mut().unwrap();
                parts.extend(one[section].as_object().cloned().unwrap_or_default());
            }
        }
        Self { text: all, chosen }
    }

    /// The resources of a type whose condition holds, ordered by name.
    pub(super) fn resources(&self, kind: &str) -> Vec<Resource> {
        let all = self.text["Resources"].as_object().unwrap().iter();
        let wanted = all.filter(|(_, resource)| resource["Type"] == kind);
        let holds = |resource: &Value| resource["Condition"].as_str().is_none_or(|name| self.condition(name));
        let found = wanted.filter(|(_, resource)| holds(resource));
        let resource = |(id, resource): (&String, &Value)| Resource {
            id: id.clone(),
            properties: self.resolved(&resource["Properties"]).unwrap_or_default(),
        };
        found.map(resource).collect()
    }

    /// The one resource of a type.
    pub(super) fn resource(&self, kind: &str) -> Resource {
        let mut found = self.resources(kind);
        assert_eq!(found.len(), 1, "of {kind}");
        found.remove(0)
    }

    fn condition(&self, name: &str) -> bool {
        self.holds(&self.text["Conditions"][name])
    }

    fn holds(&self, condition: &Value) -> bool {
        let parts = |name: &str| condition[name].as_array();
        if let Some(name) = condition["Condition"].as_str() {
            self.condition(name)
        } else if let Some(parts) = parts("Fn::Not") {
            !self.holds(&parts[0])
        } else if let Some(parts) = parts("Fn::Or") {
            parts.iter().any(|part| self.holds(part))
        } else if let Some(parts) = parts("Fn::And") {
            parts.iter().all(|part| self.holds(part))
        } else if let Some(parts) = parts("Fn::Equals") {
            // Parameters' values are text.
            let [one, other] = [0, 1].map(|n| text(&self.resolved(&parts[n]).unwrap_or_default()));
            one == other
        } else {
            panic!("the condition {condition} is not supported here")
        }
    }

    /// A value without intrinsic functions; `None` for `AWS::NoValue`.
    fn resolved(&self, value: &Value) -> Option<Value> {
        match value {
            Value::Array(parts) => Some(parts.iter().filter_map(|part| self.resolved(part)).collect()),
            Value::Object(parts) => {
                if let (1, Some((name, argument))) = (parts.len(), parts.iter().next())
                    && (name == "Ref" || name.starts_with("Fn::"))
                {
                    return self.evaluated(name, argument);
                }
                let parts = parts.iter().filter_map(|(name, part)| Some((name.clone(), self.resolved(part)?)));
                Some(Value::Object(parts.collect()))
            }
            other => Some(other.clone()),
        }
    }

    fn evaluated(&self, function: &str, argument: &Value) -> Option<Value> {
        let at = |n: usize| self.resolved(&argument[n]).unwrap_or_default();
        match function {
            "Ref" if argument == "AWS::NoValue" => None,
            "Ref" | "Fn::GetAtt" => Some(self.named(argument.as_str().unwrap(), &BTreeMap::new())),
            "Fn::Sub" => {
                let (text, variables) = match argument {
                    Value::Array(parts) => (&parts[0], parts[1].as_object().cloned().unwrap_or_default()),
                    text => (text, Map::new()),
                };
                let variables =
                    variables.iter().map(|(name, value)| (name.as_str(), self.resolved(value).unwrap_or_default()));
                Some(json!(self.substituted(text.as_str().unwrap(), &variables.collect())))
            }
            "Fn::If" => self.resolved(&argument[if self.condition(argument[0].as_str()?) { 1 } else { 2 }]),
            "Fn::FindInMap" => {
                let (map, key, name) = (text(&at(0)), text(&at(1)), text(&at(2)));
                Some(self.text["Mappings"][map][key][name].clone())
            }
            "Fn::Join" => {
                let parts = at(1).as_array().unwrap().iter().map(text).collect::<Vec<_>>();
                Some(json!(parts.join(&text(&at(0)))))
            }
            "Fn::Split" => Some(text(&at(1)).split(&text(&at(0))).collect()),
            "Fn::Select" => Some(at(1)[text(&at(0)).parse::<usize>().unwrap()].clone()),
            other => panic!("the function {other} is not supported here"),
        }
    }

    fn substituted(&self, template: &str, variables: &BTreeMap<&str, Value>) -> String {
        let mut parts = template.split("${");
        let mut text = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let (name, rest) = part.split_once('}').unwrap();
            text += &self::text(&self.named(name, variables));
            text += rest;
        }
        text
    }

    /// The value of a name: a variable, a parameter's default, or a resource's own name. An attribute stands for its resource.
    fn named(&self, name: &str, variables: &BTreeMap<&str, Value>) -> Value {
        if let Some(value) = variables.get(name) {
            return value.clone();
        }
        if let Some(chosen) = self.chosen.get(name.split('.').next().unwrap()) {
            return json!(chosen);
        }
        if let Some(parameter) = self.text["Parameters"].get(name) {
            return parameter["Default"].clone();
        }
        if let Some(pseudo) = name.strip_prefix("AWS::") {
            return json!(if pseudo == "StackName" { STACK_NAME } else { pseudo });
        }
        let id = name.split('.').next().unwrap();
        let resource = &self.text["Resources"][id];
        assert!(resource.is_object(), "there is no {name}");
        let names = ["FunctionName", "TableName", "TopicName", "QueueName", "EndpointName", "Name"];
        match names.iter().find_map(|name| resource["Properties"].get(*name)) {
            Some(name) => self.resolved(name).unwrap_or_default(),
            None => json!(id),
        }
    }
}

/// A name without the stack's in front of it.
pub(super) fn own_name(name: &Value) -> String {
    let name = name.as_str().unwrap();
    let own = name.strip_prefix(STACK_NAME).and_then(|name| name.strip_prefix('-'));
    own.unwrap_or_else(|| panic!("{name} does not begin with the stack's name")).to_owned()
}

/// A value as text, where CloudFormation takes text.
pub(super) fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// YAML as JSON; `!Sub` and its like in their long form.
fn plain(yaml: &Yaml<'_>) -> Value {
    match yaml {
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(value)) => json!(value),
        Yaml::Value(Scalar::Integer(value)) => json!(value),
        Yaml::Value(Scalar::FloatingPoint(value)) => json!(value.into_inner()),
        Yaml::Value(Scalar::String(text)) => json!(text),
        Yaml::Sequence(parts) => parts.iter().map(plain).collect(),
        Yaml::Mapping(parts) => {
            let entry = |(name, part): (&Yaml<'_>, &Yaml<'_>)| (text(&plain(name)), plain(part));
            Value::Object(parts.iter().map(entry).collect())
        }
        Yaml::Tagged(tag, value) => {
            let function = match tag.suffix.as_str() {
                name @ ("Ref" | "Condition") => name.to_owned(),
                name => format!("Fn::{name}"),
            };
            json!({function: plain(value)})
        }
        other => panic!("{other:?} does not occur in templates"),
    }
}
