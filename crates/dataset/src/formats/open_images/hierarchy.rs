//! Which classes are kinds of which.

use std::collections::HashMap;
use std::path::Path;

use serde::Deserialize;

use crate::DatasetError;

/// The most bytes of a hierarchy.
const MAX_BYTES: u64 = 64 << 20;

/// For each class the classes above it, as `bbox_labels_600_hierarchy.json` lists them. Parts are no kinds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Hierarchy {
    above: HashMap<String, Vec<String>>,
}

/// Why a hierarchy cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("no hierarchy of classes: {0}")]
pub struct HierarchyError(#[from] serde_json::Error);

#[derive(Deserialize)]
struct Node {
    #[serde(rename = "LabelName")]
    label: String,
    #[serde(default, rename = "Subcategory")]
    below: Vec<Node>,
}

impl Hierarchy {
    /// Reads a file.
    ///
    /// # Errors
    /// [`DatasetError::Io`] or [`DatasetError::Refused`]
    pub fn open(file: &Path) -> Result<Self, DatasetError> {
        let size = file.metadata().map_err(DatasetError::io(file, "opened"))?.len();
        if size > MAX_BYTES {
            return Err(DatasetError::refused(file, format!("it has {size} bytes: at most {MAX_BYTES} work")));
        }
        let text = std::fs::read(file).map_err(DatasetError::io(file, "read"))?;
        Self::parse(&text).map_err(|error| DatasetError::refused(file, error.to_string()))
    }

    /// Parses a hierarchy. The depth of the JSON is limited to 128.
    ///
    /// # Errors
    /// [`HierarchyError`]
    pub fn parse(text: &[u8]) -> Result<Self, HierarchyError> {
        let root: Node = serde_json::from_slice(text)?;
        let mut hierarchy = Self::default();
        // The root, "Entity", is no class.
        root.below.iter().for_each(|node| hierarchy.add(node, &mut Vec::new()));
        Ok(hierarchy)
    }

    fn add<'a>(&mut self, node: &'a Node, path: &mut Vec<&'a str>) {
        let above = self.above.entry(node.label.clone()).or_default();
        // A class may be below several others.
        for class in path.iter() {
            if !above.iter().any(|known| known == class) {
                above.push((*class).to_owned());
            }
        }
        path.push(&node.label);
        node.below.iter().for_each(|below| self.add(below, path));
        path.pop();
    }

    /// The classes above one, from the most general one.
    #[must_use]
    pub fn above(&self, class: &str) -> &[String] {
        self.above.get(class).map_or(&[], Vec::as_slice)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_below_several_have_all_of_them_above() {
        let text = br#"{"LabelName": "/m/0bl9f", "Subcategory": [
            {"LabelName": "animal", "Subcategory": [{"LabelName": "cat", "Part": [{"LabelName": "tail"}]}]},
            {"LabelName": "pet", "Subcategory": [{"LabelName": "cat"}]}]}"#;
        let hierarchy = Hierarchy::parse(text).unwrap();
        assert_eq!(hierarchy.above("cat"), ["animal", "pet"]);
        assert!(hierarchy.above("animal").is_empty() && hierarchy.above("tail").is_empty());
    }

    #[test]
    fn a_hierarchy_that_is_too_deep_is_refused() {
        let deep = format!("{}{}", "{\"LabelName\":\"a\",\"Subcategory\":[".repeat(1000), "]}".repeat(1000));
        assert!(Hierarchy::parse(deep.as_bytes()).unwrap_err().to_string().contains("recursion limit"));
        assert!(Hierarchy::parse(b"[]").is_err());
    }
}
